"""The toy world: what it tells is true in it, and its probability is what we say it is."""

import functools
import hashlib
import itertools
import json
import math
import random
import re
import statistics
import subprocess
import sys

import pytest

from data.world import judge, stories
from data.world.entropy import story_entropy
from data.world.judge import read
from data.world.story import LANGUAGES
from data.world.writing import told_by_this_world, write_stories
from tests.helpers import ROOT

BOTH = pytest.mark.parametrize("language", ["en", "zh"])


def some(count, language="en", seed=1, start=0):
    return list(itertools.islice(stories(seed, language, start), count))


@functools.cache
def many(language="en"):
    """Three thousand stories, the same for all who read them."""
    return some(3000, language)


# -- probability ---------------------------------------------------------------------------------------------
@BOTH
def test_a_story_is_parsed_back_to_the_choices_that_made_it(language):
    for story in many(language)[:2000]:
        verdict = judge(story.text, language)
        assert verdict.grammatical and verdict.consistent, verdict.reason
        assert verdict.events == story.sentences
        assert verdict.bits == pytest.approx(story.bits, abs=1e-6)


@BOTH
def test_no_sentence_can_be_read_in_two_ways(language):
    told_in = LANGUAGES[language]
    for story in many(language)[:600]:
        for start, reading in read(told_in, story.text)[0]:
            assert told_in.read(story.text, start) == [reading]


@BOTH
def test_every_sentence_form_is_used(language):
    told_in = LANGUAGES[language]
    unused = {(form.event, form.kind, form.index) for forms in told_in.forms.values() for form in forms}
    for story in many(language)[:2000]:
        for _, reading in read(told_in, story.text)[0]:
            unused.discard((reading.form.event, reading.form.kind, reading.form.index))
    assert not unused


@BOTH
def test_the_bits_of_many_stories_agree_with_the_entropy_worked_out(language):
    bits = [story.bits for story in many(language)]
    standard_error = statistics.stdev(bits) / math.sqrt(len(bits))
    entropy = story_entropy(language)
    assert abs(statistics.mean(bits) - entropy) < 4 * standard_error < 2
    # a distribution of entropy H has at least 2^H outcomes: there are more than a billion stories
    assert entropy > math.log2(1e9)


def test_a_story_has_six_to_fifteen_parts():
    lengths = [len(story.sentences) for story in many()]
    assert min(lengths) >= 6 and max(lengths) <= 15


def test_at_least_800_words_are_used():
    text = " ".join(story.text for story in many()).lower()
    assert len(set(re.findall(r"[a-z]+(?:-[a-z]+)*", text))) >= 800


# -- determinism ---------------------------------------------------------------------------------------------
@BOTH
def test_a_story_depends_on_its_number_alone(language):
    assert some(20, language)[13:] == some(7, language, start=13)
    assert some(20, language, seed=1) != some(20, language, seed=2)


def test_both_languages_tell_the_same_events():
    for english, chinese in zip(some(300, "en"), some(300, "zh"), strict=True):
        assert english.sentences == chinese.sentences


def test_the_bytes_are_the_same_on_every_machine():
    for language, digest in DIGESTS.items():
        text = "\n".join(story.text for story in some(200, language))
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


DIGESTS = {"en": "a81f9d9cbec4889e", "zh": "84c7156e32e6edc1"}


def test_the_number_of_processes_changes_nothing(tmp_path):
    one = write_stories(tmp_path / "one.jsonl", count=1200, processes=1)
    two = write_stories(tmp_path / "two.jsonl", count=1200, processes=2)
    assert one == two
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


# -- files ---------------------------------------------------------------------------------------------------
def test_stories_of_another_version_of_the_world_are_noticed(tmp_path):
    file = tmp_path / "stories.jsonl"
    write_stories(file, count=2, processes=1)
    assert told_by_this_world(file)
    for other in (file.read_bytes().replace(b"a", b"o", 1), b""):
        file.write_bytes(other)
        assert not told_by_this_world(file)


def test_the_file_and_its_entropy_agree(tmp_path):
    total = write_stories(tmp_path / "s.jsonl", megabytes=0.05, language="zh", processes=1)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()]
    assert total == json.loads((tmp_path / "s.entropy.json").read_text(encoding="utf-8"))
    assert total["documents"] == len(lines)
    assert total["bytes"] == sum(len(line["text"].encode()) for line in lines) >= 50_000
    assert total["bytes"] - len(lines[-1]["text"].encode()) < 50_000
    assert total["bits"] == pytest.approx(sum(line["bits"] for line in lines), abs=0.1)
    assert total["bits_per_byte"] == pytest.approx(total["bits"] / total["bytes"], abs=1e-6)
    for line in lines:
        assert judge(line["text"], "zh").bits == pytest.approx(line["bits"], abs=1e-3)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data.world", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )


