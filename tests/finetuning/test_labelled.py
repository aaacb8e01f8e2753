"""Labelled text around the loop: reading it, batching it, measuring, reporting, predicting."""

import csv
import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import finetune as finetune_script
from finetune import finetune
from gpt.classifier import GPTClassifier, language_loss, loss_on_labels, pad
from gpt.errors import UserError
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.baselines import baselines
from gpt.finetuning.batches import Buckets, drop_words
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.labelled import Example, read_examples, read_splits, take_share
from gpt.finetuning.labelling import label_texts
from gpt.finetuning.measures import bootstrap, interval_of_accuracy, measure_classes, verdict, worst_mistakes
from gpt.finetuning.predict import PredictConfig, read_texts
from gpt.finetuning.tasks import load_task
from gpt.model import GPTConfig
from gpt.running.device import pick_machine

CPU = pick_machine("cpu", "float32", "off")


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


@pytest.mark.parametrize("name", ["classification", "answer"])
def test_parts_of_a_batch_give_the_gradient_of_the_whole_with_a_language_loss_too(base, tmp_path, name):
    """Every token counts alike, however long the texts are that it is put together with."""
    words = ["word " * (1 + i % 10) for i in range(40)]
    rows = [{"text": word, "label": "ab"[i % 2], "prompt": word, "answer": "ab"[i % 2]} for i, word in enumerate(words)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = load_task(FinetuneConfig(base, file, task=name, lm_loss=0.5), load_tokenizer(base), 64)
    torch.manual_seed(0)
    net, batch, gradients = task.build_net(load_model(base).config), np.arange(8), []
    for cuts in (1, 4):
        net.zero_grad()
        for part in np.array_split(batch, cuts):
            objective, _ = task.loss(net, part, CPU, np.random.default_rng(0), batch)
            (objective * len(part) / len(batch)).backward()
        gradients.append(net.transformer.h[0].mlp.c_fc.weight.grad.clone())
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=1e-4)


def test_class_weights_make_every_class_weigh_the_same(base, tmp_path):
    rows = "".join(f"text {i},{'rare' if i % 10 == 0 else 'common'}\n" for i in range(200))
    (tmp_path / "data.csv").write_text("text,label\n" + rows, encoding="utf-8")
    task = load_task(FinetuneConfig(base, tmp_path / "data.csv"), load_tokenizer(base), 64)
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
    assert all(drop_words([0, 1], 0.99, generator) == [0, 1] for _ in range(50))


def test_word_dropout_leaves_the_first_token_which_says_that_a_text_begins():
    generator = np.random.default_rng(0)
    assert all(drop_words([99, *range(10)], 0.9, generator)[0] == 99 for _ in range(50))


def test_a_split_that_is_not_given_has_each_label_in_its_share_and_no_text_twice(tmp_path):
    rows = "".join(f"text {i},{'rare' if i % 5 == 0 else 'common'}\n" for i in range(500))
    (tmp_path / "data.csv").write_text("text,label\n" + rows, encoding="utf-8")
    splits = read_splits(tmp_path / "data.csv", 0, read_examples, stratify=True)
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 405, "val": 45, "test": 50}
    for examples in splits.values():
        assert sum(example.label == "rare" for example in examples) == len(examples) // 5
    texts = [example.text for examples in splits.values() for example in examples]
    assert len(set(texts)) == 500
    assert read_splits(tmp_path / "data.csv", 0, read_examples, stratify=True) == splits
    assert read_splits(tmp_path / "data.csv", 1, read_examples, stratify=True) != splits


def test_many_labels_of_few_examples_each_are_shared_out_too(tmp_path):
    rows = [Example(f"text {i}", f"label {i % 10}") for i in range(50)]
    kept, taken = take_share(rows, 0.2, "key", tmp_path)
    assert [len({example.label for example in part}) for part in (kept, taken)] == [10, 10]
    assert len(taken) == 10
    kept, taken = take_share(rows, 0.1, "key", tmp_path)
    assert len({example.label for example in taken}) == 5 == len(taken)
    assert len({example.label for example in kept}) == 10


def test_the_only_example_of_a_label_stays_in_training_and_other_rare_ones_go_by_lot(tmp_path):
    rows = [Example(f"text {i}", "common") for i in range(500)]
    rows += [Example(f"twice {i}", f"b{i // 2}") for i in range(20)] + [
        Example(f"once {i}", f"a{i}") for i in range(10)
    ]
    seen = set()
    for seed in range(30):
        kept, taken = take_share(rows, 0.1, f"{seed}", tmp_path)
        assert len(taken) == 53
        assert {example.label for example in kept} == {example.label for example in rows}
        seen |= {example.label for example in taken}
    assert len(seen) == 11


