"""Model folders whose matrices lie on the disk in 8 bits: int8.safetensors in place of model.safetensors.

The file holds the matrices of gpt/fast/int8.py under our own names: `….weight` (out, in) in int8, and `….scale`
(out, 1) in float32, one for each row. Biases, norms and positions stay in float32. config.json says so under
"quantization". `transformers` does not know this layout; because it finds no model.safetensors, it stops with an error
and does not take whole numbers for weights.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from gpt.errors import UserError

INT8_FILE = "int8.safetensors"
INT8_ENTRY = {"quantization": {"bits": 8, "scales": "one for each row", "file": INT8_FILE}}  # in config.json


def holds_int8(folder: Path) -> bool:
    """Whether a model folder's config.json says that its weights are in 8 bits. Raises UserError if it names another
    quantization than ours; what else may be wrong with the file is for load_config to say."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        entry = content.get("quantization")
    except (OSError, ValueError, AttributeError):
        return False
    if entry is not None and {"quantization": entry} != INT8_ENTRY:
        raise UserError(f"{folder / 'config.json'} asks for quantization {entry}, which this GPT does not support")
    return entry is not None


def weights_file(folder: Path) -> Path:
    """The file with the weights of a model folder, which need not exist."""
    return folder / (INT8_FILE if holds_int8(folder) else "model.safetensors")


def from_int8(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The content of an int8 file -> float32 weights under our names, the tied head included. gpt.fast.int8.to_int8
    makes of these the same whole numbers and the same scales again, bit for bit. Raises KeyError for a matrix without
    its scales, and RuntimeError if the two do not fit each other."""
    weights = {}
    for name, weight in stored.items():
        if weight.dtype == torch.int8:
            scale = stored[name.removesuffix("weight") + "scale"]
            if scale.shape != (len(weight), 1):
                raise RuntimeError(f"{name} has {len(weight)} rows, and scales of shape {tuple(scale.shape)}")
            weights[name] = weight * scale  # (out, in)
        elif not name.endswith(".scale"):
            weights[name] = weight
    weights["lm_head.weight"] = weights["transformer.wte.weight"]
    return weights
