"""Plots of a fine-tuning run. Each function writes one PNG."""

import math
from pathlib import Path

import matplotlib.pyplot as plt

from gpt.running.plots import FLOOR as OTHER
from gpt.running.plots import INK, TRAIN, VALIDATION, plain, save_picture


def plot_confusion(counts: list[list[int]], labels: tuple[str, ...], accuracy: float, path: Path) -> None:
    """The confusion matrix (labels, labels): a row per true class, a column per prediction. Shades: row shares."""
    n = len(labels)
    size = min(12, 3.2 + 0.7 * n)
    figure, axes = plt.subplots(figsize=(size, size), dpi=150, layout="constrained")
    shares = [[count / max(1, sum(row)) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            color = "white" if shares[i][j] > 0.5 else INK
            text = f"{count:,}\n{shares[i][j]:.0%}" if n <= 10 else f"{count}"
            axes.text(j, i, text, ha="center", va="center", color=color, fontsize=11 if n <= 5 else 8)
    names = [plain(label, 30) for label in labels]
    axes.set_xticks(range(n), names, rotation=0 if n <= 4 else 45)
    axes.set_yticks(range(n), names)
    axes.set(xlabel="the model's answer", ylabel="the truth", title=f"test accuracy {accuracy:.1%}")
    save_picture(figure, path)


NAMES_OF_SCORES = {"accuracy": "accuracy", "r2": "R²", "f1": "F1", "exact": "exact answers"}


def plot_learning_curve(rows: list[dict], score: str, best_step: int, title: str, path: Path) -> None:
    """Loss and validation score against the step, from the rows of metrics.jsonl. score: Task.score."""
    steps = [row["step"] for row in rows]
    figure, (top, bottom) = plt.subplots(2, figsize=(8, 5), dpi=150, sharex=True, layout="constrained")
    top.plot(steps, [row["train_loss"] for row in rows], color=TRAIN, linewidth=2, marker="o", ms=4, label="training")
    top.plot(steps, [row["val_loss"] for row in rows], color=VALIDATION, linewidth=2, marker="o", ms=4,
             label="validation")  # fmt: skip
    top.set(ylabel="loss", title=plain(title))
    top.set_ylim(bottom=0)
    top.legend(frameon=False)
    scores = [row[f"val_{score}"] for row in rows]
    bottom.plot(steps, scores, color=VALIDATION, linewidth=2, marker="o", ms=4)
    best = scores[steps.index(best_step)]
    bottom.plot(best_step, best, marker="o", ms=10, mfc="none", color=OTHER)
    bottom.annotate(f"kept: {best:.3f}", (best_step, best), xytext=(0, -20), textcoords="offset points", color=OTHER,
                    ha="center")  # fmt: skip
    bottom.set(xlabel="step", ylabel=f"validation {NAMES_OF_SCORES[score]}")
    bottom.margins(y=0.3)
    for axes in (top, bottom):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    save_picture(figure, path)


def plot_label_curve(rows: list[dict], score: str, path: Path) -> None:
    """The value of pretraining: the score on the test split against the number of labels.

    rows: {"labels": n, "pretrained": score, "from_scratch": score, "tfidf": score}; score: "accuracy" or "r2".
    A score that does not exist is None.
    """
    counts = [row["labels"] for row in rows]
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150, layout="constrained")
    for name, color, label in (
        ("pretrained", VALIDATION, "pretrained, then fine-tuned"),
        ("from_scratch", OTHER, "the same net from random weights"),
        ("tfidf", "#888888", "TF-IDF and logistic regression"),
    ):
        values = [math.nan if row[name] is None else row[name] for row in rows]
        axes.plot(counts, values, color=color, linewidth=2, marker="o", label=label)
        if math.isfinite(values[-1]):
            axes.annotate(f"{values[-1]:.1%}", (counts[-1], values[-1]), xytext=(8, -3), textcoords="offset points",
                          color=color)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(xlabel="labelled texts to learn from", ylabel=f"test {score}")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save_picture(figure, path)


def plot_scores(rows: dict[str, dict[str, float]], names: list[str], path: Path) -> None:
    """A group of bars for each row, such as the GPT and each baseline; a bar for each named measure, from 0 to 1."""
    width = 0.8 / len(names)
    figure, axes = plt.subplots(figsize=(max(6, 1.1 * len(rows) * max(1.5, len(names) / 2)), 4), dpi=150,
                                layout="constrained")  # fmt: skip
    for i, (name, color) in enumerate(zip(names, (VALIDATION, TRAIN, OTHER, "#888888", INK), strict=False)):
        places = [row + (i - (len(names) - 1) / 2) * width for row in range(len(rows))]
        values = [scores[name] for scores in rows.values()]
        axes.bar(places, values, 0.9 * width, color=color, label=NAMES_OF_SCORES.get(name, name))
        for place, value in zip(places, values, strict=True):
            axes.annotate(f"{value:.0%}", (place, value), xytext=(0, 2), textcoords="offset points", ha="center",
                          fontsize=8, color=INK)  # fmt: skip
    axes.set_xticks(range(len(rows)), [plain(who) for who in rows])
    axes.set(ylim=(0, 1.12), ylabel="on the test split")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    save_picture(figure, path)
