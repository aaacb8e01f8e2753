"""The checks of lesson 2 recognise typical mistakes."""

import math

import pytest
import torch

from notebooks.check import attention as check


def scores(q, k):
    return q @ k.T / math.sqrt(q.size(-1))


def hidden(q, k):
    return scores(q, k).masked_fill(torch.ones(len(q), len(q), dtype=torch.bool).triu(1), -math.inf)


def over_time(x, gain, shift):
    return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt() * gain + shift


def unbiased(x, gain, shift):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt() * gain + shift


def post_norm(x, norm_1, attend, norm_2, mlp):
    x = norm_1(x + attend(x))
    return norm_2(x + mlp(x))


WRONG = [
    (check.head, lambda q, k, v: scores(q, k).softmax(-1) @ v, "no causal mask"),
    (check.head, lambda q, k, v: hidden(q, k).softmax(0) @ v, "wrong dimension"),
    (check.head, lambda q, k, v: (hidden(q, k) * math.sqrt(q.size(-1))).softmax(-1) @ v, "not divided"),
    (check.head, lambda q, k, v: (scores(q, k).softmax(-1).tril()) @ v, "not 0 after it"),
    (check.head, lambda q, k, v: hidden(q, k).softmax(-1), "not applied to v"),
    (check.head, lambda q, k, v: hidden(q, k).masked_fill(torch.eye(len(q)) == 1, -math.inf).softmax(-1) @ v, "NaN"),
    (check.head, lambda q, k, v: (hidden(q, k) / math.sqrt(q.size(-1))).softmax(-1) @ v, "not by d"),
    (check.head, lambda q, k, v: hidden(k, q).softmax(-1) @ v, "q and k are exchanged"),
    (check.layer_norm, over_time, "not over time"),
    (check.layer_norm, lambda x, gain, shift: (x - x.mean()) / x.std(correction=0) * gain + shift, "whole batch"),
    (check.layer_norm, unbiased, "not C - 1"),
    (check.split, lambda x, n: x.view(x.size(0), n, x.size(1), -1), "view mixes tokens"),
    (check.split, lambda x, n: x.view(*x.shape[:2], n, -1), "transpose is missing"),
    (check.block, lambda x, a, attend, b, mlp: mlp(b(attend(a(x)))), "no residual"),
    (check.block, post_norm, "post-norm"),
    (check.block, lambda x, a, attend, b, mlp: (x := x + mlp(a(x))) + attend(b(x)), "attention comes first"),
    (check.block, lambda x, a, attend, b, mlp: (x := x + attend(a(x))) + mlp(a(x)), "use norm_2"),
    (check.block, lambda x, a, attend, b, mlp: x + attend(a(x)), "MLP is not used"),
]


@pytest.mark.parametrize("one, answer, hint", WRONG)
def test_a_typical_mistake_gets_its_hint(one, answer, hint, capsys):
    assert not one(answer)
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize("one", [check.head, check.layer_norm, check.split, check.block])
def test_a_blank_a_list_and_an_exception_are_told(one, capsys):
    for answer, hint in (
        (lambda *_: None, "not written yet"),
        (lambda *_: [1], "return a tensor"),
        (lambda: 1, "TypeError"),
    ):
        assert not one(answer)
        assert hint in capsys.readouterr().out
