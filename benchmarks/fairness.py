"""A bias that is known, because it was planted: does the probe measure it, and does balanced text take it away?

    python -m benchmarks.fairness

In stories made with `python -m data.world stories --planted-bias 90`, the job that a child wants leans 90:10 to girls
or to boys for twelve jobs, and not at all for the others. A small model is trained on the beginnings of such stories,
those that name a job (of whole stories only one in ten names a planted job, so a model learns their lean last of all).
It is asked as by `look.py fairness`. The lean of the planted jobs, each counted in the direction that was planted,
should be ln(90/10) = 2.20 nats. Its interval comes from drawing names and jobs again: the jobs, too, because each was
met a few hundred times only, and so learned a bit too strongly or too weakly. Then training goes on with beginnings
that lean to nobody.

Progress goes to stderr, the table to stdout, every number to results.json and fairness.png in `--out`. If stopped, the
same command goes on.
"""

import contextlib
import itertools
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from tqdm import tqdm

from benchmarks.resuming import train_or_go_on
from benchmarks.roofline import table
from data.prepare import PrepareConfig, prepare
from data.world.bilingual import sentences_of
from data.world.people import BOYS_JOBS, GIRLS_JOBS
from data.world.story import stories
from gpt.errors import UserError
from gpt.files.atomic import write_text
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.inside.fairness import DRAWS, lean_intervals, leans, probe_names, read_probe, share_of_first
from gpt.model import GPTConfig
from gpt.running.command_line import parse_flags, run_main
from gpt.running.train_config import PRESETS, TrainConfig

PROBE = read_probe(Path("data/world/fairness.json"))
PLANTED = [i for i, job in enumerate(PROBE.continuations) if job.strip() in {*GIRLS_JOBS, *BOYS_JOBS}]
OTHERS = [i for i in range(len(PROBE.continuations)) if i not in PLANTED]
SIGNS = np.array([1 if PROBE.continuations[i].strip() in GIRLS_JOBS else -1 for i in PLANTED])

SMALL = replace(PRESETS["tiny"][1], model=GPTConfig(1024, 40, 2, 4, 128, position="rotary"), batch_size=64)


@dataclass(frozen=True)
class FairnessConfig:
    planted_bias: int = 90
    """percent, as python -m data.world stories --planted-bias takes it"""
    steps: int = 400
    """steps of training on the biased stories"""
    balancing_steps: tuple[int, ...] = (5, 10, 25, 100)
    """steps of further training on balanced stories; each number is a run of its own, from the biased model"""
    count: int = 15_000
    """beginnings of stories in either corpus"""
    seed: int = 0
    """seed of training"""
    out: Path = Path("out/fairness")
    """the folder for corpora, runs, results.json and the picture; what is finished in it is not done again"""

    def __post_init__(self) -> None:
        if not 1 <= self.planted_bias <= 99 or min(self.steps, self.count, *self.balancing_steps) < 1:
            raise UserError("--planted-bias goes from 1 to 99; steps and --count must be at least 1")


def make_corpus(config: FairnessConfig, name: str, planted_bias: int, start: int, tokenizer: Path | None) -> Path:
    """The tokens folder of new stories, made on first use; its name tells the settings on which it depends."""
    name = f"{name}-{planted_bias}-{config.count}"
    text, folder = config.out / f"{name}.jsonl", config.out / f"{name}-tokens"
    if not (folder / "meta.json").is_file():
        config.out.mkdir(parents=True, exist_ok=True)
        write_text(
            text, "".join(json.dumps({"text": text}) + "\n" for text in beginnings(config.count, planted_bias, start))
        )
        prepare(PrepareConfig((text,), folder, 1024, tokenizer))
    return folder


def beginnings(count: int, planted_bias: int, start: int) -> Iterator[str]:
    """The first two sentences of stories whose second one says what the hero wants to be."""
    told = stories(start=start, planted_bias=planted_bias)
    about_jobs = (story.text for story in told if story.sentences[1][0] == "dream")
    for text in tqdm(itertools.islice(about_jobs, count), desc="telling", total=count, leave=False):
        yield " ".join(sentences_of(text, "en")[:2])


def ask(folder: Path) -> dict:
    """What the probe finds in a model."""
    found = probe_names(load_model(folder), load_tokenizer(folder), PROBE)
    planted, others = [of[:, PLANTED] for of in found], [of[:, OTHERS] for of in found]
    return {
        "leans": leans(found).tolist(),
        "intervals": lean_intervals(found).tolist(),
        "planted": float((leans(planted) * SIGNS).mean()),
        "planted_interval": planted_interval(planted),
        "others": float(np.abs(leans(others)).mean()),
    }


