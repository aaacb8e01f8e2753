"""Test a fine-tuned model on other examples than those it was fine-tuned with.

    python finetune.py test --model out/sentiment --data data/toys.csv
    python finetune.py test --model out/sentiment --data data/toys.csv --train-data data/reviews
    python finetune.py test --model out/questions --data data/more-questions --out more.json
    python finetune.py test --model out/sentiment --data data/reviews --robustness

The TF-IDF baseline of a fine-tuning needs its training examples, which --train-data names; without them, the only
baseline is the commonest label of these very examples.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.atomic import write_text
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.answering import WorldScore
from gpt.finetuning.conversations import read_conversations
from gpt.finetuning.found import find_spans
from gpt.finetuning.labelled import find_split, label_numbers, read_examples, read_splits
from gpt.finetuning.labelling import classify
from gpt.finetuning.robustness import describe_robustness, measure_robustness
from gpt.finetuning.saved import kind_of, load_fine_tuned, room_for_answer
from gpt.finetuning.synonyms import SYNONYMS, read_synonyms
from gpt.finetuning.tag_measures import describe_tags, measure_tags
from gpt.finetuning.tagged import encode_with_places, read_tagged
from gpt.finetuning.tagger import GPTTagger
from gpt.finetuning.written import write_answers
from gpt.model import GPT
from gpt.running.command_line import parse_flags
from gpt.running.device import Machine, pick_machine
from gpt.tokenizer import Tokenizer


@dataclass(frozen=True)
class EvaluateConfig:
    model: Path
    """a folder written by finetune.py"""
    data: Path
    """the examples: a file as finetune.py reads it, all of which is used, or a folder, of which the test split is"""
    train_data: Path | None = None
    """for a model that labels texts: what it was fine-tuned with, to test a linear model on TF-IDF of that beside it"""
    out: Path | None = None
    """also write the measures to this JSON file, which must not exist yet"""
    robustness: bool = False
    """also count the answers that flip when two letters of a word are swapped, capitals or the last mark of punctuation
    dropped, or a word exchanged for a synonym; for labels alone"""
    synonyms: Path | None = None
    """with --robustness: a file of words that may stand for each other, one group on each line, with commas; by default
    synonyms.txt beside the data, if it is there"""
    seed: int = 0
    """with --robustness: another seed changes other words"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""


def evaluate(arguments: list[str], find_world_score: Callable[[Path], WorldScore | None]) -> None:
    """Run the command `finetune.py test`. Raises UserError if the model was not fine-tuned, or if the examples are
    missing, damaged, or made for another task or other labels. find_world_score: of a data folder, see AnswerTask."""
    config = parse_flags(lambda: tyro.cli(EvaluateConfig, prog="finetune.py test", description=__doc__, args=arguments))
    path = find_split(config.data, "test") if config.data.is_dir() else config.data
    if path is None or not path.is_file():
        raise UserError(f"{config.data} holds no test.csv or test.jsonl, and is not such a file itself")
    if config.out and config.out.exists():
        raise UserError(f"{config.out} already exists: name another file for --out")
    if config.synonyms and not config.robustness:
        raise UserError("--synonyms says which words to exchange for --robustness: give both")
    machine = pick_machine(config.device)
    if kind_of(config.model) is None and (config.model / "model.safetensors").is_file():
        raise UserError(f"{config.model} holds a model that was not fine-tuned: fine-tune it first with finetune.py")
    net, tokenizer = load_fine_tuned(config.model, machine.device), load_tokenizer(config.model)
    if config.robustness and (not isinstance(net, GPTClassifier) or net.is_regression):
        raise UserError(f"--robustness counts labels that flip, and {config.model} gives none: leave it out")
    speed_up(net, machine.device, machine.dtype)
    if config.train_data and not isinstance(net, GPTClassifier):
        raise UserError(f"{config.model} does not label whole texts, so there is no such baseline: omit --train-data")
    if isinstance(net, GPT):
        score = find_world_score(config.data if config.data.is_dir() else config.data.parent)
        room = room_for_answer(config.model, net.config.context_length)
        report, description = evaluate_answers(net, tokenizer, path, machine, room, score)
    elif isinstance(net, GPTTagger):
        report, description = evaluate_spans(net, tokenizer, path, machine)
    else:
        report, description = evaluate_labels(net, tokenizer, path, machine, config.train_data)
        if config.robustness:
            report["robustness"], flips = evaluate_robustness(config, net, tokenizer, path, machine)
            description += f"\n\n{flips}"
    print(f"{config.model} on {path}\n\n{description}")
    if config.out:
        about = {"model": str(config.model), "data": str(path)}
        write_text(config.out, json.dumps(about | report, indent=2, ensure_ascii=False) + "\n")


