"""Several runs over one another: what differs in their settings, and how far each came."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from gpt.errors import UserError
from gpt.inside.given import Picture
from gpt.running.run_folder import read_metrics

SAY_NOTHING = {
    "out",
    "resume",
    "overwrite",
    "tensorboard",
    "version",
}  # settings that tell nothing about a run's result


@dataclass(frozen=True)
class FinishedOrNot:
    """A run folder as it is now."""

    name: str
    settings: dict[str, Any]  # those within another have a dot: "model.n_layer"
    rows: list[dict]  # of metrics.jsonl
    finished: bool

    @property
    def trained_for(self) -> str:
        """The task of a fine-tuning, or the objective of a pretraining."""
        return self.settings.get("task") or self.settings.get("objective", "causal")

    def column(self, name: str) -> list[float]:
        """A measure in all rows that have it."""
        return [row[name] for row in self.rows if name in row]


def show_runs(
    folders: Positional[tuple[Path, ...]],
    seconds: Annotated[bool, arg(help="seconds of training in place of steps on the x axis (train.py's runs)")] = False,
    out: Picture = Path("runs.png"),
) -> None:
    """The curves of several runs, finished or not, in one picture, and a table of what differs in their settings."""
    from gpt.running.plots import plot_runs

    runs = [read_run(folder) for folder in folders]
    if not runs:
        raise UserError("name the folders of one or more runs: python look.py runs out/a out/b")
    for run in runs:
        if run.trained_for != runs[0].trained_for:
            raise UserError(
                f"{runs[0].name} was trained for {runs[0].trained_for} and {run.name} for {run.trained_for}: "
                "their losses cannot be compared"
            )
        if seconds and not run.column("seconds"):
            raise UserError(f"{run.name} has no seconds in its metrics.jsonl: leave out --seconds")
    differing = differences([run.settings for run in runs])
    print("\n".join(table_of_runs(runs, differing)))
    labels = []
    for run in runs:
        values = ", ".join(f"{name} {shown(run.settings.get(name))}" for name in differing)
        labels.append(f"{run.name}: {values}" if 1 <= len(differing) <= 2 else run.name)
    plot_runs(dict(zip(labels, [run.rows for run in runs], strict=True)), "seconds" if seconds else "step", out)
    print(f"picture: {out}")


def read_run(folder: Path) -> FinishedOrNot:
    """Raises UserError if the folder holds no run."""
    path = folder / "train_config.json"
    try:
        settings = flat(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):
        raise UserError(f"{folder} is no run of train.py or finetune.py: it has no readable {path.name}") from None
    rows = read_metrics(folder)
    last = rows[-1]["step"] if rows else 0
    finished = last == settings["max_steps"] if "max_steps" in settings else (folder / "report.json").is_file()
    return FinishedOrNot(str(folder), settings, rows, finished)


def flat(settings: dict, before: str = "") -> dict[str, Any]:
    """{"model": {"n_layer": 3}} -> {"model.n_layer": 3}"""
    found = {}
    for name, value in settings.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return found


def differences(settings: list[dict[str, Any]]) -> list[str]:
    """The names of settings that are not the same everywhere; one that an older run lacks counts if it is set in
    different ways where it exists."""
    names = {name: None for of_run in settings for name in of_run if name not in SAY_NOTHING}  # in their order
    return [name for name in names if len({str(of_run[name]) for of_run in settings if name in of_run}) > 1]


def table_of_runs(runs: list[FinishedOrNot], differing: list[str]) -> list[str]:
    """The lines of a Markdown table, a line for each run."""
    scores = score_names([row for run in runs for row in run.rows])
    head = ["run", *differing, "steps", "training loss", "validation loss", "best"]
    lines = [[*head, *(f"best {name.removeprefix('val_')}" for name in scores)]]
    lines += [["---", *["---:"] * (len(lines[0]) - 1)]]
    for run in runs:
        training, validation = run.column("train_loss"), run.column("val_loss")
        figures = [training[-1:], validation[-1:], [min(validation)] if validation else []]
        figures += [[max(values)] if (values := run.column(name)) else [] for name in scores]
        steps = f"{run.rows[-1]['step'] if run.rows else 0:,}{'' if run.finished else ' (unfinished)'}"
        cells = [run.name, *(shown(run.settings.get(name)) for name in differing), steps]
        lines.append(cells + [f"{value[0]:.4f}" if value else "" for value in figures])
    return [f"| {' | '.join(line)} |" for line in lines]


def score_names(rows: list[dict]) -> list[str]:
    """The validation scores of fine-tunings that these rows have, such as val_accuracy."""
    return list({name: None for row in rows for name in row if name.startswith("val_") and name != "val_loss"})


def shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)
