"""Adapters: folders with what was trained, and nothing else, for a pretrained model in another folder.

adapter_model.safetensors holds the trained weights; where the library peft has the method, it is in peft's layout, with
its adapter_config.json (peft_layout.py). adapter.json says what peft's files do not: the hash of the pretrained model,
the labels, and the method where it is not one of peft's. Earlier versions wrote adapter.json and adapter.safetensors,
for LoRA only; these are still read, and so is a folder with LoRA that peft itself wrote.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.files.atomic import sha256, write_text
from gpt.files.checkpoint import load_model, write_safetensors
from gpt.files.huggingface import ADAPTER_FILES
from gpt.files.int8_file import weights_file
from gpt.files.tokenizer_files import save_tokenizer_with_settings
from gpt.finetuning.method_config import AdapterConfig, LoraConfig, PeftSettings, Settings
from gpt.finetuning.methods import Net, adapt
from gpt.finetuning.peft_layout import (
    TASKS,
    config_to_peft,
    settings_from_peft,
    weights_from_peft,
    weights_to_peft,
)
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPT, GPTConfig
from gpt.tokenizer import Tokenizer

ROOM = "longest_answer"  # of its training, in tokens with the end: a prompt must leave so much of the context


def read_about(folder: Path) -> dict[str, Any] | None:
    """What adapter.json says, or adapter_config.json where peft alone wrote the folder; None if it holds no adapter.
    Raises UserError if the file is damaged."""
    for name in ADAPTER_FILES:
        if (folder / name).is_file():
            try:
                about = json.loads((folder / name).read_text(encoding="utf-8"))
                if not isinstance(about, dict):
                    raise ValueError(f"{name} holds no object")
            except ValueError as error:
                raise UserError(f"the adapter in {folder} is damaged: {error}") from None
            if name == "adapter_config.json":
                kinds = {task: kind for kind, task in TASKS.items()}
                about = {"kind": kinds.get(str(about.get("task_type"))), "base": about.get("base_model_name_or_path")}
            return about
    return None


def trained_weights(model: Net) -> dict[str, Tensor]:
    """What an adapter holds: the weights that are trained."""
    return {name: w.detach().cpu().contiguous() for name, w in model.named_parameters() if w.requires_grad}


def save_adapter(model: Net, settings: Settings, base: Path, tokenizer: Tokenizer, folder: Path, room: int = 0) -> None:
    """Write only the trained weights, and the path and hash of the model `base` that they belong to. settings: of the
    method, see adapt. room: see save_answering_model. Raises UserError if a file cannot be written."""
    save_tokenizer_with_settings(tokenizer, model.config.context_length, folder, masked=not model.config.causal)
    weights, config = trained_weights(model), model.config
    kind = "answers" if isinstance(model, GPT) else "tags" if isinstance(model, GPTTagger) else "labels"
    about = {
        "base": path_from(folder, base),
        "base_sha256": sha256(weights_file(base)),
        "method": "bias" if settings is None else "adapter" if isinstance(settings, AdapterConfig) else "peft",
        "labels": () if isinstance(model, GPT) else model.labels,
        ROOM: room,
        "kind": kind,
    }
    if isinstance(settings, AdapterConfig):
        about |= dataclasses.asdict(settings)
    write_text(folder / "adapter.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    if isinstance(settings, PeftSettings):
        peft = config_to_peft(settings, kind, str(base), config, weights)
        write_text(folder / "adapter_config.json", json.dumps(peft, indent=2) + "\n")
        weights = weights_to_peft(settings, weights, config)
    write_safetensors(folder / "adapter_model.safetensors", weights)


def load_adapter(folder: Path | str, device: torch.device | str = "cpu", base: Path | str | None = None) -> Net:
    """Load an adapter and the pretrained model it belongs to (or the same model at `base`), in evaluation mode.

    Raises UserError if the pretrained model is missing or has changed, or if the adapter is damaged.
    """
    folder = Path(folder)
    about = read_about(folder) or {}
    with explain_damage(folder):
        kind, digest = about.get("kind") or "labels", about.get("base_sha256")  # peft alone writes no hash
        base = Path(base) if base else find_base(folder, about["base"])
    if not weights_file(base).is_file():
        raise UserError(f"{folder} holds an adapter for the model {base}, which is not there: put it back")
    if digest and sha256(weights_file(base)) != digest:
        raise UserError(f"the adapter in {folder} is for another model than the one in {base}: fine-tune again")
    gpt = load_model(base)
    with explain_damage(folder):
        settings, weights = read_weights(folder, about, gpt.config)
        head = weights.get("classifier.weight" if kind == "tags" else "score.weight", ())
        labels = tuple(about.get("labels") or (f"LABEL_{i}" for i in range(len(head))))
    model = gpt if kind == "answers" else (GPTTagger if kind == "tags" else GPTClassifier)(gpt.config, labels)
    model.transformer.load_state_dict(gpt.transformer.state_dict())
    adapt(model, settings)
    try:
        differences = model.load_state_dict(weights, strict=False)
        missing = trained_weights(model).keys() & set(differences.missing_keys)
        if "method" not in about:  # peft alone leaves the final norm as it is
            missing = {name for name in missing if ".ln_f." not in name}
        if differences.unexpected_keys or missing:
            raise RuntimeError
    except RuntimeError:
        raise UserError(f"the adapter in {folder} does not fit the model in {base}") from None
    return model.to(device).eval()


@contextlib.contextmanager
def explain_damage(folder: Path) -> Iterator[None]:
    """Turn what goes wrong in reading an adapter into a UserError of one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"the adapter in {folder} is damaged or not supported: {what}") from None


def read_weights(folder: Path, about: dict[str, Any], config: GPTConfig) -> tuple[Settings, dict[str, Tensor]]:
    """(The settings of the method, the trained weights under our names.) about: see read_about."""
    if "method" not in about and "rank" in about:  # of an earlier version
        settings = LoraConfig(about["rank"], about["alpha"], tuple(about["targets"]))
        return settings, safetensors.torch.load_file(folder / "adapter.safetensors")
    weights = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    if about.get("method") in ("bias", "adapter"):
        return AdapterConfig(about["width"]) if about["method"] == "adapter" else None, weights
    peft = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    weights = weights_from_peft(peft, weights, config)
    return settings_from_peft(peft, weights), weights


def find_base(folder: Path, name: str) -> Path:
    """The folder of the pretrained model: `name` as seen from the adapter, or from here, as peft writes it."""
    beside = (folder.resolve() / name).resolve()
    return beside if beside.is_dir() else Path(name) if Path(name).is_dir() else beside


def path_from(folder: Path, base: Path) -> str:
    """The path of `base` relative to `folder`, so that both can be moved together. Absolute if there is none."""
    try:
        return Path(os.path.relpath(base.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on different drives of Windows
        return base.resolve().as_posix()
