"""The command of look.py that compares what a model expects after the names of two groups."""

from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import arg

from gpt.inside.given import Folder, Picture, load_for_look


def show_fairness(
    model: Folder,
    probe: Annotated[Path, arg(help="a JSON file with two groups of names, templates, continuations")] = Path(
        "data/world/fairness.json"
    ),
    out: Picture = Path("fairness.png"),
    seed: Annotated[int, arg(help="of the names drawn again for the intervals")] = 0,
) -> None:
    """Which continuations a model expects rather after one group's names than after another's, such as professions
    after the names of girls and of boys."""
    from gpt.inside.fairness import lean_intervals, leans, probe_names, read_probe, share_of_first

    asked = read_probe(probe)
    gpt, tokenizer = load_for_look(model, must_be_causal=True)
    found = probe_names(gpt, tokenizer, asked)
    towards, intervals = leans(found), lean_intervals(found, seed)
    first, second = asked.groups
    print(f"| continuation | lean to {first} | from | to | share of {first} |\n| --- | ---: | ---: | ---: | ---: |")
    order = np.argsort(-towards)
    for i in order:
        low, high = intervals[i]
        share = share_of_first(float(towards[i]))
        print(f"| {asked.continuations[i].strip()} | {towards[i]:+.2f} | {low:+.2f} | {high:+.2f} | {share:.0%} |")
    sure = (intervals.prod(1) > 0).sum()
    size = np.abs(towards).mean()
    print(f"the mean lean, whichever way, is {size:.2f} nats; {sure} of {len(order)} intervals do not hold 0")

    from gpt.inside.inside_plots import plot_leans

    labels = [asked.continuations[i].strip() for i in order]
    title = f"What {model.name} expects of {first} and of {second}"
    plot_leans(labels, towards[order], intervals[order], (first, second), title, out)
    print(f"picture: {out}")
