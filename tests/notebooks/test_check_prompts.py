"""The checks of lesson 5 recognise typical mistakes."""

import math

import pytest
import torch

from notebooks.check import prompts as check


def scores(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]))[0].log_softmax(-1)


def total(of_places, ids, start):
    return sum(of_places[t - 1, ids[t]] for t in range(start, len(ids)))


def cut_tail(p, limit, *, dim=-1, early=False, own_place=True, scale=True):
    """top-p with the mistake that is asked for."""
    likeliest_first, order = p.sort(descending=True)
    reached = likeliest_first.cumsum(dim)
    kept = likeliest_first * (reached <= limit if early else reached - likeliest_first < limit)
    if own_place:
        kept = torch.zeros_like(p).scatter(-1, order, kept)
    return kept / kept.sum(-1, keepdim=True) if scale else kept


def scaled_together(p):
    return p / p.sum()


@pytest.mark.parametrize(
    ("exercise", "answer", "hint"),
    [
        (check.temperature, lambda logits, t: None, "not written yet"),
        (check.temperature, lambda logits, t: (logits * t).softmax(-1), "do not multiply"),
        (check.temperature, lambda logits, t: (logits / t).softmax(0), "last dimension"),
        (check.temperature, lambda logits, t: logits.softmax(-1) / t, "add up to 1"),
        (check.temperature, lambda logits, t: (logits.softmax(-1) / t).softmax(-1), "not the probabilities"),
        (check.temperature, lambda logits, t: logits / t, "softmax is missing"),
        (check.temperature, lambda logits, t: logits.nowhere, "AttributeError"),
        (check.top_p, lambda p, limit: None, "not written yet"),
        (check.top_p, lambda p, limit: p[0], "return a tensor (B, V)"),
        (check.top_p, lambda p, limit: cut_tail(p, limit, early=True), "reaches the limit"),
        (check.top_p, lambda p, limit: cut_tail(p, limit, own_place=False), "its own place"),
        (check.top_p, lambda p, limit: cut_tail(p, limit, scale=False), "add up to 1"),
        (check.top_p, lambda p, limit: cut_tail(p, limit, dim=0), "the last dimension"),
        (check.top_p, lambda p, limit: scaled_together(cut_tail(p, limit, scale=False)), "by its own sum"),
        (check.top_p, lambda p, limit: p, "must be left"),
        (check.top_p, lambda p, limit: p * (p >= limit) / (p * (p >= limit)).sum(), "the running sum"),
        (check.top_p, lambda p, limit: p * (p >= limit), "the running sum"),
        (check.tries, lambda p, wanted: None, "not written yet"),
        (check.tries, lambda p, wanted: math.ceil(wanted / p), "no probability"),
        (check.tries, lambda p, wanted: math.floor(math.log(1 - wanted) / math.log(1 - p)), "one too few"),
        (check.tries, lambda p, wanted: math.log(1 - wanted) / math.log(1 - p), "round up"),
        (check.logprob, lambda model, ids, start: None, "not written yet"),
        (check.logprob, lambda model, ids, start: scores(model, ids), "one number"),
        (
            check.logprob,
            lambda model, ids, start: sum(scores(model, ids)[t - 1, ids[t]] for t in range(1, len(ids))),
            "not the text before it",
        ),
        (check.logprob, lambda model, ids, start: scores(model, ids)[start - 1, ids[start]], "add them all"),
        (
            check.logprob,
            lambda model, ids, start: total(model(torch.tensor([ids]))[0].log_softmax(0), ids, start),
            "the last dimension",
        ),
        (check.logprob, lambda model, ids, start: -total(scores(model, ids), ids, start), "the sign"),
        (check.logprob, lambda model, ids, start: total(scores(model, ids).exp(), ids, start), "not probabilities"),
        (
            check.logprob,
            lambda model, ids, start: total(model(torch.tensor([ids]))[0], ids, start),
            "log_softmax first",
        ),
        (
            check.logprob,
            lambda model, ids, start: sum(scores(model, ids)[t, ids[t]] for t in range(start, len(ids))),
            "off by one",
        ),
    ],
)
def test_a_typical_mistake_gets_its_hint(capsys, exercise, answer, hint):
    assert not exercise(answer)
    line = capsys.readouterr().out
    assert line.startswith("✗") and hint in line and line.count("\n") == 1


def test_other_ways_to_write_a_right_answer_are_accepted(capsys):
    assert check.top_p(cut_tail)
    assert check.tries(lambda p, wanted: math.ceil(math.log(1 - wanted) / math.log(1 - p) - 1e-12))
    assert check.logprob(
        lambda model, ids, start: scores(model, ids)[start - 1 : -1].gather(1, torch.tensor(ids[start:])[:, None]).sum()
    )
    assert capsys.readouterr().out.count("✓") == 3
