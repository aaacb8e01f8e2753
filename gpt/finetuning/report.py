"""The report of a fine-tuning run: report.json, its plots, and a summary for the terminal."""

import contextlib
import json
from pathlib import Path
from typing import Any

from gpt.classifier import GPTClassifier
from gpt.fast.speed_up import speed_up
from gpt.files.atomic import write_text
from gpt.finetuning import measures, report_plots
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.predict import classify
from gpt.finetuning.saved import load_fine_tuned
from gpt.finetuning.task import Task
from gpt.finetuning.trainable import count_weights
from gpt.running.device import Machine
from gpt.running.run_folder import read_metrics


def write_report(
    config: FinetuneConfig, model: GPTClassifier, task: Task, machine: Machine, seconds: float
) -> dict[str, Any]:
    """Evaluate the best weights once on the test split; write, plot and print the report, and return it.

    seconds: duration of the run. Raises UserError if a file cannot be written.
    """
    trained, total = count_weights(model)
    report: dict[str, Any] = {
        "task": config.task,
        "labels": task.labels,
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
    report |= measures.measure_test_split(task, classify(best, task.tokens["test"], machine))
    rows = read_metrics(config.out)
    name = "val_r2" if best.is_regression else "val_accuracy"
    report["best_step"] = max(rows, key=lambda row: (row[name], -row["val_loss"]))["step"]
    save_report(config.out, report)
    report_plots.plot_learning_curve(rows, report["best_step"], str(config.out), config.out / "curve.png")
    if not best.is_regression:
        counts, accuracy = report["test"]["confusion"], report["test"]["accuracy"]
        report_plots.plot_confusion(counts, task.labels, accuracy, config.out / "confusion.png")
    print(f"\n{describe_report(report)}\nin {seconds:.0f} s; full report: {config.out / 'report.json'}")
    return report


def save_report(folder: Path, report: dict) -> None:
    """Write report.json. Raises UserError if it cannot be written."""
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def describe_report(report: dict) -> str:
    """A report as text for the terminal."""
    test = report["test"]
    lines = []
    if "mse" in test:
        lines.append(f"test: mean squared error {test['mse']:.4g} (95 %: {test['mse_95'][0]:.4g} to "
                     f"{test['mse_95'][1]:.4g}), mean absolute error {test['mae']:.4g}")  # fmt: skip
        lines += [f"{name:>12}: mean squared error {b['mse']:.4g}" for name, b in report["baselines"].items()]
    else:
        low, high = test["accuracy_95"]
        width = max(12, *map(len, test["classes"]))
        lines.append(f"{'':{width}} precision   recall       F1 examples   predicted {', '.join(test['classes'])}")
        for (label, row), counts in zip(test["classes"].items(), test["confusion"], strict=True):
            figures = f"{row['precision']:9.1%} {row['recall']:8.1%} {row['f1']:8.1%} {row['examples']:8,}"
            lines.append(f"{label:>{width}} {figures}   {' '.join(f'{count:6,}' for count in counts)}")
        macro = test["macro"]
        lines.append(f"{'macro':>{width}} {macro['precision']:9.1%} {macro['recall']:8.1%} {macro['f1']:8.1%}")
        lines.append(f"\ntest accuracy {test['accuracy']:.1%} (95 %: {low:.1%} to {high:.1%}); baselines: "
                     + ", ".join(f"{name} {b['accuracy']:.1%}" for name, b in report["baselines"].items()))  # fmt: skip
        if report["mistakes"]:
            lines.append("\nmost confident mistakes:")
        for mistake in report["mistakes"]:
            text = mistake["text"] if len(mistake["text"]) <= 90 else mistake["text"][:89] + "…"
            answer = f"{mistake['answer']} {mistake['probability']:.0%}"
            lines.append(f"  {answer:>16}, true label {mistake['label']:<10} {text}")
    lines.append(f"\n{report['verdict']}")
    return "\n".join(lines)
