"""Augmented data: new training texts with true labels, and nothing of the test in them."""

import csv
import dataclasses
import shutil
from collections import Counter

import pytest

from data.augment import AugmentConfig, augment
from data.world.exchangeable import exchangeable
from data.world.recorder import Draw
from data.world.retelling import retell, understand
from data.world.review_words import WORDS
from data.world.reviews import HELD_OUT, tones, write_reviews
from gpt.errors import UserError
from gpt.finetuning.labelled import read_splits
from gpt.finetuning.synonyms import SYNONYMS, read_synonyms
from tests.data.test_reviews import is_held_out, opinions
from tests.helpers import write_reviews as write_simple_reviews

KINDS = [(language, difficulty) for language in ("en", "zh") for difficulty in ("easy", "hard")]
LABEL = {2: "positive", 1: "neutral", 0: "negative"}


@pytest.fixture(scope="module", params=KINDS, ids=["-".join(kind) for kind in KINDS])
def made(request, tmp_path_factory):
    """(Language, difficulty, a data folder)"""
    folder = tmp_path_factory.mktemp("made")
    write_reviews(folder, 600, request.param[1], 1, request.param[0])
    return *request.param, folder


def texts_of(folder, split):
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("how", ["synonyms", "retell"])
def test_augmented_texts_mean_what_their_labels_say(made, tmp_path, how):
    language, difficulty, folder = made
    augment(AugmentConfig(folder, tmp_path / "out", how, copies=2))
    before, after = texts_of(folder, "train"), texts_of(tmp_path / "out", "train")
    assert after[: len(before)] == before and len(after) > 2 * len(before)
    for text, label in after:
        found = opinions(text, language, difficulty)
        assert len(found) == 2, text
        liked = [opinion[2] for opinion in found]
        if None not in liked:
            assert LABEL[sum(liked)] == label, text
            assert not any(is_held_out(opinion[3], opinion[4][0]) for opinion in found), text


@pytest.mark.parametrize("how", ["synonyms", "retell"])
def test_no_text_of_validation_or_test_leaks_into_training(made, tmp_path, how):
    _, _, folder = made
    augment(AugmentConfig(folder, tmp_path / "out", how, copies=3))
    train = Counter(text for text, _ in texts_of(tmp_path / "out", "train"))
    assert max(train.values()) == 1
    for split in ("val", "test"):
        assert (tmp_path / f"out/{split}.csv").read_bytes() == (folder / f"{split}.csv").read_bytes()
        assert not train.keys() & {text for text, _ in texts_of(folder, split)}


