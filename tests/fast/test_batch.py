"""Batches of texts: each as if it were alone."""

import pytest
import torch

from gpt.fast.batch import Batch
from gpt.fast.decoder import Decoder
from gpt.generate import score
from gpt.sampling import Sampling
from tests.helpers import GREEDY, PROMPTS, run_batch, tokens_of


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.8, top_k=50), Sampling(1.0, repetition_penalty=1.3)])
def test_a_batch_of_unequal_prompts_gives_what_each_gives_alone(model, sampling):
    """60 new tokens in a context of 32: every row's window slides, each at its own time."""
    seeds = [3, 1, 4, 1, 5]
    together = run_batch(model, PROMPTS, seeds, 60, sampling)
    for prompt, seed, choices in zip(PROMPTS, seeds, together, strict=True):
        assert tokens_of(choices) == tokens_of(run_batch(model, [prompt], [seed], 60, sampling)[0])


def test_dropping_rows_does_not_disturb_the_others(model):
    sampling = Sampling(1.0)
    alone = [tokens_of(run_batch(model, [prompt], [i], 60, sampling)[0]) for i, prompt in enumerate(PROMPTS)]
    batch = Batch(model, PROMPTS, list(range(5)), 60, sampling)
    rows = [[] for _ in PROMPTS]
    for step in range(60):
        for row, choice in batch.step().items():
            rows[row].append(choice.token)
        batch.drop({1} if step == 5 else {0, 3} if step == 20 else set())
    assert rows[1] == alone[1][:6] and rows[0] == alone[0][:21] and rows[3] == alone[3][:21]
    assert rows[2] == alone[2] and rows[4] == alone[4]


def test_samples_of_one_prompt_share_its_reading(model, monkeypatch):
    read = []
    original = Decoder.read
    monkeypatch.setattr(Decoder, "read", lambda self, texts: read.append(texts) or original(self, texts))
    rows = run_batch(model, [[1, 2, 3]] * 4 + [[4]], [0, 1, 2, 0, 0], 10, Sampling(1.0))
    assert read == [[[1, 2, 3], [4]]]
    assert tokens_of(rows[0]) == tokens_of(rows[3]) != tokens_of(rows[1])


def test_logprobs_are_those_of_a_full_pass_and_the_top_ones_are_the_largest(model):
    choices = run_batch(model, [[1, 2, 3]], [0], 10, Sampling(1.5, top_k=5), num_top=4)[0]
    text = [1, 2, 3]
    for choice in choices:
        expected = model(torch.tensor([text]))[0, -1].log_softmax(-1)
        assert choice.logprob == pytest.approx(expected[choice.token].item(), abs=1e-4)
        values, tokens = expected.topk(4)
        assert [token for token, _ in choice.top] == tokens.tolist()
        assert [logprob for _, logprob in choice.top] == pytest.approx(values.tolist(), abs=1e-4)
        text.append(choice.token)


def test_scores_of_a_continuation_are_the_logprobs_it_was_made_with(model):
    choices = run_batch(model, [[1, 2, 3]], [0], 20, Sampling(1.0), num_top=0)[0]
    scored = score(model, [1, 2, 3, *tokens_of(choices)])[2:]
    assert [c.logprob for c in choices] == pytest.approx([c.logprob for c in scored], abs=1e-4)
