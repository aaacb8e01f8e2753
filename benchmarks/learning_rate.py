"""Which learning rate? Short runs of train.py and finetune.py at rates from far too low to far too high.

    python -m benchmarks.learning_rate
    python -m benchmarks.learning_rate --steps 300 --seed 1

Pretraining: `train.py tiny` with few steps and each optimizer. Muon's rate is that of the blocks' matrices; AdamW moves
the rest at its default rate. Fine-tuning: `finetune.py` on toy reviews with few labels, all weights from out/tiny
(`train.py tiny` makes it); the head has 2.5 times the rate, as by default, with SGD the same. A run diverged if it was
stopped because a loss was no longer a number, or if it ended well above the loss of a model that knows nothing.

Progress goes to stderr, the table to stdout, every number to results.json and learning_rate.png in `--out`. If stopped,
the same command goes on. `python look.py runs` draws the curves of any of the runs.
"""

import contextlib
import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from benchmarks.resuming import STOPPED, go_on
from benchmarks.roofline import table
from data.default import default_stories, make_default_data
from finetune import finetune
from gpt.errors import UserError
from gpt.files.atomic import write_text
from gpt.files.tokens_folder import TokensFolder
from gpt.finetuning.finetune_config import DEFAULTS, FinetuneConfig
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.run_folder import config_to_json, read_metrics, with_defaults
from gpt.running.train_config import PRESETS, TrainConfig
from train import train

TUTORIALS = 1e-5  # the rate that tutorials on fine-tuning print, whatever the model
RATES = {  # (script, optimizer) -> rates, the tutorials' first
    ("train", "sgd"): (TUTORIALS, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0),
    ("train", "adamw"): (TUTORIALS, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 1.0),
    ("train", "muon"): (TUTORIALS, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 3.0),
    ("finetune", "adamw"): (TUTORIALS, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03),
    ("finetune", "sgd"): (TUTORIALS, 0.01, 0.03, 0.1, 0.3, 1.0),
}
FLAGS = {"sgd": "sgd_learning_rate", "adamw": "learning_rate", "muon": "muon_learning_rate"}
COLOURS = {"sgd": "#D55E00", "adamw": "#0072B2", "muon": "#009E73"}
NAMES = {"sgd": "SGD", "adamw": "AdamW", "muon": "Muon"}
HEADS = 2.5  # the head's rate over the rate of the rest, in finetune.py's defaults
Measures = dict[str, Any]  # of one run


@dataclass(frozen=True)
class LearningRateConfig:
    scripts: tuple[Literal["train", "finetune"], ...] = ("train", "finetune")
    """what to sweep"""
    steps: int = 100
    """updates of each pretraining"""
    finetuning_steps: int = 500
    """updates of each fine-tuning"""
    labels: int = 1000
    """labels of each fine-tuning"""
    seed: int = 0
    """seed of every run"""
    data: Path | None = None
    """the tokens folder to pretrain on; the default data, stories of the toy world, are made on first use"""
    model: Path = Path("out/tiny")
    """the folder of the pretrained model to fine-tune"""
    reviews: Path = DEFAULTS["classification"][0]
    """labelled texts, as finetune.py takes them; the default ones are made on first use"""
    out: Path = Path("out/learning_rate")
    """the folder for all runs, results.json and the picture; what is finished in it is not done again"""

    def __post_init__(self) -> None:
        if not self.scripts:
            raise UserError("--scripts must name train, finetune or both")
        for name in ("steps", "finetuning_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")


def run(config: TrainConfig | FinetuneConfig, nothing: float) -> Measures:
    """Train once and measure; or read this from the file beside the run's folder. nothing: the loss of a model that
    knows nothing, in nats. Raises UserError as the scripts do, or if that run had other settings."""
    path, settings = Path(f"{config.out}.json"), config_to_json(config)
    if path.is_file():
        measures = json.loads(path.read_text(encoding="utf-8"))
        if with_defaults(measures["settings"], config) != settings:
            raise UserError(f"{path} is of a run with other settings: choose another --out")
        return measures
    report, stopped_because = None, None
    try:
        if isinstance(config, TrainConfig):
            train(replace(config, **go_on(config.out)))
        else:
            report = finetune(replace(config, **go_on(config.out)))
    except UserError as error:
        if "lower learning rate" not in str(error):  # the advice of gpt/optim.py for a loss that is no number
            raise
        stopped_because = str(error).split(":")[0]
    rows = read_metrics(config.out)
    losses = [row["val_loss"] for row in rows if "val_loss" in row]
    last_file = "loss.png" if isinstance(config, TrainConfig) else "report.json"
    if not stopped_because and not (config.out / last_file).is_file():
        sys.exit(STOPPED)
    measures = {
        "settings": settings,
        "stopped_because": stopped_because,
        "diverged": stopped_because is not None or losses[-1] > 1.1 * nothing,
        "val_loss": losses[-1] if losses and not stopped_because else None,
        "val_accuracy": max((row["val_accuracy"] for row in rows if "val_accuracy" in row), default=None),
        "test_accuracy": report["test"]["accuracy"] if report else None,
        "curve": [(row["step"], row["train_loss"]) for row in rows if "train_loss" in row],
    }
    write_text(path, json.dumps(measures, indent=1) + "\n")
    return measures