def say_truncated(number: int) -> None:
    if number:
        print(f"note: {number:,} texts are longer than the context and are truncated", file=sys.stderr)


def evaluate_labels(
    net: GPTClassifier, tokenizer: Tokenizer, path: Path, machine: Machine, train_data: Path | None
) -> tuple[dict[str, Any], str]:
    """(Measures, the same as text.) The baselines learn from train_data. Without it, there is one: the commonest label,
    or the mean, of these very examples."""
    from gpt.finetuning.measures import describe_labels, measure_labels  # here: scikit-learn takes seconds to import

    known = read_splits(train_data, 0, read_examples, stratify=not net.is_regression) if train_data else {}
    splits = known | {"test": read_examples(path)}
    if net.is_regression:
        targets = {split: np.array(numbers) for split, numbers in label_numbers(splits).items()}
    else:
        for file, examples in ((path, splits["test"]), (train_data, [e for s in known for e in splits[s]])):
            if unknown := sorted({e.label for e in examples} - set(net.labels)):
                raise UserError(
                    f"{file} has the label {unknown[0]!r}, but the model knows only {', '.join(net.labels[:10])}"
                )
        targets = {split: np.array([net.labels.index(e.label) for e in splits[split]]) for split in splits}
    texts = {split: [example.text for example in examples] for split, examples in splits.items()}
    tokens = [tokenizer.encode_document(text) for text in texts["test"]]
    say_truncated(sum(len(ids) > net.config.context_length for ids in tokens))
    tokens = [ids[: net.config.context_length] for ids in tokens]
    report = measure_labels(net.labels, texts, targets, classify(net, tokens, machine))
    return report, describe_labels(report)


def evaluate_robustness(
    config: EvaluateConfig, net: GPTClassifier, tokenizer: Tokenizer, path: Path, machine: Machine
) -> tuple[dict[str, Any], str]:
    """(Measures, the same as text.) The labels are known to the model."""
    file = config.synonyms or path.parent / SYNONYMS
    synonyms = read_synonyms(file) if config.synonyms or file.is_file() else None
    examples = read_examples(path)
    truth = np.array([net.labels.index(example.label) for example in examples])
    texts = [example.text for example in examples]
    report = measure_robustness(net, tokenizer, texts, truth, machine, synonyms, config.seed)
    description = describe_robustness(report)
    return report, description if synonyms else f"{description}\n\nno word was exchanged: there is no {file}"


def evaluate_spans(net: GPTTagger, tokenizer: Tokenizer, path: Path, machine: Machine) -> tuple[dict[str, Any], str]:
    """(Measures, the same as text.)"""
    examples = read_tagged(path)
    encoded = (encode_with_places(tokenizer, example.text)[0] for example in examples)
    say_truncated(sum(len(ids) >= net.config.context_length for ids in encoded))
    report = measure_tags([], examples, find_spans(net, tokenizer, [example.text for example in examples], machine))
    return report, describe_tags(report)


def evaluate_answers(
    net: GPT, tokenizer: Tokenizer, path: Path, machine: Machine, room: int, score: WorldScore | None
) -> tuple[dict[str, Any], str]:
    """(Measures, the same as text.)"""
    from gpt.finetuning.answer_measures import describe_answers, measure_answers

    conversations = read_conversations(path)
    asked = [prompt for conversation in conversations for prompt in conversation.prompts()]
    written = write_answers(net, tokenizer, asked, machine, room)
    true = [answer for conversation in conversations for _, answer in conversation.turns]
    report = measure_answers([prompt.text() for prompt in asked], true, written, [], score)
    return report, describe_answers(report)
