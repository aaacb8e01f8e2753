"""Training on a machine that is never quiet: with gpt/fast/neighbours.py and without.

    python -m benchmarks.busy                           # about half an hour
    python -m benchmarks.busy --rounds 1 --seconds 30

Four settings: nothing else runs; one other program takes a core; two other trainings run; seven other trainings run, as
on a lab's server. What is measured is `train.py tiny`; the other trainings are the same command. In each setting all
trainings run with the watch and then without it, in turns (GOMP_SPINCOUNT=300000, OpenMP's own default, switches it
off). Prints tokens/s of the measured training: medians, with the lowest and the highest. Each setting is printed as
soon as it is measured, and all of them once more as a table.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm import tqdm

from benchmarks.contenders import NO_WATCH
from benchmarks.roofline import median_and_range, table
from data.default import default_stories
from gpt.errors import UserError
from gpt.running.command_line import parse_flags, run_main
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import PRESETS

TINY = PRESETS["tiny"][1]
TOKENS_PER_STEP = TINY.batch_size * TINY.model.context_length
ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"quiet": (0, 0), "one busy program": (1, 0), "two other trainings": (0, 2), "seven other trainings": (0, 7)}
WAYS: dict[str, dict[str, str]] = {"with": {}, "without": NO_WATCH}


@dataclass(frozen=True)
class BusyBenchmark:
    rounds: int = 3
    """turns of each setting"""
    seconds: int = 30
    """how long a turn measures, from the first step on; longer where that is less than three steps"""


@contextlib.contextmanager
def beside(programs: int, trainings: int, data: Path, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Other work, which ends with the block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    others += [train(data, folder / f"other-{number}", environment) for number in range(trainings)]
    try:
        if trainings:
            time.sleep(15)  # until they train; eight of them start slowly
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def train(data: Path, out: Path, environment: dict[str, str]) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / "train.py"), "tiny", "--data", str(data), "--out", str(out), "--overwrite",
               "--max-steps", "100000", "--eval-every", "100000", "--log-every", "1"]  # fmt: skip
    return subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tokens_per_second(data: Path, out: Path, environment: dict[str, str], seconds: int) -> float:
    """Speed of a training that is then killed. Raises UserError if it ends or is too slow."""
    shutil.rmtree(out, ignore_errors=True)  # the rows of the turn before
    process = train(data, out, environment)
    try:
        wait_for(process, out, 1)
        time.sleep(seconds)
        wait_for(process, out, 4)
        rows = read_metrics(out)
    finally:
        process.kill()
        process.wait()
    return (rows[-1]["step"] - rows[0]["step"]) * TOKENS_PER_STEP / (rows[-1]["seconds"] - rows[0]["seconds"])


def wait_for(process: subprocess.Popen, out: Path, steps: int) -> None:
    """Until a run has taken so many steps."""
    end = time.monotonic() + 600
    while len(read_metrics(out)) < steps:
        if process.poll() is not None:
            raise UserError(f"the training in {out} has ended: see what it says when you start train.py tiny yourself")
        if time.monotonic() > end:
            raise UserError(f"{out} has taken fewer than {steps} steps within ten minutes: this machine is too busy")
        time.sleep(0.5)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(BusyBenchmark, description=__doc__))
    data = default_stories(TINY.model.vocab_size).resolve()
    rows = []
    with tempfile.TemporaryDirectory() as name, tqdm(total=len(SETTINGS) * 2 * config.rounds) as bar:
        folder = Path(name)
        for setting, (programs, trainings) in SETTINGS.items():
            speeds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(config.rounds):
                for way, environment in WAYS.items():
                    with beside(programs, trainings, data, folder, environment):
                        speeds[way].append(tokens_per_second(data, folder / "measured", environment, config.seconds))
                    bar.update()
            row = [median_and_range(each) for each in speeds.values()]
            ratio = statistics.median(speeds["with"]) / statistics.median(speeds["without"])
            rows.append([setting, *row, f"{ratio:.2f}"])
            bar.write(" | ".join(rows[-1]))
    print(table(["beside it", "with, tokens/s", "without, tokens/s", "ratio"], rows))


if __name__ == "__main__":
    run_main(main)
