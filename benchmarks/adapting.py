"""Every way to adapt a model, side by side: what each trains, what it costs, what it learns from how many labels.

    python -m benchmarks.adapting
    python -m benchmarks.adapting --methods full lora prefix --seeds 0 --label-counts 250

All start from out/tiny (`train.py tiny` makes it). A method with few weights wants a higher learning rate than one with
many. So each is run with all labels at every one of `--rates`, and keeps the rate with the best validation accuracy
(mean over the seeds); the test split has no say in it. Each run is a process of its own, whose largest memory is the
"peak": all of it, Python and PyTorch included, or on CUDA that of the GPU. Seconds a step do not count evaluations.

Progress goes to stderr, the table to stdout, every number to results.json and adapting.png in `--out`. If stopped, the
same command goes on: what is finished is read, an unfinished run is resumed.
"""

import contextlib
import dataclasses
import functools
import json
import multiprocessing
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
import tyro

from benchmarks.memory import peak_memory
from benchmarks.resuming import STOPPED, go_on
from benchmarks.roofline import table
from data.default import make_default_data
from gpt.errors import UserError
from gpt.files.atomic import write_text
from gpt.files.checkpoint import load_resume
from gpt.finetuning.finetune_config import DEFAULTS, FinetuneConfig, TrainName
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine
from gpt.running.run_folder import config_to_json, read_metrics

ALL = 0  # stands for all labels
KEPT = ("bias", "lora", "adalora")  # what could be merged is saved apart, to weigh what was trained
Measures = dict[str, Any]  # of one run
HEAD = ["method", "weights trained", "share", "seconds a step", "peak MB", "KB on disk", "rate"]


