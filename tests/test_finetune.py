"""Fine-tuning, from its command line to its files: it learns, it tells the truth, and stopping changes nothing."""

import csv
import dataclasses
import json
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import finetune as finetune_script
from finetune import compare, drop_words, finetune, language_loss, loss_on_labels
from gpt import finetune_report, predict
from gpt.baselines import baselines
from gpt.buckets import Buckets
from gpt.checkpoint import load_model, load_resume, save_model
from gpt.classifier import GPTClassifier, pad
from gpt.device import pick_machine
from gpt.errors import UserError
from gpt.finetune_config import FinetuneConfig
from gpt.labelled import Example, read_examples, read_splits, take
from gpt.lora import LoraConfig
from gpt.model import GPT, GPTConfig
from gpt.run_folder import read_metrics
from gpt.task import load_task
from gpt.tokenizer import Tokenizer
from gpt.trainable import build_optimizer, choose

CPU = pick_machine("cpu", "float32", "off")
NOUNS = ["the film", "the meal", "this toy", "our walk", "a song", "the book", "my visit", "the game"]
GOOD, BAD = ["great", "lovely", "charming"], ["awful", "dreadful", "boring"]


def write_reviews(path, count, seed):
    """Reviews that are easy to tell apart: the last word decides."""
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(count):
            words = GOOD if i % 2 else BAD
            writer.writerow([f"I thought, number {draw.randrange(1000)}, {draw.choice(NOUNS)} was {draw.choice(words)}",
                             "good" if i % 2 else "bad"])  # fmt: skip


@pytest.fixture(scope="session")
def base(tmp_path_factory, corpus):
    """A model folder: two small blocks with random weights."""
    torch.manual_seed(7)
    model = GPT(GPTConfig(300, 64, 2, 2, 32, position="rotary"))
    folder = tmp_path_factory.mktemp("base")
    save_model(model, Tokenizer.load(corpus), folder)
    return folder


