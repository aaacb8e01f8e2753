"""What the checks of the exercises share. A check never raises: it prints one line and returns True or False."""

from collections.abc import Callable
from typing import Any

NOT_WRITTEN = "还没有写 / not written yet"


def report(ok: bool, message: str) -> bool:
    """Print one line, "✓ …" or "✗ …", in both languages: "中文 / English"."""
    print(f"{'✓' if ok else '✗'} {message}")
    return ok


def attempt(function: Callable, *arguments: Any) -> tuple[Any, str]:
    """(What the reader's function returns, "") or (None, why there is nothing to check): a blank, or an exception."""
    try:
        answer = function(*arguments)
    except Exception as error:  # whatever a reader's code raises is told to the reader
        return None, f"出错了 / it raised {type(error).__name__}: {error}"
    return answer, NOT_WRITTEN if answer is None or answer is ... else ""


def attempt_number(function: Callable, *arguments: Any) -> tuple[float, str]:
    """attempt, of a function that should return one number."""
    answer, problem = attempt(function, *arguments)
    try:
        return (0.0, problem) if problem else (float(answer), "")
    except (TypeError, ValueError, RuntimeError):
        return 0.0, "要返回一个数 / return one number"
