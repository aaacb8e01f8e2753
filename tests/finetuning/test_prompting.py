"""Labels by the words that a language model expects, without any fine-tuning."""

import json
import sys

import pytest
import torch

import finetune
from gpt.errors import UserError
from gpt.files.checkpoint import save_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.labelled import Example
from gpt.finetuning.prompting import (
    Prompting,
    choose_examples,
    continuation_logprobs,
    fill_prompt,
    read_label_words,
    score_labels,
)
from gpt.finetuning.saved import ANSWERING
from gpt.generate import score
from gpt.running.command_line import run_main
from gpt.running.device import pick_machine
from tests.helpers import masked_model, random_model

CPU = pick_machine("cpu", "float32", "off")
TEMPLATE = "{text} It was {word}."
WORDS = {"positive": "good", "negative": "bad"}


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return load_tokenizer(corpus)


def sum_alone(model, ids, start):
    """The same sum with the plain `score`."""
    return sum(choice.logprob for choice in score(model, ids)[start - 1 :])


@pytest.mark.parametrize("calibrate", [False, True])
def test_the_likelier_word_wins(tokenizer, calibrate):
    """What all labels' lines begin with cancels out: only the probability of the whole line can decide."""
    model, example = random_model("rotary"), Example("one", "negative")
    prompting = Prompting(TEMPLATE, WORDS, (example,))
    texts = ["z", "def main", "qq", "return 1", "import"]
    scores, cut = score_labels(model, tokenizer, prompting, texts, CPU, calibrate)
    for text, row in zip(texts, scores, strict=True):
        lead = {}
        for line in (f"{text} It was", "It was"):
            good, bad = (
                sum_alone(model, [tokenizer.end_of_text, *tokenizer.encode(f"one It was bad.\n{line} {word}.")], 1)
                for word in WORDS.values()
            )
            lead[line] = good - bad
        expected = lead[f"{text} It was"] - calibrate * lead["It was"]
        assert row[0].item() - row[1].item() == pytest.approx(expected, abs=1e-3)
        assert (row[0] > row[1]).item() == (expected > 0)
    assert cut == 0


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_scores_in_a_batch_are_the_scores_alone(position):
    model = random_model(position)
    rows = [[299, 5, 6, 7], [299, 9, 8, 7, 6, 5, 4, 3, 2], [299, 1], list(range(33)), [299, 5, 6, 8, 1]]
    starts = [2, 3, 1, 30, 5]  # nothing of the last is scored
    sums = continuation_logprobs(model, rows, starts, CPU, batch_size=3)
    expected = [sum_alone(model, row, start) for row, start in zip(rows, starts, strict=True)]
    torch.testing.assert_close(sums, torch.tensor(expected, dtype=torch.float32), atol=1e-4, rtol=1e-4)


def test_only_tokens_after_the_common_beginning_are_scored(tokenizer):
    prompt = fill_prompt(tokenizer, Prompting(TEMPLATE, WORDS), "Fine.", 100)
    beginnings = {tuple(row[: prompt.start]) for row in prompt.rows}
    assert len(beginnings) == 1 and len({row[prompt.start] for row in prompt.rows}) == 2
    assert [tokenizer.decode(row[1:]) for row in prompt.rows] == ["Fine. It was good.", "Fine. It was bad."]


def test_an_example_that_does_not_fit_is_left_out_whole(tokenizer):
    examples = (Example("the first one of all", "positive"), Example("two", "negative"), Example("three", "positive"))
    prompting = Prompting(TEMPLATE, WORDS, examples)
    whole = fill_prompt(tokenizer, prompting, "four", 10_000)
    assert whole.is_whole and whole.num_examples == 3
    context = max(map(len, whole.rows)) - 1  # the last id is not read
    assert fill_prompt(tokenizer, prompting, "four", context).is_whole
    less = fill_prompt(tokenizer, prompting, "four", context - 1)
    assert not less.is_whole and less.num_examples == 2
    said = "two It was bad.\nthree It was good.\nfour It was "
    assert [tokenizer.decode(row[1:]) for row in less.rows] == [said + "good.", said + "bad."]


@pytest.mark.parametrize(("template", "kept"), [("{text} {word}", "end good"), ("{word}: {text}", "good: b")])
def test_a_text_that_does_not_fit_loses_what_is_far_from_the_word(tokenizer, template, kept):
    examples = (Example("an example", "positive"),)
    text = "begin" + " and so on" * 9 + " to the end"
    prompt = fill_prompt(tokenizer, Prompting(template, WORDS, examples), text, 12)
    assert not prompt.is_whole and prompt.num_examples == 0 and max(map(len, prompt.rows)) == 13
    assert len({row[prompt.start] for row in prompt.rows}) == 2
    said = tokenizer.decode(prompt.rows[0][1:])
    assert said.endswith(kept) if template.startswith("{text}") else said.startswith(kept)


