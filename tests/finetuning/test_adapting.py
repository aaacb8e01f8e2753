"""Runs of finetune.py that train little: they learn, go on with the same bits, and leave a folder that can be used."""

import csv
import dataclasses
import json
import sys

import pytest
import torch
from safetensors.torch import load_file

import finetune as finetune_script
from finetune import finetune
from gpt.errors import UserError
from gpt.files.checkpoint import load_model, load_resume, save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.batches import Buckets
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.found import find_spans
from gpt.finetuning.labelling import label_texts
from gpt.finetuning.method_config import AdaloraConfig, AdapterConfig, LoraConfig, PrefixConfig
from gpt.finetuning.saved import kind_of, load_fine_tuned, room_for_answer
from gpt.running.device import pick_machine
from gpt.running.run_folder import read_metrics
from tests.finetuning.test_answering import write_lines
from tests.helpers import masked_model, stop_after

CPU = pick_machine("cpu", "float32", "off")
SMALL = {
    "lora": LoraConfig(4), "adalora": AdaloraConfig(6, 4), "adapter": AdapterConfig(4), "prefix": PrefixConfig(5),
}  # fmt: skip
METHODS = ("bias", *SMALL)
WORDS = {"a": "one", "b": "two", "c": "three"}


@pytest.fixture(scope="module")
def data(tmp_path_factory, reviews):
    """Examples of each task, and of a language model to begin with, that says whether a review is good or bad."""
    here = tmp_path_factory.mktemp("data")
    rows = {
        "answer": [{"prompt": f"number {i % 9} {letter}", "answer": WORDS[letter]} for i, letter in
                   enumerate("abc" * 20)],
        "tags": [{"text": f"see Dr {name} now", "spans": [[7, 10, "PERSON"]]} for name in ("Oak", "Elm") * 30],
        "regression": [{"text": "it was " + "great " * (i % 6), "label": i % 6} for i in range(60)],
    }  # fmt: skip
    with (reviews / "train.csv").open(encoding="utf-8", newline="") as file:
        known = [{"prompt": row["text"], "answer": row["label"]} for row in csv.DictReader(file)]
    for name, content in (rows | {"known": known}).items():
        (here / name).mkdir()
        write_lines(here / name / "train.jsonl", content)
    return here


@pytest.fixture(scope="module")
def pretrained(base, data, tmp_path_factory):
    """A model that knows good words from bad ones."""
    out = tmp_path_factory.mktemp("pretrained") / "model"
    settings = {"task": "answer", "lm_loss": 0.5, "evaluations": 1, "device": "cpu", "precision": "float32"}
    finetune(FinetuneConfig(base, data / "known", out, min_steps=400, batch_size=16, threads=1, **settings))
    return out


@pytest.fixture
def config(config):
    return dataclasses.replace(config, lm_loss=0, word_dropout=0, **SMALL)


def weights_in(folder):
    path = folder / "model.safetensors"
    return load_file(path if path.is_file() else folder / "adapter_model.safetensors")


@pytest.mark.parametrize("train", METHODS)
def test_a_run_learns_and_says_what_it_trains(config, pretrained, train, capsys):
    report = finetune(dataclasses.replace(config, model=pretrained, train=train, min_steps=100, learning_rate=0.03))
    assert report["test"]["accuracy"] >= 0.9
    printed = capsys.readouterr().out
    assert f"{report['trained_weights']:,} of {report['all_weights']:,} weights are trained" in printed
    assert report["train"] == train and report["trained_weights"] < 0.3 * report["all_weights"]
    kept = train in ("adapter", "prefix")
    assert ("saved    as an adapter" in printed) == kept
    assert (config.out / "adapter.json").is_file() == kept != (config.out / "model.safetensors").is_file()
    labels, answers = label_texts((config.out,), ["the book was awful", "the book was lovely"], CPU)
    assert [labels[i] for i in answers.argmax(1)] == ["bad", "good"]


@pytest.mark.parametrize("train", METHODS)
def test_an_interrupted_run_goes_on_bit_for_bit(config, train, tmp_path, monkeypatch):
    config = dataclasses.replace(config, train=train, accumulate=2, keep_adapter=True, min_steps=20)
    whole = dataclasses.replace(config, out=tmp_path / "whole")
    finetune(whole)
    with monkeypatch.context() as patch:
        stop_after(patch, Buckets, 8)  # while the budget of AdaLoRA shrinks
        assert finetune(config) is None
    finetune(dataclasses.replace(config, resume=True))
    final = [load_resume(folder / "resume.pt")["weights"] for folder in (config.out, whole.out)]
    for one, two in (final, [weights_in(folder) for folder in (config.out, whole.out)]):
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert read_metrics(config.out) == read_metrics(whole.out)