@dataclass(frozen=True)
class AdaptingConfig:
    methods: tuple[TrainName, ...] = get_args(TrainName)
    """the ways to adapt, as finetune.py --train names them"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """seeds of fine-tuning; the data are the same"""
    label_counts: tuple[int, ...] = (250, 1000)
    """numbers of labels to learn from, beside all of them"""
    rates: tuple[float, ...] = (2e-3, 1e-2)
    """learning rates to choose from, for each method"""
    model: Path = Path("out/tiny")
    """the folder of the pretrained model"""
    data: Path = DEFAULTS["classification"][0]
    """labelled texts, as finetune.py takes them; the default ones are made on first use"""
    out: Path = Path("out/adapting")
    """the folder for all runs, results.json and the picture; what is finished in it is not done again"""

    def __post_init__(self) -> None:
        for name in ("methods", "seeds", "rates"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise UserError(f"--{name} must name one or more, none of them twice")
        if min(self.label_counts, default=2) < 2 or len(set(self.label_counts)) < len(self.label_counts):
            raise UserError("--label-counts must be different numbers, of at least 2")


def fine_tune_alone(config: FinetuneConfig, results: Any) -> None:
    """In a process of its own: run finetune.py, or what is left of a run, and send back what was measured."""
    from finetune import finetune

    try:
        with contextlib.redirect_stdout(sys.stderr):
            report = finetune(config)
        peak = peak_memory(pick_machine(config.device).device) or 0  # 0 on Windows
        results.put(report and report | {"peak_bytes": peak})
    except UserError as error:
        results.put(str(error))


def run(config: FinetuneConfig) -> Measures:
    """Fine-tune once and measure; or read this from the file beside the run's folder. Raises UserError as finetune
    does, or if that run had other settings."""
    path, settings = Path(f"{config.out}.json"), config_to_json(config)
    if path.is_file():
        measures = json.loads(path.read_text(encoding="utf-8"))
        if measures["settings"] != settings:
            raise UserError(f"{path} is of a run with other settings: choose another --out")
        return measures
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=fine_tune_alone, args=(dataclasses.replace(config, **go_on(config.out)), results))
    process.start()
    report = get_result(process, results)
    if isinstance(report, str):
        raise UserError(report)
    if report is None:
        sys.exit(STOPPED)
    rows, state = read_metrics(config.out), load_resume(config.out / "resume.pt")
    files = [p for name in ("model", "adapter_model") if (p := config.out / f"{name}.safetensors").is_file()]
    measures = {
        "settings": settings,
        "trained": report["trained_weights"],
        "share": report["trained_share"],
        "seconds_per_step": state["seconds"] / state["step"],
        "peak_bytes": report["peak_bytes"],
        "bytes_on_disk": sum(file.stat().st_size for file in files),
        "val_accuracy": max(row["val_accuracy"] for row in rows),
        "accuracy": report["test"]["accuracy"],
    }
    write_text(path, json.dumps(measures, indent=1) + "\n")
    return measures


def get_result(process: Any, results: Any) -> Any:
    """What the process sends; None if it ended without."""
    while process.is_alive() and results.empty():
        process.join(0.1)
    result = None if results.empty() else results.get()
    process.join()
    return result


def compare(config: AdaptingConfig, finetuning: FinetuneConfig) -> str:
    """Do what is not done yet, and write results.json and the picture. Returns the table. finetuning holds the settings
    that `config` does not replace."""
    with contextlib.redirect_stdout(sys.stderr):
        make_default_data("classification", config.data)
    results: dict[str, dict[int, list[Measures]]] = {}  # method -> labels -> one for each seed
    for method in config.methods:
        measure = functools.partial(measure_seeds, config, finetuning, method)
        with_all = {rate: measure(rate, ALL) for rate in config.rates}
        best = max(with_all, key=lambda rate: mean(with_all[rate], "val_accuracy"))
        results[method] = {count: measure(best, count) for count in sorted(config.label_counts)}
        results[method][ALL] = with_all[best]
    about = {"machine": str(pick_machine(finetuning.device)), "torch": torch.__version__, "seeds": config.seeds}
    write_text(config.out / "results.json", json.dumps(about | {"results": results}, indent=1) + "\n")
    plot_adapting(results, config.out / "adapting.png")
    names = [*HEAD, *(f"accuracy, {count or 'all'} labels" for count in (*sorted(config.label_counts), ALL))]
    return table(names, [row_of(method, of_method) for method, of_method in results.items()])


def measure_seeds(
    config: AdaptingConfig, finetuning: FinetuneConfig, method: TrainName, rate: float, count: int
) -> list[Measures]:
    """One run for each seed."""
    runs = []
    for seed in config.seeds:
        print(f"\n=== {method}, rate {rate:g}, {count or 'all'} labels, seed {seed}", file=sys.stderr, flush=True)
        settings = {"model": config.model, "data": config.data, "train": method, "seed": seed}
        settings |= {"learning_rate": rate, "labels": count or None, "keep_adapter": method in KEPT}
        out = config.out / f"{method}-{rate:g}-{count or 'all'}-{seed}"
        runs.append(run(dataclasses.replace(finetuning, **settings, out=out)))
    return runs


def mean(runs: list[Measures], name: str) -> float:
    return statistics.fmean(run[name] for run in runs)


def row_of(method: str, results: dict[int, list[Measures]]) -> list[str]:
    """A line of the table; what does not depend on the labels is measured with all of them."""
    runs = results[ALL]
    cells = [method, f"{runs[0]['trained']:,}", f"{runs[0]['share']:.2%}"]
    cells += [f"{statistics.median(r['seconds_per_step'] for r in runs):.4f}"]
    cells += [f"{mean(runs, 'peak_bytes') / 1e6:,.0f}", f"{mean(runs, 'bytes_on_disk') / 1e3:,.0f}"]
    cells += [f"{runs[0]['settings']['learning_rate']:g}"]
    for of_count in results.values():
        values = [r["accuracy"] for r in of_count]
        span = f" ({min(values):.1%} to {max(values):.1%})" if len(values) > 1 else ""
        cells += [f"{mean(of_count, 'accuracy'):.1%}{span}"]
    return cells


def plot_adapting(results: dict[str, dict[int, list[Measures]]], path: Path) -> None:
    """Accuracy against the weights trained, a panel for each number of labels; bars reach from the worst seed to the
    best."""
    from matplotlib.figure import Figure

    counts = list(next(iter(results.values())))
    figure = Figure(figsize=(4.2 * len(counts), 4), layout="constrained")
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for panel, count in zip(panels, counts, strict=True):
        for method, of_method in results.items():
            runs = of_method[count]
            middle, values = mean(runs, "accuracy"), [r["accuracy"] for r in runs]
            spread = [[middle - min(values)], [max(values) - middle]]
            panel.errorbar(runs[0]["trained"], middle, yerr=spread, fmt="o", capsize=3, label=method)
        panel.set(xscale="log", xlabel="weights trained", title=f"{count or 'all'} labels")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy")
    panels[-1].legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(AdaptingConfig, description=__doc__))
    print(compare(config, FinetuneConfig(patience=10)))  # as many as there are evaluations: no run ends early


if __name__ == "__main__":
    run_main(main)
