"""Asked to stop by Ctrl-C or `kill`, a run stops soon, whatever it is doing, and --resume loses nothing of it."""

import dataclasses
import os
import random
import signal
import sys
import time

import pytest

import data.prepare
import data.world.writing
import finetune as finetune_script
import train as train_script
from finetune import finetune
from gpt.files.checkpoint import load_resume
from gpt.running import run_folder
from gpt.running.command_line import run_main
from gpt.running.run_folder import read_metrics
from tests.helpers import small_training
from tests.processes import start_train
from tests.running.test_reliability import results, same, wait_for
from train import train

# What train.py is doing when it is asked to stop: the function that does it, and which of its calls.
MOMENTS = {
    "learning": (train_script, "update", 6),
    "evaluating": (train_script, "validation_loss", 1),
    "evaluating for the second time": (train_script, "validation_loss", 2),
    "evaluating for the last time": (train_script, "validation_loss", 3),
    "writing a sample": (train_script, "generate_with_cache", 2),
    "noting what the evaluation found": (train_script.tqdm, "write", 2),
    "saving the best model": (train_script, "save_model", 2),
    "saving the state": (run_folder, "save", 3),
}


def ask_during(monkeypatch, place, name, call):
    """Ask the process to stop at the end of the call number `call` of a function. How often it was called by then."""
    calls = []
    original = getattr(place, name)

    def asking(*arguments, **options):
        result = original(*arguments, **options)
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGTERM)
        return result

    monkeypatch.setattr(place, name, asking)
    return calls


@pytest.fixture(scope="module")
def uninterrupted(corpus, tmp_path_factory):
    config = small_training(corpus, tmp_path_factory.mktemp("whole") / "run")
    train(config)
    return results(config.out)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_stopped_at_any_moment_goes_on_bit_for_bit(corpus, uninterrupted, tmp_path, monkeypatch, capsys, moment):
    config = small_training(corpus, tmp_path / "run")  # 20 steps, evaluated after 8, 16 and 20
    with monkeypatch.context() as patch:
        calls = ask_during(patch, *MOMENTS[moment])
        train(config)
        assert len(calls) == MOMENTS[moment][2], "it went on working"
    assert "everything is saved" in capsys.readouterr().out
    assert (config.out / "model.safetensors").is_file()  # something to sample from, also before the first evaluation
    train(dataclasses.replace(config, resume=True))
    assert same(results(config.out), uninterrupted)


def test_a_stopped_evaluation_is_done_again_and_noted_once(corpus, tmp_path, monkeypatch):
    config = small_training(corpus, tmp_path / "run")
    with monkeypatch.context() as patch:
        ask_during(patch, train_script.tqdm, "write", 2)  # its row is written by then
        train(config)
    assert load_resume(config.out / "resume.pt")["step"] == 16
    train(dataclasses.replace(config, resume=True))
    assert [row["step"] for row in read_metrics(config.out) if "val_loss" in row] == [8, 16, 20]


def test_fine_tuning_stopped_in_an_evaluation_goes_on_bit_for_bit(config, tmp_path, monkeypatch):
    whole = dataclasses.replace(config, out=tmp_path / "whole")
    finetune(whole)
    with monkeypatch.context() as patch:
        ask_during(patch, finetune_script.tqdm, "write", 2)
        assert finetune(config) is None
    assert finetune(dataclasses.replace(config, resume=True))
    assert same(results(config.out), results(whole.out))


def test_kill_ends_the_test_at_once_and_resume_begins_it_anew(config, monkeypatch):
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # as run_main does
    with monkeypatch.context() as patch:
        patch.setattr("gpt.finetuning.report.write_report", lambda *what: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(SystemExit):
            finetune(config)
    assert not (config.out / "report.json").exists()
    assert finetune(dataclasses.replace(config, resume=True))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to ask a process with")
def test_kill_ends_a_training_within_five_seconds_at_any_moment(corpus, tmp_path):
    settings = {"data": corpus, "max_steps": 90, "eval_every": 3, "log_every": 1, "model.dropout": 0.1}
    whole = start_train(tmp_path / "whole", **settings)
    draw, out, longest = random.Random(0), tmp_path / "stopped", 0.0
    for stop in range(5):
        process = start_train(out, *(["--resume"] if (out / "resume.pt").exists() else []), **settings)
        before = len(read_metrics(out))
        if stop:  # the first one is stopped while it starts
            wait_for(lambda before=before: len(read_metrics(out)) > before, process)
        time.sleep(draw.uniform(0, 0.2))
        os.kill(process.pid, signal.SIGTERM)
        asked = time.monotonic()
        process.join(30)
        longest = max(longest, time.monotonic() - asked)
        assert process.exitcode in (0, 130, 128 + signal.SIGTERM, -signal.SIGTERM)
        assert "Traceback" not in (tmp_path / "stopped.err").read_text(encoding="utf-8")
    process = start_train(out, "--resume", **settings)
    process.join()
    whole.join()
    assert process.exitcode == 0 and same(results(out), results(tmp_path / "whole"))
    assert longest < 5


def test_kill_leaves_nothing_of_a_corpus_that_is_being_made(tmp_path, monkeypatch, python_source):
    (tmp_path / "text.txt").write_text(python_source[:50_000], encoding="utf-8")
    ask_during(monkeypatch, data.prepare.SplitWriter, "add", 1)
    command = ["prepare", str(tmp_path / "text.txt"), "--out", str(tmp_path / "out"), "--vocab-size", "257"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as exit_:
        run_main(data.prepare.main)
    assert exit_.value.code == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


def test_kill_leaves_nothing_of_stories_that_are_being_written(tmp_path, monkeypatch):
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # as run_main does
    ask_during(monkeypatch, data.world.writing, "line_of", 3)
    with pytest.raises(SystemExit):
        data.world.writing.write_stories(tmp_path / "stories.jsonl", count=5, processes=1)
    assert not list(tmp_path.iterdir())