def test_numbers_that_all_differ_are_taken_too(tmp_path):
    rows = [Example(f"text {i}", f"{i}.5") for i in range(100)]
    kept, taken = take_share(rows, 0.1, "key", tmp_path, stratify=False)
    assert len(taken) == 10 and len(kept) == 90


def test_a_part_of_the_examples_has_the_size_that_was_asked_for(tmp_path):
    rows = [Example(f"text {i}", "abc"[i % 3]) for i in range(8_000)]
    for count in (125, 500, 2_000, 7_999):
        assert len(take_share(rows, count / 8_000, "key", tmp_path)[1]) == count


def test_standard_input_loses_the_mark_that_editors_put_first_and_may_be_missing(monkeypatch):
    config = PredictConfig((Path("model"),), file=Path("-"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufefffine\n\n so so \n"))
    assert read_texts(config) == ["fine", "so so"]
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="no standard input"):
        read_texts(config)


def test_half_a_character_in_json_becomes_the_replacement_character(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "cut \\ud83d off", "label": "x"}\n', encoding="utf-8")
    assert read_examples(tmp_path / "a.jsonl") == [Example("cut \N{REPLACEMENT CHARACTER} off", "x")]


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


def test_an_accuracy_of_100_percent_is_as_sure_as_the_examples_are_many():
    assert interval_of_accuracy(np.ones(1, bool)) == [0.0, 1.0]
    assert interval_of_accuracy(np.ones(1000, bool)) == [0.997, 1.0]
    assert interval_of_accuracy(np.zeros(300, bool)) == [0.0, 0.01]


def test_measures_are_those_of_the_definitions():
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0])
    found = measure_classes(truth, answers, ("a", "b", "c"))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found["classes"]["a"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "examples": 3})
    assert found["classes"]["b"] == pytest.approx({"precision": 2 / 3, "recall": 1, "f1": 0.8, "examples": 2})
    assert found["macro"]["f1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3)


def test_the_bootstrap_interval_is_that_of_the_binomial():
    right = np.arange(1000) < 800
    low, high = bootstrap(right)
    spread = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert low == pytest.approx(0.8 - spread, abs=0.004) and high == pytest.approx(0.8 + spread, abs=0.004)


def test_the_surest_mistakes_come_first_and_are_mistakes():
    random_ = np.random.default_rng(0)
    probabilities = random_.dirichlet(np.ones(3), 100)
    truth = random_.integers(0, 3, 100)
    rows = worst_mistakes([str(i) for i in range(100)], truth, probabilities, ("a", "b", "c"))
    assert len(rows) == 10
    assert [row["probability"] for row in rows] == sorted((row["probability"] for row in rows), reverse=True)
    for row in rows:
        i = int(row["text"])
        assert row["label"] == "abc"[truth[i]] != row["answer"] == "abc"[probabilities[i].argmax()]


def test_the_verdict_says_when_the_baseline_wins():
    test = {"accuracy": 0.8, "accuracy_95": [0.77, 0.83]}
    assert "does NOT beat the tfidf" in verdict(test, {"tfidf": {"accuracy": 0.8}})
    assert "within the margin" in verdict(test, {"tfidf": {"accuracy": 0.78}})
    assert "beats the tfidf" in verdict(test, {"tfidf": {"accuracy": 0.7}})
    assert "does NOT beat the mean" in verdict({"mse": 2.0}, {"mean": {"mse": 1.0}, "tfidf": {"mse": 3}})


def test_baselines_learn_words_of_any_script():
    texts = {"train": ["这个电影很好", "这个电影很坏"] * 20, "val": ["很好", "很坏"], "test": ["好", "坏"]}
    targets = {"train": np.array([1, 0] * 20), "val": np.array([1, 0]), "test": np.array([1, 0])}
    assert baselines(texts, targets, regression=False)["tfidf"].tolist() == [1, 0]


def test_taking_examples_depends_on_the_key_alone():
    examples = [Example(f"text {i}", "ab"[i % 2]) for i in range(100)]
    assert take_share(examples, 0.2, "1", Path("x")) == take_share(examples, 0.2, "1", Path("x"))
    assert take_share(examples, 0.2, "1", Path("x")) != take_share(examples, 0.2, "2", Path("x"))


def test_several_models_are_averaged(config, tmp_path):
    folders = []
    for seed in (0, 1):
        out = tmp_path / f"seed{seed}"
        finetune(dataclasses.replace(config, seed=seed, out=out, min_steps=10))
        folders.append(out)
    texts = ["the film was great", "a song was dreadful", "well"]
    _, together = label_texts(tuple(folders), texts, CPU)
    apart = torch.stack([label_texts((folder,), texts, CPU)[1] for folder in folders])
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
