"""Generate text from a trained model, and print it token by token.

    python sample.py --model out/tiny --prompt "Once upon a time"
    python sample.py --model out/tiny --prompt "A cat" "The old king" --num-samples 3 --temperature 0.7
    python sample.py --model out/tiny --prompt-file opening.txt --stop "The end"
    echo "ROMEO:" | python sample.py --model out/shakespeare --prompt -
    python sample.py --model out/tiny --prompt "Once upon a time" --score

Without a prompt the model begins a new document.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from gpt.errors import UserError
from gpt.files.encodings import read_user_text
from gpt.running.command_line import parse_flags, read_standard_input, run_main

if TYPE_CHECKING:
    from gpt.generate import Choice
    from gpt.model import GPT
    from gpt.tokenizer import Tokenizer


@dataclass(frozen=True)
class SampleConfig:
    model: Path
    """a model folder, such as train.py writes, or finetune.py for prompts and answers"""
    prompt: tuple[str, ...] = ()
    """the text to continue, or several texts, which are continued side by side; - reads standard input"""
    prompt_file: Path | None = None
    """a UTF-8 file with the text to continue"""
    num_samples: int = 1
    """continuations of each prompt; number i uses seed + i"""
    max_new_tokens: int = 256
    """largest number of tokens to add; a sample also ends at the end-of-text token"""
    stop: tuple[str, ...] = ()
    """strings that end a sample; they are not printed"""
    temperature: float = 0.8
    """below 1, likely tokens become likelier; above 1, less likely; 0 always takes the likeliest"""
    top_k: int | None = None
    """sample from the k likeliest tokens only"""
    top_p: float | None = None
    """sample from the smallest set of tokens whose probabilities sum to p"""
    min_p: float | None = None
    """sample from the tokens that are at least this many times as likely as the likeliest"""
    repetition_penalty: float = 1.0
    """above 1, tokens that the text already holds become less likely"""
    seed: int = 0
    """the same seed gives the same text"""
    logprobs: int | None = None
    """after the text, print each token's log-probability and this many of the likeliest tokens"""
    score: bool = False
    """do not continue the prompt: print the log-probability of each of its tokens"""
    exit_layer: int | None = None
    """predict from the output of this layer: leave out those above it"""
    quantize: Literal["int8"] | None = None
    """store the weights in 8 bits: a quarter of the memory (gpt.export.int8 keeps them so on the disk)"""
    plain: bool = False
    """only the plain code of gpt/*.py: the whole text is read again for every token"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""


def read_prompts(config: SampleConfig) -> list[str]:
    """The prompts from the flag, the file or standard input; [""] if there is none."""
    if config.prompt and config.prompt_file is not None:
        raise UserError("give --prompt or --prompt-file, not both")
    if config.prompt_file is not None:
        prompts = [read_user_text(config.prompt_file).removesuffix("\n")]
    else:
        prompts = [read_standard_input().removesuffix("\n") if p == "-" else p for p in config.prompt]
    if "" in prompts:
        raise UserError("the prompt is empty: leave --prompt out to let the model begin a new document")
    return prompts or [""]


def continue_prompts(model: "GPT", tokenizer: "Tokenizer", prompts: list[str], config: SampleConfig) -> None:
    """Print the continuations: a single one as it is made, several one after the other when all are done."""
    from gpt.fast.batch import Batch
    from gpt.generate import check_prompt
    from gpt.running.memory import check_texts_fit
    from gpt.running.streaming import TextStream, stream_texts, stream_texts_plainly
    from gpt.sampling import Sampling

    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    settings = {name: getattr(config, name) for name in names}
    device = model.transformer.wte.weight.device
    check_texts_fit(model.config, len(prompts) * config.num_samples, config.max_new_tokens, device)
    rows = [(prompt, config.seed + i) for prompt in prompts for i in range(config.num_samples)]
    texts, seeds = [prompt for prompt, _ in rows], [seed for _, seed in rows]
    tokens = [tokenizer.encode_document(prompt) or [tokenizer.end_of_text] for prompt in texts]
    sampling = Sampling(**settings)
    TextStream(tokenizer, config.stop)  # this and the next raise UserError now, before anything is printed
    for prompt in tokens:
        check_prompt(model, prompt, config.max_new_tokens)
    if config.plain:
        shown = stream_texts_plainly(
            model, tokenizer, tokens, seeds, config.max_new_tokens, config.stop, config.logprobs, **settings
        )
    else:
        batch = Batch(model, tokens, seeds, config.max_new_tokens, sampling, config.logprobs)
        shown = stream_texts(batch, tokenizer, config.stop)
    choices: list[list[Choice]] = [[] for _ in rows]
    alone = len(rows) == 1
    if alone:
        print(texts[0], end="", flush=True)
    for row, text, choice in shown:
        texts[row] += text
        choices[row].append(choice)
        if alone:
            print(text, end="", flush=True)
    for row, (_, seed) in enumerate(rows):
        if alone:
            print()
        else:
            print(f"{'' if row == 0 else chr(10)}--- sample {row + 1}, seed {seed}\n{texts[row]}")
        if config.logprobs is not None:
            print_choices(choices[row], tokenizer)


def print_choices(choices: "list[Choice]", tokenizer: "Tokenizer") -> None:
    """A table: token, its log-probability in nats, its probability, and the likeliest tokens with theirs."""
    print(f"\n{'token':16}{'logprob':>9}{'prob':>8}   likeliest")
    for choice in choices:
        top = ", ".join(f"{tokenizer.decode([token])!r} {math.exp(logprob):.3f}" for token, logprob in choice.top)
        text = repr(tokenizer.decode([choice.token]))
        print(f"{text:16}{choice.logprob:9.3f}{math.exp(choice.logprob):8.3f}   {top}")


def print_score(model: "GPT", tokenizer: "Tokenizer", text: str, num_top: int) -> None:
    """The log-probability of every token of a text and what they come to."""
    from gpt.generate import score

    if not text:
        raise UserError("--score needs a text: give it with --prompt or --prompt-file")
    choices = score(model, tokenizer.encode_document(text), num_top)
    print_choices(choices, tokenizer)
    nats = -sum(choice.logprob for choice in choices)
    size = len(tokenizer.decode_bytes([choice.token for choice in choices]))
    print(
        f"\n{len(choices)} tokens{'' if tokenizer.add_bos_token else ' after the first'}: "
        f"{nats / len(choices):.4f} nats/token, "
        f"perplexity {math.exp(nats / len(choices)):.2f}, {nats / math.log(2) / size:.3f} bits/byte"
    )


def main() -> None:
    config = parse_flags(lambda: tyro.cli(SampleConfig, description=__doc__))
    if config.num_samples < 1:
        raise UserError(f"--num-samples is {config.num_samples}: it must be at least 1")
    if not 0 <= config.seed < 2**63:
        raise UserError(f"--seed is {config.seed}: it must be a whole number from 0 up")
    if config.logprobs is not None and config.logprobs < 0:
        raise UserError(f"--logprobs is {config.logprobs}: it must be at least 0")
    prompts = read_prompts(config)
    if config.plain and config.quantize:
        raise UserError("--quantize is one of the fast twins: leave out either it or --plain")
    # These take seconds to import; here, --help and mistakes are answered before that.
    import torch

    from gpt.fast.int8 import quantize_int8
    from gpt.fast.linear import useful_threads
    from gpt.fast.speed_up import speed_up
    from gpt.files.int8_file import holds_int8
    from gpt.files.tokenizer_files import load_tokenizer
    from gpt.finetuning.saved import load_writing_model
    from gpt.inside.interpret import exit_after
    from gpt.running.device import pick_machine

    machine = pick_machine(config.device, plain=config.plain)
    model, tokenizer = load_writing_model(config.model, machine.device), load_tokenizer(config.model)
    if config.exit_layer is not None:
        exit_after(model, config.exit_layer)
    if not config.plain:
        speed_up(model, machine.device, torch.float32)
        torch.set_num_threads(useful_threads(model, len(prompts) * config.num_samples))
        if config.quantize == "int8" or holds_int8(config.model):
            quantize_int8(model)
    if config.score:
        for prompt in prompts:
            print_score(model, tokenizer, prompt, config.logprobs or 0)
    else:
        continue_prompts(model, tokenizer, prompts, config)


if __name__ == "__main__":
    run_main(main)
