"""What a model forgets while it learns something new, and what keeps it: the old stories are judged before and after.

    python -m benchmarks.forgetting
    python -m benchmarks.forgetting --methods full --lm-loss 0.5 --replay

out/tiny (`train.py tiny` makes it) tells stories. It is fine-tuned on reviews, with and without the language-model loss
on their text (`finetune.py --lm-loss`); the body of the classifier, with its tied embedding, is a language model again,
and tells stories again. It is also trained further on the reviews' text (`train.py --init`), alone or with old text
mixed in: replay, or rehearsal (Robins 1995, "Catastrophic Forgetting, Rehearsal and Pseudorehearsal"). The old text is
new stories of the same world, none of which is in the old validation split.

The stories begin with "Once upon a time": a model that has read reviews last would rather write a review, which says
nothing about whether it still can tell a story. The column "unasked" is the share of grammatical stories without an
opening.

Progress goes to stderr, the table to stdout, every number to results.json and forgetting.png in `--out`. If stopped,
the same command goes on.
"""

import contextlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro

from benchmarks.resuming import finetune_or_go_on, train_or_go_on
from benchmarks.roofline import table
from data.default import default_stories, make_default_data
from data.prepare import PrepareConfig, prepare
from data.world.samples import judge_stories, sample_stories
from data.world.writing import write_stories
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.atomic import sha256, write_text
from gpt.files.checkpoint import load_weights, read_model_folder
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.finetuning.finetune_config import DEFAULTS, FinetuneConfig, TrainName
from gpt.finetuning.labelled import find_split
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.processes import Processes
from gpt.running.run_folder import config_to_json
from gpt.running.train_config import PRESETS, TrainConfig
from gpt.running.validation import validation_loss

STORIES, TEMPERATURE = 200, 0.5
OPENING = "Once upon a time"
Measures = dict[str, float]  # of one model


@dataclass(frozen=True)
class ForgettingConfig:
    methods: tuple[TrainName, ...] = ("full", "lora", "head")
    """the ways to fine-tune, as finetune.py --train names them"""
    lm_loss: tuple[float, ...] = (0, 0.5)
    """weights of the language-model loss, each for every method"""
    replay: tuple[float, ...] = (0, 0.1)
    """shares of old text in the text that training goes on with"""
    steps: int = 200
    """steps of going on with it"""
    seed: int = 0
    """seed of training and of the stories told"""
    model: Path = Path("out/tiny")
    """the folder of a model of English stories"""
    data: Path = DEFAULTS["classification"][0]
    """labelled texts, as finetune.py takes them; the default ones are made on first use"""
    out: Path = Path("out/forgetting")
    """the folder for all runs, results.json and the picture; what is finished in it is not done again"""

    def __post_init__(self) -> None:
        if not all(0 <= share < 1 for share in self.replay) or self.steps < 1:
            raise UserError("--replay takes shares from 0 to less than 1, --steps at least 1")
        if any(name in ("adapter", "prefix") for name in self.methods):
            raise UserError(
                "--methods: adapter and prefix leave the old model as it is, so there is nothing to measure"
            )


def load_body(folder: Path) -> GPT:
    """The language model in a folder, or the one that a classifier's body is with its tied embedding."""
    config, weights = read_model_folder(folder)
    weights.pop("score.weight", None)
    model = GPT(config)
    load_weights(model, weights, folder)
    return model.eval()


def measure_old(folder: Path, old: TokensFolder, seed: int) -> Measures:
    """How well a model tells stories: of STORIES begun with OPENING, the shares that are grammatical, and also
    consistent; free: the share that is grammatical without an opening; nats per token of the old validation split."""
    model, tokenizer = load_body(folder), load_tokenizer(folder)
    machine = pick_machine("cpu", "float32", "off")
    speed_up(model, machine.device, machine.dtype)
    asked, free = (
        judge_stories(sample_stories(model, tokenizer, STORIES, TEMPERATURE, seed, opening), "en")
        for opening in (OPENING, "")
    )
    print(f"{folder}: {asked.story}\n[{asked.verdict}]\nwithout an opening: {free.story}", flush=True)
    return {
        "grammatical": asked.grammatical,
        "consistent": asked.grammatical * asked.consistent,
        "free": free.grammatical,
        "loss": loss_on(model, old),
    }


def loss_on(model: GPT, corpus: TokensFolder) -> float:
    """Nats per token of the validation split."""
    machine = pick_machine("cpu", "float32", "off")
    dataset = corpus.dataset(model.config.context_length, batch_size=32)
    return validation_loss(model, dataset, machine, Processes(rank=0, size=1, device=machine.device), 1)


def measure_start(config: ForgettingConfig, old: TokensFolder, new: TokensFolder) -> Measures:
    return measure_old(config.model, old, config.seed) | {"new_loss": loss_on(load_body(config.model), new)}


def measure_fine_tuned(config: FinetuneConfig, old: TokensFolder) -> Measures:
    """Run finetune.py, or what is left of a run, and measure what it has learned and what is left of the stories."""
    report = finetune_or_go_on(config)
    return {"accuracy": report["test"]["accuracy"]} | measure_old(config.out, old, config.seed)


def measure_trained_on(config: TrainConfig, old: TokensFolder, new: TokensFolder) -> Measures:
    """The same with train.py."""
    train_or_go_on(config)
    return measure_old(config.out, old, config.seed) | {"new_loss": loss_on(load_body(config.out), new)}


