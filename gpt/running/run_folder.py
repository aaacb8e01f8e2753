"""The run folder around a model folder: what was asked for, what was measured, and how to stop and go on.

train_config.json says what was asked for, metrics.jsonl what was measured (one object a line), resume.pt holds the
state to go on from. Interrupting is a request that the loop answers between two steps.

A run may be killed at any moment, for each file is replaced whole, and in this order: metrics.jsonl grows, then the
model is written, then resume.pt. So it always holds that
- resume.pt is the state after some step s, the first one (s = 0) being written before any work is done;
- metrics.jsonl has every row up to step s, perhaps followed by rows of later steps, which going on drops;
- the model is the best of the evaluations up to s, or that of one after s, which going on comes to again, with the
  same bits.
"""

import dataclasses
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from gpt.errors import UserError
from gpt.files.atomic import explain_failure, temporary_path, write_text
from gpt.files.checkpoint import load_resume, save_resume
from gpt.optim import raise_broken

MODEL_FILES = ("model.safetensors", "config.json", "tokenizer_config.json", "vocab.json", "merges.txt")
RUN_FILES = ("resume.pt", "metrics.jsonl", "train_config.json", "loss.png")
FINETUNE_FILES = ("adapter.safetensors", "adapter.json", "report.json", "curve.png", "confusion.png", "labels.png")
# Settings that may differ when a run goes on: they change where and how it is computed, not what.
FREE = {"out", "data", "device", "precision", "compile", "threads", "log_every", "resume", "overwrite"}
FREE |= {"accumulate", "sharding"}
FREE |= {"compare", "label_counts"}  # finetune.py: further runs after this one


def config_to_json(config: Any) -> dict:
    """A dataclass of settings as JSON can hold it, paths as text."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def check_new(config: Any) -> list[str]:
    """The files of an older run in `config.out`. Raises UserError if they must not be replaced."""
    if config.out.exists() and not config.out.is_dir():
        raise UserError(f"{config.out} is a file: --out names a folder to write")
    if (config.out / "meta.json").exists():  # with a tokenizer in it, which --overwrite would remove
        raise UserError(f"{config.out} is a tokens folder: --out names another one, for the run")
    # resume.pt goes first: nobody shall go on with a run that is half removed.
    present = [name for name in (*RUN_FILES, *MODEL_FILES, *FINETUNE_FILES) if (config.out / name).exists()]
    if present and not config.overwrite and not was_killed_at_once(config.out):
        raise UserError(
            f"{config.out} already holds a run ({present[0]}): go on with --resume, choose another --out, "
            "or replace it with --overwrite"
        )
    return present


def begin(config: Any) -> None:
    """Make `config.out` ready for a new run. Raises UserError rather than write over an older one."""
    present = check_new(config)
    with explain_failure(config.out):
        for name in present:
            (config.out / name).unlink()
        config.out.mkdir(parents=True, exist_ok=True)
    remove_left_overs(config.out)
    write_text(config.out / "train_config.json", json.dumps(config_to_json(config), indent=2) + "\n")


def go_on(config: Any, data: dict) -> dict | None:
    """What resume.pt of `config.out` holds, which is made ready to go on from it: the same settings, the same data, no
    metrics of steps that will be done again. None where the run was killed before it had saved anything.

    Raises UserError where settings or data have changed, or the file is damaged.
    """
    if was_killed_at_once(config.out):
        return None
    state = load_resume(config.out / "resume.pt")
    if not {"config", "data", "step", "optimizers"} <= state.keys():
        raise UserError(
            f"{config.out / 'resume.pt'} was not written by this version of the project: begin anew with --overwrite"
        )
    defaults = {field.name: field.default for field in dataclasses.fields(config)}  # of what is newer than the run
    before, now = defaults | json.loads(state["config"]), config_to_json(config)
    changed = [
        f"{key} was {before[key]} and is now {now[key]}" for key in now if key not in FREE and before[key] != now[key]
    ]
    if changed:
        raise UserError(f"cannot resume {config.out} with other settings: {'; '.join(changed)}")
    data_before = json.loads(state["data"])
    if data_before.get("model") != data.get("model"):
        raise UserError(
            f"cannot resume {config.out}: {config.model} is no longer the model that it began with; begin anew with "
            "--overwrite"
        )
    if data_before != data:
        raise UserError(f"cannot resume {config.out} with other data than it was trained on: use the same --data")
    return state


def tidy(folder: Path, step: int) -> None:
    """Drop the metrics of steps after `step`, which will be done again, and what a killed process left half written."""
    rows = [row for row in read_metrics(folder) if row["step"] <= step]
    write_text(folder / "metrics.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    remove_left_overs(folder)


def was_killed_at_once(folder: Path) -> bool:
    """Whether a run began here but has saved nothing: there is nothing to lose, and nothing to go on from."""
    present = [name for name in (*RUN_FILES, *MODEL_FILES, *FINETUNE_FILES) if (folder / name).exists()]
    return present == ["train_config.json"]


def remove_left_overs(folder: Path) -> None:
    for name in (*RUN_FILES, *MODEL_FILES, *FINETUNE_FILES):
        temporary_path(folder / name).unlink(missing_ok=True)


def save(config: Any, data: dict, state: dict) -> None:
    """Write resume.pt: `state`, with "step" and "weights" in it, and what it must be resumed with. Raises UserError,
    with the old file untouched, where it cannot be written or the weights are no longer numbers."""
    if not all(weight.isfinite().all() for weight in state["weights"].values()):
        raise_broken(f"some weights are no longer finite after step {state['step']}")
    metrics = config.out / "metrics.jsonl"
    if metrics.is_file():
        with explain_failure(metrics), metrics.open("rb+") as file:
            os.fsync(file.fileno())  # resume.pt vouches for these rows: a power cut must not take them alone
    state = state | {"config": json.dumps(config_to_json(config)), "data": json.dumps(data)}
    save_resume(state, config.out / "resume.pt")


def append_metrics(folder: Path, **row: Any) -> None:
    """Add a line to metrics.jsonl."""
    path = folder / "metrics.jsonl"
    with explain_failure(path), path.open("a", encoding="utf-8", newline="\n") as file:
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
        self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, signal_number: int, frame: FrameType | None) -> None:
        self.requested = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)

    def release(self) -> None:
        """Signals do again what they did before."""
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: set by no Python code


def say_how_to_go_on(step: int) -> None:
    """The last words of a run that was asked to stop."""
    start = ["python"]
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's mark
        start = ["torchrun", "--nproc-per-node", os.environ["LOCAL_WORLD_SIZE"]]
    command = shlex.join([*start, *sys.argv, *([] if "--resume" in sys.argv else ["--resume"])])
    print(f"\nstopped after step {step}; everything is saved. To go on:\n  {command}")