@pytest.fixture(scope="session")
def reviews(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reviews")
    for seed, (split, count) in enumerate({"train": 160, "val": 40, "test": 40}.items()):
        write_reviews(folder / f"{split}.csv", count, seed)
    return folder


@pytest.fixture
def config(base, reviews, tmp_path):
    return FinetuneConfig(
        base, reviews, tmp_path / "run", min_steps=40, epochs=1, batch_size=16, learning_rate=5e-3,
        lm_loss=0.2, word_dropout=0.05, evaluations=4, device="cpu", precision="float32", threads=1,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def restore_signals():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def same_weights(one, two):
    one, two = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_learns_and_leaves_all_its_files(config, capsys):
    report = finetune(dataclasses.replace(config, min_steps=80))
    assert report["test"]["accuracy"] >= 0.9
    assert {path.name for path in config.out.iterdir()} == {
        "config.json", "model.safetensors", "vocab.json", "merges.txt", "tokenizer_config.json", "train_config.json",
        "metrics.jsonl", "resume.pt", "report.json", "curve.png", "confusion.png",
    }  # fmt: skip
    assert json.loads((config.out / "report.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    assert {"majority", "tfidf"} <= report["baselines"].keys()
    assert report["baselines"]["majority"]["accuracy"] == 0.5
    low, high = report["test"]["accuracy_95"]
    assert low <= report["test"]["accuracy"] <= high
    printed = capsys.readouterr().out
    assert report["verdict"] in printed and "macro" in printed
    labels, answers = predict.answer((config.out,), ["the book was awful", "the book was lovely"], CPU)
    assert [labels[i] for i in answers.argmax(1)] == ["bad", "good"]


def stop_after(monkeypatch, step):
    """Interrupt the run as Ctrl-C would, while it is at work on the step after `step`."""
    original = Buckets.batch

    def batch(self, at):
        if at == step:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, at)

    monkeypatch.setattr(Buckets, "batch", batch)


@pytest.mark.parametrize("step", [13, 20])
def test_an_interrupted_run_goes_on_bit_for_bit(config, tmp_path, monkeypatch, capsys, step):
    whole = dataclasses.replace(config, out=tmp_path / "whole", accumulate=2)
    finetune(whole)
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        assert finetune(dataclasses.replace(config, accumulate=2)) is None
    assert "--resume" in capsys.readouterr().out
    finetune(dataclasses.replace(config, accumulate=2, resume=True))
    assert same_weights(config.out, whole.out)
    final = [load_resume(folder / "resume.pt")["weights"] for folder in (config.out, whole.out)]
    assert all(torch.equal(final[0][name], final[1][name]) for name in final[0])
    assert read_metrics(config.out) == read_metrics(whole.out)
    reports = [json.loads((out / "report.json").read_text(encoding="utf-8")) for out in (config.out, whole.out)]
    assert [report["test"] for report in reports] == [reports[0]["test"]] * 2


def test_resuming_with_other_settings_data_or_model_is_refused(config, base, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        finetune(config)
    with pytest.raises(UserError, match=r"dropout was 0\.1 and is now 0\.2"):
        finetune(dataclasses.replace(config, resume=True, dropout=0.2))
    write_reviews(tmp_path / "other.csv", 100, seed=9)
    with pytest.raises(UserError, match="other data"):
        finetune(dataclasses.replace(config, resume=True, data=tmp_path / "other.csv"))


def test_the_best_weights_are_kept_and_not_the_last(config, monkeypatch):
    scores = iter([0.3, 0.8, 0.5, 0.4])
    saved, save = [], finetune_script.save
    monkeypatch.setattr(finetune_script, "evaluate", lambda *_: {"val_loss": 1.0, "val_accuracy": next(scores)})
    monkeypatch.setattr(finetune_script, "save", lambda *what: saved.append(save(*what)))
    report = finetune(config)
    assert len(saved) == 2 and report["best_step"] == 20


def test_a_run_stops_early_when_nothing_gets_better(config, monkeypatch):
    monkeypatch.setattr(finetune_script, "evaluate", lambda *_: {"val_loss": 1.0, "val_accuracy": 0.5})
    finetune(dataclasses.replace(config, evaluations=20, patience=3))
    assert [row["step"] for row in read_metrics(config.out)] == [2, 4, 6, 8]


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("full", {"wte", "wpe", "h.0", "h.1", "ln_f", "score"}),
        ("head", {"ln_f", "score"}),
        ("last-n", {"h.1", "ln_f", "score"}),
        ("lora", {"h.0", "h.1", "ln_f", "score"}),
    ],
)
def test_each_mode_moves_exactly_what_it_says(config, position, mode, expected):
    model = GPTClassifier(GPTConfig(300, 16, 2, 2, 32, position=position), ("a", "b"))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    chosen = dataclasses.replace(config, train=mode, last_n=1, learning_rate=0.1)
    choose(model, chosen)
    optimizer = build_optimizer(model, chosen)
    for _ in range(2):  # LoRA's second matrix is zero, so its first moves from the second update on
        model(*pad([[1, 2, 3], [4, 5]])).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = {name.replace(".linear.", "."): weight for name, weight in model.state_dict().items()}
    moved = {name for name in after if name not in before or not torch.equal(before[name], after[name])}
    parts = {".".join(name.removeprefix("transformer.").split(".")[: 2 if ".h." in name else 1]) for name in moved}
    assert parts == expected - ({"wpe"} if position == "rotary" else set())
    if mode == "lora":
        assert all("lora_" in name for name in moved if ".h." in name)


def test_the_head_learns_faster_than_the_body_and_low_blocks_slowest(config):
    model = GPTClassifier(GPTConfig(300, 16, 3, 2, 32), ("a", "b"))
    optimizer = build_optimizer(model, dataclasses.replace(config, layer_decay=0.5, head_learning_rate=0.05))
    rate = {id(w): group["lr"] for group in optimizer.param_groups for w in group["params"]}
    body = model.transformer
    chain = [model.score, body.h[2].ln_1, body.h[1].ln_1, body.h[0].ln_1, body.wte]
    rates = [rate[id(part.weight)] for part in chain]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == 5
    assert len(rate) == len(list(model.parameters()))


def test_an_adapter_run_is_small_and_predicts(config, base):
    config = dataclasses.replace(config, train="lora", keep_adapter=True, lora=LoraConfig(rank=4))
    report = finetune(config)
    assert not (config.out / "model.safetensors").exists()
    assert (config.out / "adapter.safetensors").stat().st_size < 0.5 * (base / "model.safetensors").stat().st_size
    assert report["trained_weights"] < 0.3 * report["all_weights"]
    _, answers = predict.answer((config.out,), ["fine"], CPU)
    assert answers.sum() == pytest.approx(1)


def test_a_regression_estimates_numbers_in_their_own_units(config, tmp_path):
    rows = [("it was " + " ".join(["great"] * n), 100 + 10 * n) for n in range(1, 9) for _ in range(12)]
    with (tmp_path / "numbers.jsonl").open("w", encoding="utf-8") as file:
        for text, number in rows:
            file.write(json.dumps({"text": text, "label": number}) + "\n")
    report = finetune(
        dataclasses.replace(
            config, task="regression", data=tmp_path / "numbers.jsonl", min_steps=120, lm_loss=0, word_dropout=0
        )
    )
    assert report["test"]["r2"] > 0.8
    assert report["test"]["mse"] < 0.2 * report["baselines"]["mean"]["mse"]
    _, answers = predict.answer((config.out,), ["it was great great", "it was" + " great" * 8], CPU)
    assert 100 < answers[0, 0] < 145 < answers[1, 0] < 200


def test_comparing_trains_from_random_weights_too_and_draws_the_curve(config):
    config = dataclasses.replace(config, label_counts=(20,), min_steps=10)
    compare(config, finetune(config))
    report = json.loads((config.out / "report.json").read_text(encoding="utf-8"))
    assert [row["labels"] for row in report["label_counts"]] == [20, 160]
    assert report["label_counts"][1]["pretrained"] == report["test"]["accuracy"]
    assert report["label_counts"][1]["from_scratch"] == report["from_scratch"]["accuracy"]
    assert (config.out / "labels.png").read_bytes().startswith(b"\x89PNG")
    assert {"from_scratch", "from_scratch-20", "pretrained-20"} <= {path.name for path in config.out.iterdir()}


def test_from_scratch_takes_the_shape_of_the_model_and_none_of_its_weights(config, base, monkeypatch):
    seen = []
    monkeypatch.setattr(finetune_script, "choose", lambda model, _: seen.append(model.transformer.wte.weight.clone()))
    for scratch in (False, True):
        finetune(dataclasses.replace(config, from_scratch=scratch, overwrite=True, min_steps=1, epochs=0.01))
    pretrained = load_model(base).transformer.wte.weight
    assert torch.equal(seen[0], pretrained) and not torch.equal(seen[1], pretrained)
    assert seen[1].shape == pretrained.shape


def test_every_text_comes_once_in_an_epoch_and_batches_depend_on_seed_and_step_alone():
    lengths = np.random.default_rng(0).integers(1, 60, 203).tolist()
    buckets = Buckets(lengths, 16, seed=3)
    assert buckets.batches_per_epoch == 13
    for epoch in range(2):
        steps = range(epoch * 13, epoch * 13 + 13)
        assert sorted(np.concatenate([buckets.batch(step) for step in steps])) == list(range(203))
    again = Buckets(lengths, 16, seed=3)
    assert all(np.array_equal(again.batch(step), buckets.batch(step)) for step in (25, 0, 13, 7))
    assert any(not np.array_equal(Buckets(lengths, 16, seed=4).batch(step), buckets.batch(step)) for step in range(3))


def test_texts_of_like_length_share_a_batch():
    lengths = np.random.default_rng(0).integers(1, 60, 512)
    batches = [Buckets(lengths.tolist(), 16, seed=0).batch(step) for step in range(32)]
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded < 1.1 * lengths.sum()


def test_the_language_loss_is_the_mean_over_real_tokens():
    torch.manual_seed(0)
    model = GPTClassifier(GPTConfig(50, 16, 1, 2, 8), ("a", "b")).eval()
    texts = [[1, 2, 3, 4], [5, 6], [7]]
    tokens, lengths = pad(texts)
    found = language_loss(model, model.transformer(tokens), tokens, lengths)
    expected = []
    for text in texts:
        logits = model.transformer(torch.tensor([text]))[0] @ model.transformer.wte.weight.T
        expected += [-logits.log_softmax(-1)[t, text[t + 1]] for t in range(len(text) - 1)]
    torch.testing.assert_close(found, torch.stack(expected).mean())
    assert len(expected) == 4


def test_class_weights_make_every_class_weigh_the_same(base, tmp_path):
    rows = "".join(f"text {i},{'rare' if i % 10 == 0 else 'common'}\n" for i in range(200))
    (tmp_path / "data.csv").write_text("text,label\n" + rows, encoding="utf-8")
    task = load_task(tmp_path / "data.csv", False, None, 0, Tokenizer.load(base), 64)
    weights, targets = task.class_weights(), task.targets["train"]
    sums = [weights[targets[targets == i]].sum() for i in range(2)]
    torch.testing.assert_close(sums[0], sums[1])
    torch.testing.assert_close(weights[targets].mean(), torch.tensor(1.0))
    assert weights[task.labels.index("rare")] > 5 * weights[task.labels.index("common")]
    logits = torch.randn(4, 2)
    weighted = loss_on_labels(logits, torch.tensor([0, 1, 0, 1]), weights, 0.0)
    plain = loss_on_labels(logits, torch.tensor([0, 1, 0, 1]), None, 0.0)
    torch.testing.assert_close(weighted / plain, weights[[0, 1, 0, 1]])


def test_word_dropout_drops_about_its_share_and_never_everything():
    generator = np.random.default_rng(0)
    kept = drop_words(list(range(10_000)), 0.3, generator)
    assert kept == sorted(kept) and 6_800 < len(kept) < 7_200
    assert all(drop_words([1], 0.99, generator) == [1] for _ in range(50))


def test_a_split_that_is_not_given_has_each_label_in_its_share_and_no_text_twice(tmp_path):
    rows = "".join(f"text {i},{'rare' if i % 5 == 0 else 'common'}\n" for i in range(500))
    (tmp_path / "data.csv").write_text("text,label\n" + rows, encoding="utf-8")
    splits = read_splits(tmp_path / "data.csv", seed=0)
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 405, "val": 45, "test": 50}
    for examples in splits.values():
        assert sum(example.label == "rare" for example in examples) == len(examples) // 5
    texts = [example.text for examples in splits.values() for example in examples]
    assert len(set(texts)) == 500
    assert read_splits(tmp_path / "data.csv", seed=0) == splits
    assert read_splits(tmp_path / "data.csv", seed=1) != splits


def test_csv_and_jsonl_are_read_alike_whatever_is_in_the_text(tmp_path):
    texts = ['with "quotes", commas', "two\nlines", "猫坐在垫子上", "  spaces around  "]
    with (tmp_path / "a.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([["id", "label", "text"], *([i, "x", text] for i, text in enumerate(texts))])
    with (tmp_path / "a.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "label": "x"}) + "\n" for text in texts)
    assert read_examples(tmp_path / "a.csv") == read_examples(tmp_path / "a.jsonl")
    assert [example.text for example in read_examples(tmp_path / "a.csv")] == [text.strip() for text in texts]


def test_texts_longer_than_the_context_are_cut_and_counted(config, tmp_path):
    rows = [("word " * (100 if i < 7 else 5) + str(i), "ab"[i % 2]) for i in range(60)]
    with (tmp_path / "long.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *rows])
    report = finetune(dataclasses.replace(config, data=tmp_path / "long.csv", min_steps=2, epochs=0.1))
    assert sum(report["truncated"].values()) == 7


def test_measures_are_those_of_the_definitions():
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    found = finetune_report.measure(truth, answers, ("a", "b", "c"))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found["classes"]["a"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "examples": 3})
    assert found["classes"]["b"] == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 0.8, "examples": 2})
    assert found["macro"]["f1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3)


def test_the_bootstrap_interval_is_that_of_the_binomial():
    right = np.arange(1000) < 800
    low, high = finetune_report.bootstrap(right)
    spread = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert low == pytest.approx(0.8 - spread, abs=0.004) and high == pytest.approx(0.8 + spread, abs=0.004)


def test_the_surest_mistakes_come_first_and_are_mistakes():
    random_ = np.random.default_rng(0)
    probabilities = random_.dirichlet(np.ones(3), 100)
    truth = random_.integers(0, 3, 100)
    rows = finetune_report.worst_mistakes([str(i) for i in range(100)], truth, probabilities, ("a", "b", "c"))
    assert len(rows) == 10
    assert [row["probability"] for row in rows] == sorted((row["probability"] for row in rows), reverse=True)
    for row in rows:
        i = int(row["text"])
        assert row["label"] == "abc"[truth[i]] != row["answer"] == "abc"[probabilities[i].argmax()]


def test_the_verdict_says_when_the_baseline_wins():
    test = {"accuracy": 0.8, "accuracy_95": [0.77, 0.83]}
    assert "does NOT beat the tfidf" in finetune_report.verdict(test, {"tfidf": {"accuracy": 0.8}})
    assert "within the margin" in finetune_report.verdict(test, {"tfidf": {"accuracy": 0.78}})
    assert "beats the tfidf" in finetune_report.verdict(test, {"tfidf": {"accuracy": 0.7}})
    assert "does NOT beat the mean" in finetune_report.verdict(
        {"mse": 2.0}, {"mean": {"mse": 1.0}, "tfidf": {"mse": 3}}
    )


def test_baselines_learn_words_of_any_script():
    texts = {"train": ["这个电影很好", "这个电影很坏"] * 20, "val": ["很好", "很坏"], "test": ["好", "坏"]}
    targets = {"train": np.array([1, 0] * 20), "val": np.array([1, 0]), "test": np.array([1, 0])}
    assert baselines(texts, targets, regression=False)["tfidf"].tolist() == [1, 0]


def test_taking_examples_depends_on_the_key_alone():
    examples = [Example(f"text {i}", "ab"[i % 2]) for i in range(100)]
    assert take(examples, 0.2, "1", Path("x")) == take(examples, 0.2, "1", Path("x"))
    assert take(examples, 0.2, "1", Path("x")) != take(examples, 0.2, "2", Path("x"))


def test_several_models_are_averaged(config, tmp_path):
    folders = []
    for seed in (0, 1):
        out = tmp_path / f"seed{seed}"
        finetune(dataclasses.replace(config, seed=seed, out=out, min_steps=10))
        folders.append(out)
    texts = ["the film was great", "a song was dreadful", "well"]
    _, together = predict.answer(tuple(folders), texts, CPU)
    apart = torch.stack([predict.answer((folder,), texts, CPU)[1] for folder in folders])
    assert (apart[0] - apart[1]).abs().max() > 1e-4
    torch.testing.assert_close(together, apart.mean(0))


def test_predictions_are_printed_as_a_table_and_as_json(config, tmp_path, capsys, monkeypatch):
    finetune(dataclasses.replace(config, min_steps=4))
    capsys.readouterr()
    (tmp_path / "texts.txt").write_text("the first\n\nthe second, 猫\n", encoding="utf-8")
    for arguments in (["--text", "the first", "the second, 猫"], ["--file", str(tmp_path / "texts.txt")]):
        monkeypatch.setattr(sys, "argv", ["finetune.py", "predict", "--model", str(config.out), *arguments])
        finetune_script.main()
        table = capsys.readouterr().out.splitlines()
        assert len(table) == 3 and table[2].endswith("the second, 猫") and "%" in table[2]
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--format", "jsonl"])
    finetune_script.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == ["the first", "the second, 猫"]
    assert rows[0]["probabilities"][rows[0]["label"]] == max(rows[0]["probabilities"].values())
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