def test_each_label_has_equally_many_examples_and_the_seed_chooses_them():
    examples = [Example(f"text {i}", ("positive", "negative", "neutral")[i % 3]) for i in range(60)]
    chosen = [choose_examples(examples, list(WORDS), 5, seed) for seed in range(8)]
    for of_seed in chosen:
        counts = [sum(example.label == label for example in of_seed) for label in WORDS]
        assert sorted(counts) == [2, 3] and len(set(of_seed)) == 5
    assert chosen[0] == choose_examples(examples, list(WORDS), 5, 0)
    assert len({tuple(e.label for e in of_seed) for of_seed in chosen}) > 2 and len(set(chosen)) == 8


def test_a_text_may_spell_out_a_slot():
    assert Prompting(TEMPLATE, WORDS).line("a {word} {text}", "positive") == "a {word} {text} It was good."


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    here = tmp_path_factory.mktemp("prompting")
    save_model(random_model("rotary"), tokenizer, here / "model")
    save_model(masked_model("rotary"), tokenizer, here / "masked")
    save_model(random_model("rotary"), tokenizer, here / "answering")
    config = here / "answering/config.json"
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | ANSWERING), encoding="utf-8")
    (here / "adapter").mkdir()
    (here / "adapter/adapter.json").write_text("{", encoding="utf-8")
    rows = [f"text {i},{'ab'[i % 2]}\n" for i in range(5)]
    (here / "few.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    return here


def test_predict_prints_the_same_table_for_words_as_for_a_classifier(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    command = "finetune.py predict --model model --label-words a=x b=yes --examples few.csv --shots 2 --text hi hello"
    monkeypatch.setattr(sys, "argv", command.split())
    finetune.main()
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["a", "b", "answer", "text"] and len(table) == 3 and table[2].endswith("hello")
    monkeypatch.setattr(sys, "argv", [*command.split(), "--format", "jsonl"])
    finetune.main()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [sum(row["probabilities"].values()) for row in rows] == pytest.approx([1, 1], abs=1e-5)
    assert all(row["label"] in "ab" for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--model model",
            "a language model, not a classifier: fine-tune it first with finetune.py, or ask",
        ),
        ("--model model --label-words a= b=x", "'a=', a label without a word"),
        ("--model model --label-words a b=x", "'a', a label without a word"),
        ("--model model --label-words a=x b=x", "names 'x' twice"),
        ("--model model --label-words a=x a=y", "names 'a' twice"),
        ("--model model --label-words a=x", "nothing to tell apart"),
        ("--model model --label-words a=x b=y --template {text}", "has no {word}"),
        ("--model model --label-words a=x b=y --template {word}", "has no {text}"),
        ("--model answering --label-words a=x b=y", "answering was fine-tuned and needs no --label-words"),
        ("--model model masked --label-words a=x b=y", "give --model one folder"),
        ("--model masked --label-words a=x b=y", "this masked model only fills gaps"),
        ("--model nowhere", "nowhere is not a model folder"),
        ("--model adapter", "the adapter in adapter is damaged"),
        ("--model nowhere --label-words a=x b=y", "nowhere is not a model folder"),
        ("--model model --label-words a=x b=y --shots 2", "give both"),
        ("--model model --label-words a=x b=y --examples few.csv", "give both"),
        ("--model model --label-words a=x b=y --examples few.csv --shots 7", "--shots 7 needs"),
        ("--model model --label-words a=x c=y --examples few.csv --shots 2", "labelled 'c', but there are 0"),
        ("--model model --label-words a=x b=y --examples none.csv --shots 2", "none.csv"),
        ("--model answering --examples few.csv --shots 2", "with --label-words"),
    ],
)
def test_a_mistake_in_prompting_is_one_line_and_exit_code_2(folder, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["finetune.py", "predict", *arguments.split(), "--text", "hi"])
    with pytest.raises(SystemExit) as exit_:
        run_main(finetune.main)
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1 and message in error


def test_prompting_needs_a_model(folder, monkeypatch):
    arguments = ["--text", "hi", "--label-words", "a=x", "b=y", "--model"]
    monkeypatch.setattr(sys, "argv", ["finetune.py", "predict", *arguments])
    with pytest.raises(UserError, match="names no folder"):
        finetune.main()


def test_words_are_read_without_the_space_around_them():
    assert read_label_words(("good = very good", "bad=bad")) == {"good": "very good", "bad": "bad"}
