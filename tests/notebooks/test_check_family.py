"""Typical wrong answers to the exercises of lesson 4 get the hint that helps."""

import pytest
import torch

from gpt.dataset import IGNORED
from notebooks.check import family as check


def make_gaps(tokens, end, mask, *, spare_end=True, everywhere=False, kinds=True, share=0.15):
    """BERT's gaps with the mistake that is asked for."""
    chosen = torch.rand(tokens.shape) < share
    if spare_end:
        chosen &= tokens != end
    kind = torch.rand(tokens.shape) if kinds else torch.zeros(tokens.shape)
    inputs = torch.where(chosen & (kind < 0.8), mask, tokens)
    inputs = torch.where(chosen & (kind >= 0.9), torch.randint(0, end, tokens.shape), inputs)
    return inputs, tokens if everywhere else tokens.masked_fill(~chosen, IGNORED)


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"everywhere": True}, "chosen places only"),
        ({"spare_end": False}, "end-of-text is never chosen"),
        ({"kinds": False}, "10 % random"),
        ({"share": 0.5}, "should be about 15 %"),
    ],
)
def test_gaps_with_one_mistake_are_told_which(mistake, hint, capsys):
    assert check.gaps(make_gaps)
    assert not check.gaps(lambda *given: make_gaps(*given, **mistake))
    assert hint in capsys.readouterr().out.splitlines()[-1]


def test_targets_that_hold_the_mask_are_told_so(capsys):
    def inputs_as_targets(tokens, end, mask):
        inputs, targets = make_gaps(tokens, end, mask)
        return inputs, torch.where(targets == IGNORED, targets, inputs)

    assert not check.gaps(inputs_as_targets)
    assert "original tokens, not the mask" in capsys.readouterr().out


def see(T, kind, prefix):
    visible = torch.ones(T, T, dtype=torch.bool)
    if kind != "both":
        visible = visible.tril()
    if kind == "prefix":
        visible[:, :prefix] = True
    return visible


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda T, kind, prefix: see(T, kind, prefix).T, "transposed"),
        (lambda T, kind, prefix: ~see(T, kind, prefix), "inverted"),
        (lambda T, kind, prefix: see(T, kind, prefix).tril(-1), "sees itself"),
        (lambda T, kind, prefix: see(T, kind, 0), "within the prefix"),
        (lambda T, kind, prefix: see(T, kind, prefix).float(), "boolean"),
    ],
)
def test_a_wrong_mask_is_told_why(wrong, hint, capsys):
    assert check.visible(see)
    assert not check.visible(wrong)
    assert hint in capsys.readouterr().out.splitlines()[-1]


def cut(words, spans, *, end=True, each_word=False, sentinels=True):
    """T5's spans with the mistake that is asked for."""
    inputs, targets, done = [], [], 0
    for number, (begin, stop) in enumerate(spans):
        inputs += words[done:begin] + [f"<{number}>"] * (stop - begin if each_word else 1)
        targets += [f"<{number}>"] * sentinels + words[begin:stop]
        done = stop
    return inputs + words[done:], targets + [f"<{len(spans)}>"] * end


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"end": False}, "at the end"),
        ({"each_word": True}, "one sentinel for each span"),
        ({"sentinels": False}, "stands before each span"),
    ],
)
def test_spans_with_one_mistake_are_told_which(mistake, hint, capsys):
    assert check.spans(cut)
    assert not check.spans(lambda *given: cut(*given, **mistake))
    assert hint in capsys.readouterr().out.splitlines()[-1]


def bert(V, T, L, C):
    return (V + T + 2) * C + L * (12 * C * C + 13 * C) + 2 * C + C * C + C


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda V, T, L, C: bert(V, T, L, C) - C * C - C, "pooler"),
        (lambda V, T, L, C: bert(V, T, L, C) - 2 * C, "segment"),
        (lambda V, T, L, C: bert(V, T, L, C) + V * C, "no language head"),
        (lambda V, T, L, C: "many", "return a number"),
    ],
)
def test_a_wrong_size_of_bert_is_told_what_is_missing(wrong, hint, capsys):
    assert check.bert_size(bert)
    assert not check.bert_size(wrong)
    assert hint in capsys.readouterr().out.splitlines()[-1]


def draw_twice(tokens, end, mask):
    chosen = (torch.rand(tokens.shape) < 0.15) & (tokens != end)
    inputs = tokens.masked_fill(chosen & (torch.rand(tokens.shape) < 0.8), mask)
    inputs = torch.where(chosen & (torch.rand(tokens.shape) < 0.1), torch.randint(0, end, tokens.shape), inputs)
    return inputs, tokens.masked_fill(~chosen, IGNORED)


def one_for_all(tokens, end, mask):
    chosen = (torch.rand(tokens.shape) < 0.15) & (tokens != end)
    kind = torch.rand(tokens.shape)
    inputs = torch.where(chosen & (kind < 0.8), mask, tokens)
    inputs[chosen & (kind >= 0.9)] = torch.randint(0, end, ())
    return inputs, tokens.masked_fill(~chosen, IGNORED)


def rows_of_prefix(T, kind, prefix):
    visible = see(T, kind, 0)
    visible[: prefix * (kind == "prefix")] = True
    return visible


def in_place(words, spans):
    targets = []
    for number, (begin, stop) in enumerate(spans):
        targets += [f"<{number}>", *words[begin:stop]]
        words[begin:stop] = [f"<{number}>"]
    return words, [*targets, f"<{len(spans)}>"]


@pytest.mark.parametrize(
    ("exercise", "wrong", "hint"),
    [
        (check.gaps, draw_twice, "one draw for each place"),
        (check.gaps, one_for_all, "for each place, not one for all"),
        (check.visible, rows_of_prefix, "does not see what stands behind"),
        (check.visible, lambda T, kind, prefix: see(T, "prefix", prefix), "only where the kind is prefix"),
        (check.spans, in_place, "moves the places"),
        (check.spans, lambda words, spans: (cut(words, spans)[0][:-1], cut(words, spans)[1]), "lack the words"),
        (check.bert_size, lambda V, T, L, C: bert(V, T, L, C) - 2 * L * C - C, "a gain and a shift"),
        (check.bert_size, lambda V, T, L, C: bert(V, T, L, C) - 4 * L * C * C, "two matrices"),
        (check.bert_size, lambda V, T, L, C: bert(V, T, L, C) - T * C, "vectors for places"),
    ],
)
def test_further_wrong_answers_get_their_hint(exercise, wrong, hint, capsys):
    assert not exercise(wrong)
    assert hint in capsys.readouterr().out.splitlines()[-1]
