"""Training on a machine that is never quiet: with gpt/fast/neighbours.py and without.

    python -m benchmarks.busy                           # about half an hour
    python -m benchmarks.busy --rounds 1 --seconds 30

Four settings: nothing else runs; one other program takes a core; two other trainings run; seven other trainings run, as
on a lab's server. What is measured is `train.py tiny`; the other trainings are the same command. In each setting all
trainings run with the watch and then without it, in turns (GOMP_SPINCOUNT=300000, OpenMP's own default, switches it
off). Prints tokens/s of the measured training: medians, with the lowest and the highest.
"""

import contextlib
import os
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

from benchmarks.roofline import table
from data.default import default_stories
from gpt.errors import UserError
from gpt.running.command_line import parse_flags, run_main
from gpt.running.run_folder import read_metrics
from gpt.running.train_config import PRESETS

TINY = PRESETS["tiny"][1]
TOKENS_PER_STEP = TINY.batch_size * TINY.model.context_length
ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"quiet": (0, 0), "one busy program": (1, 0), "two other trainings": (0, 2), "seven other trainings": (0, 7)}
WAYS: dict[str, dict[str, str]] = {"with": {}, "without": {"GOMP_SPINCOUNT": "300000"}}


@dataclass(frozen=True)
class BusyBenchmark:
    rounds: int = 3
    """turns of each setting"""
    seconds: int = 45
    """how long the measured training runs in each turn; the first 15 seconds, with its start, do not count"""


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
    """Speed of a training that is killed after some seconds. Raises UserError if it did not come to train."""
    process = train(data, out, environment)
    begin = end = []
    try:
        time.sleep(15)
        begin = rows_of(out)
        time.sleep(seconds - 15)
        end = rows_of(out)
    finally:
        process.kill()
        process.wait()
    if len(end) < 2:
        raise UserError(f"{out} has hardly trained within {seconds} s: give more --seconds")
    first, last = (begin or end)[-1 if begin else 0], end[-1]
    return (last["step"] - first["step"]) * TOKENS_PER_STEP / max(last["seconds"] - first["seconds"], 1e-9)


def rows_of(out: Path) -> list[dict]:
    return read_metrics(out) if (out / "metrics.jsonl").is_file() else []


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
            row = [f"{statistics.median(each):,.0f} ({min(each):,.0f} to {max(each):,.0f})" for each in speeds.values()]
            ratio = statistics.median(speeds["with"]) / statistics.median(speeds["without"])
            rows.append([setting, *row, f"{ratio:.2f}"])
    print(table(["beside it", "with, tokens/s", "without, tokens/s", "ratio"], rows))


if __name__ == "__main__":
    run_main(main)
