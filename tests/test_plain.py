"""--plain: the core alone trains, fine-tunes and writes as the fast twins do."""

import dataclasses
import sys

import pytest
import torch

import sample
from finetune import finetune
from gpt.errors import UserError
from gpt.fast import layers, optimizers
from gpt.files.checkpoint import load_model, save_model
from gpt.model import GPTConfig
from gpt.running.run_folder import read_metrics
from gpt.tokenizer import Tokenizer
from tests.helpers import random_model, small_training
from train import train


@pytest.fixture
def no_twins(monkeypatch):
    """Twins may not be called."""

    def refuse(*_):
        raise AssertionError("a fast twin was used")

    for kind in (layers.FusedLayerNorm, layers.FusedGELU, layers.QuickDropout, layers.FastAttention):
        monkeypatch.setattr(kind, "forward", refuse)
    for kind in (optimizers.FusedAdamW, optimizers.BatchedMuon):
        monkeypatch.setattr(kind, "step", refuse)


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_plain_training_reaches_the_losses_of_fast_training(corpus, tmp_path, position, optimizer):
    config = small_training(corpus, tmp_path / "fast")
    config = dataclasses.replace(
        config, model=dataclasses.replace(config.model, dropout=0.0, position=position), optimizer=optimizer
    )
    train(config)
    train(dataclasses.replace(config, out=tmp_path / "plain", plain=True))
    for fast, plain in zip(read_metrics(tmp_path / "fast"), read_metrics(tmp_path / "plain"), strict=True):
        key = "val_loss" if "val_loss" in fast else "train_loss"
        assert plain[key] == pytest.approx(fast[key], abs=1e-3)
    for name, weight in load_model(tmp_path / "fast").state_dict().items():
        torch.testing.assert_close(load_model(tmp_path / "plain").state_dict()[name], weight, atol=1e-2, rtol=0)


def test_plain_training_uses_no_twin(corpus, tmp_path, no_twins):
    config = dataclasses.replace(small_training(corpus, tmp_path / "plain"), plain=True, optimizer="muon")
    train(config)
    with pytest.raises(AssertionError, match="a fast twin"):
        train(dataclasses.replace(config, out=tmp_path / "fast", plain=False))


def test_plain_fine_tuning_uses_no_twin_and_learns_the_same(config, tmp_path, no_twins):
    plain = dataclasses.replace(config, plain=True, min_steps=80)
    report = finetune(plain)
    assert report["test"]["accuracy"] >= 0.9
    with pytest.raises(AssertionError, match="a fast twin"):
        finetune(dataclasses.replace(plain, plain=False, out=tmp_path / "fast"))


def test_a_plain_run_is_not_resumed_as_a_fast_one(corpus, tmp_path):
    config = dataclasses.replace(small_training(corpus, tmp_path / "plain"), plain=True)
    train(config)
    with pytest.raises(UserError, match="plain was True and is now False"):
        train(dataclasses.replace(config, plain=False, resume=True))


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--prompt", "the cat", "--temperature", "0"],
        ["--prompt", "the cat", "a", "--num-samples", "2", "--stop", "at", "--top-p", "0.9"],
        ["--max-new-tokens", "60", "--repetition-penalty", "1.5"],
    ],
    ids=["greedy", "several", "new document"],
)
def test_plain_samples_are_the_fast_ones(monkeypatch, capsys, tmp_path, position, flags):
    tokenizer = Tokenizer.train(["the cat sat on the mat " * 50], 300)
    save_model(random_model(position, tokenizer.vocab_size), tokenizer, tmp_path)
    texts = []
    for more in ([], ["--plain"]):
        monkeypatch.setattr(sys, "argv", ["sample.py", "--model", str(tmp_path), *flags, *more])
        sample.main()
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != ""


def test_plain_and_fast_samples_have_the_same_logprobs(monkeypatch, capsys, tmp_path):
    tokenizer = Tokenizer.train(["the cat sat on the mat " * 50], 300)
    save_model(random_model("rotary", tokenizer.vocab_size), tokenizer, tmp_path)
    tables = []
    for more in ([], ["--plain"]):
        flags = ["--prompt", "the", "--max-new-tokens", "9", "--logprobs", "1", *more]
        monkeypatch.setattr(sys, "argv", ["sample.py", "--model", str(tmp_path), *flags])
        sample.main()
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


@pytest.mark.parametrize("plain", [True, False])
def test_a_run_shorter_than_its_warm_up_shortens_it_and_says_so(corpus, tmp_path, capsys, plain):
    config = dataclasses.replace(
        small_training(corpus, tmp_path / "short"), max_steps=5, warmup_steps=20, plain=plain,
        model=GPTConfig(context_length=32, n_layer=1, n_head=1, n_embd=16),
    )  # fmt: skip
    train(config)
    assert "the warm-up is shortened from 20 to 1 steps" in capsys.readouterr().out
    assert config.warmup == 1 and dataclasses.replace(config, max_steps=21).warmup == 20
