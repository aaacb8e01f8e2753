"""The commands of look.py that leave parts of a model out and measure what is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import arg

from gpt.errors import UserError
from gpt.inside.given import Folder, Picture, load_for_look, read_text

Tokens = Annotated[Path | None, arg(help="a tokens folder, whose validation split is read")]
OwnText = Annotated[str | None, arg(help="or a text, or @ followed by the name of a text file")]
Most = Annotated[int, arg(help="the number of tokens to measure on; more take longer")]


def show_without(
    model: Folder, data: Tokens = None, text: OwnText = None, most: Most = 20_000, out: Picture = Path("without.png")
) -> None:
    """How much worse a model is without each head, each block, and each half of a block."""
    import torch

    from gpt.inside.ablation import BLOCK_PARTS, losses_without
    from gpt.inside.parts_plots import plot_losses_without

    gpt, tokenizer = load_for_look(model, must_be_causal=True)
    tokens = read_tokens(tokenizer, data, text, most)
    whole, heads, blocks = losses_without(gpt, loss_on(tokens, gpt, tokenizer))
    print(f"whole model: {whole:.4f} nats/token, on {len(tokens) - 1:,} tokens; the figures are what is added to that")
    print(f"| layer | {' | '.join(f'head {n + 1}' for n in range(heads.size(1)))} | {' | '.join(BLOCK_PARTS)} |")
    print("| --- |" + " ---: |" * (heads.size(1) + len(BLOCK_PARTS)))
    for layer, row in enumerate(torch.cat((heads, blocks), 1) - whole):
        print(f"| {layer + 1} | {' | '.join(f'{value:+.4f}' for value in row.tolist())} |")
    plot_losses_without(heads - whole, blocks - whole, BLOCK_PARTS, f"{model.name}: what is lost without a part", out)
    print(f"picture: {out}")


def read_tokens(tokenizer, data: Path | None, text: str | None, most: int) -> np.ndarray:
    """The first tokens of a tokens folder's validation split, or of a text, of which `most` can be predicted. Raises
    UserError if there is neither a folder nor a text, or both, or if the folder has another tokenizer."""
    from gpt.files.tokenizer_files import load_tokenizer
    from gpt.files.tokens_folder import TokensFolder

    if (data is None) == (text is None):
        raise UserError("give a tokens folder with --data, or a text with --text")
    if most < 1:
        raise UserError(f"--most is {most}: it must be at least 1")
    if data is None:
        return np.array(read_text(text or "", tokenizer)[0][: most + 1])
    corpus = TokensFolder(data)
    if load_tokenizer(data).ids != tokenizer.ids:
        raise UserError(f"{data} was not prepared with the tokenizer of the model: prepare it with --tokenizer")
    return corpus.val[: most + 1]


def loss_on(tokens: np.ndarray, gpt, tokenizer) -> Callable:
    """A function: model -> its loss on these tokens in nats per token, as in training: documents that fit the context
    are read from their beginning."""
    import torch

    from gpt.dataset import Dataset
    from gpt.fast.speed_up import speed_up
    from gpt.running.device import pick_machine
    from gpt.running.processes import Processes
    from gpt.running.validation import validation_loss

    machine = pick_machine("cpu", "float32", "off")
    speed_up(gpt, machine.device, torch.float32)
    dataset = Dataset(tokens, tokens, tokenizer.end_of_text, gpt.config.context_length, batch_size=32)
    alone = Processes(rank=0, size=1, device=machine.device)
    return lambda model: validation_loss(model, dataset, machine, alone, accumulate=1)
