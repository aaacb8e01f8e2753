"""Over-fitting, made and cured: few labels, many passes over them, and what each cure does.

    python -m benchmarks.overfitting
    python -m benchmarks.overfitting --cures dropout pseudo-labels --seeds 0 --labels 1000 --steps 300

All runs fine-tune out/tiny (`train.py tiny` makes it) with the same few labels for the same number of steps; "nothing"
has no dropout and no weight decay, and each cure changes one thing. `early stopping` is no run of its own: it is
"nothing" where its validation loss was lowest. `pseudo-labels` adds the other training texts, without their labels, as
far as "nothing" labels them with --min-confidence or more. `more labels` is what all cures are measured against.

"loss" is the validation loss, at the end and at its lowest. "accuracy" is that on the test split of the weights that
finetune.py keeps, those with the best validation accuracy: so every run stops early in this sense. The training loss is
that of the steps themselves, with dropout and what else is drawn.

Progress goes to stderr, the table to stdout, every number to results.json and overfitting.png in `--out`. If stopped,
the same command goes on: what is finished is read, an unfinished run is resumed.
"""

import contextlib
import dataclasses
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.adapting import run
from benchmarks.roofline import table
from data.augment import AugmentConfig, augment
from data.default import make_default_data
from gpt.errors import UserError
from gpt.files.atomic import write_text
from gpt.finetuning.finetune_config import DEFAULTS, FinetuneConfig
from gpt.finetuning.labelled import read_examples, read_splits
from gpt.finetuning.labelling import label_texts
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.run_folder import read_metrics

NOTHING = {"dropout": 0.0, "weight_decay": 0.0}
CURES: dict[str, dict[str, Any]] = {  # settings of FinetuneConfig that each one changes
    "nothing": {},
    "dropout": {"dropout": 0.3},
    "word dropout": {"word_dropout": 0.3},
    "weight decay": {"weight_decay": 3.0},
    "L2": {"l2": 0.03},
    "FGM": {"adversarial": 0.2},
    "synonyms": {},
    "retold": {},
    "pseudo-labels": {},
    "more labels": {},
}
Measures = dict[str, Any]  # of one run: adapting.py's, and its curve


