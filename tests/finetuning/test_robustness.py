"""Small changes of texts: each changes what it says and nothing else, and flips are counted right."""

import random
import re
from collections import Counter

import numpy as np
import pytest
import torch

from gpt.errors import UserError
from gpt.finetuning.robustness import (
    around_difference,
    describe_robustness,
    drop_capitals,
    drop_end,
    measure_robustness,
    swap_letters,
)
from gpt.finetuning.synonyms import Synonyms, read_synonyms

TEXT = "On Monday my brother, who is unhappy, was Brotherly with a friend."
GROUPS = Synonyms(
    [["happy", "glad"], ["unhappy", "cross"], ["brother", "sister"], ["a friend", "my class"], ["Monday", "Friday"]]
)


@pytest.mark.parametrize("seed", range(20))
def test_swapping_letters_keeps_all_letters_and_the_ends_of_words(seed):
    changed = swap_letters(TEXT, random.Random(seed))
    assert changed != TEXT and Counter(changed) == Counter(TEXT)
    pairs = [(a, b) for a, b in zip(TEXT.split(), changed.split(), strict=True) if a != b]
    ((before, after),) = pairs
    letters, changed_letters = (re.sub(r"\W", "", word) for word in (before, after))
    assert len(letters) >= 4 and letters[0] == changed_letters[0] and letters[-1] == changed_letters[-1]


def test_texts_that_a_change_does_not_fit_stay_as_they_are():
    chooser = random.Random(0)
    assert swap_letters("so it is, noon, 12345", chooser) == "so it is, noon, 12345"
    assert drop_end("no end", chooser) == "no end" and drop_end("!", chooser) == "!"
    assert drop_end("很好。", chooser) == "很好" and drop_capitals("I am", chooser) == "i am"
    assert GROUPS.exchange("nothing known", 1.0, chooser) == "nothing known"


def test_whole_words_are_exchanged_within_their_group_and_keep_their_capital():
    assert GROUPS.exchange(TEXT, 1.0, random.Random(0)) == (
        "On Friday my sister, who is cross, was Brotherly with my class."
    )
    assert GROUPS.exchange("Happy brothers", 1.0, random.Random(0)) == "Glad brothers"
    once = {GROUPS.exchange(TEXT, 0.0, random.Random(seed)) for seed in range(30)}
    assert len(once) == 4 and all(sum(a != b for a, b in zip(o.split(), TEXT.split(), strict=True)) <= 2 for o in once)


def test_chinese_words_are_found_without_spaces_and_the_longest_first():
    groups = Synonyms([["高兴", "开心"], ["不高兴", "生气"]])
    assert groups.exchange("我很不高兴。他很高兴。", 1.0, random.Random(0)) == "我很生气。他很开心。"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"happy, glad\nGlad, merry\n", "'Glad' is twice"), (b"happy\n", "two or more"), (b"# none\n\n", "no group"),
     (b"caf\xe9, bar", "UTF-8")],
)  # fmt: skip
def test_a_damaged_file_of_synonyms_is_refused(tmp_path, content, complaint):
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(UserError, match=complaint):
        read_synonyms(tmp_path / "words.txt")
    with pytest.raises(UserError, match="write one group"):
        read_synonyms(tmp_path / "missing.txt")


def test_flips_are_counted_over_the_texts_that_change(monkeypatch):
    """A net that answers by a capital at the beginning: dropping capitals flips exactly the texts that have one."""

    class Net:
        labels = ("big", "small")
        config = type("Config", (), {"context_length": 100})

    class Characters:
        def encode_document(self, text):
            return list(map(ord, text))

    def logits(net, tokens, machine):
        return torch.tensor([[3.0, 0.0] if chr(text[0]).isupper() else [0.0, 3.0] for text in tokens])

    monkeypatch.setattr("gpt.finetuning.robustness.classify", logits)
    texts = ["Big one.", "small one", "small Two.", "Big", "Big again"]
    truth = np.array([0, 1, 1, 0, 1])
    report = measure_robustness(Net(), Characters(), texts, truth, None, Synonyms([["one", "two"]]))
    capitals = report["capitals"]
    assert (capitals["texts"], capitals["flips"]) == (4, 0.75)
    assert (capitals["accuracy_before"], capitals["accuracy_after"]) == (0.75, 0.5)
    assert {flip["before"] for flip in capitals["worst"]} == {"Big one.", "Big", "Big again"}
    assert all((flip["answer_before"], flip["answer_after"]) == ("big", "small") for flip in capitals["worst"])
    assert report["end"]["texts"] == 2 and report["end"]["flips"] == 0 and report["synonym"]["texts"] == 3
    told = describe_robustness(report)
    assert "75.0%" in told and "big -> small (true label big)" in told and "after   big one." in told


def test_a_long_text_is_shown_where_it_changed():
    one, other = around_difference("x" * 300 + "A" + "y" * 300, "x" * 300 + "B" + "y" * 300)
    assert "A" in one and "B" in other and len(one) == 92 and one[0] == one[-1] == "…"
    assert around_difference("short.", "short") == ("short.", "short")