@pytest.mark.parametrize("train", METHODS)
def test_an_adapter_and_the_merged_model_give_the_same_answers(config, train, tmp_path):
    config = dataclasses.replace(config, train=train, min_steps=10, evaluations=1)
    finetune(config)
    finetune(dataclasses.replace(config, keep_adapter=True, out=tmp_path / "adapter"))
    texts = ["the book was awful", "好 👍 the book", "great"]
    answers = [label_texts((folder,), texts, CPU)[1] for folder in (config.out, tmp_path / "adapter")]
    torch.testing.assert_close(*answers, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("plain", [False, True])
def test_adalora_ends_with_its_budget(config, plain):
    finetune(dataclasses.replace(config, train="adalora", keep_adapter=True, plain=plain))
    weights = load_resume(config.out / "resume.pt")["weights"]
    kept = torch.stack([weight != 0 for name, weight in weights.items() if name.endswith("lora_e")])
    assert kept.shape == (4, 6) and kept.sum() == 4 * 4
    net = load_fine_tuned(config.out, "cpu")
    assert net.transformer.h[0].mlp.c_fc.lora_e.shape == (6,)


@pytest.mark.parametrize("train", METHODS)
@pytest.mark.parametrize("task", ["answer", "tags", "regression"])
def test_other_tasks_can_be_learned_tested_and_used(config, data, train, task, monkeypatch, capsys):
    config = dataclasses.replace(
        config, task=task, data=data / task, train=train, min_steps=10, keep_adapter=True, evaluations=1
    )
    report = finetune(config)
    assert kind_of(config.out) == {"answer": "answers", "tags": "tags", "regression": "labels"}[task]
    score = {"answer": "exact", "tags": "f1", "regression": "mse"}[task]
    assert report["test"][score] is not None
    for command in (
        ["test", "--data", str(data / task / "train.jsonl")],
        ["predict", "--text", "number 3 b", "你好 👍"],
    ):
        capsys.readouterr()
        arguments = [command[0], "--model", str(config.out), *command[1:], "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["finetune.py", *arguments])
        finetune_script.main()
        assert capsys.readouterr().out
    if task == "answer":
        assert room_for_answer(config.out, 64) > 1


@pytest.mark.parametrize("train", ["bias", "adapter", "prefix"])
def test_answers_are_learned(config, pretrained, data, train):
    """The whole way: a loss on answers, with a prefix a shorter context, and writing with the cache."""
    settings = {"model": pretrained, "task": "answer", "data": data / "answer", "train": train, "dropout": 0}
    report = finetune(dataclasses.replace(config, **settings, min_steps=100, learning_rate=0.05))
    losses = [row["val_loss"] for row in read_metrics(config.out)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.95 * losses[0] and "exact" in report["test"]
    assert load_fine_tuned(config.out, "cpu").config.context_length == 64 - 5 * (train == "prefix")


@pytest.mark.parametrize("train", ["adapter", "prefix"])
def test_a_masked_model_can_be_adapted(config, base, data, tmp_path, train):
    tokenizer = load_tokenizer(base)
    save_model(masked_model("rotary", tokenizer.vocab_size + 2), tokenizer, tmp_path / "masked")
    settings = {"model": tmp_path / "masked", "task": "tags", "data": data / "tags", "train": train}
    finetune(dataclasses.replace(config, **settings))
    losses = [row["val_loss"] for row in read_metrics(config.out)]
    assert losses == sorted(losses, reverse=True)
    tokenizer = load_tokenizer(config.out)
    net = load_fine_tuned(config.out, "cpu")
    assert find_spans(net, tokenizer, ["see Dr Oak now"], CPU) is not None and not net.config.causal


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_prefix_makes_long_texts_shorter(config, base, position, tmp_path):
    tokenizer = load_tokenizer(base)
    model = load_model(base)
    shape = dataclasses.replace(model.config, position=position)
    torch.manual_seed(0)
    save_model(type(model)(shape), tokenizer, tmp_path / "base")
    rows = [{"text": "word " * 50 + str(i), "label": "ab"[i % 2]} for i in range(20)]
    file = write_lines(tmp_path / "long.jsonl", rows)
    report = finetune(
        dataclasses.replace(config, model=tmp_path / "base", data=file, train="prefix", min_steps=2, epochs=0.1)
    )
    assert report["truncated"]["train"] == report["examples"]["train"]
    _, answers = label_texts((config.out,), ["word " * 90], CPU)
    assert answers.sum() == pytest.approx(1)


def test_an_adapter_is_no_base_and_no_model_to_sample_from(config, tmp_path):
    finetune(dataclasses.replace(config, train="prefix", min_steps=4, evaluations=1))
    with pytest.raises(UserError, match="holds an adapter, not a whole model"):
        load_model(config.out)
    with pytest.raises(UserError, match="holds an adapter, not a whole model"):
        finetune(dataclasses.replace(config, model=config.out, out=tmp_path / "again"))


def test_a_new_run_replaces_an_older_adapter_and_leaves_none_of_it(config):
    finetune(dataclasses.replace(config, train="lora", keep_adapter=True, min_steps=4, evaluations=1))
    finetune(dataclasses.replace(config, train="bias", min_steps=4, evaluations=1, overwrite=True))
    assert not list(config.out.glob("adapter*")) and (config.out / "model.safetensors").is_file()
    assert json.loads((config.out / "report.json").read_text(encoding="utf-8"))["train"] == "bias"
