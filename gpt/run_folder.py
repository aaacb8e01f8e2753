"""The run folder around a model folder: what was asked for, what was measured, and how to stop and go on.

train_config.json says what was asked for, metrics.jsonl what was measured (one object a line), resume.pt holds the
state to go on from. Interrupting is a request that the loop answers between two steps.
"""

import dataclasses
import json
import signal
from pathlib import Path
from types import FrameType
from typing import Any

from gpt.errors import UserError
from gpt.files import write_text

MODEL_FILES = ("model.safetensors", "config.json", "tokenizer_config.json", "vocab.json", "merges.txt")
RUN_FILES = ("resume.pt", "metrics.jsonl", "train_config.json", "loss.png")
FINETUNE_FILES = ("adapter.safetensors", "adapter.json", "report.json", "curve.png", "confusion.png", "labels.png")
# Settings that may differ when a run goes on: they change where and how it is computed, not what.
FREE = {"out", "data", "device", "precision", "compile", "threads", "log_every", "resume", "overwrite"}
FREE |= {"compare", "label_counts"}  # finetune.py: further runs after this one


def config_to_json(config: Any) -> dict:
    """A dataclass of settings as JSON can hold it, paths as text."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def begin(config: Any) -> None:
    """Make `config.out` ready for a new run. Raises UserError rather than write over an older one."""
    present = [name for name in (*MODEL_FILES, *RUN_FILES, *FINETUNE_FILES) if (config.out / name).exists()]
    if present and not config.overwrite:
        raise UserError(
            f"{config.out} already holds a run ({present[0]}): go on with --resume, choose another --out, "
            "or replace it with --overwrite"
        )
    for name in present:
        (config.out / name).unlink()
    config.out.mkdir(parents=True, exist_ok=True)
    write_text(config.out / "train_config.json", json.dumps(config_to_json(config), indent=2) + "\n")


def go_on(config: Any, data: dict, state: dict) -> None:
    """Make `config.out` ready to resume from `state`: the same settings, the same data, no metrics of steps that
    will be done again. Raises UserError where settings or data have changed."""
    before, now = json.loads(state["config"]), config_to_json(config)
    changed = [
        f"{key} was {before.get(key)} and is now {now[key]}"
        for key in now
        if key not in FREE and before.get(key) != now[key]
    ]
    if changed:
        raise UserError(f"cannot resume {config.out} with other settings: {'; '.join(changed)}")
    if json.loads(state["data"]) != data:
        raise UserError(f"cannot resume {config.out} with other data than it was trained on: use the same --data")
    rows = [row for row in read_metrics(config.out) if row["step"] <= state["step"]]
    write_text(config.out / "metrics.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def append_metrics(folder: Path, **row: Any) -> None:
    """Add a line to metrics.jsonl."""
    with (folder / "metrics.jsonl").open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_metrics(folder: Path) -> list[dict]:
    """The rows of metrics.jsonl; a last line that a killed run left half written is not one."""
    rows = []
    if (folder / "metrics.jsonl").is_file():
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows


class StopRequest:
    """Turns Ctrl-C (and `kill`) into a request to stop after this step; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, self._ask)

    def _ask(self, signal_number: int, frame: FrameType | None) -> None:
        self.requested = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
