"""What each lesson begins with: the folder, the look of the pictures, sliders, and the model that it reads."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["TQDM_DISABLE"] = "1"  # no progress bars; tqdm reads it when it is imported
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # else `tokenizers` warns when a process is started beside it

import matplotlib.pyplot as plt
from IPython.core.getipython import get_ipython

import gpt.running.plots  # noqa: F401  it chooses a backend for files; so it must come before here() chooses another
from data.default import default_stories
from gpt.errors import UserError
from gpt.files.lock import alone_in

ROOT = Path(__file__).resolve().parent.parent
STATIC = "LESSONS_STATIC"  # an environment variable: no sliders, nobody is there to move them
# Okabe and Ito's colours, which colour-blind readers can tell apart (jfly.uni-koeln.de/color, 2008).
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def here() -> None:
    """Work in the project's folder, and draw pictures in the notebook."""
    os.chdir(ROOT)
    shell = get_ipython()
    if shell is not None:
        shell.run_line_magic("matplotlib", "inline")
    plt.rcParams.update(
        {
            "figure.figsize": (7, 3.2),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": 9,
        }
    )


def slider(draw: Callable, **ranges: Any) -> None:
    """Draw a picture, and where Jupyter can show sliders, below it another that follows them.

    ranges: an argument of `draw` -> (smallest, largest, step). Without a value for it, `draw` makes the picture that
    everybody sees, on GitHub and without ipywidgets, too.
    """
    draw()
    widgets = live_widgets()
    if widgets is not None:
        widgets.interact(draw, **ranges)


def live_widgets() -> ModuleType | None:
    """ipywidgets, if it is installed and a reader sits in front of Jupyter: not when the notebooks are built."""
    if STATIC in os.environ or getattr(get_ipython(), "kernel", None) is None:
        return None
    try:
        return importlib.import_module("ipywidgets")
    except ImportError:
        return None


def corpus() -> Path:
    """The tokens folder of the toy world's English stories, made on first use."""
    return default_stories(2048)


def tiny() -> Path:
    """The model folder out/tiny, trained on first use as by `python train.py tiny`; another lesson that needs it waits.
    Raises UserError if the training fails."""
    folder = Path("out/tiny")
    finished = folder / "loss.png"  # the last thing that a run writes
    if finished.is_file():
        return folder
    with alone_in(folder.parent, wait=True):
        if not finished.is_file():
            print("正在训练 out/tiny，约需一到四分钟 / training out/tiny, which takes one to four minutes")
            go_on = ["--resume"] if (folder / "resume.pt").is_file() else []
            command = [sys.executable, "train.py", "tiny", *go_on]
            ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
            if ended.returncode:
                raise UserError(ended.stderr.strip().split("\n")[-1])
    return folder
