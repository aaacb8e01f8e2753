"""The checks of lesson 8 know right answers, typical wrong ones, and blanks."""

import json

import pytest
import torch

from notebooks.check import inside as check
from tests.notebooks.answers import says, solutions

RIGHT = solutions("08", torch=torch, json=json)
EXERCISES = {
    check.head: "my_head_off", check.quantise: "my_quantise", check.exits: "my_exits",
    check.stream: "my_stream",
}  # fmt: skip


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.__name__)
def test_the_lesson_s_solution_is_right_and_a_blank_is_not_written_yet(exercise, capsys):
    assert says(capsys, exercise, RIGHT[EXERCISES[exercise]])[0]
    ok, line = says(capsys, exercise, lambda *_: None)
    assert not ok and "not written yet" in line
    ok, line = says(capsys, exercise, lambda *_: 1 / 0)
    assert not ok and "ZeroDivisionError" in line
    assert not says(capsys, exercise, lambda *_: "nonsense")[0]


def every_third(x, head, heads):
    x = x.clone()
    x[..., head::heads] = 0
    return x


def in_place(x, head, heads):
    x[..., 4 * head : 4 * head + 4] = 0
    return x


def everything(x, head, heads):
    return torch.zeros_like(x)


@pytest.mark.parametrize(
    "wrong, hint", [(every_third, "stand together"), (in_place, "clone() first"), (everything, "channels 4 to 7 only")]
)
def test_a_wrong_head_gets_its_hint(wrong, hint, capsys):
    ok, line = says(capsys, check.head, wrong)
    assert not ok and hint in line


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda w, bits: (w / (w.abs().max() / 7)).round() * (w.abs().max() / 7), "one scale for all"),
        (lambda w, bits: RIGHT["my_quantise"](w, bits + 1), "4 signed bits"),
        (
            lambda w, bits: (w / w.abs().amax(1, keepdim=True) * 8).round() * w.abs().amax(1, keepdim=True) / 8,
            "not by 8",
        ),
        (
            lambda w, bits: (w / w.abs().amax(1, keepdim=True) * 7).trunc() * w.abs().amax(1, keepdim=True) / 7,
            "cut off",
        ),
        (lambda w, bits: (w / w.abs().amax(1, keepdim=True) * 7).round(), "multiply by the scale"),
        (lambda w, bits: (w / w.abs().amax(0) * 7).round() * w.abs().amax(0) / 7, "not for each column"),
        (lambda w, bits: (w / w.amax(1, keepdim=True) * 7).round() * w.amax(1, keepdim=True) / 7, "abs() first"),
    ],
)
def test_a_wrong_rounding_gets_its_hint(wrong, hint, capsys):
    ok, line = says(capsys, check.quantise, wrong)
    assert not ok and hint in line


def exits(logprobs, p, first=1, add=1, last=True, earliest=True, log=False):
    sure = (logprobs[first:] if log else logprobs[first:].exp()).amax(-1) > p
    if last:
        sure[-1] = True
    return add + (sure.int().argmax(0) if earliest else len(sure) - 1 - sure.flip(0).int().argmax(0))


@pytest.mark.parametrize(
    "settings, hint",
    [
        ({"first": 0, "add": 0}, "begin with layer 1"),
        ({"first": 0, "add": 0, "last": False}, "begin with layer 1"),
        ({"add": 0}, "off by one"),
        ({"last": False}, "take the last one"),
        ({"earliest": False}, "the first layer that is sure"),
        ({"log": True}, "all are the last"),
        ({"log": True, "last": False}, "exp() before comparing"),
    ],
)
def test_wrong_exits_get_their_hint(settings, hint, capsys):
    ok, line = says(capsys, check.exits, lambda logprobs, p: exits(logprobs, p, **settings))
    assert not ok and hint in line


def join(lines, strip=False, guard=True, skip=True):
    parts = []
    for line in lines:
        if skip and (not line or line == "data: [DONE]"):
            continue
        choices = json.loads(line.removeprefix("data: "))["choices"]
        text = choices[0]["text"] if choices or not guard else ""
        parts.append(text.strip() if strip else text)
    return parts


@pytest.mark.parametrize(
    "wrong, hint",
    [
        (lambda lines: "".join(join(lines, skip=False)), "[DONE]"),
        (lambda lines: "".join(json.loads(line)["choices"][0]["text"] for line in lines), "take off"),
        (lambda lines: "".join(join(lines, guard=False)), "choices may be empty"),
        (lambda lines: "".join(join(lines, strip=True)), "keep the spaces"),
        (lambda lines: join(lines)[-2], "join the chunks"),
    ],
)
def test_a_wrong_reading_of_a_stream_gets_its_hint(wrong, hint, capsys):
    ok, line = says(capsys, check.stream, wrong)
    assert not ok and hint in line
