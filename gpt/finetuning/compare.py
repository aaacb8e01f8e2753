"""What pretraining is worth: the same fine-tuning from random weights, and with fewer labels from both."""

import dataclasses
from collections.abc import Callable

from gpt.finetuning.finetune_config import FinetuneConfig

Runs = dict[int | None, dict[str, FinetuneConfig]]


def further_runs(config: FinetuneConfig) -> Runs:
    """What is compared with the first run: number of labels -> "pretrained" and "from_scratch" -> settings. The number
    None stands for all that the first run has: there, it is itself the pretrained one."""
    runs: Runs = {}
    for count in (*sorted(config.label_counts), None) if config.compare or config.label_counts else ():
        runs[count] = {}
        for name in ("from_scratch",) if count is None else ("pretrained", "from_scratch"):
            out = config.out / (name if count is None else f"{name}-{count}")
            again = {"out": out, "labels": count or config.labels, "from_scratch": name == "from_scratch"}
            again |= {"resume": config.resume and (out / "resume.pt").is_file()}
            runs[count][name] = dataclasses.replace(config, compare=False, label_counts=(), **again)
    return runs


def compare_with_scratch(
    config: FinetuneConfig, report: dict, finetune: Callable[[FinetuneConfig], dict | None]
) -> None:
    """Run `finetune` again from random weights, and with fewer labels from both, so that what pretraining bought is a
    number. Ends early where a run is interrupted.

    Adds to the report of the first run: "from_scratch", and with --label-counts "label_counts", a row for each.
    """
    from gpt.finetuning.report import save_report  # here, because scikit-learn and matplotlib take seconds to import
    from gpt.finetuning.report_plots import plot_label_curve

    rows, found = [], {}
    score = "r2" if config.task == "regression" else "accuracy"
    for count, runs in further_runs(config).items():
        found = {"pretrained": report} if count is None else {}
        for name, run in runs.items():
            print(f"\n--- {name.replace('_', ' ')}, {count or report['examples']['train']:,} labels", flush=True)
            outcome = finetune(run)
            if outcome is None:
                return
            found[name] = outcome
        row = {"labels": found["pretrained"]["examples"]["train"]}
        row |= {name: one["test"][score] for name, one in found.items()}
        rows.append(row | {"tfidf": found["pretrained"]["baselines"]["tfidf"][score]})
    report["from_scratch"] = found["from_scratch"]["test"]
    print(f"\n{'labels':>8} {'pretrained':>11} {'from scratch':>13} {'tf-idf':>8}   (test {score})")
    for row in rows:
        print(f"{row['labels']:8,} {row['pretrained']:11.3f} {row['from_scratch']:13.3f} {row['tfidf']:8.3f}")
    if config.label_counts:
        report["label_counts"] = rows
        plot_label_curve(rows, score, config.out / "labels.png")
    save_report(config.out, report)
