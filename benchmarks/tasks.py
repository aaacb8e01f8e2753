"""Every task of the toy world, from data to measures: what a small model learns, beside answers that take no model.

    python -m benchmarks.tasks                              # all of them
    python -m benchmarks.tasks --kinds qa entities --seeds 0 1 2

Tasks about English stories start from out/tiny, longer ones from out/bilingual; `train.py tiny` and `train.py
bilingual` make these. Progress goes to stderr, the table to stdout, every number to results.json in `--out`. A run that
is finished is used again; one that was stopped goes on.
"""

import json
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from benchmarks.resuming import finetune_or_go_on
from benchmarks.roofline import table
from data.world.tasks.writing import write_task
from gpt.errors import UserError
from gpt.files.atomic import write_text
from gpt.finetuning.finetune_config import FinetuneConfig, TaskName
from gpt.running.command_line import parse_flags, run_main


class Setting(NamedTuple):
    """How a kind of task is fine-tuned."""

    task: TaskName
    model: str
    language: str  # of the prompts: "en", "zh" or "both"
    count: int  # examples, eight tenths of them for training
    settings: dict[str, Any]  # of FinetuneConfig, where they are not its defaults


TINY, BILINGUAL = "out/tiny", "out/bilingual"
ANSWER = {"batch_size": 16, "dropout": 0.0, "learning_rate": 1e-3}
QUICK = {"batch_size": 16, "dropout": 0.0, "learning_rate": 5e-3, "muon_learning_rate": 0.02}
KINDS = {
    "qa": Setting("answer", BILINGUAL, "en", 30_000, ANSWER | {"min_steps": 780, "epochs": 0.4, "evaluations": 3}),
    "relations": Setting("answer", TINY, "en", 10_000, QUICK | {"min_steps": 1000, "epochs": 1}),
    "entities": Setting("tags", TINY, "en", 10_000, {}),
    "summary": Setting("answer", BILINGUAL, "en", 10_000, ANSWER | {"min_steps": 780, "epochs": 1}),
    "dialogue": Setting(
        "answer", BILINGUAL, "en", 20_000, ANSWER | {"min_steps": 1100, "epochs": 0.5, "evaluations": 4}
    ),
    "translation": Setting("answer", BILINGUAL, "both", 30_000, ANSWER | {"min_steps": 3000, "epochs": 2}),
    "control": Setting("answer", BILINGUAL, "en", 10_000, ANSWER | {"min_steps": 1000, "epochs": 1}),
    "inference": Setting(
        "answer", BILINGUAL, "en", 30_000, ANSWER | {"min_steps": 3500, "epochs": 0.5, "evaluations": 7}
    ),
    "topics": Setting("classification", TINY, "en", 10_000, {}),
    "stars": Setting("classification", TINY, "en", 10_000, {}),
}
# The first of these that a report has is the main one.
MEASURES = ("events", "facts", "obeys", "label", "exact", "f1", "accuracy", "r2")


@dataclass(frozen=True)
class TasksConfig:
    kinds: tuple[str, ...] = tuple(KINDS)
    """kinds of task, as python -m data.world tasks names them"""
    seeds: tuple[int, ...] = (0,)
    """seeds of fine-tuning; the data are the same"""
    data: Path = Path("data/tasks")
    """the folder for the data, made on first use"""
    out: Path = Path("out/tasks")
    """the folder for all runs and results.json"""

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise UserError(f"--kinds has {unknown[0]!r}: it must be some of {', '.join(KINDS)}")
        if not self.kinds or not self.seeds:
            raise UserError("--kinds and --seeds must each name one or more")


def main() -> None:
    config = parse_flags(lambda: tyro.cli(TasksConfig, description=__doc__))
    results = {kind: [run(config, kind, seed) for seed in config.seeds] for kind in config.kinds}
    write_text(config.out / "results.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    rows = [row_of(kind, reports) for kind, reports in results.items()]
    print(table(["task", "from", "measure", "the GPT", "without a model", "seconds"], rows))


def run(config: TasksConfig, kind: str, seed: int) -> dict[str, Any]:
    """Fine-tune for one kind with one seed, or read the report of a finished run."""
    setting, out = KINDS[kind], config.out / f"{kind}-{seed}"
    data = config.data / f"{kind}-{setting.count}"
    if (out / "scores.png").is_file() or (out / "confusion.png").is_file():  # a run's last file
        return json.loads((out / "report.json").read_text(encoding="utf-8"))
    if not (data / "train.jsonl").is_file():
        write_task(data, kind, setting.language, seed=1, count=setting.count)
    fine_tuning = FinetuneConfig(Path(setting.model), data, out, setting.task, seed=seed)
    return finetune_or_go_on(replace(fine_tuning, **setting.settings))


def row_of(kind: str, reports: list[dict[str, Any]]) -> list[str]:
    """One line of the table: the mean over the seeds of all measures, and the lowest and highest of the main one."""
    tests = [report["test"] for report in reports]
    main = next(name for name in MEASURES if name in tests[0])
    values = [test[main] for test in tests]
    others = [name for name in ("grammatical", "exact", "chrf") if name in tests[0] and name != main]
    measured = f"{statistics.mean(values):.1%}"
    if len(values) > 1:
        measured += f" ({min(values):.1%} to {max(values):.1%})"
    measured += "".join(f", {name} {statistics.mean(test[name] for test in tests):.1%}" for name in others)
    baselines = ", ".join(f"{name} {scores[main]:.1%}" for name, scores in reports[0]["baselines"].items())
    seconds = f"{statistics.mean(report['seconds'] for report in reports):.0f}"
    return [kind, KINDS[kind].model, main, measured, baselines, seconds]


if __name__ == "__main__":
    run_main(main)
