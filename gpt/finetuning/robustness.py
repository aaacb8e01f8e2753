"""Robustness: how many answers of a classifier flip when a text changes a little and its meaning does not.

    letters   two neighbouring letters within one word of four or more change places, as in a typing mistake
    capitals  all capitals are dropped
    end       the last mark of punctuation is dropped
    synonym   one word is exchanged for another of its group in synonyms.txt (only where there is such a file)

Each text is changed once in each way, and only texts that a change alters count. Which word or letters it hits depends
on the seed and on the number of the text alone. (Such tests of behaviour: Ribeiro et al. 2020, "Beyond Accuracy:
Behavioral Testing of NLP Models with CheckList", invariance tests.)
"""

import functools
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from gpt.classifier import GPTClassifier
from gpt.finetuning.labelling import classify
from gpt.finetuning.synonyms import Synonyms
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer

Change = Callable[[str, random.Random], str]
SHOWN = 3  # worst examples of each change


def swap_letters(text: str, chooser: random.Random) -> str:
    """Two neighbouring letters that differ change places, neither the first nor the last of a word. A text without such
    a word stays as it is."""
    places = [
        i for word in re.finditer(r"[^\W\d_]{4,}", text) for i in range(word.start() + 1, word.end() - 2)
        if text[i] != text[i + 1]
    ]  # fmt: skip
    if not places:
        return text
    i = chooser.choice(places)
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


def drop_capitals(text: str, chooser: random.Random) -> str:
    return text.lower()


def drop_end(text: str, chooser: random.Random) -> str:
    """The text without its last character, if that is punctuation."""
    return text[:-1] if len(text) > 1 and re.search(r"[^\w\s]$", text) else text


def change_synonym(text: str, chooser: random.Random, synonyms: Synonyms) -> str:
    return synonyms.exchange(text, 0.0, chooser)  # one word


def measure_robustness(
    net: GPTClassifier,
    tokenizer: Tokenizer,
    texts: list[str],
    truth: np.ndarray,
    machine: Machine,
    synonyms: Synonyms | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """How the answers to the texts, whose true classes are `truth` (texts,), change with each change of the texts.

    For each change: "texts" (how many it alters), "flips" (the share whose answer is another one) with its 95 %
    confidence interval, "accuracy" of the answers to these texts before and after, and the worst flips, those in which
    the first answer lost most probability. A change that alters no text has "texts" alone.
    """
    from gpt.finetuning.measures import interval_of_accuracy  # here, because scikit-learn takes seconds to import

    def probabilities(of: list[str]) -> np.ndarray:
        tokens = [tokenizer.encode_document(text)[: net.config.context_length] for text in of]
        return classify(net, tokens, machine).softmax(1).numpy()  # (texts, labels)

    changes: dict[str, Change] = {"letters": swap_letters, "capitals": drop_capitals, "end": drop_end}
    if synonyms:
        changes["synonym"] = functools.partial(change_synonym, synonyms=synonyms)
    all_before, report = probabilities(texts), {}
    for name, change in changes.items():
        changed = [change(text, random.Random(f"{seed} {name} {i}")) for i, text in enumerate(texts)]
        altered = [i for i, (text, other) in enumerate(zip(texts, changed, strict=True)) if text != other]
        report[name] = {"texts": len(altered)}
        if not altered:
            continue
        before, after = all_before[altered], probabilities([changed[i] for i in altered])
        answers, new_answers = before.argmax(1), after.argmax(1)
        flipped = answers != new_answers
        rows = np.arange(len(altered))
        lost = before[rows, answers] - after[rows, answers]
        worst = [row for row in np.argsort(-lost, kind="stable") if flipped[row]][:SHOWN]
        report[name] |= {
            "flips": float(flipped.mean()),
            "flips_95": interval_of_accuracy(flipped),
            "accuracy_before": float((answers == truth[altered]).mean()),
            "accuracy_after": float((new_answers == truth[altered]).mean()),
            "worst": [
                {
                    "before": texts[altered[row]],
                    "after": changed[altered[row]],
                    "answer_before": net.labels[answers[row]],
                    "answer_after": net.labels[new_answers[row]],
                    "label": net.labels[truth[altered[row]]],
                }
                for row in worst
            ],
        }
    return report


def describe_robustness(report: dict[str, dict[str, Any]]) -> str:
    """The measures as text for the terminal."""
    lines = [f"{'change':>10} {'texts':>7} {'answers flip':>13} {'(95 %)':>16} {'accuracy before':>16} {'after':>7}"]
    for name, found in report.items():
        if not found["texts"]:
            lines.append(f"{name:>10} {0:7}   alters no text")
            continue
        span = "to".join(f"{bound:.1%}".rjust(6) + " " for bound in found["flips_95"])
        lines.append(
            f"{name:>10} {found['texts']:7,} {found['flips']:13.1%} {span:>16} {found['accuracy_before']:16.1%} "
            f"{found['accuracy_after']:7.1%}"
        )
    for name, found in report.items():
        for flip in found.get("worst", []):
            before, after = around_difference(flip["before"], flip["after"])
            lines += [f"\n{name}: {flip['answer_before']} -> {flip['answer_after']} (true label {flip['label']})"]
            lines += [f"  before  {before}", f"  after   {after}"]
    return "\n".join(lines)


def around_difference(one: str, other: str, width: int = 90) -> tuple[str, str]:
    """The part of two texts in which they first differ, `width` characters of each."""
    first = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, min(first - width // 2, max(len(one), len(other)) - width))
    cut = [
        ("…" if start else "") + t[start : start + width] + ("…" if len(t) > start + width else "")
        for t in (one, other)
    ]
    return cut[0], cut[1]
