"""A training that cannot fit is refused before anything is allocated; one that could fit never is."""

import dataclasses

import pytest
import torch

from gpt.errors import UserError
from gpt.running import memory
from gpt.running.memory import check_it_fits, memory_size
from gpt.running.train_config import PRESETS
from tests.helpers import small_training
from tests.processes import finish, start_python

CPU = torch.device("cpu")


def test_the_memory_of_this_machine_is_known():
    size = memory_size(CPU)
    assert size is not None and 2**28 < size < 2**50


def test_a_batch_that_cannot_fit_ends_in_one_line_and_leaves_nothing(corpus, tmp_path):
    flags = ["--data", str(corpus), "--out", str(tmp_path / "run"), "--batch-size", "100000000", "--device", "cpu"]
    assert finish([start_python("train.py", "tiny", *flags, log=tmp_path / "said")]) == [2]
    error = (tmp_path / "said.err").read_text(encoding="utf-8")
    assert error.startswith("error: batches of 100,000,000 windows need at least")
    assert error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_model_that_cannot_fit_is_refused(corpus, tmp_path):
    config = small_training(corpus, tmp_path)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, n_layer=100_000, n_embd=4096))
    with pytest.raises(UserError, match=r"20,132.7 billion weights .* make it smaller"):
        check_it_fits(config, 300, 1, CPU)


@pytest.mark.parametrize(("name", "gigabytes"), [("tiny", 0.5), ("small", 2), ("bilingual", 1), ("gpt2", 16)])
def test_a_preset_fits_where_it_is_meant_to_run(monkeypatch, name, gigabytes):
    monkeypatch.setattr(memory, "memory_size", lambda device: int(gigabytes * 1e9))
    config = PRESETS[name][1]
    check_it_fits(config, config.model.vocab_size, 1, CPU)


def test_parts_and_processes_make_room(monkeypatch):
    config = PRESETS["gpt2"][1]
    monkeypatch.setattr(memory, "memory_size", lambda device: int(16e9))
    whole = dataclasses.replace(config, accumulate=1)
    with pytest.raises(UserError, match="raise --accumulate"):
        check_it_fits(whole, 50257, 1, CPU)
    check_it_fits(whole, 50257, 32, CPU)
    large = dataclasses.replace(PRESETS["gpt2-xl"][1], accumulate=64)
    with pytest.raises(UserError, match="make it smaller"):
        check_it_fits(large, 50257, 8, CPU)
    check_it_fits(dataclasses.replace(large, sharding=True), 50257, 8, CPU)


def test_where_nobody_says_how_much_there_is_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "memory_size", lambda device: None)
    check_it_fits(dataclasses.replace(PRESETS["tiny"][1], batch_size=10**9), 2048, 1, CPU)