def test_the_command_writes_stories_and_never_over_a_file(tmp_path):
    assert command("stories", "--out", tmp_path, "--count", 30).returncode == 0
    before = (tmp_path / "stories.jsonl").read_bytes()
    again = command("stories", "--out", tmp_path, "--count", 40)
    assert again.returncode == 2 and again.stderr.startswith("error: ") and again.stderr.count("\n") == 1
    assert (tmp_path / "stories.jsonl").read_bytes() == before
    (tmp_path / "book").touch()
    below = command("stories", "--out", tmp_path / "book", "--count", 40)
    assert below.returncode == 2 and "book is a file: name a folder" in below.stderr
    both = command("stories", "--out", tmp_path / "new", "--count", 40, "--megabytes", 1)
    assert both.returncode == 2 and "--count and --megabytes" in both.stderr


# -- the judge -----------------------------------------------------------------------------------------------
GIRL = "Once there was a girl called Mia, who was very brave. "
START = GIRL + "Mia loved painting. Mia went to the park one sunny day. Mia had a red kite. "
FRIEND = START + "There Mia met Tom, a shy boy. "
LOST = FRIEND + "A little later, Mia lost the red kite. "
GONE = "Mia looked under the bench, but the red kite was not there. "
FOUND = LOST + GONE + "At last, Mia found the red kite in the basket. "
LENT = FRIEND + "Tom asked Mia to lend out the red kite for a moment. Mia gave the red kite to Tom. "
BROKEN = LENT + "But Tom dropped the red kite and damaged it. "
PUT = FRIEND + "Mia put the red kite down beside the bucket. "
JOKE = PUT + "Then Mia went to feed the ducks. For a joke, Tom moved the red kite and hid it in the basket. "
END = "It was a day they would never forget."
ERRAND = (
    GIRL + "Mia loved painting. Mia went to the park one sunny day. Grandma was there too. "
    '"Please bring me a red kite from the forest, Mia," Grandma said. "It is on the table." '
)
SENT = ERRAND + "So Mia ran to the forest. "


@pytest.mark.parametrize(
    "text",
    [
        FOUND + END,
        FOUND + END + "\nWho found the kite? Mia did.",
        JOKE + "Soon Mia came back and looked beside the bucket, but the red kite was not there any more. "
        "Mia asked Tom about the red kite. \"The kite is in the basket,\" said Tom. "
        "Mia looked in the basket, and there was the kite! " + END,
        BROKEN + '"I am sorry, Mia," Tom said. "That is all right, Tom," she said. '
        "Tom mended the red kite with glue. Tom gave the red kite back to her. "
        + END + "\nWho damaged the kite? Tom did.",
    ],
)  # fmt: skip
def test_the_judge_passes_what_is_true(text):
    verdict = judge(text)
    assert verdict.consistent, verdict.reason
    assert 20 < verdict.bits < math.inf


def test_the_judge_passes_what_is_true_though_the_generator_would_not_tell_it():
    verdict = judge(FRIEND + END)  # nothing happens, but nothing contradicts anything either
    assert verdict.consistent and verdict.bits == math.inf


