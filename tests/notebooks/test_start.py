"""The model that the lessons read: trained once, whoever needs it first."""

import subprocess
from pathlib import Path

import pytest

from gpt.errors import UserError
from gpt.files.lock import HELD
from notebooks import start


def test_the_model_is_trained_once_while_other_lessons_wait(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = []

    def train(command, **_):
        assert Path("out").resolve() in HELD  # so that another lesson waits
        Path("out/tiny").mkdir()
        Path("out/tiny/loss.png").touch()
        trained.append(command[1:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", train)
    assert start.tiny() == start.tiny() == Path("out/tiny")
    assert trained == [["train.py", "tiny"]]


def test_a_training_that_fails_says_why_in_the_lesson(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = subprocess.CompletedProcess([], 2, "", "a warning\nerror: the disk is full\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(UserError, match="the disk is full"):
        start.tiny()
