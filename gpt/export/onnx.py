"""Write a model as an ONNX file, which ONNX Runtime and other engines run: a language model, a classifier, a tagger.

    python -m gpt.export.onnx --model out/tiny --out tiny.onnx

PyTorch runs the plain code of gpt/model.py once with symbols in place of batch and length, and writes down what it
computes. So the file takes a batch of any size, and texts of any length up to the context.

Input `tokens` (B, T), int64; for a classifier also `lengths` (B,), the real tokens of each row. Output `logits`,
float32: (B, T, V) of a language model, (B, labels) of a classifier, (B, T, tags) of a tagger.
"""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from gpt.errors import UserError
from gpt.export.target import check_target, needs
from gpt.files.atomic import atomic_write
from gpt.running.command_line import parse_flags, run_main

if TYPE_CHECKING:
    from gpt.finetuning.saved import Net

ONNX_LIMIT = 2_000_000_000  # bytes that fit into one ONNX file, which is a protocol buffer


@dataclass(frozen=True)
class OnnxConfig:
    model: Path
    """a model folder, of a language model or a fine-tuned one"""
    out: Path
    """the .onnx file to write"""
    overwrite: bool = False
    """replace an existing file"""


def write_onnx(model: "Net", path: Path) -> None:
    """Write an ONNX file atomically, from a model in evaluation mode, without fast twins.

    Raises UserError if the model is too large for one file, or if the file cannot be written.
    """
    import torch

    from gpt.classifier import GPTClassifier

    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    if size > ONNX_LIMIT:
        raise UserError(f"the model has {size / 1e9:.1f} GB of weights, and an ONNX file holds 2: export a smaller one")
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=model.config.context_length)
    # The example's sizes are replaced by these symbols. They must be no 0 or 1, which would be taken as meant.
    inputs = {"tokens": torch.zeros(2, min(3, model.config.context_length), dtype=torch.long)}
    shapes: dict[str, dict] = {"tokens": {0: batch, 1: length}}
    if isinstance(model, GPTClassifier):
        inputs["lengths"], shapes["lengths"] = torch.ones(2, dtype=torch.long), {0: batch}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of libraries that are not needed here
    with warnings.catch_warnings(action="ignore"):  # of PyTorch, about its own use of itself
        program = torch.onnx.export(
            model,
            kwargs=inputs,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is None only without dynamo
    with atomic_write(path) as temporary:
        program.save(temporary, external_data=False)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(OnnxConfig, description=__doc__))
    check_target(config.out, config.overwrite)
    needs("onnx", "onnxscript")
    # These take seconds to import; here, --help and mistakes are answered before that.
    from gpt.files.checkpoint import load_model
    from gpt.finetuning.saved import kind_of, load_classifier, load_tagger

    kind = kind_of(config.model)
    load = {"labels": load_classifier, "tags": load_tagger}.get(kind or "", load_model)
    model = load(config.model)
    write_onnx(model, config.out)
    print(f"wrote {config.out} ({config.out.stat().st_size / 1e6:,.1f} MB)")
    if kind in ("labels", "tags"):
        print("its logits stand for: " + ", ".join(model.labels))


if __name__ == "__main__":
    run_main(main)
