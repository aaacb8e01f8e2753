"""The look inside: what it reports must be what the model does."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gpt.errors import UserError
from gpt.inside import interpret
from gpt.model import GPTConfig, Transformer

TOKENS = [5, 80, 3, 3, 200, 7, 41, 80, 3, 11]


def test_the_stream_ends_in_the_models_own_logits(model):
    states, _ = interpret.trace(model, TOKENS)
    assert states.shape == (4, 10, 64)
    logits = model.lm_head(model.transformer.ln_f(states[-1]))
    torch.testing.assert_close(logits, model(torch.tensor([TOKENS]))[0])


def test_the_attention_weights_are_those_the_model_attends_with(model):
    """Values weighted by them, through the projection, are what the attention adds to the stream."""
    states, weights = interpret.trace(model, TOKENS)
    assert weights.shape == (3, 4, 10, 10)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4, 10))
    assert (weights.triu(1) == 0).all()
    for block, state, of_layer in zip(model.transformer.h, states, weights, strict=False):
        x = block.ln_1(state)
        v = block.attn.c_attn(x)[:, 128:].view(10, 4, 16).transpose(0, 1)  # (nh, T, hs)
        expected = block.attn.c_proj((of_layer @ v).transpose(0, 1).reshape(10, 64))
        torch.testing.assert_close(expected, block.attn(x[None])[0], atol=1e-4, rtol=1e-4)


def test_looking_leaves_no_hooks_behind(model):
    before = model(torch.tensor([TOKENS]))
    interpret.trace(model, TOKENS)
    interpret.gradient_times_input(model.transformer.wte, lambda: model(torch.tensor([TOKENS]))[0, -1, 0])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(torch.tensor([TOKENS])), before)


def attend(distance):
    """A trace whose only head looks `distance` tokens back (at itself where there are none)."""

    def trace(model, tokens):
        weights = torch.zeros(1, 1, len(tokens), len(tokens))
        for t in range(len(tokens)):
            weights[0, 0, t, t - distance if t >= distance else t] = 1
        return None, weights

    return trace


def test_head_scores_are_one_for_the_head_they_look_for_and_zero_for_others(model, monkeypatch):
    monkeypatch.setattr(interpret, "trace", attend(1))
    assert interpret.previous_token_score(model, TOKENS).item() == 1
    assert interpret.induction_score(model).item() == 0
    monkeypatch.setattr(interpret, "trace", attend(15))  # half the context, 16, less one
    assert interpret.previous_token_score(model, TOKENS).item() == 0
    assert interpret.induction_score(model).item() == 1


def test_a_head_that_rests_on_the_first_token_has_no_induction_score(model, monkeypatch):
    """The last token of the first copy stands as far behind the first token as a pattern would: it repeats nothing."""

    def rest(model, tokens):
        weights = torch.zeros(1, 1, len(tokens), len(tokens))
        weights[..., 0] = 1
        return None, weights

    monkeypatch.setattr(interpret, "trace", rest)
    assert interpret.induction_score(model).item() == 0


def test_the_lens_ends_in_the_models_answer_and_tells_from_where_it_is_sure(model):
    logprobs = interpret.logit_lens(model, TOKENS)
    torch.testing.assert_close(logprobs[-1], model(torch.tensor([TOKENS]))[0].log_softmax(-1), atol=1e-4, rtol=1e-4)
    says = torch.tensor([[1, 2, 3, 3], [3, 2, 3, 0], [3, 1, 3, 0]])  # three layers, four places
    logprobs = F.one_hot(says, 5).float()
    assert interpret.sure_from(logprobs).tolist() == [1, 2, 0, 1]


def test_the_loss_per_layer_is_the_loss_after_leaving_there(model):
    tokens = [(7 * i * i) % 300 for i in range(75)]  # two contexts and a rest
    losses = interpret.loss_per_layer(model, tokens)
    assert len(losses) == 4
    for layer in (3, 2, 1):
        interpret.exit_after(model, layer)
        total = 0.0
        for start in (0, 32, 64):
            window = torch.tensor(tokens[start : start + 33])
            total += F.cross_entropy(model(window[None, :-1])[0], window[1:], reduction="sum").item()
        assert losses[layer] == pytest.approx(total / 74, rel=1e-4)


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_an_exit_from_a_layer_that_is_not_there_is_refused(model, layer):
    with pytest.raises(UserError, match="3 layers"):
        interpret.exit_after(model, layer)


def test_the_nearest_token_is_the_one_that_points_the_same_way(model):
    with torch.no_grad():
        model.transformer.wte.weight[40] = 3 * model.transformer.wte.weight[7]
    (token, cosine), *others = interpret.nearest_tokens(model, 7, 5)
    assert token == 40 and cosine == pytest.approx(1, abs=1e-5)
    assert len(others) == 4 and 7 not in [token for token, _ in others]


def test_a_place_is_most_like_itself_and_rotary_likeness_depends_on_distance_alone(model):
    similarity = interpret.position_similarity(model)
    torch.testing.assert_close(similarity.diagonal(), torch.ones(32))
    torch.testing.assert_close(similarity, similarity.T)
    if model.config.position == "rotary":
        assert similarity.diagonal(5).std() < 1e-5


def test_gradient_times_input_is_exact_where_the_score_is_linear():
    embedding, weights = nn.Embedding(10, 4), torch.randn(3, 4)
    text = torch.tensor([[2, 5, 2]])
    moved = interpret.gradient_times_input(embedding, lambda: (embedding(text)[0] * weights).sum())
    torch.testing.assert_close(moved, (embedding(text)[0] * weights).sum(-1).detach())


def test_removing_the_tokens_that_moved_a_decision_takes_it_back():
    """A classifier of texts with good tokens (0-3), bad ones (4-7) and others: which are there more of?"""
    torch.manual_seed(0)
    body, head = Transformer(GPTConfig(20, 8, 1, 2, 32)), nn.Linear(32, 2)
    optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=3e-3)
    worth = torch.tensor([1.0] * 4 + [-1.0] * 4 + [0.0] * 12)
    for _ in range(200):
        texts = torch.randint(0, 20, (64, 8))
        texts = texts[worth[texts].sum(1) != 0]
        loss = F.cross_entropy(head(body(texts)[:, -1]), (worth[texts].sum(1) > 0).long())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.1

    def lead(text, side):
        logits = head(body(text))[0, -1]
        return side * (logits[1] - logits[0])

    lost_without_most, lost_without_least = 0.0, 0.0
    for _ in range(30):
        text = torch.randint(0, 20, (1, 8))
        side = 1 if lead(text, 1) > 0 else -1
        moved = interpret.gradient_times_input(body.wte, lambda text=text, side=side: lead(text, side))
        most, least = int(moved.argmax()), int(moved.argmin())
        without_most, without_least = text.clone(), text.clone()
        without_most[0, most] = without_least[0, least] = 12  # a token that says nothing
        lost_without_most += (lead(text, side) - lead(without_most, side)).item() / 30
        lost_without_least += (lead(text, side) - lead(without_least, side)).item() / 30
    assert lost_without_most > 2 and lost_without_most > 3 * abs(lost_without_least)


def test_the_check_of_an_attribution_leaves_out_what_it_says():
    moved = torch.tensor([0.1, -2.0, 3.0, 0.0])
    kept = interpret.without_most_and_least(lambda ids: torch.tensor(sum(ids)), [1, 10, 100, 1000], moved, 1)
    assert kept == (1011, 1101)
