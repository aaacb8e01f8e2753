"""The report of a fine-tuning run: report.json, its plots, and a summary for the terminal."""

import contextlib
import json
from pathlib import Path
from typing import Any

from gpt.fast.speed_up import speed_up
from gpt.files.atomic import write_text
from gpt.finetuning import report_plots
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.methods import Net
from gpt.finetuning.saved import load_fine_tuned
from gpt.finetuning.task import Task
from gpt.finetuning.trainable import count_weights
from gpt.running.device import Machine
from gpt.running.run_folder import read_metrics


def write_report(config: FinetuneConfig, net: Net, task: Task, machine: Machine, seconds: float) -> dict[str, Any]:
    """Evaluate the best weights once on the test split; write, plot and print the report, and return it.

    seconds: duration of the run. Raises UserError if a file cannot be written.
    """
    trained, total = count_weights(net)
    report: dict[str, Any] = {
        "task": config.task,
        "train": config.train,
        "trained_weights": trained,
        "all_weights": total,
        "trained_share": trained / total,
        "examples": {split: len(examples) for split, examples in task.examples.items()},
        "truncated": task.truncated,
        "seconds": round(seconds, 1),
        "best_step": None,
    }
    if (config.out / "report.json").is_file():  # from before this run was resumed: keep the comparisons
        with contextlib.suppress(ValueError):  # damaged
            previous = json.loads((config.out / "report.json").read_text(encoding="utf-8"))
            report |= {key: previous[key] for key in ("from_scratch", "label_counts") if key in previous}
    best = load_fine_tuned(config.out, machine.device)  # the saved files, which the user will load too
    if not config.plain:
        speed_up(best, machine.device, machine.dtype)
    report |= task.measure(best, machine)
    rows = read_metrics(config.out)
    report["best_step"] = max(rows, key=lambda row: (row[f"val_{task.score}"], -row["val_loss"]))["step"]
    save_report(config.out, report)
    curve = config.out / "curve.png"
    report_plots.plot_learning_curve(rows, task.score, report["best_step"], str(config.out), curve)
    task.plot(report, config.out)
    print(f"\n{task.describe_measures(report)}\nin {seconds:.0f} s; full report: {config.out / 'report.json'}")
    return report


def save_report(folder: Path, report: dict) -> None:
    """Write report.json. Raises UserError if it cannot be written."""
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
