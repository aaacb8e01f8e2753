"""What training costs as a model grows: measured here, and on paper.

    python -m benchmarks.scale
    python -m benchmarks.scale --shapes 0.8M 3M --seconds 5

Measured: a step as train.py takes it, each shape in a process of its own, beside the rate of its largest matrix
product; then the share of a step that two processes on this machine spend on exchanging gradients. On paper:
benchmarks/paper.py. Writes results.json and the picture, and prints tables.
"""

import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from tqdm import tqdm

from benchmarks import paper
from benchmarks.memory import peak_memory
from benchmarks.paper import PAPER, SHAPES
from benchmarks.roofline import matrix_rate, table
from benchmarks.train import our_step
from gpt.errors import UserError
from gpt.files.atomic import write_text
from gpt.inside.anatomy import training_flops_per_token
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import pick_machine

Name = Literal["smallest", "0.8M", "3M", "10.7M", "30M", "gpt2"]
Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class ScaleConfig:
    shapes: tuple[Name, ...] = ("0.8M", "3M", "10.7M", "30M", "gpt2")
    """models to measure"""
    exchange: tuple[Name, ...] = ("0.8M", "10.7M")
    """models that two processes train, to measure their exchange"""
    seconds: float = 20
    """time for each measurement; at least 3 steps are taken"""
    device: str = "auto"
    """where to compute, as in train.py; the exchange is measured on the CPU"""
    out: Path = Path("out/scale")
    """folder for results.json"""
    picture: Path = Path("docs/scale.png")
    """where to draw"""


def measure_shape(name: str, seconds: float, device: str) -> dict[str, Any]:
    """In a process of its own: the matrix rate, the median time of a step, and the memory that steps added."""
    machine = pick_machine(device)
    shape, batch_size = SHAPES[name]
    tokens = batch_size * shape.context_length
    before = peak_memory(machine.device)
    rate = matrix_rate(tokens, shape.n_embd, machine.dtype, machine.device, min(1.0, seconds))
    step = our_step(shape, batch_size, device)
    step()  # allocates
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    after, took = peak_memory(machine.device), statistics.median(times)
    scores = machine.device.type == "cpu" and machine.dtype == torch.bfloat16 and shape.context_length <= 512
    standing = sum(paper.standing_bytes(shape).values())
    return {
        "parameters": paper.num_params(shape), "tokens": tokens, "seconds": took, "steps": len(times), "rate": rate,
        "flops_per_token": training_flops_per_token(shape), "step_flops": paper.step_flops(shape, tokens),
        "memory": None if before is None or after is None else after - before,
        "paper_memory": standing + paper.activation_bytes(shape, batch_size, machine.dtype, scores),
    }  # fmt: skip


