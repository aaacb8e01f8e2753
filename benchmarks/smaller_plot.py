"""The picture of `python -m benchmarks.smaller`: four questions, four panels."""

from pathlib import Path
from typing import Any

from gpt.running.plots import FLOOR, INK, VALIDATION

WITHOUT, WITH = "#9db7d5", VALIDATION
Results = dict[str, dict[str, Any]]  # name of a variant -> its measures


def plot_smaller(results: Results, floor: float, path: Path) -> None:
    """Bits per byte and consistent stories against the share of zeros, bits per byte against the size on the disk and
    against the mean depth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.2), dpi=92, layout="constrained")
    (zeros_loss, zeros_judge), (size, depth) = figure.subplots(2, 2)
    for axes, measure, scale in ((zeros_loss, "bits_per_byte", 1), (zeros_judge, "consistent", 100)):
        for trained, colour, name in ((False, WITHOUT, "only pruned"), (True, WITH, "then trained, zeros held")):
            points = zeros_of(results, trained)
            axes.plot(
                [share for share, _ in points], [scale * results[key][measure] for _, key in points], "o-",
                color=colour, label=name, markersize=4,
            )  # fmt: skip
        axes.set_xlabel("% of the blocks' weights that are 0")
    zeros_judge.set(ylabel="% of stories", ylim=(0, 100), title="consistent stories, temperature 0.5")
    zeros_loss.set(title="loss of the pruned model")

    for name in results:
        if name in ("float32", "int8") or name.endswith(" bits") or name.startswith("without block"):
            x, y = results[name]["bytes"] / 1e6, results[name]["bits_per_byte"]
            trained = name.endswith(", trained")
            size.plot(x, y, "s" if "block" in name else "o", color=WITH if trained else WITHOUT, markersize=5)
            place, side = ((-5, 3), "right") if name in ("2 bits", "3 bits") or trained else ((5, 4), "left")
            size.annotate(
                name.replace("without", "no"), (x, y), xytext=place, textcoords="offset points", ha=side, fontsize=8,
                color=INK,
            )  # fmt: skip
    size.set(xlabel="MB on the disk", title="smaller files")
    size.margins(x=0.25, y=0.12)

    early = [key for key in results if key.startswith("leaves at ")]
    points = [(results[key]["depth"], results[key]["bits_per_byte"], key.split()[-1]) for key in [*early, "float32"]]
    depth.plot([x for x, _, _ in points], [y for _, y, _ in points], "o-", color=WITH, markersize=4)
    for x, y, threshold in points:
        text = "never" if threshold == "float32" else threshold
        depth.annotate(
            text,
            (x, y),
            xytext=(6, -3) if text == "never" else (-8, 6),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    depth.set(xlabel="mean number of blocks a token goes through", title="leaving at a probability of …")
    depth.margins(x=0.12, y=0.12)

    for axes in (zeros_loss, size, depth):
        axes.axhline(floor, color=FLOOR, linestyle="--", linewidth=1, label="entropy of the corpus")
        axes.set(ylabel="bits per byte", yscale="log")
        axes.yaxis.set_major_formatter("{x:.1f}")
        axes.yaxis.set_minor_formatter("{x:.1f}")
        axes.tick_params(axis="y", which="minor", labelsize=8)
    zeros_loss.legend(frameon=False, fontsize=9)
    for axes in (zeros_loss, zeros_judge, size, depth):
        axes.grid(alpha=0.25)
        axes.title.set(fontsize=11, color=INK)
    figure.savefig(path)


def zeros_of(results: Results, trained: bool) -> list[tuple[float, str]]:
    """(% of zeros, name of the variant), from 0 up."""
    end = " % zeros, trained" if trained else " % zeros"
    found = [(float(key.removesuffix(end)), key) for key in results if key.endswith(end)]
    return sorted(found if trained else [(0.0, "float32"), *found])
