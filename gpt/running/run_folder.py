"""The run folder around a model folder: the settings, the measurements, and the state to continue from.

train_config.json holds the settings, metrics.jsonl the measurements (one object a line), resume.pt the state from which
a run continues.

A run may be killed at any moment, because each file is replaced whole, in this order: metrics.jsonl grows, then the
model is written, then resume.pt. So these always hold:
- resume.pt is the state after some step s, the first one (s = 0) being written before any work is done;
- metrics.jsonl has every row up to step s, perhaps followed by rows of later steps, which resuming drops;
- the model is the best of the evaluations up to s, or that of one after s, which the resumed run reaches again, with
  the same bits.
"""

import dataclasses
import functools
import json
import os
import tomllib
from pathlib import Path
from typing import Any

from gpt.errors import UserError
from gpt.files.atomic import explain_failure, make_folder, temporary_path, write_text
from gpt.files.checkpoint import load_resume, save_resume
from gpt.files.int8_file import INT8_FILE
from gpt.optim import raise_broken

ROOT = Path(__file__).parent.parent.parent
MODEL_FILES = ("model.safetensors", INT8_FILE, "config.json", "tokenizer_config.json", "vocab.json", "merges.txt")
RUN_FILES = ("resume.pt", "metrics.jsonl", "train_config.json", "loss.png")
FINETUNE_FILES = ("adapter_model.safetensors", "adapter_config.json", "adapter.json", "report.json")
FINETUNE_FILES += ("adapter.safetensors",)  # of earlier versions
FINETUNE_FILES += ("curve.png", "confusion.png", "labels.png", "scores.png")
EVENT_FILES = "events.out.tfevents.*"  # what --tensorboard writes
# Settings that may differ when a run is resumed: they change where and how it is computed, not the result.
MAY_DIFFER = {"out", "data", "device", "precision", "compile", "threads", "log_every", "resume", "overwrite"}
MAY_DIFFER |= {"accumulate", "sharding", "tensorboard"}
MAY_DIFFER |= {"compare", "label_counts"}  # finetune.py: further runs after this one


@functools.cache
def project_version() -> str:
    """The version in pyproject.toml, which is always there: the project is run from its folder."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def config_to_json(config: Any) -> dict:
    """A dataclass of settings as JSON can hold it, paths as text."""
    return as_json(dataclasses.asdict(config))


def as_json(settings: dict) -> dict:
    """The same as JSON would give it back: tuples as lists, paths as text."""
    return json.loads(json.dumps(settings, default=str))


def check_new(config: Any) -> list[str]:
    """The files of an older run in `config.out`. Raises UserError if they must not be replaced."""
    if config.out.exists() and not config.out.is_dir():
        raise UserError(f"{config.out} is a file: --out names a folder to write")
    if (config.out / "meta.json").exists():  # it holds a tokenizer, which --overwrite would remove
        raise UserError(f"{config.out} is a tokens folder: --out names another one, for the run")
    # resume.pt goes first, so that a run that is half removed cannot be resumed, and train_config.json last: it tells
    # that the others are a run's and may be replaced.
    present = [name for name in (*RUN_FILES, *MODEL_FILES, *FINETUNE_FILES) if (config.out / name).exists()]
    present.sort(key=lambda name: name == "train_config.json")
    if present and present[-1] != "train_config.json":
        raise UserError(f"{config.out} already holds something else ({present[0]}): choose another --out")
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
        for path in (*(config.out / name for name in present), *config.out.glob(EVENT_FILES)):
            path.unlink()
    make_folder(config.out)
    remove_left_overs(config.out)
    about = {"version": project_version(), **config_to_json(config)}
    write_text(config.out / "train_config.json", json.dumps(about, indent=2) + "\n")


def go_on(config: Any, data: dict) -> dict | None:
    """What resume.pt of `config.out` holds, which is made ready to go on from it: the same settings, the same data, no
    metrics of steps that will be done again. None where the run was killed before it had saved anything.

    Raises UserError where settings or data have changed, or the file is damaged.
    """
    if config.overwrite:
        raise UserError("--resume goes on with a run, and --overwrite replaces it: leave one of them out")
    if was_killed_at_once(config.out):
        return None
    state = load_resume(config.out / "resume.pt")
    if not {"config", "data", "step", "best", "seconds", "losses", "scaler", "weights", "optimizers"} <= state.keys():
        raise UserError(
            f"{config.out / 'resume.pt'} was not written by this version of the project: begin anew with --overwrite"
        )
    before, now = with_defaults(json.loads(state["config"]), config), config_to_json(config)
    changed = [
        f"{key} was {before[key]} and is now {now[key]}"
        for key in now
        if key not in MAY_DIFFER and before[key] != now[key]
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


def with_defaults(settings: Any, config: Any) -> dict:
    """An older run's settings, with the defaults of those that are newer than it, also within a dataclass of their
    own."""
    filled = {field.name: field.default for field in dataclasses.fields(config)} | settings
    for name, value in filled.items():
        own = getattr(config, name, None)
        if dataclasses.is_dataclass(own):
            filled[name] = with_defaults(value if isinstance(value, dict) else {}, own)  # else it is the default itself
    return as_json(filled)


def tidy(folder: Path, step: int, evaluation_due: bool = False) -> None:
    """Drop the metrics of what will be done again: steps after `step` and, if it is due, the evaluation after that one.
    Also drop what a killed process left half written."""
    rows = [row for row in read_metrics(folder) if row["step"] <= step]
    if evaluation_due:
        rows = [row for row in rows if row["step"] < step or "val_loss" not in row]
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
    about = {"version": project_version(), "config": json.dumps(config_to_json(config)), "data": json.dumps(data)}
    save_resume(state | about, config.out / "resume.pt")


def append_metrics(folder: Path, **row: Any) -> None:
    """Add a line to metrics.jsonl."""
    path = folder / "metrics.jsonl"
    with explain_failure(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_metrics(folder: Path) -> list[dict]:
    """The rows of metrics.jsonl, up to the first line that is none: a killed run may leave half a line, and half a
    character at its end."""
    rows = []
    if (folder / "metrics.jsonl").is_file():
        for line in (folder / "metrics.jsonl").read_bytes().splitlines():
            try:
                row = json.loads(line.decode("utf-8"))
            except ValueError:
                break
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                break
            rows.append(row)
    return rows
