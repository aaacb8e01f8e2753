"""What exports that write a model folder have in common: read any whole model, write it again in another form."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gpt.errors import UserError
from gpt.files.huggingface import ADAPTER_FILES
from gpt.files.lock import LOCK_FILE

if TYPE_CHECKING:
    from torch import Tensor

    from gpt.finetuning.methods import Net


def check_target_folder(out: Path, model: Path, overwrite: bool) -> None:
    """Raises UserError if `out` is the folder of the model itself, no folder, or holds something that must not be
    replaced."""
    if out.resolve() == model.resolve():
        raise UserError(f"--out {out} is the folder of the model itself: choose another one")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: --out names a folder to write")
    if any((out / name).exists() for name in ("resume.pt", "meta.json", *ADAPTER_FILES)):
        raise UserError(f"{out} holds a run, tokens or an adapter, which are not replaced: choose another --out")
    if out.is_dir() and any(path.name != LOCK_FILE for path in out.iterdir()) and not overwrite:
        raise UserError(f"{out} is not empty: choose another --out or use --overwrite")


def load_whole(folder: Path) -> "Net":
    """A language model, or a fine-tuned one, from its folder. Raises UserError if it holds an adapter or no model."""
    from gpt.files.checkpoint import load_model
    from gpt.files.huggingface import load_config
    from gpt.finetuning.saved import kind_of, load_fine_tuned

    load_config(folder)  # an adapter has none
    return load_fine_tuned(folder, "cpu") if kind_of(folder) else load_model(folder)


def write_again(
    net: "Net", source: Path, out: Path, file: str, weights: "dict[str, Tensor]", entries: dict | None = None
) -> None:
    """Write the model folder `out`: the tokenizer and config.json of `source`, with `entries` and the number of blocks
    of `net`, and `weights` in `file`. Weights in another file are removed. Raises UserError if a file cannot be
    written."""
    from gpt.files.atomic import write_text
    from gpt.files.checkpoint import write_safetensors
    from gpt.files.int8_file import INT8_FILE
    from gpt.files.tokenizer_files import load_tokenizer, save_tokenizer_with_settings

    config = net.config
    save_tokenizer_with_settings(load_tokenizer(source), config.context_length, out, masked=not config.causal)
    content = json.loads((source / "config.json").read_text(encoding="utf-8"))
    content["n_layer" if config.position == "learned" else "num_hidden_layers"] = config.n_layer
    content.pop("quantization", None)
    write_text(out / "config.json", json.dumps(content | (entries or {}), indent=2, ensure_ascii=False) + "\n")
    write_safetensors(out / file, weights)
    for other in {"model.safetensors", INT8_FILE} - {file}:
        (out / other).unlink(missing_ok=True)