def test_what_would_repeat_a_test_text_is_left_out(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rows = {"train": [("a happy dog", "x"), ("a sad dog", "y")], "val": [("a glad dog", "x")], "test": [("b", "y")]}
    for split, of_split in rows.items():
        (folder / f"{split}.csv").write_text(
            "text,label\n" + "".join(f"{t},{n}\n" for t, n in of_split), encoding="utf-8"
        )
    (folder / SYNONYMS).write_text("happy, glad\nsad, gloomy\n", encoding="utf-8")
    splits = augment(AugmentConfig(folder, tmp_path / "out", copies=2))
    assert [example.text for example in splits["train"]] == ["a happy dog", "a sad dog", "a gloomy dog"]


def test_a_retold_review_says_the_same_in_other_words(made):
    language, difficulty, folder = made
    same = 0
    for number, (text, _) in enumerate(texts_of(folder, "test")):
        meaning = understand(text)
        assert meaning and (meaning.language, meaning.difficulty) == (language, difficulty)
        again = retell(meaning, Draw(f"again {number}"))
        assert understand(again) == meaning
        same += again == text
    assert same < 5
    assert understand("I bought a new car. It was a mistake.") is None


def test_synonyms_of_feelings_never_make_what_is_kept_for_the_test():
    for language, difficulty in KINDS:
        groups = exchangeable(language, tones(WORDS[language], difficulty), HELD_OUT)
        assert len(groups) > 6 and len({word for group in groups for word in group}) == sum(map(len, groups))
        for tone in tones(WORDS[language], difficulty):
            for group in groups:
                numbers = [tone.index(word) for word in group if word in tone]
                assert len(numbers) in (0, len(group))
                for form in range(16):
                    assert len({is_held_out(form, number) for number in numbers}) <= 1


def test_the_file_of_synonyms_is_written_with_the_reviews(made):
    language, difficulty, folder = made
    groups = exchangeable(language, tones(WORDS[language], difficulty), HELD_OUT)
    assert read_synonyms(folder / SYNONYMS).groups == {word.lower(): group for group in groups for word in group}


def test_few_labels_are_the_same_as_in_finetune_and_the_same_seed_gives_the_same_bytes(made, tmp_path):
    from gpt.finetuning.classification import take_count
    from gpt.finetuning.labelled import read_examples

    _, _, folder = made
    config = AugmentConfig(folder, tmp_path / "a", labels=50, copies=2)
    one = augment(config)
    train = read_splits(folder, 0, read_examples, stratify=True)["train"]
    assert one["train"][:50] == take_count(train, 50, 0, folder, stratify=True)
    augment(dataclasses.replace(config, out=tmp_path / "b"))
    augment(dataclasses.replace(config, out=tmp_path / "c", seed=1))
    read = [(tmp_path / name / "train.csv").read_bytes() for name in "abc"]
    assert read[0] == read[1] != read[2]


def test_labelled_texts_are_added_but_for_those_of_the_test(made, tmp_path):
    _, _, folder = made
    test, val = texts_of(folder, "test"), texts_of(folder, "val")
    lines = [
        "text,label",
        f'"{test[0][0]}",{test[0][1]}',
        f'"{val[0][0]}",{val[0][1]}',
        "new one,neutral",
        "new one,positive",
    ]
    (tmp_path / "sure.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = AugmentConfig(folder, tmp_path / "out", "add", labels=30, file=tmp_path / "sure.csv")
    assert [example.text for example in augment(config)["train"][30:]] == ["new one"]
    (tmp_path / "sure.csv").write_text("text,label\nx,purple\n", encoding="utf-8")
    with pytest.raises(UserError, match="'purple'"):
        augment(dataclasses.replace(config, out=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_mistakes_are_said_before_anything_is_written(made, tmp_path):
    _, _, folder = made
    (tmp_path / "simple").mkdir()
    write_simple_reviews(tmp_path / "simple/train.csv", 60, 0)
    before = (folder / "train.csv").read_bytes()
    for config, complaint in (
        (AugmentConfig(folder, folder), "folder of the data"),
        (AugmentConfig(tmp_path / "simple", folder), "already exists"),
        (AugmentConfig(tmp_path / "simple", tmp_path / "out", "retell"), "only reviews of the toy world"),
        (AugmentConfig(tmp_path / "simple", tmp_path / "out"), "write one group"),
    ):
        with pytest.raises(UserError, match=complaint):
            augment(config)
    for flags in ({"copies": 0}, {"share": 2.0}, {"how": "add"}, {"how": "retell", "file": tmp_path}):
        with pytest.raises(UserError):
            AugmentConfig(folder, tmp_path / "out", **flags)
    assert not (tmp_path / "out").exists() and (folder / "train.csv").read_bytes() == before


def test_the_groups_of_words_beside_a_file_are_copied_whatever_its_encoding(tmp_path):
    (tmp_path / "mine").mkdir()
    texts = [f"今天是{day}，我{mood}。" for day in ("星期一", "星期二", "星期三") for mood in ("很高兴", "很难过") * 5]
    lines = [f"{text[:-1]}，第{i}次,{'坏' if '难过' in text else '好'}" for i, text in enumerate(texts)]
    (tmp_path / "mine/texts.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    groups = "星期一, 星期二, 星期三\n很高兴, 很开心\n"
    (tmp_path / "mine" / SYNONYMS).write_text(groups, encoding="gb18030")
    splits = augment(AugmentConfig(tmp_path / "mine/texts.csv", tmp_path / "out", copies=2))
    assert any("很开心" in example.text for example in splits["train"])
    assert (tmp_path / "out" / SYNONYMS).read_text(encoding="utf-8") == groups


def test_damaged_groups_of_words_are_refused_before_anything_is_written(made, tmp_path):
    _, _, folder = made
    shutil.copytree(folder, tmp_path / "data")
    (tmp_path / "data" / SYNONYMS).write_bytes(b"caf\xe9, bar\n")
    with pytest.raises(UserError, match="UTF-8"):
        augment(AugmentConfig(tmp_path / "data", tmp_path / "out", "retell"))
    assert not (tmp_path / "out").exists()
