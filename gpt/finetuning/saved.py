"""Save and load fine-tuned models: as a whole model folder, or as an adapter that refers to its pretrained model."""

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
    """Load a fine-tuned model, whole or as an adapter, in evaluation mode. Raises UserError if there is none."""
    has_adapter = (folder / "adapter.json").is_file()
    return load_adapter(folder, device) if has_adapter else load_classifier(folder, device)


def in_units(model: GPTClassifier, mean: float, std: float) -> GPTClassifier:
    """A copy of a regression model that outputs mean + std × output: the model is trained on standardised numbers, the
    copy outputs the user's units. The head has no bias in `transformers`' layout, so the mean is added to the bias of
    the final norm, along the direction of the head's weights."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.score.weight *= std
        weight = model.score.weight[0].double()  # in float32, the square of a small weight would be 0
        direction = weight / weight.square().sum()  # the head maps it to 1
        model.transformer.ln_f.bias.add_(mean * direction)
    return model


def save_classifier(model: GPTClassifier, tokenizer: Tokenizer, folder: Path | str) -> None:
    """Write a model folder that `AutoModelForSequenceClassification.from_pretrained` loads, including the label names.
    A model with LoRA matrices must be merged first (merge_lora). Raises UserError if a file cannot be written."""
    more_config = {
        "architectures": [HF_CLASSES[model.config.position]],
        "id2label": {str(i): label for i, label in enumerate(model.labels)},
        "label2id": {label: i for i, label in enumerate(model.labels)},
        "problem_type": "regression" if model.is_regression else "single_label_classification",
        "pad_token_id": tokenizer.end_of_text,
    }
    write_model_folder(folder, model.config, model.state_dict(), tokenizer, more_config)


def load_classifier(folder: Path | str, device: torch.device | str = "cpu") -> GPTClassifier:
    """Load a classifier's folder, written by us or by `transformers`, in evaluation mode.

    Raises UserError if it is not a model folder, holds a model without a label head, or is damaged.
    """
    config, weights = read_model_folder(folder)
    del weights["lm_head.weight"]
    if "score.weight" not in weights:
        raise UserError(f"{folder} holds a language model, not a classifier: fine-tune it first with finetune.py")
    config_json = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    names = config_json.get("id2label") or {}
    labels = tuple(str(names.get(str(i), f"LABEL_{i}")) for i in range(len(weights["score.weight"])))
    model = GPTClassifier(config, labels)
    load_weights(model, weights, folder)
    return model.to(device).eval()


def save_adapter(model: GPTClassifier, config: LoraConfig, base: Path, tokenizer: Tokenizer, folder: Path) -> None:
    """Write only the trained weights (LoRA matrices, final norm, head), and the path and hash of the model `base` that
    they belong to. Raises UserError if a file cannot be written."""
    save_tokenizer_with_settings(tokenizer, model.config.context_length, folder)
    trained = {
        name: weight.detach().cpu().contiguous()
        for name, weight in model.state_dict().items()
        if is_adapter_weight(name)
    }
    adapter_json = {
        "base": path_from(folder, base),
        "base_sha256": sha256(base / "model.safetensors"),
        "rank": config.rank,
        "alpha": config.alpha,
        "targets": config.targets,
        "labels": model.labels,
    }
    write_text(folder / "adapter.json", json.dumps(adapter_json, indent=2, ensure_ascii=False) + "\n")
    write_safetensors(folder / "adapter.safetensors", trained)


def load_adapter(
    folder: Path | str, device: torch.device | str = "cpu", base: Path | str | None = None
) -> GPTClassifier:
    """Load an adapter and the pretrained model it belongs to (or the same model at `base`), in evaluation mode.

    Raises UserError if the pretrained model is missing or has changed, or if the adapter is damaged.
    """
    folder = Path(folder)
    try:
        adapter_json = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
        config = LoraConfig(adapter_json["rank"], adapter_json["alpha"], tuple(adapter_json["targets"]))
        base = Path(base or (folder.resolve() / adapter_json["base"]).resolve())
        digest, labels = adapter_json["base_sha256"], tuple(adapter_json["labels"])
        trained = safetensors.torch.load_file(folder / "adapter.safetensors")
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
        differences = model.load_state_dict(trained, strict=False)
        if differences.unexpected_keys or any(map(is_adapter_weight, differences.missing_keys)):
            raise RuntimeError
    except RuntimeError:
        raise UserError(f"the adapter in {folder} does not fit the model in {base}") from None
    return model.to(device).eval()


def path_from(folder: Path, base: Path) -> str:
    """The path of `base` relative to `folder`, so that both can be moved together. Absolute if there is none."""
    try:
        return Path(os.path.relpath(base.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on different drives of Windows
        return base.resolve().as_posix()


def is_adapter_weight(name: str) -> bool:
    """Whether --train lora trains this weight."""
    return "lora_" in name or name.startswith(("transformer.ln_f.", "score."))