@pytest.mark.parametrize(
    "text, reason",
    [
        (LOST + "Mia gave the red kite to Tom. " + END, "nobody knows where it is"),
        (LENT + "Mia gave the red kite to Tom. " + END, "Tom has it"),
        (FRIEND + "Tom gave the red kite to Mia. " + END, "Tom does not have the red kite"),
        (LOST + "At last, Mia found the blue kite in the basket. " + END, "the kite is red"),
        (LOST + "At last, Mia found the red ball in the basket. " + END, "there is no ball in the story"),
        (LOST + "At last, Zoe found the red kite in the basket. " + END, "nobody called Zoe"),
        (LOST + GONE + "At last, Mia found the red kite under the bench. " + END, "somebody looked under the bench"),
        (LOST + GONE + GONE + END, "known already"),
        (FRIEND + "A little later, Mia lost the red kite. Mia was happy. " + END, "no reason to be happy"),
        (FRIEND + "Mia was sad. " + END, "nothing has happened"),
        (FOUND + "Mia was sad. " + END, "no reason to be sad"),
        (FRIEND + "Mia mended the red kite with glue. " + END, "is not broken"),
        (LENT + "Tom ate the red kite up. " + END, "nobody does that with a kite"),
        (FRIEND + '"Thank you, Tom!" said Mia. ' + END, "done nothing"),
        (FRIEND + '"I am sorry, Mia," Tom said. ' + END, "no wrong"),
        (BROKEN + '"I forgive you, Tom," said Mia. ' + END, "has not said sorry"),
        (JOKE + "Mia gave the red kite to Tom. " + END, "Mia is not there"),
        (PUT + "For a joke, Tom moved the red kite and hid it in the basket. " + END, "would see it"),
        (FOUND + END + "\nWhere did they find the kite? They found it behind the barrel.", "answer is in the basket"),
        (FOUND + END + "\nWho found the kite? Tom did.", "the answer is Mia"),
        (FOUND + END + "\nWho has the kite now? Tom has it.", "Mia has it"),
        (FOUND + END + "\nWhat was the kite like? It was blue.", "the kite is red"),
        (FOUND + END + "\nWho damaged the kite? Tom did.", "the story does not say"),
        (START + "He was happy. " + END, '"he" could be nobody'),
        (ERRAND + "So Mia ran to the farm. " + END, "not sent to the farm"),
        (SENT + "Mia found the red kite near the ladder and took it. " + END, "on the table"),
        (GIRL.replace("girl", "boy") + END, "Mia is not a boy"),
        (FOUND.strip(), "stops before its end"),
        (FOUND + END + " Mia was happy.", "ended already"),
        ("Mia went to the park one sunny day. " + END, "begins with its hero"),
    ],
)  # fmt: skip
def test_the_judge_finds_the_contradiction(text, reason):
    verdict = judge(text)
    assert verdict.grammatical, verdict.reason
    assert not verdict.consistent
    assert reason in verdict.reason
    assert verdict.bits == math.inf


@pytest.mark.parametrize(
    "text",
    ["", " ", FOUND, FOUND + "Mia goed home.", GIRL.replace("a girl", "an girl") + END, FOUND + END[:-9], "\n" + END,
     FOUND + END + " Who found the kite? Mia did.", FOUND.replace(". ", "."), "\ufffd\x00"],
)  # fmt: skip
def test_the_judge_calls_no_other_text_grammatical(text):
    assert not judge(text).grammatical


def test_the_judge_has_a_verdict_on_sentences_in_any_order():
    shuffle = random.Random(1).shuffle
    told_in, verdicts = LANGUAGES["en"], []
    for one, other in itertools.pairwise(some(600, seed=5)):
        sentences = [text[start : r.end] for text in (one.text, other.text) for start, r in read(told_in, text)[0]]
        sentences = [sentence for sentence in sentences if not sentence.startswith(("Who", "Where", "How", "What"))]
        first, *rest = sentences
        shuffle(rest)
        verdicts.append(judge(" ".join([first, *rest])))
    assert not any(verdict.consistent for verdict in verdicts)
    assert all(verdict.reason for verdict in verdicts)


def test_the_judge_counts_sentences():
    assert judge(LOST + "Mia was happy. " + END).reason.startswith("sentence 7: Mia was happy. But ")


def test_the_judge_reads_chinese():
    start = "米娅是一个勇敢的小女孩。她喜欢画画。在一个晴朗的日子，她去了公园。她有一只红色的风筝。"
    meet = "在那里，米娅遇见了汤姆，一个害羞的小男孩。后来，米娅把红色的风筝弄丢了。"
    meet += "米娅看了看长椅下面，可是风筝不在那里。"
    true = judge(start + meet + "最后，米娅在篮子里找到了风筝。这真是难忘的一天。", "zh")
    assert true.consistent and true.bits < math.inf
    assert "red" in judge(start + meet + "最后，汤姆在篮子里找到了蓝色的风筝。这真是难忘的一天。", "zh").reason
    assert not judge(start.replace("一只", "一本") + "这真是难忘的一天。", "zh").grammatical


# -- a place for children -------------------------------------------------------------------------------------
def test_nothing_is_said_that_does_not_belong_in_a_classroom():
    text = " ".join(story.text for story in many()).lower()
    unfit = re.findall("[a-z]+", "kill die died dead blood gun knife hate stupid ugly beer wine drunk hell damn")
    assert not set(unfit) & set(re.findall("[a-z]+", text))
