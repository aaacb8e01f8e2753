"""LoRA: fine-tune a model by adding to its matrices products of two thin ones ("LoRA: Low-Rank Adaptation of Large
Language Models", Hu et al. 2021).

A matrix W (out × in) stays as it is; beside it B A is learned, with A (rank × in) and B (out × rank), and the layer
answers W x + (alpha / rank) B A x. B starts at zero, so training starts at exactly the pretrained function. Afterwards
B A can be added into W and costs nothing, or be kept as a file of its own, a hundredth of the model's size.
"""

import copy
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import safetensors.torch
import torch
import torch.nn as nn
import tyro
from safetensors import SafetensorError
from torch import Tensor

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.files.atomic import sha256, write_text
from gpt.files.checkpoint import load_model, write_safetensors, write_tokenizer
from gpt.tokenizer import Tokenizer

Target = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]


@dataclass(frozen=True)
class LoraConfig:
    rank: int = 8
    """how many directions are added to each matrix"""
    alpha: float = 16.0
    """how strongly: what is learned is multiplied by alpha / rank"""
    targets: Annotated[tuple[Target, ...], tyro.conf.arg(metavar="MATRIX ...")] = ("attn.c_attn", "mlp.c_fc")
    """which matrices of each block: attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj"""

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 < self.alpha < math.inf:
            raise UserError(f"lora: rank {self.rank} and alpha {self.alpha} must be above 0")
        if not self.targets or not set(self.targets) <= set(get_args(Target)):
            raise UserError(f"lora: targets must be some of {', '.join(get_args(Target))}")
        if len(set(self.targets)) < len(self.targets):
            raise UserError(f"lora: targets names a matrix twice: {', '.join(self.targets)}")


class LoraLinear(nn.Module):
    """A linear layer that stays as it is, plus a product of two thin matrices that learns."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.scale = alpha / rank
        self.lora_a = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.lora_b = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + (x @ self.lora_a.T) @ self.lora_b.T * self.scale  # (B, T, out)


def add_lora(model: GPTClassifier, config: LoraConfig) -> None:
    """Put a LoraLinear in the place of every matrix that `config.targets` names; the rest of the body is frozen, the
    last norm and the head are not."""
    model.transformer.requires_grad_(False)
    model.transformer.ln_f.requires_grad_(True)
    for block in model.transformer.h:
        for target in config.targets:
            part, name = target.split(".")
            layer = getattr(block, part)
            setattr(layer, name, LoraLinear(getattr(layer, name), config.rank, config.alpha))


def merge(model: GPTClassifier) -> GPTClassifier:
    """A copy in which what LoRA learned is added into the matrices: a plain GPTClassifier with the same answers."""
    model = copy.deepcopy(model)
    for block in model.transformer.h:
        for layer in (block.attn, block.mlp):
            for name, child in list(layer.named_children()):
                if isinstance(child, LoraLinear):
                    child.linear.weight.data += child.scale * child.lora_b.data @ child.lora_a.data
                    setattr(layer, name, child.linear)
    return model


def save_adapter(model: GPTClassifier, config: LoraConfig, base: Path, tokenizer: Tokenizer, folder: Path) -> None:
    """Write only what was learned (LoRA's matrices, the last norm, the head), and which model it belongs to."""
    write_tokenizer(tokenizer, model.config.context_length, folder)
    learned = {name: weight.detach().cpu().contiguous() for name, weight in model.state_dict().items() if ours(name)}
    about = {
        "base": path_from(folder, base),
        "base_sha256": sha256(base / "model.safetensors"),
        "rank": config.rank,
        "alpha": config.alpha,
        "targets": config.targets,
        "labels": model.labels,
    }
    write_text(folder / "adapter.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    write_safetensors(folder / "adapter.safetensors", learned)


def load_adapter(
    folder: Path | str, device: torch.device | str = "cpu", base: Path | str | None = None
) -> GPTClassifier:
    """Read an adapter and the model it belongs to (or the same model at `base`), ready to answer.

    Raises UserError if that model is gone or is another one, or the adapter is damaged.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
        config = LoraConfig(about["rank"], about["alpha"], tuple(about["targets"]))
        base = Path(base or (folder.resolve() / about["base"]).resolve())
        digest, labels = about["base_sha256"], tuple(about["labels"])
        learned = safetensors.torch.load_file(folder / "adapter.safetensors")
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"the adapter in {folder} is damaged: {error}") from None
    if not (base / "model.safetensors").is_file():
        raise UserError(f"{folder} holds an adapter for the model {base}, which is not there: put it back")
    if sha256(base / "model.safetensors") != digest:
        raise UserError(f"the adapter in {folder} is for another model than the one in {base}: fine-tune again")
    gpt = load_model(base)
    model = GPTClassifier(gpt.config, labels)
    model.transformer.load_state_dict(gpt.transformer.state_dict())
    add_lora(model, config)
    try:
        differences = model.load_state_dict(learned, strict=False)
        if differences.unexpected_keys or any(map(ours, differences.missing_keys)):
            raise RuntimeError
    except RuntimeError:
        raise UserError(f"the adapter in {folder} does not fit the model in {base}") from None
    return model.to(device).eval()


def path_from(folder: Path, base: Path) -> str:
    """Where `base` is, seen from `folder`: both may move together, and a command be run from anywhere."""
    try:
        return Path(os.path.relpath(base.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return base.resolve().as_posix()


def ours(name: str) -> bool:
    """Is this weight learned when LoRA trains?"""
    return "lora_" in name or name.startswith(("transformer.ln_f.", "score."))
