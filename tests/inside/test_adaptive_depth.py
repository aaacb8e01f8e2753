"""Tokens that leave early: where they leave, what the others see of them, and the same with a cache."""

import copy

import pytest
import torch

from gpt.dataset import Dataset
from gpt.errors import UserError
from gpt.fast.batch import Batch
from gpt.generate import generate
from gpt.inside.adaptive_depth import EarlyLeavingDecoder, depth_and_loss, largest_probability, leaving_early
from gpt.inside.interpret import exit_after, logit_lens
from gpt.running.device import pick_machine
from gpt.running.processes import Processes
from gpt.running.validation import validation_loss
from tests.helpers import GREEDY

TOKENS = torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(3))


def middle(model) -> float:
    """A threshold that about half of the tokens reach after the first block."""
    lens = torch.stack([logit_lens(model, row.tolist())[1] for row in TOKENS])  # (2, T, V)
    return lens.amax(-1).exp().median().item() * 1.001  # no token is sure to exactly this degree


@torch.no_grad()
def test_a_threshold_above_one_changes_nothing(model):
    before = model(TOKENS)
    with leaving_early(model, 1.1) as depths:
        assert torch.equal(model(TOKENS), before) and depths[0].eq(3).all()
    assert torch.equal(model(TOKENS), before)


@torch.no_grad()
def test_a_threshold_that_all_reach_leaves_one_block(model):
    short = copy.deepcopy(model)
    exit_after(short, 1)
    with leaving_early(model, 1e-9) as depths:
        assert torch.equal(model(TOKENS), short(TOKENS)) and depths[0].eq(1).all()


@torch.no_grad()
def test_who_is_sure_leaves_and_is_seen_as_it_left(model):
    """Token by token and block by block, as section 3.2 of the paper says it."""
    threshold = middle(model)
    states = model.transformer.wte(TOKENS)
    if model.config.position == "learned":
        states = states + model.transformer.wpe.weight[:20]
    depth = torch.zeros(2, 20, dtype=torch.long)
    for number, block in enumerate(model.transformer.h, 1):
        after, before = block(states), states.clone()
        for row in range(2):
            for t in range(20):
                sure = depth[row, t] and largest_probability(model, before[row, t]) >= threshold
                if not sure and depth[row, t] == number - 1:
                    depth[row, t], before[row, t] = number, after[row, t]
        states = before
    with leaving_early(model, threshold) as depths:
        logits = model(TOKENS)
    assert torch.equal(depths[0], depth) and depth.unique().tolist() == [1, 2, 3]
    torch.testing.assert_close(logits, model.lm_head(model.transformer.ln_f(states)))


@torch.no_grad()
def test_a_later_token_cannot_change_where_an_earlier_one_leaves(model):
    with leaving_early(model, middle(model)) as depths:
        model(TOKENS)
        of_all = depths[0]
        model(TOKENS[:, :11])
        assert torch.equal(depths[0], of_all[:, :11])


def test_the_decoder_with_a_cache_writes_what_the_plain_code_writes(model):
    threshold = middle(model)
    with leaving_early(model, threshold):
        plainly = list(generate(model, [1, 2, 3], 25, temperature=0))
    batch = Batch(model, [[1, 2, 3]], [0], 25, GREEDY)
    batch.decoder = decoder = EarlyLeavingDecoder(model, batch.decoder.capacity, threshold)
    assert [batch.step()[0].token for _ in range(25)] == plainly
    assert decoder.tokens_read < decoder.blocks_run < 3 * decoder.tokens_read
    assert plainly != list(generate(model, [1, 2, 3], 25, temperature=0))


def test_depth_and_loss_are_between_one_block_and_all(model):
    tokens = torch.randint(0, 300, (200,), generator=torch.Generator().manual_seed(4)).numpy()
    dataset, machine = Dataset(tokens, tokens, 299, 32, 4), pick_machine("cpu", "float32", "off")
    whole = validation_loss(model, dataset, machine, Processes(0, 1, machine.device), accumulate=1)
    assert depth_and_loss(model, dataset, 1.1) == (3.0, pytest.approx(whole))
    depths = [depth_and_loss(model, dataset, middle(model) * factor)[0] for factor in (0.7, 1, 1.4)]
    assert 1 <= depths[0] < depths[1] < depths[2] <= 3


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_must_be_above_zero(model, threshold):
    with pytest.raises(UserError, match="must be above 0"), leaving_early(model, threshold):
        pass
