"""What every export asks before it begins: may the file be written, and is the library there?"""

import importlib
from pathlib import Path

from gpt.errors import UserError


def check_target(path: Path, overwrite: bool) -> None:
    """Raises UserError if `path` exists and may not be replaced, or if its folder does not exist."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file in it")
    if path.exists() and not overwrite:
        raise UserError(f"{path} already exists: choose another --out or use --overwrite")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent} to write {path.name} into: create it, or choose another one")


def needs(*libraries: str) -> None:
    """Raises UserError, with what to do, if one of the optional libraries is not installed."""
    for library in libraries:
        try:
            importlib.import_module(library)
        except ImportError:
            raise UserError(f"{library} is not installed: python -m pip install -r requirements/export.txt") from None
