"""Benchmarks that train go on where they were stopped."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune import finetune
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.running.train_config import TrainConfig
from train import train

STOPPED = "stopped: the same command as before goes on, without --resume"


def go_on(folder: Path) -> dict[str, bool]:
    """The settings of train.py and finetune.py that resume a run if its folder holds one, and otherwise begin it."""
    return {"resume": (begun := (folder / "resume.pt").is_file()), "overwrite": not begun}


def train_or_go_on(config: TrainConfig) -> None:
    """Run train.py, or what is left of a run; a finished one is only checked. Raises UserError as train does, also if
    the run had other settings or other data. Ends this process if the run is stopped."""
    train(replace(config, **go_on(config.out)))
    if not (config.out / "loss.png").is_file():  # a run's last file
        sys.exit(STOPPED)


def finetune_or_go_on(config: FinetuneConfig) -> dict[str, Any]:
    """The same with finetune.py; returns its report."""
    return finetune(replace(config, **go_on(config.out))) or sys.exit(STOPPED)
