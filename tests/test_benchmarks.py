"""The benchmarks' own parts, without measuring anything."""

import subprocess
import sys

import pytest
import torch

from benchmarks import train as speed
from benchmarks.contenders import measure, start
from benchmarks.roofline import matrix_rate, table
from gpt.errors import UserError
from gpt.model import GPT, GPTConfig


def test_a_table_has_a_line_for_every_row_and_numbers_to_the_right():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_the_matrix_rate_is_a_plausible_one():
    assert 1e7 < matrix_rate(64, 32, torch.float32, torch.device("cpu"), seconds=0.02) < 1e16


def build_counter(log):
    def step():
        with log.open("a", encoding="utf-8") as file:
            file.write(log.name)

    return step


def test_contenders_take_turns_in_processes_of_their_own(tmp_path):
    contenders = {name: start(build_counter, tmp_path / name) for name in "ab"}
    seconds = measure(contenders, rounds=2, steps=3)
    assert [(tmp_path / name).read_text(encoding="utf-8") for name in "ab"] == ["a" * 9, "b" * 9]
    assert all(value > 0 for value in seconds.values())


def build_nothing():
    raise RuntimeError("no memory for it")


def test_a_contender_that_fails_ends_the_benchmark_in_one_line(tmp_path):
    contenders = {"good": start(build_counter, tmp_path / "a"), "bad": start(build_nothing)}
    with pytest.raises(UserError, match="the contender 'bad' ended early"):
        measure(contenders, rounds=2, steps=1)


def test_the_model_timed_for_its_loss_is_no_larger_than_its_peers():
    from benchmarks.time_to_loss import SHAPE

    assert GPT(SHAPE).num_params() <= 850_000


def test_both_contenders_take_a_training_step():
    shape = GPTConfig(20, 8, 1, 2, 16)
    speed.our_step(shape, 2, "cpu")()
    speed.their_step(shape, 2, "cpu", torch.float32)()


def test_a_folder_that_is_not_of_bytes_is_one_line(corpus):
    command = [sys.executable, "-m", "benchmarks.time_to_loss", "--data", str(corpus)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 2
    assert "--vocab-size 257" in done.stderr and len(done.stderr.splitlines()) == 1
