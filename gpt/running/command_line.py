"""What every command shares: flags, standard input, and mistakes that end in one line."""

import contextlib
import difflib
import io
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

from tqdm import tqdm

from gpt.errors import UserError

T = TypeVar("T")
DASHES = "\N{EN DASH}\N{EM DASH}\N{HORIZONTAL BAR}\N{MINUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}"  # none is on the - key
INTERRUPTED = 130  # the exit code: 128 + SIGINT
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")


def fail(message: str) -> NoReturn:
    """Print `message` as one line on stderr and leave with exit code 2, as Unix commands do."""
    tqdm.write("error: " + " ".join(message.split()), file=sys.stderr)  # on a line of its own, below a progress bar
    sys.exit(2)


def exit_unless(finished: bool) -> None:
    """Leave a training that was asked to stop with the exit code of a command that Ctrl-C ended: `train.py ... &&
    finetune.py ...` must not go on with half a model. torchrun would call that a failure: under it the code is 0."""
    if not finished and "WORLD_SIZE" not in os.environ:
        sys.exit(INTERRUPTED)


def parse_flags(parser: Callable[[], T]) -> T:
    """Run a tyro parser; a mistake in the flags becomes a UserError of one line instead of tyro's drawn box."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return parser()
    except SystemExit as exit_:
        if exit_.code != 2:  # --help, or `kill`, is not a mistake
            raise
        lines = [line.strip("│╭╮╰╯─ ") for line in box.getvalue().splitlines()]
        message_lines = [line for line in lines[1:] if line]  # lines[0] is the title of the box
        hints = ("Argument helptext", "For full helptext", "Perhaps you meant", "Similar options", "Arguments ")
        end = next((i for i, line in enumerate(message_lines) if line.startswith(hints)), len(message_lines))
        message = re.sub(r"^Error parsing \w[\w.-]*: ", "", " ".join(message_lines[:end]))  # the parser's own name
        hint = "\n".join(message_lines[end:])
        similar = re.search(r"^--[\w.-]+", hint, re.MULTILINE)  # the likeliest comes first
        likely = similar[0] if similar and "Unrecognized" in message else ""
        subcommands = r"Unrecognized .*?options: ([^-\s]\S*).* Available subcommands: ((?:\S+, )*\S+)"
        if wrong := re.match(subcommands, " ".join(message_lines)):
            message = f"{wrong[1]} is none of {wrong[2]}"
            likely = "".join(difflib.get_close_matches(wrong[1], wrong[2].split(", "), 1))
        if likely in message.split():  # right, but not for this subcommand
            has_it = re.search(r"^in (.+) --help$", hint, re.MULTILINE)
            message += f"; it belongs to {has_it[1]}" if has_it else ""
        elif likely:
            message += f"; perhaps you meant {likely}"
        raise UserError(f"{message} (--help explains)") from None


def as_typed(*words: str) -> str:
    """A command as the shell of this system takes it: single quotes are none on Windows."""
    return subprocess.list2cmdline(words) if platform.system() == "Windows" else shlex.join(words)


def hint_about(arguments: list[str]) -> str:
    """What to type in place of characters that a Chinese keyboard or a word processor put into the flags, or ""."""
    for argument in arguments:
        if match := re.fullmatch(f"(?=[^=]*[{DASHES}])[-{DASHES}]+([A-Za-z][\\w.{DASHES}-]*)(=.*)?", argument):
            flag = "--" + re.sub(f"[{DASHES}]+", "-", match[1])
            return f". In the command, type {flag} in place of {argument.split('=')[0]}"
        if argument.startswith("-") and "\N{IDEOGRAPHIC SPACE}" in argument:
            return (
                f". In the command, type an ordinary space in {argument}: this one is a Chinese keyboard's wide space"
            )
        if re.match("[“”‘’].|.+[“”‘’]$", argument):
            return f'. In the command, type " in place of “ and ”: in {argument} they are part of the text'
    return ""


def read_standard_input() -> str:
    """All of it, without the mark that some editors put first. Raises UserError if there is none or it is not UTF-8."""
    if sys.stdin is None:
        raise UserError("there is no standard input to read from: pipe a text into it, or name a file")
    try:
        return sys.stdin.read().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UserError(f"what came through standard input is not UTF-8 text: see byte {error.start}") from None


def run_main(main: Callable[[], None]) -> None:
    """Run a script's main(). A mistake that the user can correct ends in one line, a bug in its traceback."""
    for stream, errors in ((sys.stdin, "strict"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if isinstance(stream, io.TextIOWrapper):  # Windows would write in its own code page
            stream.reconfigure(encoding="utf-8", errors=errors)  # a command line may hold bytes that are no character
    if "WORLD_SIZE" not in os.environ:  # torchrun ends its processes itself, also where they wait for each other
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # remove temporary files first
    try:
        main()
    except UserError as error:
        fail(str(error) + hint_about(sys.argv[1:]))
    except BrokenPipeError:  # `python sample.py | head` closes our output before we are done
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, a folder without write permission, ...
        fail(f"{error.strerror or error}: {error.filename or 'while reading or writing'}")
    except (MemoryError, RuntimeError) as error:  # PyTorch raises RuntimeError, on CPU and GPU
        if not isinstance(error, MemoryError) and not any(sign in str(error) for sign in OUT_OF_MEMORY):
            raise
        fail("there is not enough memory: a smaller model, context or batch (--accumulate) needs less")
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
