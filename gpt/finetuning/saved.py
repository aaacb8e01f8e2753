"""Save and load fine-tuned models as whole model folders; load_fine_tuned also loads adapters (adapters.py).

What a model was fine-tuned for stands in its folder: in config.json, or beside an adapter.
"""

import copy
import json
from pathlib import Path
from typing import TypeVar

import torch

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, load_weights, read_model_folder, write_model_folder
from gpt.files.huggingface import holds_adapter
from gpt.finetuning.adapters import ROOM, load_adapter, read_about
from gpt.finetuning.methods import Net, merged
from gpt.finetuning.tagger import GPTTagger
from gpt.model import GPT
from gpt.tokenizer import Tokenizer

Labelling = TypeVar("Labelling", GPTClassifier, GPTTagger)
PREFIX = {"learned": "GPT2", "rotary": "GPTNeoX"}  # of the names of `transformers`' classes
KINDS = {"labels": "ForSequenceClassification", "tags": "ForTokenClassification"}  # and their ends
ANSWERING = {"finetuning_task": "answer"}  # marks a language model that answers prompts, in config.json


def kind_of(folder: Path) -> str | None:
    """What the model in a folder was fine-tuned for: "labels", "tags" or "answers"; None for a language model, or where
    there is no model."""
    try:
        if about := read_about(folder):
            return about.get("kind") or "labels"  # files of earlier versions know nothing else
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if ANSWERING.items() <= content.items():
            return "answers"
        architectures = str(content.get("architectures"))
    except (UserError, OSError, ValueError, AttributeError):
        return None  # whoever loads the model says what is wrong
    return next((kind for kind, end in KINDS.items() if end in architectures), None)


def load_fine_tuned(folder: Path, device: torch.device | str) -> Net:
    """Load a fine-tuned model, whole or as an adapter, in evaluation mode. Raises UserError if there is none."""
    if holds_adapter(folder):
        return load_adapter(folder, device)
    kind = kind_of(folder)
    if kind == "answers":
        return load_model(folder, device)
    return load_tagger(folder, device) if kind == "tags" else load_classifier(folder, device)


def load_writing_model(folder: Path, device: torch.device | str) -> GPT:
    """Load a language model in evaluation mode, also one that learned to answer prompts and was saved as an adapter.
    Raises UserError if there is none."""
    if holds_adapter(folder) and kind_of(folder) == "answers":
        return merged(load_adapter(folder, device))
    return load_model(folder, device)


def in_units(model: GPTClassifier, mean: float, std: float) -> GPTClassifier:
    """A copy of a regression model that outputs mean + std × output: the model is trained on standardised numbers, the
    copy outputs the user's units. The head has no bias in `transformers`' layout, so the mean is added to the bias of
    the final norm, along the direction of the head's weights."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.score.weight *= std
        weight = model.score.weight[0].cpu().double()  # in float32, the square of a small weight would be 0
        direction = weight / weight.square().sum()  # the head maps it to 1
        bias = model.transformer.ln_f.bias
        bias.add_((mean * direction).to(bias))  # made on the CPU: Apple's GPUs have no float64
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
    about = read_about(folder) or json.loads((folder / "config.json").read_text(encoding="utf-8"))
    room = about.get(ROOM)
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
