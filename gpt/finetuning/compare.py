"""Measure the value of pretraining: fine-tune again from random weights, and both ways with fewer labels."""

import dataclasses
from collections.abc import Callable

from gpt.finetuning.finetune_config import FinetuneConfig

NAMES = ("pretrained", "from_scratch", "tfidf")
Runs = dict[int | None, dict[str, FinetuneConfig]]


def further_runs(config: FinetuneConfig) -> Runs:
    """The runs to compare with the first run: number of labels -> "pretrained" or "from_scratch" -> settings.

    The key None means all labels of the first run. It has no "pretrained" entry, because that is the first run itself.
    """
    runs: Runs = {}
    for count in (*sorted(config.label_counts), None) if config.compare or config.label_counts else ():
        runs[count] = {}
        for name in ("from_scratch",) if count is None else ("pretrained", "from_scratch"):
            out = config.out / (name if count is None else f"{name}-{count}")
            changes = {"out": out, "labels": count or config.labels, "from_scratch": name == "from_scratch"}
            changes |= {"resume": config.resume and (out / "resume.pt").is_file()}
            runs[count][name] = dataclasses.replace(config, compare=False, label_counts=(), **changes)
    return runs


def compare_with_scratch(
    config: FinetuneConfig, report: dict, finetune: Callable[[FinetuneConfig], dict | None]
) -> dict | None:
    """Run `finetune` again from random weights, and with fewer labels from pretrained and from random weights. Returns
    None if a run is interrupted.

    Returns the first run's report with more in it: "from_scratch", and with --label-counts "label_counts", one row per
    count.
    """
    from gpt.finetuning.report import save_report  # here, because scikit-learn and matplotlib take seconds to import
    from gpt.finetuning.report_plots import plot_label_curve

    rows, reports = [], {}
    score = "r2" if config.task == "regression" else "accuracy"
    for count, runs in further_runs(config).items():
        reports = {"pretrained": report} if count is None else {}
        for name, run in runs.items():
            print(f"\n--- {name.replace('_', ' ')}, {count or report['examples']['train']:,} labels", flush=True)
            outcome = finetune(run)
            if outcome is None:
                return None
            reports[name] = outcome
        row = {"labels": reports["pretrained"]["examples"]["train"]}
        row |= {name: result["test"][score] for name, result in reports.items()}
        tfidf = reports["pretrained"]["baselines"].get("tfidf", {})  # missing if no training text holds a word
        rows.append(row | {"tfidf": tfidf.get(score)})
    report["from_scratch"] = reports["from_scratch"]["test"]
    print(f"\n{'labels':>8} {'pretrained':>11} {'from scratch':>13} {'tf-idf':>8}   (test {score})")
    for row in rows:
        scores = [("n/a" if row[name] is None else f"{row[name]:.3f}") for name in NAMES]
        print(f"{row['labels']:8,} {scores[0]:>11} {scores[1]:>13} {scores[2]:>8}")
    if config.label_counts:
        report["label_counts"] = rows
        plot_label_curve(rows, score, config.out / "labels.png")
    save_report(config.out, report)
    return report
