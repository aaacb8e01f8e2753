"""What the tests of several checks need: the functions of the solutions, and what a check says to an answer."""

from collections.abc import Callable
from typing import Any

from notebooks.build import read_source, sources, tagged


def solutions(number: str, **names: Any) -> dict[str, Any]:
    """The reader's functions as the solutions of a lesson ("07") define them, without their checks. names: what else
    they need, such as np."""
    (source,) = sources((number,))
    for cell in read_source(source):
        if tagged(cell, "solution"):
            exec("".join(line for line in cell.source.splitlines(True) if not line.startswith("check.")), names)
    return names


def says(capsys, check: Callable, answer: Callable) -> tuple[bool, str]:
    """(Right or wrong, the one line that is printed.)"""
    ok = check(answer)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("✓" if ok else "✗") and " / " in line
    return ok, line
