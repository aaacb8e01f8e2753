"""Make a smaller model folder: without some of its blocks, or with the smallest weights set to 0.

    python look.py without --model out/tiny --data data/stories-2048      # which blocks matter least?
    python -m gpt.export.prune --model out/tiny --out out/two-blocks --drop-blocks 3 --data data/stories-2048
    python -m gpt.export.prune --model out/tiny --out out/half --fraction 0.5

With --data, a language model is then trained for --steps, its zeros held, and its loss before and after is printed. The
new folder is one like any other. Without blocks it is smaller and faster; zeros alone save neither bytes nor time here
(gpt/export/pruning.py says why), they show how many weights the model needs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from gpt.errors import UserError
from gpt.export.folders import check_target_folder, load_whole, write_again
from gpt.files.int8_file import holds_int8
from gpt.running.command_line import parse_flags, run_main

if TYPE_CHECKING:
    from gpt.finetuning.methods import Net

BATCH_SIZE = 16  # windows, as in `train.py tiny`


@dataclass(frozen=True)
class PruneConfig:
    model: Path
    """a model folder, of a language model or a fine-tuned one"""
    out: Path
    """the folder to write"""
    fraction: float = 0.0
    """the share of the weights in each matrix of the blocks to set to 0, the smallest ones"""
    drop_blocks: tuple[int, ...] = ()
    """the numbers of blocks to remove; 1 is the lowest"""
    data: Path | None = None
    """a tokens folder to train on afterwards, for language models"""
    steps: int = 100
    """updates of that training"""
    seed: int = 1
    """of the order of that training's batches; train.py's own is 0"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""
    overwrite: bool = False
    """replace a model that was exported there before"""


def check_prune(config: PruneConfig) -> None:
    """Raises UserError for flags that cannot be obeyed, as far as they alone tell."""
    check_target_folder(config.out, config.model, config.overwrite)
    if not config.fraction and not config.drop_blocks:
        raise UserError("nothing to prune: give --fraction, --drop-blocks, or both")
    if not 0 <= config.fraction < 1:
        raise UserError(f"--fraction is {config.fraction:g}: it must be at least 0 and less than 1, as in 0.5 for half")
    if config.steps < 1:
        raise UserError(f"--steps is {config.steps}: it must be at least 1; without --data nothing is trained")
    if holds_int8(config.model):
        raise UserError(f"{config.model} is in 8 bits: prune the model that it was made from, then quantise the result")


def prune(net: "Net", config: PruneConfig) -> None:
    """Prune a net in place, and train it where the config names data."""
    from gpt.export.pruning import drop_blocks, prune_weights, train_pruned
    from gpt.fast.speed_up import speed_up
    from gpt.files.tokenizer_files import load_tokenizer
    from gpt.files.tokens_folder import TokensFolder
    from gpt.model import GPT
    from gpt.running.device import pick_machine
    from gpt.running.processes import Processes
    from gpt.running.validation import describe_loss, validation_loss

    machine = pick_machine(config.device)
    net.to(machine.device)
    drop_blocks(net, config.drop_blocks)
    masks = prune_weights(net, config.fraction)
    if config.data is None:
        return
    if not isinstance(net, GPT) or not net.config.causal:
        raise UserError(f"{config.model} holds no causal language model, which alone is trained here: leave out --data")
    corpus = TokensFolder(config.data)
    if load_tokenizer(config.data).ids != load_tokenizer(config.model).ids:
        raise UserError(f"{config.data} was not prepared with the tokenizer of {config.model}: see --tokenizer there")
    dataset = corpus.dataset(net.config.context_length, BATCH_SIZE, config.seed)
    twins = speed_up(net, machine.device, machine.dtype)

    def print_loss(what: str) -> None:
        loss = validation_loss(net, dataset, machine, Processes(0, 1, machine.device), accumulate=1)
        print(f"{what:14} {describe_loss(loss, corpus, 'causal')}", flush=True)

    print_loss("pruned")
    train_pruned(net, dataset, masks, config.steps, machine, twins, config.seed)
    print_loss("trained again")


def main() -> None:
    config = parse_flags(lambda: tyro.cli(PruneConfig, description=__doc__))
    check_prune(config)
    # These take seconds to import; here, --help and mistakes are answered before that.
    from gpt.export.pruning import share_of_zeros
    from gpt.files.huggingface import weights_to_hf

    net = load_whole(config.model)
    prune(net, config)
    net.to("cpu")
    weights = {name: weight.detach() for name, weight in net.state_dict().items()}
    write_again(net, config.model, config.out, "model.safetensors", weights_to_hf(weights, net.config))
    total = sum(weight.numel() for weight in net.parameters())
    print(f"wrote {config.out}: {net.config.n_layer} blocks, {total:,} weights, {share_of_zeros(net):.0%} of them 0")


if __name__ == "__main__":
    run_main(main)
