"""Use a fine-tuned model on new texts: label them, answer them, or find spans in them, as the model was trained to.
Or label them with a model that was never fine-tuned: words stand for the labels, and a few examples may come first.

    python finetune.py predict --model out/sentiment --text "not bad at all" "I fell asleep"
    python finetune.py predict --model out/questions --file stories.jsonl --format jsonl
    python finetune.py predict --model out/sentiment --file new.txt --format jsonl --min-confidence 0.95 > sure.jsonl
    cat reviews.txt | python finetune.py predict --model out/one out/two out/three --file -
    python finetune.py predict --model out/tiny --label-words positive=good negative=bad --text "I fell asleep."
    python finetune.py predict --model out/tiny --label-words positive=good negative=bad --file reviews.txt \
        --examples data/reviews/train.csv --shots 4 --template "{text} It was {word}."

A file holds one text per line. In a .csv or .jsonl file, the column or key `text` is read; for a model that answers,
`prompt`, or a list of "turns" whose last one is the user's.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from torch import Tensor

from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.encodings import read_user_text
from gpt.files.huggingface import holds_adapter
from gpt.files.tables import holds_rows, read_rows
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.conversations import Conversation, read_conversations
from gpt.finetuning.found import find_spans
from gpt.finetuning.labelled import read_examples
from gpt.finetuning.labelling import label_texts
from gpt.finetuning.prompting import Prompting, choose_examples, read_label_words, score_labels
from gpt.finetuning.saved import kind_of, load_fine_tuned, room_for_answer
from gpt.finetuning.tagger import GPTTagger
from gpt.finetuning.written import write_answers
from gpt.model import GPT
from gpt.running.command_line import parse_flags, read_standard_input
from gpt.running.device import Machine, pick_machine


@dataclass(frozen=True)
class PredictConfig:
    model: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER ...")]
    """folders written by finetune.py; the answers of several models that label texts are averaged"""
    text: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT ...")] = ()
    """the texts, or prompts"""
    file: Path | None = None
    """a file with the texts; - reads standard input"""
    format: Literal["table", "jsonl"] = "table"
    """a readable table, or one JSON object per line"""
    min_confidence: float = 0.0
    """for labels: leave out texts whose likeliest label has a lower probability. What is left, in --format jsonl, are
    pseudo-labels, which finetune.py and data.augment read"""
    temperature: float = 0.0
    """for written answers: 0 takes the likeliest token each time, more lets chance decide"""
    label_words: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=WORD ...")] = ()
    """for a model that was never fine-tuned: the labels, and the words that stand for them in the template"""
    template: str = "{text} It was {word}."
    """with --label-words: the sentence whose likeliest word decides; examples stand in the same one"""
    examples: Path | None = None
    """with --label-words: labelled examples, as finetune.py reads them, some of which are read before each text"""
    shots: int = 0
    """how many of the examples, each label equally often"""
    seed: int = 0
    """another seed gives other written answers at a temperature, and other examples"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""


def read_texts(config: PredictConfig) -> list[str]:
    """The texts to label. Raises UserError if there are none, or if --text or a table contains an empty one."""
    if config.file is None:
        texts = [text.strip() for text in config.text]
    elif holds_rows(config.file):
        rows = list(read_rows(config.file, ("text",)))
        if empty := [line for line, row in rows if not row["text"]]:
            raise UserError(f"{config.file}, line {empty[0]}: the text is empty")
        texts = [row["text"] for _, row in rows]
    else:
        content = read_standard_input() if str(config.file) == "-" else read_user_text(config.file)
        texts = [line.strip() for line in content.split("\n") if line.strip()]
    if not texts or not all(texts):
        raise UserError("there is no text to label: a text must hold more than white space")
    return texts


def read_asked(config: PredictConfig) -> list[Conversation]:
    """The prompts to answer. Raises UserError as read_texts and read_conversations do."""
    if config.file is not None and holds_rows(config.file):
        return read_conversations(config.file, with_answers=False)
    return [Conversation(((text, ""),)) for text in read_texts(config)]


def predict(arguments: list[str]) -> None:
    """Run the command `finetune.py predict`. Raises UserError for a mistake that the user can correct."""
    config = parse_flags(
        lambda: tyro.cli(PredictConfig, prog="finetune.py predict", description=__doc__, args=arguments)
    )
    if bool(config.text) == (config.file is not None):
        raise UserError("give the texts with --text, or a file of them with --file")
    if not 0 <= config.min_confidence <= 1:
        raise UserError(f"--min-confidence is {config.min_confidence}: it must be from 0 to 1")
    machine = pick_machine(config.device)
    kinds = {folder: kind_of(folder) for folder in config.model}
    if len(config.model) > 1 and (config.label_words or set(kinds.values()) & {"answers", "tags"}):
        raise UserError("only models fine-tuned to label texts can be averaged: give --model one folder")
    check_prompting(config, kinds)
    if config.min_confidence and set(kinds.values()) & {"answers", "tags"}:
        raise UserError("--min-confidence is for models that label texts: leave it out")
    kind = kinds.get(config.model[0]) if config.model else None
    shows = {"answers": show_answers, "tags": show_spans}
    show = show_prompted_labels if config.label_words else shows.get(kind or "labels", show_labels)
    show(config, machine)


