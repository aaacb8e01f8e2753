"""The training loop, from its command line to its files; above all that stopping and going on changes nothing."""

import dataclasses
import json
import os
import signal
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_hook

import train as train_script
from data.prepare import PrepareConfig, prepare
from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, load_resume
from gpt.files.tokenizer_files import load_tokenizer
from gpt.files.tokens_folder import TokensFolder
from gpt.model import GPTConfig
from gpt.running.device import pick_machine
from gpt.running.processes import Processes
from gpt.running.run_folder import read_metrics
from gpt.running.validation import validation_loss
from tests.helpers import small_training, stop_after
from tests.processes import start_train
from train import train


@pytest.fixture
def config(corpus, tmp_path):
    return small_training(corpus, tmp_path / "run")


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.usefixtures("pictures")
def test_a_run_learns_and_leaves_all_its_files(config):
    train(config)
    rows = read_metrics(config.out)
    losses = [row["train_loss"] for row in rows if "train_loss" in row]
    evaluations = [row for row in rows if "val_loss" in row]
    assert [row["step"] for row in evaluations] == [8, 16, 20]
    assert losses[-1] < losses[0] - 0.3
    assert {"perplexity", "bits_per_byte", "sample"} <= evaluations[0].keys()
    names = {path.name for path in config.out.iterdir()}
    assert names == {
        "config.json", "model.safetensors", "vocab.json", "merges.txt", "tokenizer_config.json",
        "train_config.json", "metrics.jsonl", "loss.png", "resume.pt",
    }  # fmt: skip
    assert (config.out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert load_model(config.out).config.vocab_size == 300


@pytest.mark.usefixtures("pictures")  # of runs so short that no training loss is noted
def test_a_model_of_short_documents_is_told_where_a_text_begins_and_one_of_long_ones_is_not(config, tmp_path):
    for name, size, begins in (("short", 8, True), ("long", 4000, False)):
        text = "".join(json.dumps({"text": "a cat " * size + str(i)}) + "\n" for i in range(60))
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
        prepare(PrepareConfig((tmp_path / f"{name}.jsonl",), tmp_path / f"{name}-tokens", 280))
        train(dataclasses.replace(config, data=tmp_path / f"{name}-tokens", out=tmp_path / name, max_steps=3))
        assert load_tokenizer(tmp_path / name).add_bos_token == begins


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(config, tmp_path):
    train(config)
    train(dataclasses.replace(config, out=tmp_path / "again"))
    train(dataclasses.replace(config, out=tmp_path / "other", seed=1))
    assert same(weights(config.out), weights(tmp_path / "again"))
    assert not same(weights(config.out), weights(tmp_path / "other"))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_run_interrupted_and_resumed_ends_with_the_bits_of_an_uninterrupted_one(
    config, tmp_path, monkeypatch, optimizer
):
    config = dataclasses.replace(config, optimizer=optimizer)
    train(config)
    stopped = dataclasses.replace(config, out=tmp_path / "stopped")
    with monkeypatch.context() as patch:
        stop_after(patch, Dataset, 10)
        train(stopped)
    assert torch.load(stopped.out / "resume.pt", weights_only=True)["step"] == 11
    train(dataclasses.replace(stopped, resume=True))
    assert same(weights(config.out), weights(stopped.out))

    def without_clock(rows):
        return [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in rows]

    assert without_clock(read_metrics(config.out)) == without_clock(read_metrics(stopped.out))


def test_a_resumed_run_can_be_stopped_before_its_first_evaluation(config, monkeypatch, capsys):
    for step in (2, 4):
        with monkeypatch.context() as patch:
            stop_after(patch, Dataset, step)
            train(dataclasses.replace(config, resume=step > 2))
    assert torch.load(config.out / "resume.pt", weights_only=True)["step"] == 5
    assert capsys.readouterr().out.count("--resume") == 2


def test_an_interrupted_run_says_how_to_go_on_and_can_be_sampled_from(config, monkeypatch, capsys):
    stop_after(monkeypatch, Dataset, 3)
    train(config)
    assert "--resume" in capsys.readouterr().out
    assert load_model(config.out)


def test_metrics_of_steps_that_are_done_again_are_dropped(config, monkeypatch):
    stop_after(monkeypatch, Dataset, 10)
    train(config)
    with (config.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 15, "train_loss": 1.0}\n{"step": 2')  # as a run that was killed later leaves it
    monkeypatch.undo()
    train(dataclasses.replace(config, resume=True))
    assert [row["step"] for row in read_metrics(config.out) if "train_loss" in row] == [5, 10, 15, 20]


def test_accumulating_parts_gives_the_gradient_of_the_whole_batch(config, tmp_path):
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, dropout=0.0), optimizer="adamw")
    train(config)
    train(dataclasses.replace(config, accumulate=4, out=tmp_path / "parts"))
    one, four = (read_metrics(folder) for folder in (config.out, tmp_path / "parts"))
    for row, other in zip(one, four, strict=True):
        key = "train_loss" if "train_loss" in row else "val_loss"
        assert row[key] == pytest.approx(other[key], abs=1e-4)


