"""Words that may stand for each other without changing a text's label: a file with one group on each line.

    # days
    Monday, Tuesday, Wednesday
    brother, sister, best friend

A data folder may hold such a file, synonyms.txt, beside train.csv. Who writes it answers for the labels staying right.
"""

import random
import re
from pathlib import Path

from gpt.errors import UserError
from gpt.files.encodings import read_user_text

SYNONYMS = "synonyms.txt"
SPACED = r"[^\W\u2e80-\uffff]"  # a letter or digit of a script that puts spaces between words, as Chinese does not


class Synonyms:
    """Groups of words or phrases. Raises UserError for a group of fewer than two, or a word that is there twice."""

    def __init__(self, groups: list[list[str]]):
        self.groups: dict[str, list[str]] = {}  # a word in lower case -> its group
        for group in groups:
            if len(group) < 2:
                raise UserError(f"a group of synonyms needs two or more, with commas between them: {', '.join(group)}")
            for word in group:
                if word.lower() in self.groups:
                    raise UserError(f"{word!r} is twice among the synonyms: which one is meant?")
                self.groups[word.lower()] = group
        longest_first = sorted(self.groups, key=lambda word: (-len(word), word))  # "unhappy" before "happy"
        words = "|".join(map(re.escape, longest_first)) or r"(?!)"  # without any, nothing matches
        self.pattern = re.compile(f"(?<!{SPACED})(?:{words})(?!{SPACED})", re.IGNORECASE)

    def exchange(self, text: str, share: float, chooser: random.Random) -> str:
        """The text with this share of its known words, but at least one, exchanged for others of their groups. A text
        without such words stays as it is."""
        known = list(self.pattern.finditer(text))
        chosen = sorted(chooser.sample(known, min(len(known), max(1, round(share * len(known))))), key=re.Match.start)
        parts, end = [], 0
        for match in chosen:
            others = [word for word in self.groups[match[0].lower()] if word.lower() != match[0].lower()]
            word = chooser.choice(others)
            parts += [text[end : match.start()], word[:1].upper() + word[1:] if match[0][0].isupper() else word]
            end = match.end()
        return "".join([*parts, text[end:]])


def read_synonyms(path: Path) -> Synonyms:
    """Raises UserError if there is no such file, it is not UTF-8, holds no group, or as Synonyms does."""
    try:
        lines = [line.strip() for line in read_user_text(path).splitlines()]
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}: write one group of words on each line, such as: Monday, Tuesday, Sunday"
        ) from None
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise UserError(f"{path} holds no group of synonyms")
    return Synonyms([[word for part in re.split("[,，]", line) if (word := part.strip())] for line in lines])
