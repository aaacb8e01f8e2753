"""Write files atomically: after a crash, the old file or the new one is complete. Also, hash files."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from gpt.errors import UserError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. Afterwards, flush that file to the disk and rename it to `path`.

    Raises UserError if this fails (full disk, read-only folder, ...); then `path` keeps its old content.
    """
    temporary = temporary_path(path)
    with explain_failure(path):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            umask = os.umask(0)  # to read it, one must set it
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # safetensors makes its files private; others may need to read the model
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """The file that atomic_write writes before it renames it to `path`. A killed process leaves it behind."""
    return path.with_name(f".{path.name}.tmp")


def sync_folder(folder: Path) -> None:
    """Flush the file names of a folder to the disk, so that a power failure does not undo a rename."""
    if os.name == "posix":  # other systems cannot open a folder; their file system does this itself
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def explain_failure(path: Path) -> Iterator[None]:
    """Turn an OSError from writing `path` into a UserError of one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write {path} ({reason}): earlier files are intact; fix this or choose another folder, and run it "
            "again"
        ) from None


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises UserError if that fails or a file has its name."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder, or a new one")
    with explain_failure(folder):
        folder.mkdir(parents=True, exist_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8 with LF line endings. Raises UserError if it cannot be written."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sha256(path: Path) -> str:
    """The SHA-256 hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