def sweep(config: LearningRateConfig, training: TrainConfig, finetuning: FinetuneConfig) -> str:
    """Do what is not done yet, and write results.json and the picture. Returns the tables. training and finetuning hold
    the settings that `config` does not replace."""
    results: dict[str, dict[str, dict[float, Measures]]] = {}  # script -> optimizer -> rate -> measures
    with contextlib.redirect_stdout(sys.stderr):
        corpus = TokensFolder(config.data or default_stories(training.model.vocab_size))
        if "finetune" in config.scripts:
            make_default_data("classification", config.reviews)
        training = replace(training, data=corpus.folder, max_steps=config.steps, eval_every=config.steps)
        finetuning = replace(
            finetuning, model=config.model, data=config.reviews, labels=config.labels,
            min_steps=config.finetuning_steps, epochs=0.1,
        )  # fmt: skip
        for (script, optimizer), rates in RATES.items():
            for rate in rates if script in config.scripts else ():
                print(f"\n=== {script}.py, {NAMES[optimizer]}, rate {rate:g}", flush=True)
                changes = {"optimizer": optimizer, FLAGS[optimizer]: rate, "seed": config.seed}
                changes |= {"out": config.out / f"{script}-{optimizer}-{rate:g}"}
                if script == "train":
                    measures = run(replace(training, **changes), nothing=math.log(corpus.vocab_size))
                else:
                    changes |= {"head_learning_rate": HEADS * rate}  # not asked for by SGD
                    measures = run(replace(finetuning, **changes), nothing=math.inf)  # an accuracy tells it
                results.setdefault(script, {}).setdefault(optimizer, {})[rate] = measures
    about = {"machine": str(pick_machine(training.device)), "torch": torch.__version__, "seed": config.seed}
    write_text(config.out / "results.json", json.dumps(about | {"results": results}, indent=1) + "\n")
    plot_rates(results, config.out / "learning_rate.png")
    head = ["script", "optimizer", "rate", "validation loss", "validation accuracy", "test accuracy"]
    lines = [
        [f"{script}.py", NAMES[optimizer], f"{rate:g}", *cells(measures)]
        for script, of_script in results.items()
        for optimizer, of_optimizer in of_script.items()
        for rate, measures in of_optimizer.items()
    ]
    return table(head, lines)


def cells(measures: Measures) -> list[str]:
    """The figures of a line of the table."""
    loss = "diverged" if measures["val_loss"] is None else f"{measures['val_loss']:.3f}"
    if measures["diverged"] and measures["val_loss"] is not None:
        loss += " (diverged)"
    accuracies = [measures[name] for name in ("val_accuracy", "test_accuracy")]
    return [loss, *("" if accuracy is None else f"{accuracy:.1%}" for accuracy in accuracies)]


def best_rate(of_optimizer: dict[float, Measures]) -> float | None:
    """The rate with the lowest validation loss among runs that did not diverge; None if all did."""
    sound = {rate: measures["val_loss"] for rate, measures in of_optimizer.items() if not measures["diverged"]}
    return min(sound, key=sound.__getitem__, default=None)


def plot_rates(results: dict[str, dict[str, dict[float, Measures]]], path: Path) -> None:
    """Of pretraining: loss against rate, and the training curves at each optimizer's best rate. Of fine-tuning:
    accuracy against rate. A cross at the edge is a run that diverged."""
    from matplotlib.figure import Figure

    kinds = [*(["train", "curves"] if "train" in results else []), *(["finetune"] if "finetune" in results else [])]
    figure = Figure(figsize=(4.5 * len(kinds), 4.2), layout="constrained")
    panels = dict(zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True))
    for script, of_script in results.items():
        axes, measure = panels[script], "val_loss" if script == "train" else "val_accuracy"
        edge = axes.get_xaxis_transform()  # x in rates, y from 0 to 1
        for optimizer, of_optimizer in of_script.items():
            sound = {rate: measures[measure] for rate, measures in of_optimizer.items() if not measures["diverged"]}
            axes.plot(sound.keys(), sound.values(), "o-", color=COLOURS[optimizer], label=NAMES[optimizer])
            lost = [rate for rate in of_optimizer if rate not in sound]
            height = 0.97 if script == "train" else 0.03
            axes.plot(lost, [height] * len(lost), "x", ms=9, mew=2, color=COLOURS[optimizer], transform=edge)
        axes.axvline(TUTORIALS, color="#888888", linestyle="--")
        axes.text(1.2 * TUTORIALS, 0.45, "the tutorials' 1e-5", rotation=90, transform=edge, color="#555555")
        axes.set(xscale="log", xlabel="peak learning rate (× diverged)")
    for optimizer, of_optimizer in results.get("train", {}).items():
        if (rate := best_rate(of_optimizer)) is None:
            continue
        steps, losses = zip(*of_optimizer[rate]["curve"], strict=True)
        label = f"{NAMES[optimizer]}, {rate:g}"
        panels["curves"].plot(steps, losses, color=COLOURS[optimizer], linewidth=2, label=label)
    words = {
        "train": {"ylabel": "validation loss, nats a token", "title": "train.py tiny"},
        "curves": {"ylabel": "training loss, nats a token", "title": "at each one's best rate", "xlabel": "step"},
        "finetune": {"ylabel": "validation accuracy", "title": "finetune.py on toy reviews"},
    }
    for kind, axes in panels.items():
        axes.set(**words[kind])
        axes.legend(frameon=False)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(LearningRateConfig, description=__doc__))
    training = replace(PRESETS["tiny"][1], log_every=5)
    print(sweep(config, training, FinetuneConfig(evaluations=2)))


if __name__ == "__main__":
    run_main(main)
