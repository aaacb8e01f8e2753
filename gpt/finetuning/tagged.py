"""Texts with marked spans (names, places, things): read from files, and turned into tokens with a tag each.

A token's tag says whether it begins a span ("B-PERSON"), is inside one ("I-PERSON") or in none ("O"); so two spans side
by side stay two (BIO; Ramshaw and Marcus 1995).
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import regex

from gpt.errors import UserError
from gpt.files.tables import read_objects, whole_characters
from gpt.tokenizer import Tokenizer

OUTSIDE = "O"
# One Chinese character, or a stretch without any: BPE joins Chinese characters across words, and a token that holds
# half a name and half a verb has no tag. (BERT cuts Chinese in the same way.)
PIECE = regex.compile(r"[\p{Han}]|[^\p{Han}]+")
CHARACTER = regex.compile(r"\X")  # with its accents, or all of a composed emoji

Span = tuple[int, int, str]  # where it starts, where it ends (exclusive), both in characters; and its label
TokenPlaces = list[tuple[int, int]]  # of tokens: where each starts and ends


@dataclass(frozen=True)
class Tagged:
    """A text and its spans, sorted."""

    text: str
    spans: tuple[Span, ...]


def read_tagged(path: Path) -> list[Tagged]:
    """The examples of one JSONL file: {"text": "Mia saw Tom.", "spans": [[0, 3, "PERSON"], [8, 11, "PERSON"]]}.

    Raises UserError, with the line number, if the file is damaged or holds no examples, if a text is empty, or if a
    span lies outside its text, overlaps another one or cuts a character.
    """
    examples = []
    for line, row in read_objects(path):
        place, text, spans = f"{path}, line {line}", row.get("text"), row.get("spans")
        if not isinstance(text, str) or not text.strip():
            raise UserError(f'{place}: there is no key "text" with a text in it')
        if not isinstance(spans, list):
            raise UserError(f'{place}: there is no key "spans" with a list in it')
        text = whole_characters(text)
        examples.append(Tagged(text, checked_spans(text, spans, place)))
    if not examples:
        raise UserError(f"{path} holds no examples")
    return examples


def checked_spans(text: str, spans: list, place: str) -> tuple[Span, ...]:
    """The spans, sorted. Raises UserError as read_tagged does."""
    found: list[Span] = []
    cuts = {match.start() for match in CHARACTER.finditer(text)} | {len(text)}
    for span in spans:
        match span:
            case [int(start), int(end), str(label)] if label.strip():
                found.append((start, end, whole_characters(label).strip()))
            case _:
                raise UserError(f'{place}: the span {span} must be [start, end, "LABEL"], with whole numbers')
        if not 0 <= start < end <= len(text):
            raise UserError(f"{place}: the span {span} lies outside the text, which has {len(text)} characters")
        if not {start, end} <= cuts:
            raise UserError(f"{place}: the span {span} cuts a character in two: {text[start:end]!r}")
        if text[start:end].strip() != text[start:end]:
            raise UserError(f"{place}: the span {span} begins or ends with white space: {text[start:end]!r}")
    found.sort()
    for (_, end, _), (start, after, label) in pairwise(found):
        if start < end:
            raise UserError(f"{place}: the span {[start, after, label]} overlaps the one before it")
    return tuple(found)


def tag_names(examples: dict[str, list[Tagged]]) -> tuple[str, ...]:
    """All tags: "O", and for each label of the training split "B-LABEL" and "I-LABEL". Raises UserError if there is no
    span, or if another split has a label that the training split lacks."""
    labels = sorted({label for example in examples["train"] for _, _, label in example.spans})
    if not labels:
        raise UserError("no training text has a span: there is nothing to find")
    for split in ("val", "test"):
        for example in examples[split]:
            for _, _, label in example.spans:
                if label not in labels:
                    raise UserError(f"the {split} split has the label {label!r}, which training never had")
    return (OUTSIDE, *(f"{mark}-{label}" for label in labels for mark in "BI"))


def encode_with_places(tokenizer: Tokenizer, text: str) -> tuple[list[int], TokenPlaces]:
    """(Ids, places): the tokens of a text, and where each starts and ends in it, in characters. White space before a
    word is not part of its place. A token that holds a part of a character has that character's place."""
    ids: list[int] = []
    places: TokenPlaces = []
    for piece in PIECE.finditer(text):
        start_of = [i for i, character in enumerate(piece.group(), piece.start()) for _ in character.encode()]
        start_of.append(piece.end())  # byte of the piece -> character of the text
        byte = 0
        for token in tokenizer.encode(piece.group()):
            size = len(tokenizer.decode_bytes([token]))
            start, end = start_of[byte], start_of[byte + size - 1] + 1
            while start < end - 1 and text[start].isspace():
                start += 1
            ids.append(token)
            places.append((start, end))
            byte += size
    return ids, places


def tags_of(spans: tuple[Span, ...], places: TokenPlaces) -> list[str]:
    """The tag of each token: a span begins with the first token that touches it."""
    tags = [OUTSIDE] * len(places)
    for start, end, label in spans:
        touched = [i for i, (first, last) in enumerate(places) if first < end and last > start]
        for i in touched:
            tags[i] = f"{'B' if i == touched[0] else 'I'}-{label}"
    return tags


def spans_of(tags: list[str], places: TokenPlaces) -> tuple[Span, ...]:
    """The spans that tags say. An I that continues nothing of its label begins a span, as in CoNLL's own scoring. Of a
    character that is several tokens, the first one's tag counts."""
    spans: list[Span] = []
    adjacent = False  # whether the token before is in the last span
    for tag, (start, end) in zip(tags, places, strict=True):
        mark, _, label = tag.partition("-")
        continues = bool(spans) and mark == "I" and spans[-1][2] == label and adjacent
        if spans and start < spans[-1][1]:  # one more token of a character that has its tag
            continue
        if continues:
            spans[-1] = (spans[-1][0], end, label)
        elif tag != OUTSIDE:
            spans.append((start, end, label))
        adjacent = tag != OUTSIDE
    return tuple(spans)
