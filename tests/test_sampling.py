"""Sampling: the probabilities that each setting leaves, and that draws follow them."""

import random

import pytest
import torch
from scipy import stats
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from gpt.errors import UserError
from gpt.fast.batch import Batch
from gpt.sampling import Sampling, draw, penalise, probabilities
from tests.helpers import random_model

LOGITS = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)) * 3
SETTINGS = [
    Sampling(),
    Sampling(0.5),
    Sampling(2.0),
    Sampling(top_k=7),
    Sampling(top_p=0.8),
    Sampling(min_p=0.1),
    Sampling(1.3, top_k=20, top_p=0.9, min_p=0.05),
]


@pytest.mark.parametrize("sampling", [*SETTINGS, Sampling(repetition_penalty=1.7)], ids=str)
def test_sampled_frequencies_match_the_distribution(sampling):
    """Chi-square: 20,000 draws, against expected counts computed here from the definition of each filter."""
    seen = torch.arange(50) % 3 == 0  # (V,) tokens that are in the text already
    penalty = torch.where(LOGITS[0] > 0, 1 / sampling.repetition_penalty, sampling.repetition_penalty)
    logits = (LOGITS[0] * torch.where(seen, penalty, 1.0)).double()
    p = (logits / sampling.temperature).softmax(-1)
    order = p.argsort(descending=True).tolist()
    kept = set(order[: sampling.top_k or 50])
    p = torch.tensor([x if i in kept else 0.0 for i, x in enumerate(p.tolist())])
    p /= p.sum()
    if sampling.top_p:
        total, kept = 0.0, set()
        for token in order:
            kept.add(token)
            total += p[token].item()
            if total >= sampling.top_p:
                break
        p = torch.tensor([x if i in kept else 0.0 for i, x in enumerate(p.tolist())])
    if sampling.min_p:
        p[p < sampling.min_p * p.max()] = 0
    p = (p / p.sum()).double()

    n = 20_000
    generator = random.Random(1)
    penalised = penalise(LOGITS[:1], seen[None], sampling.repetition_penalty)
    rows = probabilities(penalised, sampling).expand(n, -1)
    counts = torch.bincount(draw(rows, [generator] * n), minlength=50)
    assert (counts[p == 0] == 0).all()
    common = p * n >= 5  # chi-square needs expected counts of 5; the rest is put together
    observed = [*counts[common].tolist(), counts[~common].sum().item()]
    expected = [*(p[common] * n).tolist(), p[~common].sum().item() * n]
    if expected[-1] == 0:
        observed, expected = observed[:-1], expected[:-1]
    scale = sum(observed) / sum(expected)
    assert stats.chisquare(observed, [e * scale for e in expected]).pvalue > 0.001


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_filters_leave_what_those_of_transformers_leave(sampling):
    scores = TemperatureLogitsWarper(sampling.temperature)(None, LOGITS)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    if sampling.min_p:
        scores = MinPLogitsWarper(sampling.min_p)(None, scores)
    torch.testing.assert_close(probabilities(LOGITS, sampling), scores.softmax(-1))


def test_the_end_of_text_before_a_text_is_no_repetition():
    batch = Batch(random_model("rotary"), [[299, 5, 7]], [0], 4, Sampling(repetition_penalty=1.3))
    assert batch.seen.nonzero().tolist() == [[0, 5], [0, 7]]


def test_the_repetition_penalty_is_that_of_transformers():
    text = torch.tensor([[1, 5, 5, 49]] * 4)
    seen = torch.zeros(4, 50, dtype=torch.bool).scatter(1, text, True)
    expected = RepetitionPenaltyLogitsProcessor(1.7)(text, LOGITS)
    assert torch.equal(penalise(LOGITS, seen, 1.7), expected)


def test_what_a_row_draws_does_not_depend_on_the_other_rows():
    p = LOGITS.softmax(-1)
    together = [random.Random(i) for i in range(4)]
    alone = [random.Random(i) for i in range(4)]
    for _ in range(50):
        assert draw(p, together).tolist() == [draw(p[i : i + 1], alone[i : i + 1]).item() for i in range(4)]


def test_the_largest_random_number_still_draws_a_token_that_is_in():
    class Largest(random.Random):
        def getrandbits(self, k):
            return 2**k - 1

    p = torch.tensor([[0.3, 0.7, 0.0, 0.0]])
    assert draw(p, [Largest()]).item() == 1


def test_extreme_logits_and_temperatures_draw_the_likeliest():
    for logits in ([[1e30, 0.0, -1e30]], [[-1e4, -2e4, -3e4]], [[0.0, -5.0, float("-inf")]]):
        p = probabilities(torch.tensor(logits), Sampling(1e-6))
        assert p.tolist() == [[1, 0, 0]]


def test_top_k_keeps_exactly_k_of_equals_and_top_p_one_is_no_filter():
    assert (probabilities(torch.zeros(1, 50), Sampling(top_k=5)) > 0).sum() == 5
    assert (probabilities(torch.zeros(1, 50), Sampling(top_p=1.0)) > 0).all()
    assert (probabilities(LOGITS, Sampling(top_p=1e-9)) > 0).sum(-1).tolist() == [1] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 1e-9}, "temperature"),
        ({"top_k": 0}, "top-k"),
        ({"top_p": 0.0}, "top-p"),
        ({"top_p": 1.5}, "top-p"),
        ({"min_p": -0.1}, "min-p"),
        ({"repetition_penalty": 0.0}, "repetition penalty"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Sampling(**settings)
