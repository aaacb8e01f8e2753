"""Save and load fine-tuned models: as a whole model folder, or as an adapter that refers to its pretrained model.

What a model was fine-tuned for stands in its folder: in config.json, or in adapter.json.
"""

import copy
import json
import os
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.files.atomic import sha256, write_text
from gpt.files.checkpoint import load_model, load_weights, read_model_folder, write_model_folder, write_safetensors
from gpt.files.tokenizer_files import save_tokenizer_with_settings
from gpt.finetuning.finetune_config import LoraConfig
from gpt.finetuning.tagger import GPTTagger
from gpt.lora import add_lora
from gpt.model import GPT
from gpt.tokenizer import Tokenizer

Net = GPT | GPTClassifier | GPTTagger
Labelling = TypeVar("Labelling", GPTClassifier, GPTTagger)
PREFIX = {"learned": "GPT2", "rotary": "GPTNeoX"}  # of the names of `transformers`' classes
KINDS = {"labels": "ForSequenceClassification", "tags": "ForTokenClassification"}  # and their ends
ANSWERING = {"finetuning_task": "answer"}  # marks a language model that answers prompts, in config.json
ROOM = "longest_answer"  # of its training, in tokens with the end: a prompt must leave so much of the context


def kind_of(folder: Path) -> str | None:
    """What the model in a folder was fine-tuned for: "labels", "tags" or "answers"; None for a language model, or where
    there is no model."""
    path = folder / ("adapter.json" if (folder / "adapter.json").is_file() else "config.json")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "adapter.json":
            return content.get("kind", "labels")  # files of earlier versions know nothing else
        if ANSWERING.items() <= content.items():
            return "answers"
        architectures = str(content.get("architectures"))
    except (OSError, ValueError, AttributeError):
        return None  # whoever loads the model says what is wrong
    return next((kind for kind, end in KINDS.items() if end in architectures), None)


def load_fine_tuned(folder: Path, device: torch.device | str) -> Net:
    """Load a fine-tuned model, whole or as an adapter, in evaluation mode. Raises UserError if there is none."""
    if (folder / "adapter.json").is_file():
        return load_adapter(folder, device)
    kind = kind_of(folder)
    if kind == "answers":
        return load_model(folder, device)
    return load_tagger(folder, device) if kind == "tags" else load_classifier(folder, device)


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
    problem = {"problem_type": "regression" if model.is_regression else "single_label_classification"}
    write_labelling_model(model, "labels", tokenizer, folder, problem)


def save_tagger(model: GPTTagger, tokenizer: Tokenizer, folder: Path | str) -> None:
    """The same for `AutoModelForTokenClassification`. (`transformers` gives the scores of every token; which tokens a
    text has, Chinese ones above all, is decided by encode_with_places of tagged.py.)"""
    write_labelling_model(model, "tags", tokenizer, folder, {})


def save_answering_model(model: GPT, tokenizer: Tokenizer, folder: Path | str, room: int) -> None:
    """Write a language model's folder, with a mark that it answers prompts, and how many tokens an answer may need."""
    write_model_folder(folder, model.config, model.state_dict(), tokenizer, ANSWERING | {ROOM: room})


def room_for_answer(folder: Path, context_length: int) -> int:
    """The tokens of the context that a prompt must leave to the answer: those of the longest answer in training."""
    path = folder / ("adapter.json" if (folder / "adapter.json").is_file() else "config.json")
    room = json.loads(path.read_text(encoding="utf-8")).get(ROOM)
    return min(room, context_length - 1) if isinstance(room, int) and room > 0 else context_length // 4


def write_labelling_model(
    model: GPTClassifier | GPTTagger, kind: str, tokenizer: Tokenizer, folder: Path | str, more_config: dict
) -> None:
    more_config |= {
        "architectures": [PREFIX[model.config.position] + KINDS[kind]],
        "id2label": {str(i): label for i, label in enumerate(model.labels)},
        "label2id": {label: i for i, label in enumerate(model.labels)},
        "pad_token_id": tokenizer.end_of_text,
    }
    write_model_folder(folder, model.config, model.state_dict(), tokenizer, more_config)


def load_classifier(folder: Path | str, device: torch.device | str = "cpu") -> GPTClassifier:
    """Load a classifier's folder, written by us or by `transformers`, in evaluation mode.

    Raises UserError if it is not a model folder, holds a model without a label head, or is damaged.
    """
    missing = f"{folder} holds a language model, not a classifier: fine-tune it first with finetune.py"
    return load_labelling_model(GPTClassifier, "score.weight", missing, folder, device)


def load_tagger(folder: Path | str, device: torch.device | str = "cpu") -> GPTTagger:
    """The same for a tagger."""
    missing = f"{folder} holds no tagger: fine-tune one with finetune.py --task tags"
    return load_labelling_model(GPTTagger, "classifier.weight", missing, folder, device)


def load_labelling_model(
    net: type[Labelling], head: str, missing: str, folder: Path | str, device: torch.device | str
) -> Labelling:
    """What both have in common. head: the weights with a row for each label; missing: what to say without them."""
    config, weights = read_model_folder(folder)
    del weights["lm_head.weight"]
    if head not in weights:
        raise UserError(missing)
    model = net(config, read_labels(folder, len(weights[head])))
    load_weights(model, weights, folder)
    return model.to(device).eval()


def read_labels(folder: Path | str, count: int) -> tuple[str, ...]:
    """The names of the labels in config.json."""
    names = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
    return tuple(str(names.get(str(i), f"LABEL_{i}")) for i in range(count))


def save_adapter(model: Net, config: LoraConfig, base: Path, tokenizer: Tokenizer, folder: Path, room: int = 0) -> None:
    """Write only the trained weights (LoRA matrices, final norm, head), and the path and hash of the model `base` that
    they belong to. room: see save_answering_model. Raises UserError if a file cannot be written."""
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
        "labels": () if isinstance(model, GPT) else model.labels,
        ROOM: room,
        "kind": "answers" if isinstance(model, GPT) else "tags" if isinstance(model, GPTTagger) else "labels",
    }
    write_text(folder / "adapter.json", json.dumps(adapter_json, indent=2, ensure_ascii=False) + "\n")
    write_safetensors(folder / "adapter.safetensors", trained)


def load_adapter(folder: Path | str, device: torch.device | str = "cpu", base: Path | str | None = None) -> Net:
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
    kind = kind_of(folder)
    model = gpt if kind == "answers" else (GPTTagger if kind == "tags" else GPTClassifier)(gpt.config, labels)
    model.transformer.load_state_dict(gpt.transformer.state_dict())
    add_lora(model.transformer, config.rank, config.alpha, config.targets)
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
    return "lora_" in name or name.startswith(("transformer.ln_f.", "score.", "classifier."))
