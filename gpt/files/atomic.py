"""Writing a file so that a crash leaves the old one or the new one, never half of one; and telling files apart."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from gpt.errors import UserError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; put it in `path`'s place once it is whole and on the disk.

    Raises UserError where that fails (a full disk, a read-only folder, ...); then `path` holds what it held before.
    """
    temporary = temporary_path(path)
    with explain_failure(path):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            umask = os.umask(0)  # the only way to ask for it is to set it
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # safetensors lets nobody else read its files; a class shares models
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Where `path` is written to before it takes its place; a killed process leaves it behind."""
    return path.with_name(f".{path.name}.tmp")


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a power cut does not undo a replacement."""
    if os.name == "posix":  # elsewhere a folder cannot be opened, and the file system looks after it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def explain_failure(path: Path) -> Iterator[None]:
    """Turn what the system says when `path` cannot be written into one line for the user."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write {path} ({reason}): what was saved before is whole; put that right or choose another folder, "
            "and run it again"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8 and with the same line ends on every system."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sha256(path: Path) -> str:
    """A file's fingerprint, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
