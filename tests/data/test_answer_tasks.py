"""Tasks whose answer is a text: it follows from the story, from nothing less, and the score knows what is right."""

import functools
import itertools
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

from data.world.__main__ import main
from data.world.judge import judge
from data.world.lexicon import LEXICON
from data.world.recorder import Draw
from data.world.tasks.questions import QUESTION_KINDS, can_answer, question_about
from data.world.tasks.score import control_score, inference_score, translation_score, world_score
from data.world.tasks.told import SPLITS, told_for
from data.world.tasks.writing import FILES, KINDS, write_task
from gpt.errors import UserError
from tests.helpers import ROOT

BOTH = pytest.mark.parametrize("language", ["en", "zh"])
TASKS = ["qa", "translation", "dialogue", "control"]
GAP = {"en": " ", "zh": ""}


@functools.cache
def many(kind, language, split):
    return list(itertools.islice(KINDS[kind](split, 1, language), 900 if kind == "qa" and split == "train" else 150))


def some(kind, count, language="en", split="train"):
    rows = many(kind, language, split)
    assert len(rows) >= count
    return rows[:count]


def language_of(text):
    return "zh" if any("一" <= letter <= "鿿" for letter in text) else "en"


def events_of(row):
    """What happens in the story of a row, whatever its kind."""
    if "turns" in row:
        text = row["turns"][0]["content"]
    else:
        text = row["answer"] if row["prompt"].startswith(("A story about", "讲一个")) else row["prompt"]
    return judged(text.partition("\n")[0])


@functools.cache
def judged(story):
    verdict = judge(story, language_of(story))
    assert verdict.consistent, verdict.reason
    return tuple(verdict.events)


def pair_of(events):
    said = dict(events)
    return said["hero"][0], said["have"][1] if "have" in said else said["request"][2]


# -- splits ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", TASKS)
def test_no_story_is_in_two_splits(kind):
    stories = {
        split: {events_of(row) for language in GAP for row in some(kind, 80, language, split)} for split in SPLITS
    }
    for one, other in itertools.combinations(stories.values(), 2):
        assert not one & other


@pytest.mark.parametrize("kind", TASKS)
def test_the_test_split_has_pairs_that_training_never_has(kind):
    pairs = {split: {pair_of(events_of(row)) for row in some(kind, 150, split=split)} for split in ("train", "test")}
    assert len(pairs["train"]) > 80 and len(pairs["test"]) > 40
    assert not pairs["train"] & pairs["test"]


@BOTH
@pytest.mark.parametrize("kind", TASKS)
def test_each_story_is_used_once(kind, language):
    stories = [events_of(row) for row in some(kind, 150, language)]
    assert len(set(stories)) == len(stories)


# -- qa ----------------------------------------------------------------------------------------------------------
@BOTH
def test_every_answer_follows_from_the_story(language):
    wrong = 0
    rows = some("qa", 150, language, "test")
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        verdict = judge(row["prompt"] + GAP[language] + row["answer"], language)
        assert verdict.consistent, verdict.reason
        wrong += not judge(row["prompt"] + GAP[language] + other["answer"], language).consistent
    assert wrong > 120  # the judge does not pass just any answer


@BOTH
def test_a_question_about_a_story_has_one_answer(language):
    for told in itertools.islice(told_for("train", 3, language), 40):
        answers = defaultdict(set)
        for seed, kind in itertools.product(range(5), QUESTION_KINDS):
            if can_answer(told, kind):
                question, answer = question_about(told, kind, Draw(f"{seed}"))
                answers[question].add(answer)
        assert all(len(given) == 1 for given in answers.values())


@BOTH
def test_all_kinds_of_questions_are_equally_frequent(language):
    count = Counter()
    for row in some("qa", 900, language):
        count[judge(row["prompt"] + GAP[language] + row["answer"], language).events[-1][0]] += 1
    assert set(count) == set(QUESTION_KINDS) and len(count) == 11
    assert min(count.values()) > 47 and max(count.values()) < 117  # 82, and four standard deviations are 35


