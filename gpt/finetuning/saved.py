"""Fine-tuned models on the disk: a classifier as a whole model folder, or as an adapter beside the model it needs."""

import copy
import json
import os
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.files.atomic import sha256, write_text
from gpt.files.checkpoint import load_model, load_weights, read_model_folder, write_model_folder, write_safetensors
from gpt.files.tokenizer_files import save_tokenizer_with_settings
from gpt.finetuning.finetune_config import LoraConfig
from gpt.lora import add_lora
from gpt.tokenizer import Tokenizer

HF_CLASSES = {"learned": "GPT2ForSequenceClassification", "rotary": "GPTNeoXForSequenceClassification"}


def load_fine_tuned(folder: Path, device: torch.device | str) -> GPTClassifier:
    """A fine-tuned model, whole or as an adapter beside the model it belongs to."""
    has_adapter = (folder / "adapter.json").is_file()
    return load_adapter(folder, device) if has_adapter else load_classifier(folder, device)


def in_units(model: GPTClassifier, mean: float, std: float) -> GPTClassifier:
    """A copy of a regression model that answers mean + std × answer: trained on numbers brought to mean 0 and
    deviation 1, it then speaks in those of the user. The head has no bias in `transformers`' layout, so the mean
    goes into the bias of the norm before it, along the head's own direction."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.score.weight *= std
        weight = model.score.weight[0].double()  # in float32 the square of a small one would be 0
        direction = weight / weight.square().sum()  # its answer is 1
        model.transformer.ln_f.bias += mean * direction
    return model


def save_classifier(model: GPTClassifier, tokenizer: Tokenizer, folder: Path | str) -> None:
    """Write a model folder that `AutoModelForSequenceClassification.from_pretrained` loads, with the names of the
    labels in it; a plain GPTClassifier only (see merge_lora for one with adapters)."""
    more = {
        "architectures": [HF_CLASSES[model.config.position]],
        "id2label": {str(i): label for i, label in enumerate(model.labels)},
        "label2id": {label: i for i, label in enumerate(model.labels)},
        "problem_type": "regression" if model.is_regression else "single_label_classification",
        "pad_token_id": tokenizer.end_of_text,
    }
    write_model_folder(folder, model.config, model.state_dict(), tokenizer, more)


def load_classifier(folder: Path | str, device: torch.device | str = "cpu") -> GPTClassifier:
    """Read a classifier's folder, written by us or by `transformers`, ready to answer.

    Raises UserError if it is no model folder, holds a model without a label head, or is damaged.
    """
    config, weights = read_model_folder(folder)
    del weights["lm_head.weight"]
    if "score.weight" not in weights:
        raise UserError(f"{folder} holds a language model, not a classifier: fine-tune it first with finetune.py")
    hf = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    names = hf.get("id2label") or {}
    labels = tuple(str(names.get(str(i), f"LABEL_{i}")) for i in range(len(weights["score.weight"])))
    model = GPTClassifier(config, labels)
    load_weights(model, weights, folder)
    return model.to(device).eval()


def save_adapter(model: GPTClassifier, config: LoraConfig, base: Path, tokenizer: Tokenizer, folder: Path) -> None:
    """Write only what was learned (LoRA's matrices, the last norm, the head), and which model it belongs to."""
    save_tokenizer_with_settings(tokenizer, model.config.context_length, folder)
    learned = {
        name: weight.detach().cpu().contiguous()
        for name, weight in model.state_dict().items()
        if is_adapter_weight(name)
    }
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
    add_lora(model, config.rank, config.alpha, config.targets)
    try:
        differences = model.load_state_dict(learned, strict=False)
        if differences.unexpected_keys or any(map(is_adapter_weight, differences.missing_keys)):
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


def is_adapter_weight(name: str) -> bool:
    """Is this weight learned when LoRA trains?"""
    return "lora_" in name or name.startswith(("transformer.ln_f.", "score."))
