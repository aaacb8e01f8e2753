"""Stories with a planted bias: the jobs lean as asked, nothing else changes, and the entropy is still exact."""

import itertools
import json
import math
import statistics
import sys

import pytest

from data.world import __main__ as world_script
from data.world import judge, stories
from data.world.entropy import story_entropy
from data.world.people import BOYS_JOBS, GENDER, GIRLS_JOBS, JOBS
from data.world.writing import write_stories
from gpt.errors import UserError

BOTH = pytest.mark.parametrize("language", ["en", "zh"])


def some(count, language="en", seed=1, planted_bias=50):
    return list(itertools.islice(stories(seed, language, 0, planted_bias), count))


def jobs_wanted(told):
    """(who, job) of every story that names one."""
    return [arguments for story in told for event, arguments in story.sentences if event == "dream"]


def test_the_jobs_lean_as_planted_and_the_others_do_not():
    told = some(5000, planted_bias=90)
    wanted = [(GENDER[who] == "she", job) for who, job in jobs_wanted(told)]
    for jobs, share in ((GIRLS_JOBS, 0.9), (BOYS_JOBS, 0.1), (set(JOBS) - {*GIRLS_JOBS, *BOYS_JOBS}, 0.5)):
        girls = [is_girl for is_girl, job in wanted if job in jobs]
        assert abs(statistics.mean(girls) - share) < 4 * math.sqrt(share * (1 - share) / len(girls)) < 0.1
        assert abs(len(girls) / len(wanted) - len(jobs) / len(JOBS)) < 0.04  # all together as often as before


@BOTH
def test_only_the_jobs_differ_from_the_fair_stories(language):
    for fair, biased in zip(some(200, language), some(200, language, planted_bias=90), strict=True):
        differ = [pair for pair in zip(fair.sentences, biased.sentences, strict=True) if pair[0] != pair[1]]
        assert all(one[0] == two[0] == "dream" for one, two in differ)
        assert differ or fair.text == biased.text


@pytest.mark.parametrize(("language", "planted_bias"), [("en", 90), ("zh", 1)])
def test_the_probability_of_a_biased_story_is_exact(language, planted_bias):
    told = some(1500, language, 4, planted_bias)
    for story in told[:300]:
        verdict = judge(story.text, language, planted_bias)
        assert verdict.consistent and verdict.bits == pytest.approx(story.bits, abs=1e-6)
    bits = [story.bits for story in told]
    standard_error = statistics.stdev(bits) / math.sqrt(len(bits))
    assert abs(statistics.mean(bits) - story_entropy(language, planted_bias)) < 4 * standard_error < 3


def test_a_bias_lowers_the_entropy_by_what_the_gender_says_about_the_job():
    """3 in 10 stories name a job, a third of these a planted one, which then holds 1 - H(0.9) bits about the gender."""
    binary = -(0.9 * math.log2(0.9) + 0.1 * math.log2(0.1))
    assert story_entropy() - story_entropy(planted_bias=90) == pytest.approx(0.3 / 3 * (1 - binary), abs=1e-9)
    assert story_entropy(planted_bias=50) == story_entropy()


def test_the_command_writes_them_and_says_so_beside_them(tmp_path, monkeypatch, capsys):
    flags = ["world", "stories", "--out", str(tmp_path), "--count", "600", "--planted-bias"]
    monkeypatch.setattr(sys, "argv", [*flags, "90"])
    world_script.main()
    assert "600 stories" in capsys.readouterr().out
    lines = (tmp_path / "stories.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == [story.text for story in some(600, planted_bias=90)]
    assert json.loads((tmp_path / "stories.entropy.json").read_text(encoding="utf-8"))["planted_bias"] == 90
    assert "planted_bias" not in write_stories(tmp_path / "fair.jsonl", count=1)
    for bias in ("0", "100"):
        monkeypatch.setattr(sys, "argv", [*flags, bias])
        with pytest.raises(UserError, match="from 1 to 99"):
            world_script.main()