@BOTH
def test_a_constant_answer_scores_near_nothing(language):
    train, test = some("qa", 900, language), some("qa", 150, language, "test")
    commonest = Counter(row["answer"] for row in train).most_common(1)[0][0]
    assert sum(row["answer"] == commonest for row in test) < 0.05 * len(test)
    by_question = defaultdict(Counter)  # a guess from the first letters of the question alone
    for row in train:
        by_question[row["prompt"].partition("\n")[2][:12]][row["answer"]] += 1
    guesses = [by_question[row["prompt"].partition("\n")[2][:12]].most_common(1) for row in test]
    right = sum(guess[0][0] == row["answer"] for guess, row in zip(guesses, test, strict=True) if guess)
    assert right < 0.2 * len(test)


# -- translation and control ------------------------------------------------------------------------------------
@BOTH
def test_a_translation_tells_the_same_events(language):
    for row in some("translation", 100, language, "val"):
        assert language_of(row["prompt"]) == language != language_of(row["answer"])
        other = language_of(row["answer"])
        assert judge(row["prompt"], language).events == judge(row["answer"], other).events
        assert judge(row["answer"], other).consistent


@BOTH
def test_the_copied_prompt_is_no_translation(language):
    rows = some("translation", 40, language)
    prompts, truths = [row["prompt"] for row in rows], [row["answer"] for row in rows]
    assert translation_score(prompts, truths, truths) == {"events": 1, "grammatical": 1}
    assert translation_score(prompts, truths, prompts) == {"events": 0, "grammatical": 0}
    assert translation_score(prompts, truths, truths[1:] + truths[:1]) == {"events": 0, "grammatical": 1}
    assert translation_score(prompts, truths, truths[:20] + [""] * 20) == {"events": 0.5, "grammatical": 0.5}
    assert next(iter(translation_score(prompts, truths, truths))) == "events"


@BOTH
def test_a_story_obeys_its_own_line_and_hardly_any_other(language):
    rows = some("control", 60, language)
    prompts, truths = [row["prompt"] for row in rows], [row["answer"] for row in rows]
    assert control_score(prompts, truths, truths) == {"obeys": 1, "grammatical": 1, "consistent": 1}
    same_line = {prompt: [truth for p, truth in zip(prompts, truths, strict=True) if p == prompt] for prompt in prompts}
    obeyed = control_score(prompts, truths, [same_line[prompt][-1] for prompt in prompts])
    assert obeyed["obeys"] == 1  # another story that the same line asks for is as good
    assert control_score(prompts, truths, truths[1:] + truths[:1])["obeys"] < 0.1
    assert control_score(prompts, truths, [truths[0]] * 60)["obeys"] < 0.1


@BOTH
def test_a_control_line_names_hero_place_and_ending(language):
    lines = defaultdict(set)
    for row in some("control", 150, language):
        said = dict(events_of(row))
        ending = next(event for event in said if event.startswith("end_"))
        assert said_in(language, "name", said["hero"][0]) in row["prompt"]
        place = said_in(language, "place", said["go"][-1])
        assert place in row["prompt"]
        words = row["prompt"].replace(said_in(language, "name", said["hero"][0]), "").partition(place)[2]
        lines[ending].add(words.removeprefix("里").removeprefix("上"))
    assert len(lines) == 6 and all(len(words) == 1 for words in lines.values())
    assert len(set.union(*lines.values())) == 6


def test_no_story_of_training_obeys_a_control_line_of_the_test():
    asked = {}
    for split in ("train", "test"):
        said = [dict(events_of(row)) for row in some("control", 100, split=split)]
        asked[split] = {(events["hero"][0], events["go"][-1]) for events in said}
    assert asked["train"] and asked["test"] and not asked["train"] & asked["test"]


def test_an_answer_to_a_claim_is_right_where_its_label_is():
    truths = ["It was Mia's birthday. follows", "故事里没说。 unknown"]
    assert inference_score(["", ""], truths, truths) == {"label": 1}
    assert inference_score(["", ""], truths, ["follows", "It was Mia's birthday. follows"]) == {"label": 0.5}
    assert inference_score(["", ""], truths, ["", "unknown it is"]) == {"label": 0}


def said_in(language, argument, word):
    return word if language == "en" else LEXICON[argument][word]


