"""Plots of the inside of a model. Each function draws results of interpret.py and writes one PNG."""

import math
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from matplotlib.transforms import IdentityTransform
from torch import Tensor

from gpt.running.plots import FLOOR, INK, MONOSPACE, VALIDATION, plain, save_picture
from gpt.tokenizer import END_OF_TEXT

DPI = 150
GREY = (0.92, 0.92, 0.92, 1.0)


def label(token: str) -> str:
    """A token as a label: white space is made visible, unprintable characters are replaced."""
    if token == END_OF_TEXT:
        return "<eot>"
    token = plain(token.replace("\n", "⏎").replace("\t", "→").replace(" ", "·"))
    return "".join(character if character.isprintable() else "\ufffd" for character in token)


def ink_on(colour: tuple[float, float, float, float]) -> str:
    """Black or white, whichever is readable on this colour (red, green, blue, alpha; each from 0 to 1)."""
    red, green, blue, _ = colour
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK


def plot_coloured_text(
    tokens: list[str],
    values: list[float | None],
    limits: tuple[float, float],
    colours: str,
    scale: str,
    title: str,
    path: Path,
) -> None:
    """Draw a text with each token on a colour that shows its value, or grey for None.

    limits: the values at the two ends of the colour map `colours`. scale: what the values are.
    """
    figure = plt.figure(figsize=(10, 3), dpi=DPI)
    colour_of, norm = plt.get_cmap(colours), Normalize(*limits)
    margin, line, pad = 0.3 * DPI, 0.3 * DPI, 0.04 * DPI  # in pixels
    placed, x, row = [], margin, 0
    for token, value in zip(tokens, values, strict=True):
        colour = GREY if value is None else colour_of(norm(value))
        drawn = figure.text(0, 0, label(token), fontsize=12, family=MONOSPACE, color=ink_on(colour), va="center")
        drawn.set(transform=IdentityTransform(), bbox={"facecolor": colour, "edgecolor": "none", "pad": pad * 72 / DPI})
        width = drawn.get_window_extent().width
        if x + width > figure.bbox.width - margin:
            x, row = margin, row + 1
        placed.append((drawn, x, row))
        x += width + 2 * pad
        if token.endswith("\n"):
            x, row = margin, row + 1
    height = 0.85 * DPI + (placed[-1][2] + 1) * line
    figure.set_size_inches(10, height / DPI)
    for drawn, x, row in placed:
        drawn.set_position((x, height - 0.75 * DPI - row * line))
    figure.text(margin, height - 0.3 * DPI, title, fontsize=13, color=INK, va="center", transform=IdentityTransform())
    axes = figure.add_axes((0.68, 1 - 0.38 * DPI / height, 0.28, 0.09 * DPI / height))
    bar = figure.colorbar(plt.cm.ScalarMappable(norm, colour_of), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_title(scale, fontsize=9, color=INK, pad=3)
    save_picture(figure, path)


def plot_token_table(
    columns: list[str],
    cells: list[list[str]],
    values: Tensor,
    rows: list[str],
    marks: Tensor,
    scale: str,
    title: str,
    path: Path,
) -> None:
    """Draw a table of tokens `cells` (R, T), coloured by their probabilities `values` (R, T), with one column for each
    token of a text (`columns`) and one row for each of `rows`. Cells that are true in `marks` (R, T) get a frame."""
    R, T = values.shape
    figure, axes = plt.subplots(figsize=(1.6 + 0.78 * T, 1.5 + 0.36 * R), dpi=DPI, layout="constrained")
    image = axes.imshow(values.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for r in range(R):
        for t in range(T):
            colour = plt.get_cmap("Blues")(float(values[r, t]))
            axes.text(t, r, label(cells[r][t])[:9], ha="center", va="center", fontsize=8, color=ink_on(colour))
            if marks[r, t]:
                axes.add_patch(Rectangle((t - 0.47, r - 0.45), 0.94, 0.9, fill=False, color="#b5442e", linewidth=1.6))
    axes.set_xticks(range(T), [label(token) for token in columns], fontsize=9, rotation=30)
    axes.set_yticks(range(R), rows, fontsize=9)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, label=scale, pad=0.01, aspect=12)
    save_picture(figure, path)


def plot_attention_maps(
    weights: Tensor, tokens: list[str], titles: list[str], columns: int, title: str, path: Path
) -> None:
    """Draw attention maps side by side, `columns` per row. weights: (heads, T, T), row t shows where token t attends.
    titles: the name of each head."""
    heads, T, _ = weights.shape
    rows, side = -(-heads // columns), max(2.5, 0.16 * T)
    figure, grid = plt.subplots(
        rows, columns, figsize=(side * columns + 0.8, (side + 0.25) * rows + 1.0), dpi=100, squeeze=False, sharex=True,
        sharey=True, layout="constrained",
    )  # fmt: skip
    names = [label(token) for token in tokens]
    for axes in grid.flat[heads:]:
        axes.set_visible(False)
    for axes, of_head, name in zip(grid.flat, weights, titles, strict=False):
        # The square root makes weak attention visible: a weight of 0.04 gets a fifth of the darkest shade.
        axes.imshow(of_head.sqrt().numpy(), cmap="Blues", vmin=0, vmax=1)
        axes.set_title(name, fontsize=9, color=INK)
        axes.set_xticks(range(T), names, fontsize=8, rotation=90, family=MONOSPACE)
        axes.set_yticks(range(T), names, fontsize=8, family=MONOSPACE)
        axes.tick_params(length=0)
        axes.spines[:].set_color("#cccccc")
    figure.suptitle(title, fontsize=13, color=INK)
    figure.supylabel("the token that looks", fontsize=10)
    figure.supxlabel("where it looks (darker: more attention; shades are square roots)", fontsize=10)
    save_picture(figure, path)


def plot_head_scores(scores: dict[str, Tensor], title: str, path: Path) -> None:
    """Draw a heat map for each named score (L, nh), side by side, with the numbers in the cells."""
    L, heads = next(iter(scores.values())).shape
    size = (len(scores) * (0.75 * heads + 1.2), 0.55 * L + 1.4)
    figure, grid = plt.subplots(1, len(scores), figsize=size, dpi=DPI, squeeze=False, layout="constrained")
    for axes, (name, values) in zip(grid[0], scores.items(), strict=True):
        image = axes.imshow(values.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for layer in range(L):
            for head in range(heads):
                value = float(values[layer, head])
                colour = ink_on(image.cmap(value))
                axes.text(head, layer, f"{value:.2f}", ha="center", va="center", fontsize=9, color=colour)
        axes.set_xticks(range(heads), range(1, heads + 1))
        axes.set_yticks(range(L), range(1, L + 1))
        axes.set(xlabel="head", ylabel="layer")
        axes.set_title(name, fontsize=10, color=INK)
        axes.tick_params(length=0)
    figure.suptitle(title, fontsize=12, color=INK)
    save_picture(figure, path)


def plot_patches(maps: list[tuple[str, Tensor, list[str], list[str]]], title: str, path: Path) -> None:
    """Draw heat maps one below the other, from -1 (blue) to 1 (red). Each: its name, values (R, N), the names of the R
    rows, the names of the N columns."""
    heights = [0.3 * len(rows) + 1.1 for _, _, rows, _ in maps]
    width = max(7.5, 2 + 0.24 * max(len(columns) for *_, columns in maps))
    figure, panels = plt.subplots(
        len(maps),
        figsize=(width, sum(heights) + 0.5),
        dpi=DPI,
        squeeze=False,
        layout="constrained",
        height_ratios=heights,
    )
    for axes, (name, values, rows, columns) in zip(panels[:, 0], maps, strict=True):
        image = axes.imshow(values.numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", origin="lower")
        few = len(columns) <= 16  # so that there is room for numbers
        for r, n in product(range(len(rows)), range(len(columns))) if few else ():
            value = round(float(values[r, n]), 2) + 0.0  # and not -0
            colour = ink_on(image.cmap(image.norm(value)))
            axes.text(n, r, f"{value:.2f}", ha="center", va="center", fontsize=9, color=colour)
        axes.set_xticks(range(len(columns)), columns, fontsize=9, rotation=0 if few else 90)
        axes.set_yticks(range(len(rows)), rows, fontsize=9)
        axes.tick_params(length=0)
        axes.set_title(name, fontsize=10, color=INK, loc="left")
    figure.suptitle(plain(title), fontsize=12, color=INK)
    figure.colorbar(image, ax=panels[:, 0], label="share of the way", pad=0.01, aspect=25)
    save_picture(figure, path)


def plot_scatter_of_tokens(
    points: Tensor, tokens: list[str], title: str, axes_names: tuple[str, str], path: Path
) -> None:
    """Draw tokens at their projected positions, points (N, 2)."""
    figure, axes = plt.subplots(figsize=(9, 7), dpi=DPI, layout="constrained")
    axes.scatter(*points.T.numpy(), s=4, color="#9db7d5")
    for (x, y), token in zip(points.tolist(), tokens, strict=True):
        axes.annotate(label(token), (x, y), fontsize=8, color=VALIDATION, xytext=(2, 2), textcoords="offset points")
    axes.set(xlabel=axes_names[0], ylabel=axes_names[1])
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    save_picture(figure, path)


def plot_place_map(similarity: Tensor, title: str, path: Path) -> None:
    """Draw the similarity of positions, (N, N), from -1 to 1."""
    figure, axes = plt.subplots(figsize=(6.4, 5.4), dpi=DPI, layout="constrained")
    image = axes.imshow(similarity.numpy(), cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set(xlabel="position", ylabel="position")
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    figure.colorbar(image, label="similarity")
    save_picture(figure, path)


def plot_leans(
    labels: list[str], leans: np.ndarray, intervals: np.ndarray, groups: tuple[str, str], title: str, path: Path
) -> None:
    """Draw a bar for each continuation, with its interval (continuations, 2), in nats: those on the right lean towards
    the first group."""
    figure, axes = plt.subplots(figsize=(7, 0.24 * len(labels) + 1.8), dpi=DPI, layout="constrained")
    places = range(len(labels))
    colours = [VALIDATION if lean > 0 else FLOOR for lean in leans]
    axes.barh(places, leans, color=colours, alpha=0.6)
    axes.hlines(places, *intervals.T, color=INK, linewidth=1.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(places, [plain(text) for text in labels], fontsize=9)
    widest = max(1.2, 1.05 * float(np.abs(intervals).max()))  # so that a fair model looks fair
    axes.set(
        ylim=(len(labels) - 0.4, -0.6), xlim=(-widest, widest), xlabel=f"{groups[1]} ←  lean in nats  → {groups[0]}"
    )
    axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    above = axes.secondary_xaxis("top", functions=(lambda lean: lean, lambda lean: lean))
    shares = [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999]
    above.set_xticks([math.log(share / (1 - share)) for share in shares], [f"{100 * share:g} %" for share in shares])
    above.set_xlabel(f"share of {groups[0]} if both are equally common", fontsize=9)
    save_picture(figure, path)
