"""Benchmarks that train go on where they were stopped."""

from pathlib import Path


def go_on(folder: Path) -> dict[str, bool]:
    """The settings of train.py and finetune.py that resume a run if its folder holds one, and otherwise begin it."""
    return {"resume": (begun := (folder / "resume.pt").is_file()), "overwrite": not begun}
