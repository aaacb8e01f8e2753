"""--tensorboard: the event file holds what metrics.jsonl holds, each point once."""

import dataclasses
import importlib.util
import sys

import pytest

import train as train_script
from finetune import finetune
from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.running.command_line import run_main
from gpt.running.events import check_tensorboard
from gpt.running.run_folder import EVENT_FILES, read_metrics
from tests.helpers import small_training, stop_after
from train import train


def points(folder):
    """tag -> [(step, value), ...] as TensorBoard reads a folder, without texts."""
    pytest.importorskip("tensorboard", reason="tensorboard reads the files: requirements/dev.txt")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def numbers(folder):
    """The same from metrics.jsonl."""
    found = {}
    for row in read_metrics(folder):
        for name, value in row.items():
            if name != "step" and not isinstance(value, str):
                found.setdefault(name, []).append((row["step"], pytest.approx(value, rel=1e-6)))  # float32
    return found


def test_a_run_that_was_stopped_and_went_on_has_every_point_once(corpus, tmp_path, monkeypatch):
    config = dataclasses.replace(small_training(corpus, tmp_path / "run"), tensorboard=True)
    with monkeypatch.context() as patch:
        stop_after(patch, Dataset, 12)
        train(config)
    assert points(config.out) == numbers(config.out) and len(points(config.out)["train_loss"]) == 2
    train(dataclasses.replace(config, resume=True))
    assert points(config.out) == numbers(config.out)
    assert [step for step, _ in points(config.out)["train_loss"]] == [5, 10, 15, 20]
    assert len(list(config.out.glob(EVENT_FILES))) == 1


def test_the_flag_may_come_with_resume_and_leaves_no_trace_of_a_run_that_is_replaced(corpus, tmp_path, monkeypatch):
    config = small_training(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        stop_after(patch, Dataset, 12)
        train(config)
    assert not list(config.out.glob(EVENT_FILES))
    train(dataclasses.replace(config, resume=True, tensorboard=True))
    assert [step for step, _ in points(config.out)["val_loss"]] == [8, 16, 20]  # those before it too
    train(dataclasses.replace(config, overwrite=True, max_steps=2))
    assert not list(config.out.glob(EVENT_FILES))


def test_fine_tuning_writes_them_too(config):
    config = dataclasses.replace(config, min_steps=4, epochs=0.1, evaluations=2, tensorboard=True)
    finetune(config)
    assert points(config.out) == numbers(config.out) and len(points(config.out)["val_accuracy"]) == 2


def test_without_the_package_it_is_refused_before_anything_is_trained(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        check_tensorboard()
    with pytest.raises(UserError, match="pip install tensorboard"):
        dataclasses.replace(small_training(corpus, tmp_path / "run"), tensorboard=True)
    with pytest.raises(UserError, match="pip install tensorboard"):
        FinetuneConfig(tensorboard=True)


def test_the_command_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["train.py", "tiny", "--tensorboard", "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as exit_:
        run_main(train_script.main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and not (tmp_path / "run").exists()
    assert error.startswith("error: --tensorboard needs") and len(error.splitlines()) == 1