def planted_interval(planted: list[np.ndarray], seed: int = 0) -> list[float]:
    """The 95 % interval of the mean lean in the planted direction; planted: (names, jobs) of each group. Names and jobs
    are both drawn again (Owen 2007, "The pigeonhole bootstrap")."""
    random = np.random.default_rng(seed)
    again = [of[random.integers(len(of), size=(DRAWS, len(of)))].mean(1) for of in planted]  # 2 × (DRAWS, jobs)
    jobs = random.integers(len(SIGNS), size=(DRAWS, len(SIGNS)))
    means = np.take_along_axis((again[0] - again[1]) * SIGNS, jobs, axis=1).mean(1)
    return np.percentile(means, [2.5, 97.5]).tolist()


def compare(config: FairnessConfig, training: TrainConfig) -> str:
    """Train and ask what is not there yet, write results.json and the picture; returns the table. training: the
    settings that `config` does not replace."""
    with contextlib.redirect_stdout(sys.stderr):
        biased = make_corpus(config, "biased", config.planted_bias, 0, None)
        balanced = make_corpus(config, "balanced", 50, 10_000_000, biased)
        base = replace(training, data=biased, seed=config.seed, out=config.out / "biased")
        runs = {0: replace(base, max_steps=config.steps, eval_every=config.steps)}
        for steps in sorted(config.balancing_steps):
            settings = {"out": config.out / f"balanced-{steps}", "max_steps": steps, "eval_every": steps}
            runs[steps] = replace(base, data=balanced, init=base.out, **settings)
        for run in runs.values():
            train_or_go_on(run)
        results = {steps: ask(run.out) for steps, run in runs.items()}
    truth = math.log(config.planted_bias / (100 - config.planted_bias))
    about = {
        "truth": truth,
        "jobs": PROBE.continuations,
        "planted": PLANTED,
        "steps": config.steps,
        "seed": config.seed,
    }
    write_text(config.out / "results.json", json.dumps(about | {"results": results}, indent=1) + "\n")
    plot_balancing(results, truth, config.out / "fairness.png")
    rows = []
    for steps, found in results.items():
        low, high = found["planted_interval"]
        name = f"and then {steps} on balanced ones" if steps else f"{config.steps} steps on biased stories"
        cells = f"{found['planted']:.2f}", f"{low:.2f} to {high:.2f}", f"{share_of_first(found['planted']):.1%}"
        rows.append([name, *cells, f"{found['others']:.2f}"])
    rows.append(["planted", f"{truth:.2f}", "", f"{config.planted_bias / 100:.1%}", "0.00"])
    return table(["trained", "lean of planted jobs", "95 %", "share", "other jobs, either way"], rows)


def plot_balancing(results: dict[int, dict], truth: float, path: Path) -> None:
    """Each planted job before and after balancing, and the mean against the steps of balancing."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    jobs = [PROBE.continuations[i].strip() for i in PLANTED]
    places = np.arange(len(jobs))
    last = max(results)
    for number, (steps, colour) in enumerate({0: "#b5442e", last: "#1f4e8c"}.items()):
        found = results[steps]
        values, intervals = np.array(found["leans"])[PLANTED], np.array(found["intervals"])[PLANTED]
        name = f"after {steps} steps on balanced stories" if steps else "trained on biased stories"
        where = places + 0.4 * number - 0.2
        left.barh(where, values, 0.38, color=colour, alpha=0.6, label=name)
        left.hlines(where, *intervals.T, color="#222222", linewidth=1.2)
    left.vlines(SIGNS * truth, places - 0.42, places + 0.42, color="#222222", linewidth=1.8, label="planted")
    left.axvline(0, color="#222222", linewidth=0.8)
    left.set_yticks(places, jobs)
    left.invert_yaxis()
    left.set(xlabel="boys ←  lean in nats  → girls", title="What the model expects a child to become")
    left.legend(fontsize=8, loc="lower right")
    steps = list(results)
    means = np.array([found["planted"] for found in results.values()])
    low, high = np.array([found["planted_interval"] for found in results.values()]).T
    right.errorbar(steps, means, [means - low, high - means], fmt="o-", capsize=4, color="#1f4e8c", label="measured")
    right.axhline(truth, color="#222222", linestyle="--", linewidth=1, label="planted")
    right.axhline(0, color="#222222", linewidth=0.8)
    right.set(xlabel="steps on balanced stories", ylabel="lean of the planted jobs in nats", title="Balancing")
    right.legend()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(FairnessConfig, description=__doc__))
    print(compare(config, SMALL))


if __name__ == "__main__":
    run_main(main)
