"""Documents whose rule is drawn anew in each: what a word stands for can be known from the lines before it alone.

    pairs: a word keeps its value        kinds: the words of a kind have one value

    rabbit red                           pear red
    pilot blue                           pilot green
    rabbit red                           noodles red
    chess green                          dentist green
    pilot blue                           plums red

A model that predicts the second "red" of the pairs must find the earlier "rabbit" and take what follows it: an
induction head (Olsson et al. 2022, "In-context Learning and Induction Heads"). Stories teach that badly: the words near
by tell most of what comes next. In the kinds the earlier word may be another one of the same kind. So a line is an
example, a document is a task, and the task is learned from its examples without any change of the weights: in-context
learning (Brown et al. 2020).

The documents are short, because that makes the heads quick to appear: attention is spread evenly at first, and what it
finds by chance in 36 places teaches more than what it finds in 160. docs/induction.md has a training in which they do
appear: with pairs alone, and 64 documents in an update. A shortcut appears before them. As no line comes
twice running, two words alternate, and the value is that of two lines back; with three words it is either that or the
only other one. Pairs of four words, the earlier one three lines back or more, are the test of an induction head.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from data.world import people, places
from data.world.recorder import Draw
from data.world.things import COLOURS
from gpt.files.atomic import atomic_write, make_folder

LINES = 12  # of a document; each is three tokens: a word, its value, the line break
PAIRS = (2, 3, 4)  # how many different ones a document has
PAIRS_OR_KINDS = (3, 2)  # how often a document is of which sort
KIND_SIZE = 10  # words of a kind; few different words are met often, and so they are soon told apart
VALUES = list(COLOURS)

Lines = list[tuple[str, str]]  # words with their values


class Pattern(NamedTuple):
    """A document, line by line."""

    sort: str  # "pairs" or "kinds"
    lines: Lines
    known: list[bool]  # of each line: whether one before it has this word, or a word of this kind
    bits: float  # -log2 of the probability of the choices; that two sorts make the same text is too rare to matter

    @property
    def text(self) -> str:
        return "".join(f"{word} {value}\n" for word, value in self.lines)


def single_words(words: dict[str, str]) -> list[str]:
    """Those that are one word, without their articles: "a doctor" is one, "magic tricks" are two."""
    bare = [word.removeprefix("a ").removeprefix("an ") for word in words]
    return [word for word in bare if " " not in word and word not in COLOURS]


KINDS = {
    "animal": single_words(people.ANIMALS)[:KIND_SIZE],
    "job": single_words(people.JOBS)[:KIND_SIZE],
    "food": single_words(places.TREATS)[:KIND_SIZE],
    "hobby": single_words(people.HOBBIES)[:KIND_SIZE],
}
WORDS = list(itertools.chain(*KINDS.values()))


def make_pairs(chooser: Draw) -> tuple[Lines, list[bool]]:
    """(Lines, whether each word has come before). A line never comes twice running: that would need no looking back."""
    number, values, word = chooser.choose(PAIRS), {}, ""
    lines, known = [], []
    for _ in range(LINES):
        old = [other for other in values if other != word]
        unsaid = number - len(values)
        is_new = not old or (unsaid > 0 and chooser.weigh([True, False], [unsaid, len(old)]))
        word = chooser.choose([other for other in WORDS if other not in values] if is_new else old)
        if is_new:
            values[word] = chooser.choose(VALUES)
        lines.append((word, values[word]))
        known.append(not is_new)
    return lines, known


def make_kinds(chooser: Draw) -> tuple[Lines, list[bool]]:
    """(Lines with words of two kinds and the different values of these, whether each line's kind has come before)."""
    values: dict[str, str] = {}
    lines, known = [], []
    for _ in range(LINES):
        is_new = not values or (len(values) == 1 and chooser.choose([True, False]))
        kind = chooser.choose([kind for kind in KINDS if (kind not in values) == is_new])
        if is_new:
            values[kind] = chooser.choose([value for value in VALUES if value not in values.values()])
        lines.append((chooser.choose(KINDS[kind]), values[kind]))
        known.append(not is_new)
    return lines, known


def patterns(seed: int = 1, start: int = 0, sort: str | None = None) -> Iterator[Pattern]:
    """An endless iterator of documents, of both sorts or of one. Document i of a seed is always the same, and sets that
    must not overlap use different numbers."""
    make = {"pairs": make_pairs, "kinds": make_kinds}
    for number in itertools.count(start):
        chooser = Draw(f"{seed} {number} patterns")
        drawn = sort or chooser.weigh(list(make), PAIRS_OR_KINDS)
        lines, known = make[drawn](chooser)
        yield Pattern(drawn, lines, known, chooser.bits)


def write_patterns(out: Path, megabytes: float, seed: int = 1, sort: str | None = None) -> dict:
    """Write documents to a .jsonl file, one {"text", "bits"} per line, up to the one that reaches `megabytes` (10^6
    bytes of text). -> {"documents": how many, "bytes": of their texts, "bits": -log2 of their probability}."""
    total = {"documents": 0, "bytes": 0, "bits": 0.0}
    make_folder(out.parent)
    bar = tqdm(total=int(megabytes * 1e6), unit="B", unit_scale=True, leave=False)
    with atomic_write(out) as temporary, bar, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for pattern in patterns(seed, sort=sort):
            file.write(json.dumps({"text": pattern.text, "bits": round(pattern.bits, 4)}) + "\n")
            size = len(pattern.text)  # ASCII: as many bytes as characters
            for name, amount in (("documents", 1), ("bytes", size), ("bits", pattern.bits)):
                total[name] += amount
            bar.update(size)
            if total["bytes"] >= megabytes * 1e6:
                break
    return total