def mix(config: ForgettingConfig, share: float) -> Path:
    """The tokens folder of the reviews' text with this share of old text, made on first use. The reviews come first, so
    its validation split begins with the same reviews whatever is mixed in."""
    folder, reviews = config.out / f"text-{share:g}", find_split(config.data, "train")
    if reviews is None:
        raise UserError(f"{config.data} holds no train.csv or train.jsonl")
    if (folder / "meta.json").is_file():
        return folder
    files = [reviews]
    if share:
        old = config.out / f"old-{share:g}.jsonl"
        size = TokensFolder(mix(config, 0)).meta
        megabytes = (size["train_bytes"] + size["val_bytes"]) / 1e6 * share / (1 - share)
        write_stories(old, start=20_000_000, megabytes=megabytes)
        files.append(old)
    prepare(PrepareConfig(tuple(files), folder, tokenizer=config.model))
    return folder


def compare(config: ForgettingConfig, finetuning: FinetuneConfig, training: TrainConfig) -> str:
    """Do what is not done yet, write results.json and the picture; returns the table. finetuning and training hold the
    settings that `config` does not replace."""
    with contextlib.redirect_stdout(sys.stderr):
        make_default_data("classification", config.data)
        old = TokensFolder(default_stories(training.model.vocab_size))
        new = TokensFolder(mix(config, 0))
        about = {"model": sha256(config.model / "model.safetensors"), "seed": config.seed}
        results = {"before": remember(config.out / "before.json", about, measure_start, config, old, new)}
        for method in config.methods:
            for weight in config.lm_loss:
                settings = {"model": config.model, "data": config.data, "seed": config.seed}
                settings |= {"train": method, "lm_loss": weight, "out": config.out / f"{method}-{weight:g}"}
                run = replace(finetuning, **settings)
                name = f"fine-tuned, {method}" + (f", --lm-loss {weight:g}" if weight else "")
                path, about = Path(f"{run.out}.json"), config_to_json(run)
                results[name] = remember(path, about, measure_fine_tuned, run, old)
        for share in config.replay:
            settings = {"data": mix(config, share), "init": config.model, "seed": config.seed}
            settings |= {"max_steps": config.steps, "eval_every": config.steps, "out": config.out / f"on-{share:g}"}
            run = replace(training, **settings)
            path, about = Path(f"{run.out}.json"), config_to_json(run)
            results[f"--init, {share:.0%} old text"] = remember(path, about, measure_trained_on, run, old, new)
    floor = old.meta["entropy_bits_per_byte"] * math.log(2) * old.meta["val_bytes"] / old.meta["val_tokens"]
    about = {"torch": torch.__version__, "seed": config.seed, "floor": floor}
    write_text(config.out / "results.json", json.dumps(about | {"results": results}, indent=1) + "\n")
    plot_forgetting(results, floor, config.out / "forgetting.png")
    rows = [row_of(name, found) for name, found in results.items()]
    names = [
        "",
        "grammatical",
        "and consistent",
        "unasked",
        "loss on stories",
        "accuracy on reviews",
        "loss on reviews",
    ]
    return f"{table(names, rows)}\n\nlosses in nats/token; the stories' own entropy is {floor:.3f}"


def remember(path: Path, settings: dict, measure: Callable[..., Measures], *given: Any) -> Measures:
    """What was measured; read from its file if it is there. Raises UserError if that is of other settings."""
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] != settings:
            raise UserError(f"{path} is of a run with other settings: choose another --out")
        return found["measures"]
    print(f"\n=== {path.stem}", flush=True)
    measures = measure(*given)
    write_text(path, json.dumps({"settings": settings, "measures": measures}, indent=1) + "\n")
    return measures


def row_of(name: str, found: Measures) -> list[str]:
    forms = {
        "grammatical": ".1%",
        "consistent": ".1%",
        "free": ".1%",
        "loss": ".3f",
        "accuracy": ".1%",
        "new_loss": ".3f",
    }
    return [name, *(format(found[key], form) if key in found else "" for key, form in forms.items())]


def plot_forgetting(results: dict[str, Measures], floor: float, path: Path) -> None:
    """Bars for each model: the shares of stories, and the loss on them against the floor."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 0.5 * len(results) + 1.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = range(len(results))
    shares = [[100 * found[key] for found in results.values()] for key in ("grammatical", "consistent")]
    left.barh([place - 0.2 for place in places], shares[0], 0.38, color="#9db7d5", label="grammatical")
    left.barh([place + 0.2 for place in places], shares[1], 0.38, color="#1f4e8c", label="and consistent")
    left.set_yticks(places, list(results))
    left.invert_yaxis()
    left.set(xlabel=f"% of {STORIES} stories begun with '{OPENING}'", xlim=(0, 100), title="Right stories")
    figure.legend(*left.get_legend_handles_labels(), fontsize=9, loc="outside lower left", ncols=2)
    right.barh(places, [found["loss"] for found in results.values()], 0.6, color="#9db7d5")
    for place, found in zip(places, results.values(), strict=True):
        right.text(found["loss"], place, f" {found['loss']:.2f}", va="center", fontsize=9)
    right.axvline(floor, color="#b5442e", linestyle="--", linewidth=1.2)
    right.set(xlabel=f"nats/token (dashed: their entropy, {floor:.2f})", title="Loss on the stories")
    right.margins(x=0.15)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(ForgettingConfig, description=__doc__))
    print(compare(config, FinetuneConfig(evaluations=4), PRESETS["tiny"][1]))


if __name__ == "__main__":
    run_main(main)
