"""How this project says that something is wrong: one line that also says what to do."""

import contextlib
import io
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class UserError(ValueError):
    """Something the user can put right. Its message is one line: what is wrong, and what to do."""


def fail(message: str) -> NoReturn:
    """Print `message` as one line on stderr and leave with exit code 2, as Unix commands do."""
    tqdm.write("error: " + " ".join(message.split()), file=sys.stderr)  # on a line of its own, whatever bar is there
    sys.exit(2)


def parse(parser: Callable[[], T]) -> T:
    """Run a tyro parser; a mistake in the flags becomes a UserError of one line instead of tyro's drawn box."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return parser()
    except SystemExit as exit_:
        if not exit_.code:  # --help is not a mistake
            raise
        lines = [line.strip("│╭╮╰╯─ ") for line in box.getvalue().splitlines()]
        said = [line for line in lines[1:] if line]  # lines[0] is the title of the box
        hints = ("Argument helptext", "For full helptext", "Perhaps you meant", "Similar options")
        end = next((i for i, line in enumerate(said) if line.startswith(hints)), len(said))
        raise UserError(f"{' '.join(said[:end])} (--help explains)") from None


def run_main(main: Callable[[], None]) -> None:
    """Run a script's main(): what the user can put right ends in one line, a bug in its traceback."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # Windows would write in its own code page
            stream.reconfigure(encoding="utf-8")
    try:
        main()
    except UserError as error:
        fail(str(error))
    except BrokenPipeError:  # `python sample.py | head` closes our output before we are done
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, a folder without write permission, ...
        fail(f"{error.strerror or error}: {error.filename or 'while reading or writing'}")
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