@dataclass(frozen=True)
class OverfittingConfig:
    cures: tuple[str, ...] = tuple(CURES)
    """what to do against over-fitting; "nothing" is always run"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """seeds of fine-tuning; labels and augmented texts are the same"""
    labels: int = 125
    """number of labels to learn from"""
    more_labels: int = 1000
    """number of labels of "more labels\""""
    steps: int = 100
    """updates of each run"""
    copies: int = 8
    """new texts for each labelled one, by synonyms and retold"""
    min_confidence: float = 0.95
    """probability from which a pseudo-label counts"""
    model: Path = Path("out/tiny")
    """the folder of the pretrained model"""
    data: Path = DEFAULTS["classification"][0]
    """reviews of the toy world; the default ones are made on first use"""
    out: Path = Path("out/overfitting")
    """the folder for all runs, results.json and the picture; what is finished in it is not done again"""

    def __post_init__(self) -> None:
        if unknown := [cure for cure in self.cures if cure not in CURES]:
            raise UserError(f"--cures has {unknown[0]!r}: it must be some of {', '.join(CURES)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError("--seeds must name one or more, none of them twice")


def compare_cures(config: OverfittingConfig, finetuning: FinetuneConfig) -> str:
    """Do what is not done yet, and write results.json and the picture. Returns the table. finetuning holds the settings
    that no cure replaces."""
    with contextlib.redirect_stdout(sys.stderr):
        make_default_data("classification", config.data)
    results: dict[str, list[Measures]] = {}  # cure -> one for each seed
    for cure in dict.fromkeys(("nothing", *config.cures)):
        for seed in config.seeds:
            print(f"\n=== {cure}, seed {seed}", file=sys.stderr, flush=True)
            settings = {"model": config.model, "min_steps": config.steps, "epochs": 0.001, "seed": seed} | NOTHING
            settings |= {"patience": finetuning.evaluations, "labels": None, "out": folder_of(config, cure, seed)}
            settings |= CURES[cure] | data_of(config, cure, seed)
            fine_tuning = dataclasses.replace(finetuning, **settings)
            measures = run(fine_tuning) | {"curve": read_metrics(fine_tuning.out)}
            report = json.loads((fine_tuning.out / "report.json").read_text(encoding="utf-8"))
            measures |= {"texts": report["examples"]["train"], "majority": report["baselines"]["majority"]["accuracy"]}
            results.setdefault(cure, []).append(measures)
    about = {"machine": str(pick_machine(finetuning.device)), "seeds": config.seeds, "labels": config.labels}
    write_text(config.out / "results.json", json.dumps(about | {"results": results}, indent=1) + "\n")
    plot_overfitting(results, config, config.out / "overfitting.png")
    head = ["cure", "texts", "training loss, end", "loss, end", "loss, lowest", "at step", "accuracy"]
    return table(head, [row_of(cure, runs) for cure, runs in results.items()])


def folder_of(config: OverfittingConfig, cure: str, seed: int) -> Path:
    return config.out / f"{cure.replace(' ', '-').lower()}-{seed}"


def data_of(config: OverfittingConfig, cure: str, seed: int) -> dict[str, Any]:
    """The data and number of labels of a run. New data are made on first use; their name tells the settings on which
    they depend, beside those of "nothing"."""
    if cure not in ("synonyms", "retold", "pseudo-labels"):
        return {"data": config.data, "labels": config.more_labels if cure == "more labels" else config.labels}
    kind = f"{config.min_confidence:g}-{seed}" if cure == "pseudo-labels" else str(config.copies)
    folder = config.out / "data" / f"{cure}-{kind}"
    if not (folder / "train.csv").is_file():
        making = AugmentConfig(config.data, folder, "synonyms", config.copies, config.labels, overwrite=True)
        if cure == "retold":
            making = dataclasses.replace(making, how="retell")
        if cure == "pseudo-labels":
            making = dataclasses.replace(making, how="add", file=pseudo_labels(config, seed))
        augment(making)
    return {"data": folder}


def pseudo_labels(config: OverfittingConfig, seed: int) -> Path:
    """A file of the training texts that "nothing" labels with confidence; their own labels are not used."""
    path = config.out / "data" / f"sure-{config.min_confidence:g}-{seed}.jsonl"
    texts = [example.text for example in read_splits(config.data, 0, read_examples, stratify=True)["train"]]
    labels, answers = label_texts((folder_of(config, "nothing", seed),), texts, pick_machine("auto"))
    rows = [
        {"text": text, "label": labels[int(answer.argmax())]}
        for text, answer in zip(texts, answers, strict=True)
        if answer.max() >= config.min_confidence
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def lowest(curve: list[dict[str, float]]) -> dict[str, float]:
    """The evaluation with the lowest validation loss."""
    return min(curve, key=lambda row: row["val_loss"])


def row_of(cure: str, runs: list[Measures]) -> list[str]:
    """A line of the table: means over the seeds, and the range of the accuracy."""
    accuracies = [found["accuracy"] for found in runs]
    span = f" ({min(accuracies):.1%} to {max(accuracies):.1%})" if len(runs) > 1 else ""
    means = [
        statistics.fmean(found["curve"][-1]["train_loss"] for found in runs),
        statistics.fmean(found["curve"][-1]["val_loss"] for found in runs),
        statistics.fmean(lowest(found["curve"])["val_loss"] for found in runs),
    ]
    step = statistics.fmean(lowest(found["curve"])["step"] for found in runs)
    texts = f"{statistics.fmean(found['texts'] for found in runs):,.0f}"
    return [cure, texts, *(f"{mean:.3f}" for mean in means), f"{step:.0f}", f"{statistics.fmean(accuracies):.1%}{span}"]


def plot_overfitting(results: dict[str, list[Measures]], config: OverfittingConfig, path: Path) -> None:
    """Left: training and validation loss part. Middle: the validation loss with each cure. Right: test accuracy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    curve = results["nothing"][0]["curve"]
    steps, best = [row["step"] for row in curve], lowest(curve)
    left.plot(steps, [row["train_loss"] for row in curve], label="training")
    left.plot(steps, [row["val_loss"] for row in curve], label="validation")
    left.plot(best["step"], best["val_loss"], "o", ms=10, mfc="none", color="black", label="early stopping: here")
    left.set(title=f"over-fitting: {config.labels} labels, no cure", ylabel="loss (nats)")
    colours = {cure: f"C{i % 10}" for i, cure in enumerate(results)}
    for cure, runs in results.items():
        rows = runs[0]["curve"]
        middle.plot([r["step"] for r in rows], [r["val_loss"] for r in rows], color=colours[cure],
                    linewidth=2.5 if cure == "nothing" else 1.5)  # fmt: skip
    left.legend(fontsize=9)
    middle.set(title="with each cure (colors: right)", ylabel="validation loss (nats)")
    for panel in (left, middle):
        panel.set_xlabel("step")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    for place, (cure, runs) in enumerate(results.items()):
        values = [found["accuracy"] for found in runs]
        mean = statistics.fmean(values)
        right.barh(place, mean, color=colours[cure], xerr=[[mean - min(values)], [max(values) - mean]], capsize=3)
        right.annotate(f"{mean:.1%}", (0.01, place), va="center", color="white", fontweight="bold")
    right.set_yticks(range(len(results)), list(results))
    right.invert_yaxis()
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.axvline(results["nothing"][0]["majority"], color="black", linestyle=":", linewidth=1)
    right.set(
        xlabel="test accuracy (dotted: always the commonest label)",
        title=f"the weights kept (mean of {len(config.seeds)}, bars: range)",
    )
    figure.savefig(path, dpi=100)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(OverfittingConfig, description=__doc__))
    print(compare_cures(config, FinetuneConfig(evaluations=10)))


if __name__ == "__main__":
    run_main(main)
