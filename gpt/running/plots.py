"""What all our pictures share, and the picture of a training."""

import functools
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("agg")  # draw to files, also where there is no screen
import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Chinese labels need a font that has them: the first of these that the system knows, behind matplotlib's own.
CHINESE = ("Noto Sans CJK SC", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei")
INSTALLED = [name for name in CHINESE if name in {font.name for font in font_manager.fontManager.ttflist}][:1]
MONOSPACE = ["DejaVu Sans Mono", *INSTALLED]
plt.rcParams["font.family"] = ["DejaVu Sans", *INSTALLED]

INK, TRAIN, VALIDATION, FLOOR = "#222222", "#9db7d5", "#1f4e8c", "#b5442e"


PROGRAM = "GPT to learn from"  # which drew a picture, written into the file: look.py replaces no other


def save_picture(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": PROGRAM})
    plt.close(figure)


def plain(text: str, most: int = 1000) -> str:
    """A text of the user's for a picture: without a sign that matplotlib would take for mathematics, and cut where it
    is longer than `most` characters."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    if not INSTALLED and any("\u2e80" <= character <= "\u9fff" for character in text):
        say_that_no_font_has_chinese()
    return text.replace("$", r"\$")


@functools.cache  # once is enough
def say_that_no_font_has_chinese() -> None:
    warnings.filterwarnings("ignore", "Glyph .* missing")  # matplotlib would say it of every character
    print("no font with Chinese characters is installed (Noto Sans CJK is one): they become boxes", file=sys.stderr)


def plot_loss(rows: list[dict], bits_per_nat: float | None, floor: float | None, title: str, path: Path) -> None:
    """Training and validation loss over the steps, from the rows of a metrics.jsonl.

    bits_per_nat turns nats per token into bits per byte for the right-hand scale. floor: the entropy of the
    corpus in bits per byte, drawn as the line that no model can go below, or None if it is unknown. Without
    bits_per_nat the losses are a masked model's, nats per masked token, which has neither.
    """
    unit = "token" if bits_per_nat else "masked token"
    lowest = floor / bits_per_nat if bits_per_nat and floor is not None else None
    training = [(row["step"], row["train_loss"]) for row in rows if "train_loss" in row]
    validation = [(row["step"], row["val_loss"]) for row in rows if "val_loss" in row]
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150, layout="constrained")
    if training:
        axes.plot(*zip(*training, strict=True), color=TRAIN, linewidth=1.2, label="training")
    if validation:
        axes.plot(*zip(*validation, strict=True), color=VALIDATION, linewidth=2, marker="o", ms=4, label="validation")
        step, best = min(validation, key=lambda point: point[1])
        bits = f"{best * bits_per_nat:.3f} bits/byte, " if bits_per_nat else ""
        axes.annotate(
            f"best {best:.3f} nats/{unit}\n{bits}perplexity {math.exp(best):.2f}",
            (step, best),
            xytext=(0, 34),
            textcoords="offset points",
            ha="right",
            color=VALIDATION,
            arrowprops={"arrowstyle": "-", "color": VALIDATION, "linewidth": 0.8},
        )
    if lowest is not None:
        axes.axhline(lowest, color=FLOOR, linestyle="--", linewidth=1.2)
        axes.annotate(
            f"entropy of the corpus: {floor:.3f} bits/byte",
            (0, lowest),
            xytext=(4, -12),
            textcoords="offset points",
            color=FLOOR,
            fontsize=9,
        )
    lows = [loss for _, loss in training + validation] + ([lowest] if lowest is not None else [])
    limit_losses(axes, [loss for _, loss in training + validation], min(lows, default=0))
    if bits_per_nat:
        right = axes.secondary_yaxis("right", functions=scaled_by(bits_per_nat))
        right.set_ylabel("bits per byte", color=INK)
    axes.set(xlabel="step", ylabel=f"loss, nats per {unit}", title=plain(title))
    axes.set_xlim(left=0)
    timed = [row for row in rows if "seconds" in row]
    if timed:
        pace = timed[-1]["seconds"] / timed[-1]["step"]
        above = axes.secondary_xaxis("top", functions=scaled_by(pace))
        above.set_xlabel("seconds of training", color=INK, fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="upper right")
    save_picture(figure, path)


def limit_losses(axes: Axes, losses: list[float], lowest: float) -> None:
    """Leave out the first steps, which fall from ln(vocabulary): they would squeeze all the rest."""
    if losses:
        span = max(sorted(losses)[int(0.97 * (len(losses) - 1))] - lowest, 1e-6)
        axes.set_ylim(lowest - 0.12 * span, lowest + 1.15 * span)


def plot_runs(runs: dict[str, list[dict]], x: str, path: Path) -> None:
    """The curves of several runs, name -> rows of metrics.jsonl, over one another: training losses thin, validation
    losses thick, and below them the validation scores of fine-tunings. x: "step" or "seconds"."""
    rows = [row for of_run in runs.values() for row in of_run]
    scores = {name for row in rows for name in row if name.startswith("val_")} - {"val_loss"}
    size = (8, 4.5 + 2.2 * len(scores) + 0.1 * len(runs))
    figure, panels = plt.subplots(
        1 + len(scores), figsize=size, dpi=150, sharex=True, squeeze=False, layout="constrained"
    )
    panel_of = dict(zip(["loss", *sorted(scores)], panels[:, 0], strict=True))
    colours = plt.get_cmap("tab10" if len(runs) <= 10 else "turbo")(np.linspace(0, 1, max(10, len(runs))))
    thin, thick = {"linewidth": 0.8, "alpha": 0.6}, {"linewidth": 2, "marker": "o", "ms": 4}
    for (name, of_run), colour in zip(runs.items(), colours, strict=False):
        for measure in ("train_loss", "val_loss", *scores):
            points = [(row[x], row[measure]) for row in of_run if x in row and measure in row]
            axes = panel_of.get(measure, panel_of["loss"])
            axes.plot(*np.reshape(points, (-1, 2)).T, color=colour, **(thin if measure == "train_loss" else thick))
        panel_of["loss"].plot([], [], color=colour, linewidth=2, label=plain(name))
    losses = [row[name] for row in rows for name in ("train_loss", "val_loss") if name in row]
    limit_losses(panel_of["loss"], losses, min(losses, default=0))
    panel_of["loss"].set(ylabel="loss, nats", title="validation (thick) and training (thin)")
    figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=9)
    for name in scores:
        panel_of[name].set_ylabel(f"validation {name.removeprefix('val_')}")
    for axes in panels[:, 0]:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1, 0].set_xlabel("step" if x == "step" else "seconds of training")
    save_picture(figure, path)


def scaled_by(factor: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """There and back, for a second scale on the other side of a picture."""
    return lambda x: x * factor, lambda x: x / factor
