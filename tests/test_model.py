"""The model: what attention may see, what training must achieve."""

import math

import pytest
import torch
import torch.nn.functional as F

from gpt.errors import UserError
from gpt.model import GPT, GPTConfig, attention_weights, rotate

TOKENS = torch.randint(0, 300, (2, 32), generator=torch.Generator().manual_seed(1))


def test_a_later_token_cannot_change_an_earlier_logit(model):
    changed = TOKENS.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % 300
    before, after = model(TOKENS), model(changed)
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20:], after[:, 20:])


def test_every_earlier_token_can_change_the_last_logit(model):
    last = model(TOKENS[:1])[0, -1]
    for place in range(31):
        changed = TOKENS[:1].clone()
        changed[0, place] = (changed[0, place] + 1) % 300
        assert (model(changed)[0, -1] - last).abs().max() > 1e-4, place


def test_attention_averages_the_values_it_may_see_when_all_scores_are_equal():
    v = torch.arange(4.0).view(1, 1, 4, 1)
    y = attention_weights(torch.zeros(1, 1, 4, 1), torch.zeros(1, 1, 4, 1)) @ v
    assert y.flatten().tolist() == [0, 0.5, 1, 1.5]


def test_rotary_scores_depend_on_the_distance_alone():
    q, k = torch.randn(16).expand(1, 1, 32, 16), torch.randn(16).expand(1, 1, 32, 16)
    scores = (rotate(q) @ rotate(k).transpose(-2, -1))[0, 0]
    for distance in range(31):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[0].expand_as(diagonal), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("vocab_size", [257, 1024, 50257])
def test_the_initial_loss_is_that_of_guessing(position, vocab_size):
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size, 64, 4, 4, 128, position=position))
    tokens = torch.randint(0, vocab_size, (8, 65))
    with torch.no_grad():
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).item()
    assert loss == pytest.approx(math.log(vocab_size), rel=0.02)


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_one_batch_can_be_learned_by_heart(position):
    torch.manual_seed(0)
    model = GPT(GPTConfig(64, 16, 2, 2, 64, position=position))
    tokens = torch.randint(0, 64, (4, 17))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0)
    for _ in range(300):
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.01:
            return
    pytest.fail(f"the loss is still {loss.item():.3f}")


def test_weights_start_as_the_gpt2_paper_says():
    model = GPT(GPTConfig(1000, 64, 8, 4, 256))
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            assert torch.equal(weight, torch.ones_like(weight) if "ln_" in name and "weight" in name else weight * 0)
        else:
            std = 0.02 / math.sqrt(16) if name.endswith("c_proj.weight") else 0.02
            assert weight.std().item() == pytest.approx(std, rel=0.03), name


def test_dropout_acts_in_training_only_and_follows_the_seed():
    model = GPT(GPTConfig(100, 16, 2, 2, 32, dropout=0.5))
    tokens = torch.arange(16)[None]

    def run(seed):
        torch.manual_seed(seed)
        return model(tokens)

    assert torch.equal(run(1), run(1))
    assert not torch.allclose(run(1), run(2))
    model.eval()
    assert torch.equal(run(1), run(2))


def test_num_params_is_the_published_number_of_gpt2():
    with torch.device("meta"):
        assert GPT(GPTConfig()).num_params() == 124_439_808


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_embd": 65, "n_head": 4}, "multiple of n_head"),
        ({"n_layer": 0}, "n_layer"),
        ({"dropout": 1.0}, "dropout"),
        ({"position": "absolute"}, "position"),
        ({"position": "rotary", "n_embd": 12, "n_head": 4}, "odd"),
    ],
)
def test_a_config_that_makes_no_model_is_refused(settings, message):
    with pytest.raises(UserError, match=message):
        GPTConfig(**settings)


def test_a_sequence_longer_than_the_context_is_refused(model):
    with pytest.raises(UserError, match="context of 32"):
        model(torch.zeros(1, 33, dtype=torch.long))