def check_prompting(config: PredictConfig, kinds: dict[Path, str | None]) -> None:
    """Raise UserError unless words stand for the labels of a language model, and of no other."""
    for folder, kind in kinds.items():
        if kind and config.label_words:
            raise UserError(f"{folder} was fine-tuned and needs no --label-words: leave them out")
        if kind is None and not config.label_words and not holds_adapter(folder):
            load_model(folder)  # raises what is wrong with the folder, if it holds none
            raise UserError(
                f"{folder} holds a language model, not a classifier: fine-tune it first with finetune.py, or ask it as "
                "it is with --label-words positive=good negative=bad"
            )
    if config.shots < 0 or (config.shots > 0) != (config.examples is not None):
        raise UserError("--examples names a file of labelled texts, and --shots how many of them to use: give both")
    if config.shots and not config.label_words:
        raise UserError("--examples and --shots are for a model that was never fine-tuned, with --label-words")


def show_labels(config: PredictConfig, machine: Machine) -> None:
    """Print a label, or a number, for each text."""
    texts = read_texts(config)
    labels, answers = label_texts(config.model, texts, machine)
    print_labels(config, texts, labels, answers)


def show_prompted_labels(config: PredictConfig, machine: Machine) -> None:
    """The same with a model that was never fine-tuned, whose words stand for the labels."""
    texts, words = read_texts(config), read_label_words(config.label_words)
    of_file = read_examples(config.examples) if config.examples else []
    prompting = Prompting(config.template, words, choose_examples(of_file, tuple(words), config.shots, config.seed))
    if not config.model:
        raise UserError("--model names no folder: give it one that train.py wrote")
    model, tokenizer = load_model(config.model[0], machine.device), load_tokenizer(config.model[0])
    speed_up(model, machine.device, machine.dtype)
    scores, cut = score_labels(model, tokenizer, prompting, texts, machine)
    if cut:
        print(f"note: {cut:,} texts do not fit the context with all examples: something is left out", file=sys.stderr)
    print_labels(config, texts, tuple(words), scores.softmax(1))


def print_labels(config: PredictConfig, texts: list[str], labels: tuple[str, ...], answers: Tensor) -> None:
    """answers: probabilities (texts, labels), or with one label numbers (texts, 1)."""
    sure = answers.max(1).values >= config.min_confidence  # (texts,)
    if config.min_confidence and len(labels) == 1:
        raise UserError("--min-confidence is for labels, and this model gives numbers: leave it out")
    if config.min_confidence:
        texts, answers = [text for text, is_sure in zip(texts, sure, strict=True) if is_sure], answers[sure]
        share, least = f"{len(texts):,} of {len(sure):,} texts", f"{config.min_confidence:.0%}"
        print(f"note: {share} have a label of probability {least} or more; the others are left out", file=sys.stderr)
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


def show_answers(config: PredictConfig, machine: Machine) -> None:
    """Print a written answer to each prompt."""
    asked, folder = read_asked(config), config.model[0]
    net, tokenizer = load_fine_tuned(folder, machine.device), load_tokenizer(folder)
    assert isinstance(net, GPT)
    room = room_for_answer(folder, net.config.context_length)
    speed_up(net, machine.device, machine.dtype)
    answers = write_answers(net, tokenizer, asked, machine, room, config.temperature, config.seed)
    for conversation, answer in zip(asked, answers, strict=True):
        prompt = conversation.turns[-1][0]
        if config.format == "jsonl":
            before = {"earlier": conversation.turns[:-1]} if len(conversation.turns) > 1 else {}
            print(json.dumps(before | {"prompt": prompt, "answer": answer}, ensure_ascii=False))
        else:
            print(f"prompt  {prompt}\nanswer  {answer}\n")


def show_spans(config: PredictConfig, machine: Machine) -> None:
    """Print each text with its spans in brackets."""
    texts, folder = read_texts(config), config.model[0]
    net, tokenizer = load_fine_tuned(folder, machine.device), load_tokenizer(folder)
    assert isinstance(net, GPTTagger)
    speed_up(net, machine.device, machine.dtype)
    for text, spans in zip(texts, find_spans(net, tokenizer, texts, machine), strict=True):
        if config.format == "jsonl":
            print(json.dumps({"text": text, "spans": spans}, ensure_ascii=False))
            continue
        shown, position = "", 0
        for start, end, label in spans:
            shown += f"{text[position:start]}[{label} {text[start:end]}]"
            position = end
        print(shown + text[position:])
