"""The sweep over learning rates, and SGD's own rate."""

import dataclasses
import json

import pytest

from benchmarks import learning_rate
from finetune import finetune
from gpt.errors import UserError
from gpt.running.run_folder import read_metrics
from tests.helpers import small_training
from train import train


def test_sgd_trains_at_its_own_rate_whatever_adamws_is(corpus, config, tmp_path):
    training = dataclasses.replace(small_training(corpus, tmp_path / "train"), optimizer="sgd", learning_rate=1e-9)
    train(training)
    losses = [row["val_loss"] for row in read_metrics(training.out) if "val_loss" in row]
    assert losses[-1] < 5.3  # it began at ln 300 = 5.7
    tuning = dataclasses.replace(
        config, optimizer="sgd", learning_rate=1e-9, head_learning_rate=1e-9, sgd_learning_rate=0.3, lm_loss=0.0
    )
    losses = []
    for rate in (0.3, 1e-9):
        tuning = dataclasses.replace(tuning, sgd_learning_rate=rate, out=tmp_path / f"{rate}")
        finetune(tuning)
        losses.append(read_metrics(tuning.out)[-1]["train_loss"])
    assert losses[0] < losses[1] - 0.02


@pytest.mark.filterwarnings("error:constrained_layout")
def test_a_sweep_finds_the_best_rate_marks_what_diverged_and_does_nothing_twice(
    corpus, config, tmp_path, monkeypatch, pictures
):
    sweep = {("train", "sgd"): (1e-5, 1.0), ("train", "adamw"): (0.01, 1e30), ("finetune", "adamw"): (1e-5, 0.02)}
    monkeypatch.setattr(learning_rate, "RATES", sweep)
    settings = learning_rate.LearningRateConfig(
        steps=20, finetuning_steps=20, labels=120, data=corpus, model=config.model, reviews=config.data,
        out=tmp_path / "out",
    )  # fmt: skip
    training = small_training(corpus, tmp_path / "unused")
    tuning = dataclasses.replace(config, lm_loss=0.0, evaluations=1)
    found = learning_rate.sweep(settings, training, tuning)
    results = json.loads((settings.out / "results.json").read_text(encoding="utf-8"))["results"]
    assert results["train"]["sgd"]["1.0"]["val_loss"] < results["train"]["sgd"]["1e-05"]["val_loss"] - 0.2
    assert not results["train"]["sgd"]["1e-05"]["diverged"] and results["train"]["adamw"]["1e+30"]["diverged"]
    assert "| train.py | AdamW | 1e+30 | diverged |" in found
    accuracies = [results["finetune"]["adamw"][rate]["test_accuracy"] for rate in ("1e-05", "0.02")]
    assert accuracies[1] > accuracies[0]
    assert (settings.out / "learning_rate.png").stat().st_size > 10_000
    best = learning_rate.best_rate({float(rate): of for rate, of in results["train"]["adamw"].items()})
    assert best == 0.01
    assert learning_rate.best_rate({rate: {"val_loss": 9.0, "diverged": True} for rate in (1.0, 2.0)}) is None
    pretraining = dataclasses.replace(settings, scripts=("train",))
    assert learning_rate.sweep(pretraining, training, tuning) == "\n".join(found.split("\n")[:-2])

    def refuse(config):
        raise AssertionError("this was finished")

    monkeypatch.setattr(learning_rate, "train", refuse)
    monkeypatch.setattr(learning_rate, "finetune", refuse)
    assert learning_rate.sweep(settings, training, tuning) == found
    with pytest.raises(UserError, match="other settings"):
        learning_rate.sweep(dataclasses.replace(settings, seed=1), training, tuning)
