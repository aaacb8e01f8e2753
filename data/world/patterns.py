"""Documents whose rule is drawn anew in each: what a word stands for can be known from the lines before it alone.

    pairs: a word keeps its value        kinds: all words of a kind have one value, and no word comes twice

    rabbit red                           pear red
    fox blue                             pilot green
    rabbit red                           noodles red
    kite green                           dentist green
    fox blue                             plum red

The stories can be told well without copying, and a model that has read nothing else does not learn to copy. Here there
is nothing else to learn. A model that predicts the second "red" of the pairs must find the earlier "rabbit" and take
what follows it: an induction head (Olsson et al. 2022, "In-context Learning and Induction Heads"). The kinds need one
step more: the earlier word is another one of the same kind. So a line is an example, and the document is a task that
is learned from its examples, without a change of the weights (Brown et al. 2020, "in-context learning").
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from data.world.lexicon import LEXICON
from data.world.recorder import Draw
from data.world.things import COLOURS

LINES = 40  # of a document, which is 160 tokens if each word is one: it fits into the context of `tiny`
NEW = (1, 2)  # how often the word of a pair is a new one, and how often it has come before
VALUES = list(COLOURS)


class Pattern(NamedTuple):
    """A document, line by line."""

    lines: list[tuple[str, str]]  # a word and its value
    known: list[bool]  # whether the lines before tell the value
    bits: float  # -log2 of the probability of the text

    @property
    def text(self) -> str:
        return "".join(f"{word} {value}\n" for word, value in self.lines)


def words_of(*arguments: str) -> list[str]:
    """The words of the lexicon for these arguments that are one word, without articles and colours."""
    bare = [word.removeprefix("a ").removeprefix("an ") for argument in arguments for word in LEXICON[argument]]
    return [word for word in dict.fromkeys(bare) if " " not in word and word not in COLOURS]


def kinds_of_words() -> dict[str, list[str]]:
    """{kind: its words}. A word that could be of two kinds is left out."""
    kinds = {
        "animal": words_of("species"),
        "character": words_of("trait"),
        "hobby": words_of("hobby"),
        "job": words_of("job"),
        "feeling": words_of("feeling"),
        "thing": words_of("noun"),
        "food": words_of("treat"),
        "sight": words_of("sight"),
    }
    every = list(itertools.chain(*kinds.values()))
    return {kind: [word for word in words if every.count(word) == 1] for kind, words in kinds.items()}


KINDS = kinds_of_words()
WORDS = list(itertools.chain(*KINDS.values()))


def make_pairs(chooser: Draw) -> tuple[list[tuple[str, str]], list[bool]]:
    """Words with values: (lines, whether each word has come before)."""
    values: dict[str, str] = {}
    lines, known, word = [], [], ""
    for _ in range(LINES):
        before = [other for other in values if other != word]  # never the same line twice running
        is_new = not before or chooser.weigh([True, False], NEW)
        word = chooser.choose([word for word in WORDS if word not in values] if is_new else before)
        if is_new:
            values[word] = chooser.choose(VALUES)
        lines.append((word, values[word]))
        known.append(not is_new)
    return lines, known


def make_kinds(chooser: Draw) -> tuple[list[tuple[str, str]], list[bool]]:
    """Words of two kinds with the values of their kinds: (lines, whether each kind has come before)."""
    values: dict[str, str] = {}
    lines, known, said = [], [], set()
    for _ in range(LINES):
        is_new = not values or (len(values) == 1 and chooser.choose([True, False]))
        unsaid = {kind: [word for word in words if word not in said] for kind, words in KINDS.items()}
        kind = chooser.choose([kind for kind in KINDS if (kind not in values) == is_new and unsaid[kind]])
        if is_new:
            values[kind] = chooser.choose([value for value in VALUES if value not in values.values()])
        word = chooser.choose(unsaid[kind])
        said.add(word)
        lines.append((word, values[kind]))
        known.append(not is_new)
    return lines, known


def patterns(seed: int = 1, start: int = 0) -> Iterator[Pattern]:
    """An endless iterator of documents, half of them pairs and half of them kinds. Document i of a seed is always the
    same. Sets that must not overlap use other numbers."""
    for number in itertools.count(start):
        chooser = Draw(f"{seed} {number} patterns")
        make = chooser.choose([make_pairs, make_kinds])
        yield Pattern(*make(chooser), chooser.bits)


def write_patterns(out: Path, megabytes: float, seed: int = 1) -> dict[str, int]:
    """Write documents to a .jsonl file, one {"text", "bits"} per line, up to the one that reaches `megabytes` (10^6
    bytes of text). -> {"documents": how many, "bytes": of their texts}."""
    total = {"documents": 0, "bytes": 0}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    bar = tqdm(total=int(megabytes * 1e6), unit="B", unit_scale=True, leave=False)
    with bar, partial.open("w", encoding="utf-8", newline="\n") as file:
        for pattern in patterns(seed):
            file.write(json.dumps({"text": pattern.text, "bits": round(pattern.bits, 4)}) + "\n")
            total = {"documents": total["documents"] + 1, "bytes": total["bytes"] + len(pattern.text)}
            bar.update(len(pattern.text))
            if total["bytes"] >= megabytes * 1e6:
                break
    partial.replace(out)
    return total
