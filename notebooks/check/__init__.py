"""What the checks of the exercises share. A check never raises: it prints one line and returns a Verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

NOT_A_NUMBER = "要返回一个数 / return one number"
NOT_WRITTEN = "还没有写（或忘了 return） / not written yet (or `return` is missing)"


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right. A cell ends with a check, and Jupyter would show its value below what it printed."""

    ok: bool

    def __bool__(self) -> bool:
        return self.ok

    def _ipython_display_(self) -> None:
        """Show nothing: the check has said it in words."""


def report(ok: bool, message: str) -> Verdict:
    """Print one line, "✓ …" or "✗ …", in both languages: "中文 / English"."""
    print(f"{'✓' if ok else '✗'} {message}")
    return Verdict(ok)


def attempt(function: Callable, *arguments: Any) -> tuple[Any, str]:
    """(What the reader's function returns, "") or (None, why there is nothing to check): a blank, or an exception."""
    try:
        answer = function(*arguments)
    except Exception as error:  # whatever a reader's code raises is told to the reader, in one line
        return None, f"出错了 / it raised {type(error).__name__}: {' '.join(str(error).split())}"
    return answer, NOT_WRITTEN if answer is None or answer is ... else ""


def attempt_number(function: Callable, *arguments: Any) -> tuple[float, str]:
    """attempt, of a function that should return one number."""
    answer, problem = attempt(function, *arguments)
    value = number(answer)
    return (0.0, problem) if problem else (0.0 if value is None else value, "" if value is not None else NOT_A_NUMBER)


def number(answer: Any) -> float | None:
    """A number that the reader's function returned, or None for what is none."""
    try:
        return float(answer.detach() if isinstance(answer, Tensor) else answer)  # float() warns of a gradient
    except (TypeError, ValueError, RuntimeError):
        return None


def attempt_list(function: Callable, *arguments: Any) -> tuple[list, str]:
    """attempt, of a function that should return a list."""
    answer, problem = attempt(function, *arguments)
    try:
        return ([], problem) if problem else (list(answer), "")
    except TypeError:
        return [], f"要返回列表，不是 {type(answer).__name__} / return a list, not a {type(answer).__name__}"
