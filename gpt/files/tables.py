"""Tables of text: CSV and JSONL, read row by row."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from gpt.errors import UserError
from gpt.files.encodings import encoding_of

csv.field_size_limit(1 << 30)  # one field may hold a whole book


def holds_rows(path: Path) -> bool:
    """Whether a file's name ends in .csv or .jsonl, which read_rows reads; other files are plain text."""
    return path.suffix.lower() in (".csv", ".jsonl")


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a CSV or JSONL file as (line number, {column: value}), values without white space around them.

    Raises UserError if the file is neither, is damaged, is not UTF-8, or lacks a column.
    """
    if not holds_rows(path):
        raise UserError(f"{path} is neither .csv nor .jsonl: save it as one of them (in Excel: Save As, CSV UTF-8)")
    read = csv_rows if path.suffix.lower() == ".csv" else json_rows
    try:
        with path.open(encoding=encoding_of(path), newline="") as file:
            for line, row in read(file, path, columns):
                yield line, {name: whole_characters(str(row[name])).strip() for name in columns}
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from None


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line of a JSONL file as (line number, object), whatever its keys hold.

    Raises UserError if the file is no JSONL, is damaged, or is not UTF-8.
    """
    if path.suffix.lower() != ".jsonl":
        raise UserError(f"{path} does not end in .jsonl: this task reads one JSON object a line")
    try:
        with path.open(encoding=encoding_of(path), newline="") as file:
            yield from json_objects(file, path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from None


def whole_characters(text: str) -> str:
    """Replace each unpaired surrogate with U+FFFD: JSON can hold half of an emoji, UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def csv_rows(file: TextIO, path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict]]:
    """(Line number, row) of each row of a CSV file. Raises UserError as read_rows does."""
    reader, start = csv.reader(file, strict=True), 1
    try:
        header = next(reader, [])
        if not header:
            raise UserError(f"{path} has no first line that names its columns, such as {','.join(columns)}")
        for name in columns:
            if name not in header:
                named = ", ".join(header)
                separated = len(header) == 1 and re.search("[;\t，；]", named)
                hint = ". Put commas between columns" if separated else f"; needed: {', '.join(columns)}"
                raise UserError(f"{path} has no column {name!r}: its first line names {named}{hint}")
            if header.count(name) > 1:
                raise UserError(f"{path} has {header.count(name)} columns {name!r}: rename or remove all but one")
        start = reader.line_num + 1  # a quoted field may contain line breaks, so a row may be several lines
        for row in reader:
            if row and len(row) != len(header):
                raise UserError(
                    f"{path}, line {start}: {len(row)} fields, but the header has {len(header)}: "
                    'put a text that holds commas in "quotes"'
                )
            if row:
                yield start, dict(zip(header, row, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        if "end of data" in str(error):
            raise UserError(f'{path}, line {start}: a " of this row is never closed') from None
        raise UserError(f"{path}, line {reader.line_num}: this is not CSV ({error})") from None


def json_rows(file: TextIO, path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict]]:
    """(Line number, object) of each line of a JSONL file. Raises UserError as read_rows does."""
    for line, row in json_objects(file, path):
        for name in columns:
            if not isinstance(row.get(name), str | int | float):
                raise UserError(f"{path}, line {line}: there is no key {name!r} with a text in it")
        yield line, row


def json_objects(file: TextIO, path: Path) -> Iterator[tuple[int, dict]]:
    """(Line number, object) of each line that is not empty. Raises UserError if one is no JSON object."""
    for line, content in enumerate(file, start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
            if not isinstance(row, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {line}: this is not a JSON object ({error})") from None
        yield line, row
