"""What the benchmarks of prompting, of several tries and of retrieval measure, on models that know nothing."""

import dataclasses
import math
import random
import statistics
import sys
from typing import Any

import pytest
import torch

from benchmarks import best_of_n, prompting, retrieval
from gpt.errors import UserError
from gpt.files.checkpoint import save_model, write_model_folder
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.saved import ANSWERING
from gpt.generate import score
from gpt.model import GPT, GPTConfig
from tests.helpers import random_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory, corpus):
    """A model with random weights, and the same marked as one that answers."""
    here, tokenizer = tmp_path_factory.mktemp("asked"), load_tokenizer(corpus)
    torch.manual_seed(0)
    model = GPT(GPTConfig(tokenizer.vocab_size, 512, 1, 2, 16, position="rotary"))
    save_model(model, tokenizer, here / "model")
    write_model_folder(here / "answers", model.config, model.state_dict(), tokenizer, ANSWERING)
    return here


class Copier(torch.nn.Module):
    """Says after a word what came after it last time, and token 0 after one that it has not seen."""

    def forward(self, tokens):
        (row,) = tokens.tolist()
        logits = torch.zeros(1, len(row), 300)
        for i, token in enumerate(row):
            earlier = [j for j in range(i) if row[j] == token]
            logits[0, i, row[earlier[-1] + 1] if earlier else 0] = 1
        return logits


class Letters:
    """A tokenizer whose words are those of the patterns, each a token."""

    end_of_text = 299

    def __init__(self):
        self.ids = {}

    def encode(self, text):
        words = text.replace("\n", " \n ").split(" ")
        return [self.ids.setdefault(word, len(self.ids) + 1) for word in words if word]


def guesses_of_copier(sort, seed):
    model: Any = Copier()
    tokenizer: Any = Letters()
    return prompting.guess_values(model, tokenizer, sort, seed, 50)


def test_a_model_that_copies_knows_every_pair_after_one_example():
    sets = [guesses_of_copier("pairs", seed) for seed in (0, 1)]
    assert prompting.shares_of(sets, lambda guess: guess.told == 0) == [0, 0]
    for lines in (2, 3, 4, 5):
        assert prompting.shares_of(sets, lambda guess, lines=lines: guess.since == lines) == [1, 1]
    assert prompting.shares_of(sets, lambda guess: guess.since == 1) == []
    assert {guess.different for guess in sets[0]} == {2, 3, 4}


def test_a_model_that_copies_knows_a_kind_only_by_words_that_came_before():
    sets = [guesses_of_copier("kinds", 0)]
    none, one, eight = (prompting.shares_of(sets, lambda guess, k=k: guess.told == k)[0] for k in (0, 1, 8))
    assert none == 0 and one < eight < 1


def test_where_a_model_looks_that_attends_evenly(corpus):
    model, tokenizer = random_model("rotary"), load_tokenizer(corpus)
    model = GPT(dataclasses.replace(model.config, context_length=512)).eval()
    for block in model.transformer.h:
        torch.nn.init.zeros_(block.attn.c_attn.weight)
    shares, even = prompting.attention_to_examples(model, tokenizer, 10)
    assert shares.shape == (3, 4) and 0 < even < 0.3
    torch.testing.assert_close(shares, torch.full((3, 4), even))


def test_the_measures_of_groups():
    accepted = [False, True, False, False]
    assert [best_of_n.any_in_groups(accepted, n) for n in (1, 2, 4)] == [0.25, 0.5, 1]
    likely = [-1.0, -2.0, -4.0, -3.0]
    assert [best_of_n.likeliest_in_groups(accepted, likely, n) for n in (1, 2, 4)] == [0.25, 0, 0]
    assert best_of_n.likeliest_in_groups(accepted, [-3.0, -2.0, -4.0, -1.0], 2) == 0.5
    draw = random.Random(0)
    alike = [draw.random() < 0.3 for _ in range(16_000)]
    for n in best_of_n.SIZES:
        assert best_of_n.any_in_groups(alike, n) == pytest.approx(1 - 0.7**n, abs=0.03)


def test_how_likely_stories_are_is_what_score_says(corpus):
    model, tokenizer = random_model("rotary"), load_tokenizer(corpus)
    stories = ["a", "once there was a fox", "", "def " * 30, "if"]
    means = best_of_n.mean_logprobs(model, tokenizer, stories, batch_size=2)
    for story, mean in zip(stories, means, strict=True):
        ids = [tokenizer.end_of_text, *tokenizer.encode(story)]
        expected = statistics.mean(choice.logprob for choice in score(model, ids)) if story else -math.inf
        assert mean == pytest.approx(expected, abs=1e-3)


def test_each_question_is_about_its_story_and_words_find_it():
    asked = retrieval.ask(seed=1, count=30)
    assert len({one.story for one in asked}) == 30
    for one in asked:
        hero, thing = one.about.split(" and the ")
        assert hero in one.story and thing.split(" ")[-1] in one.story and one.question.endswith("?")
    found = retrieval.find_with_words([f"{one.about}. {one.question}" for one in asked], [one.story for one in asked])
    assert retrieval.hits(found) > 20


def run(monkeypatch, capsys, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, arguments)])
    module.main()
    return capsys.readouterr().out


@pytest.mark.usefixtures("pictures")
def test_the_benchmarks_print_their_tables(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prompting, "SHOTS", (0, 2))
    monkeypatch.setattr(best_of_n, "SIZES", (1, 2))
    monkeypatch.setattr("data.world.samples.LONGEST_STORY", 20)
    model = folders / "model"
    arguments = ("--model", model, "--patterns", model, "--reviews", tmp_path / "new", "--texts", 3, "--seeds", 0)
    table = run(monkeypatch, capsys, prompting, *arguments, "--picture", tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").stat().st_size > 10_000 and "even attention" in table
    assert "| 2 |" in table and "pairs of 4 words" in table and "chance 50.0%" in table and "chance 12.5%" in table
    table = run(monkeypatch, capsys, best_of_n, "--model", model, "--groups", 1, "--temperatures", 1)
    assert "| 1 | 2 | 0.0% | 0.0% | 0.0% |" in table
    table = run(monkeypatch, capsys, retrieval, "--model", model, "--answers", folders / "answers", "--stories", 3)
    assert "| TF-IDF |" in table and "| the right one | 0.0% |" in table


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda here: prompting.PromptingConfig(), "give --model or --patterns"),
        (lambda here: prompting.PromptingConfig(here, texts=0), "--texts must be at least 1"),
        (lambda here: prompting.PromptingConfig(here, picture=here / "a.png"), "give --patterns"),
        (lambda here: best_of_n.BestOfNConfig(here, groups=0), "--groups must be at least 1"),
        (lambda here: retrieval.RetrievalConfig(here, stories=1), "at least 2"),
        (lambda here: retrieval.RetrievalConfig(here, answers=here / "model"), "finetune.py --task answer wrote"),
    ],
)
def test_a_mistake_in_a_benchmark_is_said(folders, build, message):
    with pytest.raises(UserError, match=message):
        build(folders)
