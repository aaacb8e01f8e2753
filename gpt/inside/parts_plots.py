"""Plots of what a model loses without its parts. Each function draws numbers and writes one PNG."""

from pathlib import Path

import matplotlib.pyplot as plt
from torch import Tensor

from gpt.inside.inside_plots import DPI, ink_on
from gpt.running.plots import INK, plain, save_picture

COLOURS = ("#1f4e8c", "#7aa6d6", "#e0a458")  # of the block and its parts


def plot_losses_without(heads: Tensor, blocks: Tensor, parts: tuple[str, ...], title: str, path: Path) -> None:
    """Draw the loss that is added without each head (L, nh) as a heat map, and without each block and its `parts`
    (L, 3) as bars; both in nats per token."""
    L, nh = heads.shape
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(0.75 * nh + 6.5, max(3.2, 0.55 * L + 1.6)), dpi=DPI, layout="constrained",
        width_ratios=(0.75 * nh + 1, 5),
    )  # fmt: skip
    image = left.imshow(heads.numpy(), cmap="Blues", vmin=min(0.0, float(heads.min())), aspect="auto")
    for layer in range(L):
        for head in range(nh):
            value = float(heads[layer, head])
            colour = ink_on(image.cmap(image.norm(value)))
            left.text(head, layer, f"{value:+.3f}", ha="center", va="center", fontsize=9, color=colour)
    left.set_xticks(range(nh), range(1, nh + 1))
    left.set(xlabel="head", ylabel="layer", title="without one head")
    width = 0.8 / len(parts)
    for column, (name, colour) in enumerate(zip(parts, COLOURS, strict=True)):
        places = [layer + (column - 1) * width for layer in range(L)]
        bars = right.barh(places, blocks[:, column].tolist(), height=width, color=colour, label=name)
        right.bar_label(bars, fmt="%+.2f", fontsize=8, padding=2)
    right.margins(x=0.15)
    right.set(xlabel="loss added, nats per token", title="without one block, or a half of it")
    for axes in (left, right):
        axes.set_yticks(range(L), range(1, L + 1))
        axes.set_ylim(-0.5, L - 0.5)  # the first layer at the bottom, in both
        axes.tick_params(length=0)
        axes.title.set(fontsize=10, color=INK)
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, fontsize=8)
    figure.suptitle(plain(title), fontsize=12, color=INK)
    save_picture(figure, path)