@BOTH
def test_any_written_text_gets_a_score(language):
    rows = some("control", 100, language) + some("translation", 100, {"en": "zh", "zh": "en"}[language])
    prompts, truths = [row["prompt"] for row in rows], [row["answer"] for row in rows]
    draw = random.Random(1)
    texts = ["", " ", "\n", "a", "她", "�\x00", "?", "Who?", *truths[8:]]
    for i in range(8, len(texts)):  # sentences in another order, some of them from other stories
        end = "。" if language == "zh" else ". "
        parts = (texts[i] + draw.choice(truths)).split(end)
        draw.shuffle(parts)
        texts[i] = end.join(parts[: len(parts) // 2])
    for score in (translation_score, control_score):
        assert all(0 <= share < 0.1 for share in score(prompts, truths, texts).values())
        assert all(share == 0 for share in score([], [], []).values())


# -- the command -------------------------------------------------------------------------------------------------
def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data.world", "tasks", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )


def read_rows(folder, split):
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_command_writes_the_same_bytes(kind, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert write_task(tmp_path / name, kind, "both", seed, 20) == {"train": 16, "val": 2, "test": 2}
    for file in FILES:
        read = [(tmp_path / name / file).read_bytes() for name in "abc"]
        assert read[0] == read[1] != read[2]
    made = json.loads((tmp_path / "a" / "world.json").read_text(encoding="utf-8"))
    assert made == {"kind": kind, "language": "both", "seed": 1, "count": 20}
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(FILES)
    lines = [json.dumps(row) for split in SPLITS for row in read_rows(tmp_path / "a", split)]
    assert len(set(lines)) == 20


@pytest.mark.parametrize("kind", TASKS)
def test_both_languages_have_half_of_the_rows_and_other_stories(kind, tmp_path):
    write_task(tmp_path, kind, "both", 1, 100)
    rows = [row for split in SPLITS for row in read_rows(tmp_path, split)]
    prompts = [row["turns"][0]["content"] if "turns" in row else row["prompt"] for row in rows]
    assert [language_of(prompt) for prompt in prompts].count("zh") == 50
    assert len({events_of(row) for row in rows}) == 100


def test_the_command_writes_a_task_and_never_over_a_file(tmp_path):
    done = command("--kind", "translation", "--out", tmp_path, "--count", 20)
    assert done.returncode == 0 and "train.jsonl 16, val.jsonl 2, test.jsonl 2" in done.stdout
    assert {language_of(row["prompt"]) for row in read_rows(tmp_path, "train")} == {"en", "zh"}
    before = (tmp_path / "train.jsonl").read_bytes()
    again = command("--kind", "qa", "--out", tmp_path, "--count", 20)
    assert again.returncode == 2 and again.stderr.startswith("error: ") and again.stderr.count("\n") == 1
    assert (tmp_path / "train.jsonl").read_bytes() == before
    assert write_task(tmp_path, "qa", "zh", 1, 20, overwrite=True)
    assert {language_of(row["prompt"]) for row in read_rows(tmp_path, "train")} == {"zh"}


@pytest.mark.parametrize(
    "flags", [["--kind", "riddles"], ["--kind", "qa", "--count", "9"], ["--kind", "qa", "--language", "fr"], []]
)
def test_bad_flags_end_in_one_line(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["world", "tasks", "--out", str(tmp_path), *flags])
    with pytest.raises(UserError) as mistake:
        main()
    assert "\n" not in str(mistake.value)
    assert not list(tmp_path.iterdir())


def test_the_score_is_chosen_by_the_kind_in_the_folder(tmp_path):
    assert world_score(tmp_path) is None
    scores = {}
    for kind in KINDS:
        (tmp_path / "world.json").write_text(json.dumps({"kind": kind}), encoding="utf-8")
        scores[kind] = world_score(tmp_path)
    assert {kind for kind, score in scores.items() if score} == {"translation", "summary", "control", "inference"}
    assert scores["control"] is control_score and scores["translation"] is translation_score


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", '{"kind": "riddles"}', '{"kind": []}', "\xff"])
def test_a_damaged_world_file_is_one_line(damaged, tmp_path):
    (tmp_path / "world.json").write_bytes(damaged.encode("latin-1"))
    with pytest.raises(UserError, match=r"world\.json names no kind of task"):
        world_score(tmp_path)