def test_the_best_model_is_kept_when_later_ones_are_worse(config, monkeypatch):
    penalties, evaluated = [2, 1, 0, 9, 5], []  # what is added to each loss, and the weights at each evaluation

    def with_penalty(model, *rest):
        evaluated.append({name: weight.clone() for name, weight in model.state_dict().items()})
        return validation_loss(model, *rest) + penalties[len(evaluated) - 1]

    monkeypatch.setattr(train_script, "validation_loss", with_penalty)
    train(dataclasses.replace(config, eval_every=4))
    losses = [row["val_loss"] for row in read_metrics(config.out) if "val_loss" in row]
    assert losses[0] > losses[1] > losses[2] and losses[3] > losses[4] > losses[2]
    kept = load_model(config.out)
    assert same(kept.state_dict(), evaluated[2])
    assert load_resume(config.out / "resume.pt")["best"] == losses[2]
    dataset = TokensFolder(config.data).dataset(32, 8)
    machine = pick_machine("cpu", "float32")
    alone = Processes(rank=0, size=1, device=machine.device)
    assert validation_loss(kept, dataset, machine, alone, accumulate=3) == pytest.approx(losses[2], abs=1e-3)


@pytest.mark.parametrize(
    "change", [{"max_steps": 30}, {"learning_rate": 1e-3}, {"seed": 5}, {"model": GPTConfig(32, 32, 2, 2, 32)}]
)
def test_resuming_with_other_settings_is_refused(config, monkeypatch, change):
    stop_after(monkeypatch, Dataset, 3)
    train(config)
    before = (config.out / "resume.pt").read_bytes()
    with pytest.raises(UserError, match=next(iter(change))):
        train(dataclasses.replace(config, resume=True, **change))
    assert (config.out / "resume.pt").read_bytes() == before


def test_a_second_run_does_not_overwrite_the_first_unasked(config):
    train(config)
    before = (config.out / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="already holds a run"):
        train(dataclasses.replace(config, seed=3))
    assert (config.out / "model.safetensors").read_bytes() == before
    train(dataclasses.replace(config, seed=3, overwrite=True))
    assert (config.out / "model.safetensors").read_bytes() != before


def test_bfloat16_trains_to_nearly_the_same_loss(config, tmp_path):
    def train_in(precision):
        """The types of the products that are made while training in this precision."""
        products = set()

        def note(layer, _, y):
            if isinstance(layer, torch.nn.Linear) and layer.training:
                products.add(y.dtype)

        with register_module_forward_hook(note):
            train(dataclasses.replace(config, out=tmp_path / precision, precision=precision))
        return products

    assert train_in("float32") == {torch.float32}
    assert train_in("bfloat16") == {torch.bfloat16}
    last = [read_metrics(tmp_path / precision)[-1]["val_loss"] for precision in ("float32", "bfloat16")]
    assert last[0] == pytest.approx(last[1], abs=0.1)
    assert not same(weights(tmp_path / "float32"), weights(tmp_path / "bfloat16"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to whole process groups only")
def test_ctrl_c_in_a_terminal_saves_and_exits_cleanly(corpus, tmp_path):
    process = start_train(tmp_path / "run", data=corpus, batch_size=4, max_steps=100_000)
    while process.is_alive() and not read_metrics(tmp_path / "run"):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    out, err = ((tmp_path / f"run.{stream}").read_text(encoding="utf-8") for stream in ("log", "err"))
    assert process.exitcode == 130, err  # or `train.py ... && finetune.py ...` would go on with half a model
    assert "Traceback" not in err
    assert "--resume" in out
    assert (tmp_path / "run" / "resume.pt").exists()
    assert json.loads((tmp_path / "run" / "train_config.json").read_text(encoding="utf-8"))["batch_size"] == 4
