"""Label new texts with a fine-tuned model, or with the averaged probabilities of several.

    python finetune.py predict --model out/sentiment --text "not bad at all" "I fell asleep"
    python finetune.py predict --model out/sentiment --file reviews.txt --format jsonl
    cat reviews.txt | python finetune.py predict --model out/one out/two out/three --file -

A file holds one text per line. In a .csv or .jsonl file, the column or key `text` is read.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor

from gpt.classifier import GPTClassifier, pad
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.tables import holds_rows, read_rows
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import load_fine_tuned
from gpt.running.command_line import parse_flags, read_standard_input
from gpt.running.device import Machine, pick_machine


@dataclass(frozen=True)
class PredictConfig:
    model: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER ...")]
    """folders written by finetune.py; the answers of several models are averaged"""
    text: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT ...")] = ()
    """the texts to label"""
    file: Path | None = None
    """a file with the texts to label; - reads standard input"""
    format: Literal["table", "jsonl"] = "table"
    """a readable table, or one JSON object per line"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""


@torch.inference_mode()
def classify(model: GPTClassifier, texts: list[list[int]], machine: Machine, batch_size: int = 64) -> Tensor:
    """Texts as token ids -> logits (texts, labels), float32 on the CPU.

    Texts of similar length share a batch, to save padding. No text may be empty, because the head reads the last
    token. Raises UserError if a text is longer than the context.
    """
    was_training = model.training
    model.eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    logits = torch.empty(len(texts), len(model.labels))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        tokens, lengths = pad([texts[i] for i in batch])
        with machine.autocast():
            logits[batch] = model(tokens.to(machine.device), lengths.to(machine.device)).float().cpu()
    model.train(was_training)
    return logits


def answer_texts(folders: tuple[Path, ...], texts: list[str], machine: Machine) -> tuple[tuple[str, ...], Tensor]:
    """(The labels, the models' mean answers): probabilities (texts, labels), or for regression numbers (texts, 1).

    Texts longer than a model's context are truncated. Raises UserError if no folder is given, if one holds no
    fine-tuned model, or if the models' labels differ.
    """
    if not folders:
        raise UserError("--model names no folder: give it one that finetune.py wrote, or several")
    total, labels = torch.zeros(0), ()
    for folder in folders:
        model, tokenizer = load_fine_tuned(folder, machine.device), load_tokenizer(folder)
        speed_up(model, machine.device, machine.dtype)
        if labels and model.labels != labels:
            raise UserError(
                f"{folder} has the labels {', '.join(model.labels)}, but {folders[0]} has {', '.join(labels)}: "
                "only models for the same task can be averaged"
            )
        labels = model.labels
        T = model.config.context_length
        tokens = [tokenizer.encode_document(text) for text in texts]
        if too_long := sum(len(text) > T for text in tokens):
            print(f"note: {folder} truncates {too_long:,} texts that are longer than its context", file=sys.stderr)
        tokens = [text[:T] for text in tokens]
        logits = classify(model, tokens, machine)
        answers = logits if model.is_regression else logits.softmax(1)  # (texts, labels)
        total = total + answers if len(total) else answers
    return labels, total / len(folders)


def read_texts(config: PredictConfig) -> list[str]:
    """The texts to label. Raises UserError if there are none, or if --text or a table contains an empty one."""
    if bool(config.text) == (config.file is not None):
        raise UserError("give the texts with --text, or a file of them with --file")
    if config.file is None:
        texts = [text.strip() for text in config.text]
    elif holds_rows(config.file):
        rows = list(read_rows(config.file, ("text",)))
        if empty := [line for line, row in rows if not row["text"]]:
            raise UserError(f"{config.file}, line {empty[0]}: the text is empty")
        texts = [row["text"] for _, row in rows]
    else:
        try:
            content = read_standard_input() if str(config.file) == "-" else config.file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{config.file} is not UTF-8 text: see byte {error.start}") from None
        texts = [line.strip() for line in content.split("\n") if line.strip()]
    if not texts or not all(texts):
        raise UserError("there is no text to label: a text must hold more than white space")
    return texts


def predict(arguments: list[str]) -> None:
    """Run the command `finetune.py predict`. Raises UserError as read_texts and answer_texts do."""
    config = parse_flags(
        lambda: tyro.cli(PredictConfig, prog="finetune.py predict", description=__doc__, args=arguments)
    )
    texts = read_texts(config)
    labels, answers = answer_texts(config.model, texts, pick_machine(config.device))
    if config.format == "table":
        print("  ".join([*(f"{label:>10}" for label in labels), "answer      text"]))
    for text, row in zip(texts, answers.tolist(), strict=True):
        if len(labels) == 1:
            result = {"text": text, labels[0]: row[0]}
        else:
            result = {
                "text": text,
                "label": labels[row.index(max(row))],
                "probabilities": dict(zip(labels, row, strict=True)),
            }
        if config.format == "jsonl":
            print(json.dumps(result, ensure_ascii=False))
        elif len(labels) == 1:
            print(f"{row[0]:10.4g}  {text}")
        else:
            print("  ".join([*(f"{p:10.1%}" for p in row), f"{result['label']:10}  {text}"]))
