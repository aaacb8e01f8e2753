"""look.py runs: the table says what differs and how far each run came, and the picture shows every curve."""

import dataclasses
import json
import shutil
import sys

import pytest
from matplotlib.axes import Axes

import look
from finetune import finetune
from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.inside.runs import read_run
from gpt.running.command_line import run_main
from tests.helpers import small_training, stop_after
from train import train


@pytest.fixture(scope="module")
def two_runs(corpus, tmp_path_factory):
    """One of two optimizers each, the second with half the steps."""
    folder = tmp_path_factory.mktemp("runs")
    first = small_training(corpus, folder / "first")
    second = dataclasses.replace(first, out=folder / "second", optimizer="sgd", max_steps=10)
    train(first)
    train(second)
    return first.out, second.out


@pytest.fixture
def show(monkeypatch, capsys, tmp_path):
    def show(*flags):
        capsys.readouterr()  # what the trainings printed
        monkeypatch.setattr(sys, "argv", ["look.py", "runs", *map(str, flags), "--out", str(tmp_path / "x.png")])
        look.main()
        return capsys.readouterr().out

    return show


def cells(line):
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_the_table_has_the_settings_that_differ_and_only_those(two_runs, show, monkeypatch, tmp_path, pictures):
    drawn = []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, *xy, **style: drawn.append(xy) or plot(axes, *xy, **style))
    head, _, first, second, picture = show(*two_runs).strip().split("\n")
    rows = [[json.loads(line) for line in (run / "metrics.jsonl").open(encoding="utf-8")] for run in two_runs]
    losses = [[row["val_loss"] for row in of_run if "val_loss" in row] for of_run in rows]
    assert cells(head) == ["run", "max_steps", "optimizer", "steps", "training loss", "validation loss", "best"]
    assert cells(first)[:4] == [str(two_runs[0]), "20", "muon", "20"]
    assert cells(second)[:4] == [str(two_runs[1]), "10", "sgd", "10"]
    assert cells(second)[-2:] == [f"{losses[1][-1]:.4f}", f"{min(losses[1]):.4f}"]
    assert picture == f"picture: {tmp_path / 'x.png'}" and (tmp_path / "x.png").stat().st_size > 10_000
    assert [list(y) for _, y in drawn].count(losses[0]) == 1


def test_a_run_that_was_stopped_is_shown_as_far_as_it_came(corpus, tmp_path, show, monkeypatch):
    config = small_training(corpus, tmp_path / "run")
    stop_after(monkeypatch, Dataset, 9)
    train(config)
    assert not read_run(config.out).finished
    assert "| 10 (unfinished) |" in show(config.out)
    (config.out / "metrics.jsonl").unlink()  # as before its first evaluation
    assert "| 0 (unfinished) |" in show(config.out)


def test_fine_tunings_are_compared_by_their_score(config, show, tmp_path):
    config = dataclasses.replace(config, min_steps=4, epochs=0.1, evaluations=2, lm_loss=0.0)
    low = dataclasses.replace(config, out=tmp_path / "low", train="lora", learning_rate=1e-5)
    scores = [max(row["val_accuracy"] for row in read_run(c.out).rows) for c in (config, low) if finetune(c)]
    head, _, *lines, _ = show(config.out, low.out).strip().split("\n")
    assert cells(head)[1:4] == ["train", "learning_rate", "steps"] and cells(head)[-1] == "best accuracy"
    assert [cells(line)[-1] for line in lines] == [f"{score:.4f}" for score in scores]
    with pytest.raises(UserError, match="no seconds"):
        show(config.out, "--seconds")


def test_steps_can_be_seconds(two_runs, show):
    assert "picture" in show(*two_runs, "--seconds")


def test_what_is_no_run_is_one_line_and_exit_code_2(tmp_path, show, capsys, two_runs):
    for folder in (tmp_path / "nothing", tmp_path):
        with pytest.raises(SystemExit) as exit_:
            run_main(lambda folder=folder: show(two_runs[0], folder))
        assert exit_.value.code == 2
        assert capsys.readouterr().err.strip() == (
            f"error: {folder} is no run of train.py or finetune.py: it has no readable train_config.json"
        )
    (tmp_path / "train_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match="is no run"):
        show(tmp_path)


def test_runs_of_different_kinds_are_not_drawn_over_one_another(two_runs, show, tmp_path):
    masked = shutil.copytree(two_runs[1], tmp_path / "masked")
    settings = json.loads((masked / "train_config.json").read_text(encoding="utf-8"))
    (masked / "train_config.json").write_text(json.dumps(settings | {"objective": "masked"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"trained for causal and .* for masked"):
        show(two_runs[0], masked)
