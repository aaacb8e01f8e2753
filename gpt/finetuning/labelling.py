"""Labels for new texts: what a classifier says, or several on average."""

import sys
from pathlib import Path

import torch
from torch import Tensor

from gpt.classifier import GPTClassifier, pad
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import load_fine_tuned
from gpt.running.device import Machine


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
        tokens, lengths = pad([texts[i] for i in batch], model.config.vocab_size - 1)
        with machine.autocast():
            logits[batch] = model(tokens.to(machine.device), lengths.to(machine.device)).float().cpu()
    model.train(was_training)
    return logits


def label_texts(folders: tuple[Path, ...], texts: list[str], machine: Machine) -> tuple[tuple[str, ...], Tensor]:
    """(The labels, the models' mean answers): probabilities (texts, labels), or for regression numbers (texts, 1).

    Texts longer than a model's context are truncated. Raises UserError if no folder is given, if one holds no
    fine-tuned model, or if the models' labels differ.
    """
    if not folders:
        raise UserError("--model names no folder: give it one that finetune.py wrote, or several")
    total, labels = torch.zeros(0), ()
    for folder in folders:
        model, tokenizer = load_fine_tuned(folder, machine.device), load_tokenizer(folder)
        if not isinstance(model, GPTClassifier):
            raise UserError(f"{folder} holds a model for another task: only those that label texts can be averaged")
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
