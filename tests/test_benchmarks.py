"""The benchmarks' own parts, without measuring anything."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks import train as speed
from benchmarks.contenders import measure, start
from benchmarks.roofline import matrix_rate, table
from gpt.errors import UserError
from gpt.model import GPT, GPTConfig


def test_a_table_has_a_line_for_every_row_and_numbers_to_the_right():
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_the_matrix_rate_is_a_plausible_one():
    assert 1e7 < matrix_rate(64, 32, torch.float32, torch.device("cpu"), seconds=0.02) < 1e16


def build_counter(log, name):
    """A contender that, at each step, adds its name and its process to a log that all share."""

    def step():
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{name} {os.getpid()}\n")

    return step


def test_contenders_take_turns_in_processes_of_their_own(tmp_path):
    contenders = {name: start(build_counter, tmp_path / "log", name) for name in "ab"}
    seconds = measure(contenders, rounds=2, steps=3)
    lines = [line.split() for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert "".join(name for name, _ in lines) == "aaabbb" * 3  # a turn that does not count, then two rounds
    processes = {name: {int(process) for other, process in lines if other == name} for name in "ab"}
    assert all(len(own) == 1 for own in processes.values())
    assert len(processes["a"] | processes["b"] | {os.getpid()}) == 3
    assert seconds.keys() == {"a", "b"} and all(value > 0 for value in seconds.values())


def build_nothing():
    raise RuntimeError("no memory for it")


def test_a_contender_that_fails_ends_the_benchmark_in_one_line(tmp_path):
    contenders = {"good": start(build_counter, tmp_path / "log", "good"), "bad": start(build_nothing)}
    with pytest.raises(UserError, match="the contender 'bad' ended early"):
        measure(contenders, rounds=2, steps=1)


def test_the_model_timed_for_its_loss_is_no_larger_than_its_peers():
    from benchmarks.time_to_loss import SHAPE

    assert GPT(SHAPE).num_params() <= 850_000


def model_within(step):
    """The model that a contender trains: the outermost module that its step calls, and so the first."""
    called = []
    with register_module_forward_pre_hook(lambda module, _: called.append(module)):
        step()
    return called[0]


@torch.no_grad()
def loss_on_its_batch(model, shape, batch_size):
    x, y = speed.batch(shape, batch_size, torch.device("cpu"))
    answer = model.eval()(x)
    model.train()
    logits = answer if isinstance(answer, torch.Tensor) else answer.logits  # transformers wraps them
    return F.cross_entropy(logits.flatten(0, 1), y.flatten()).item()


@pytest.mark.parametrize("contender", ["ours", "theirs"])
def test_steps_of_both_contenders_move_every_weight_and_lower_the_loss(contender):
    shape = GPTConfig(20, 8, 1, 2, 16)
    ours = contender == "ours"
    step = speed.our_step(shape, 2, "cpu") if ours else speed.their_step(shape, 2, "cpu", torch.float32)
    model = model_within(step)
    assert type(model).__name__ == ("GPT" if ours else "GPT2LMHeadModel")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    loss = loss_on_its_batch(model, shape, 2)
    step()
    assert not [name for name, weight in model.named_parameters() if torch.equal(weight, before[name])]
    for _ in range(20):
        step()
    assert loss_on_its_batch(model, shape, 2) < loss - 0.2


def test_a_folder_that_is_not_of_bytes_is_one_line(corpus):
    command = [sys.executable, "-m", "benchmarks.time_to_loss", "--data", str(corpus)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 2
    assert "--vocab-size 257" in done.stderr and len(done.stderr.splitlines()) == 1