def measure_exchange(name: str, seconds: float) -> dict[str, Any]:
    """What benchmarks/exchange.py finds, run by two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "benchmarks.exchange", name, str(seconds)]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    lines = [line for line in result.stdout.splitlines() if line.startswith("exchange ")]
    if result.returncode or not lines:
        raise UserError(f"the two processes that exchange gradients failed:\n{result.stderr[-2000:]}")
    return json.loads(lines[-1].removeprefix("exchange "))


def measured_table(measured: Results) -> str:
    head = ["measured", "parameters", "tokens a step", "s a step", "tokens/s", "matrix rate, GFLOP/s",
            "6N + 12LCT of it", "with Muon", "added memory, MB", "on paper"]  # fmt: skip
    rows = []
    for name, found in measured.items():
        per_second = found["rate"] * found["seconds"]
        rows.append([
            name, f"{found['parameters']:,}", f"{found['tokens']:,}", f"{found['seconds']:.3g}",
            f"{found['tokens'] / found['seconds']:,.0f}", f"{found['rate'] / 1e9:,.0f}",
            f"{found['tokens'] * found['flops_per_token'] / per_second:.0%}", f"{found['step_flops'] / per_second:.0%}",
            "" if found["memory"] is None else f"{found['memory'] / 1e6:,.0f}", f"{found['paper_memory'] / 1e6:,.0f}",
        ])  # fmt: skip
    return table(head, rows)


def exchange_table(exchange: Results) -> str:
    head = ["two processes", "MB reduced", "ms a step: no exchange", "as train.py", "waiting for it",
            "ms in reductions", "share of that step"]  # fmt: skip
    rows = []
    for name, found in exchange.items():
        times = [found[key] for key in ("alone", "train.py", "waiting", "reduction")]
        share = found["reduction"] / found["waiting"]
        rows.append([name, f"{found['bytes'] / 1e6:.1f}", *(f"{1000 * time:,.1f}" for time in times), f"{share:.0%}"])
    return table(head, rows)


def plot_scale(measured: Results, path: Path) -> None:
    """Seconds per million tokens against parameters: measured, and on paper at the best matrix rate measured here."""
    from matplotlib.figure import Figure

    from gpt.running.plots import FLOOR, INK, VALIDATION

    rate = max(found["rate"] for found in measured.values())
    figure = Figure(figsize=(7.5, 4.8), dpi=100, layout="constrained")
    axes = figure.subplots()
    shapes = {name: SHAPES[name][0] for name in measured} | {f"{name} (paper)": shape for name, shape in PAPER.items()}
    line = sorted((paper.num_params(shape), 1e6 * training_flops_per_token(shape) / rate) for shape in shapes.values())
    axes.plot(*zip(*line, strict=True), "--", color=FLOOR, label=f"6N + 12LCT at {rate / 1e9:,.0f} GFLOP/s")
    for name, shape in PAPER.items():
        point = paper.num_params(shape), 1e6 * training_flops_per_token(shape) / rate
        axes.plot(*point, "s", color=FLOOR, markerfacecolor="white", label="on paper, context 1,024" * (name == "gpt2"))
        axes.annotate(name, point, xytext=(6, -12), textcoords="offset points", fontsize=9, color=INK)
    points = [(found["parameters"], 1e6 * found["seconds"] / found["tokens"]) for found in measured.values()]
    axes.plot(*zip(*points, strict=True), "o-", color=VALIDATION, label="measured")
    for name, point in zip(measured, points, strict=True):
        axes.annotate(name, point, xytext=(-6, 7), textcoords="offset points", ha="right", fontsize=9, color=INK)
    axes.set(xscale="log", yscale="log", xlabel="parameters", ylabel="seconds per million tokens")
    axes.margins(0.12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def scale(config: ScaleConfig) -> str:
    """Measure, write results.json and the picture. Returns the tables."""
    measured, exchange = {}, {}
    with tqdm(total=len(config.shapes) + len(config.exchange), file=sys.stderr) as bar:
        for name in config.shapes:
            bar.set_description(name)
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as one:
                measured[name] = one.submit(measure_shape, name, config.seconds, config.device).result()
            bar.update()
        for name in config.exchange:
            bar.set_description(f"{name}, two processes")
            exchange[name] = measure_exchange(name, config.seconds)
            bar.update()
    about = {"machine": str(pick_machine(config.device)), "torch": torch.__version__}
    config.out.mkdir(parents=True, exist_ok=True)
    results = about | {"measured": measured, "exchange": exchange}
    write_text(config.out / "results.json", json.dumps(results, indent=1) + "\n")
    if measured:
        plot_scale(measured, config.picture)
    first = f"torch {torch.__version__}, {about['machine']}\n\n```\n{paper.FORMULAS}\n```"
    return "\n\n".join([first, measured_table(measured), exchange_table(exchange), paper.paper_table()])


def main() -> None:
    print(scale(parse_flags(lambda: tyro.cli(ScaleConfig, description=__doc__))))


if __name__ == "__main__":
    run_main(main)
