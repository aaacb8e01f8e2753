"""Adversarial steps and L2 are the formulas of their papers, and a run with them goes on bit for bit."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from finetune import finetune
from gpt.classifier import pad
from gpt.errors import UserError
from gpt.finetuning.adversarial import FastGradientMethod, worst_step
from gpt.finetuning.batches import Buckets
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.method_config import LoraConfig
from gpt.finetuning.methods import adapt
from gpt.finetuning.trainable import is_regularised, l2_penalty
from gpt.running.run_folder import read_metrics
from tests.helpers import label_net, random_model, stop_after
from tests.test_classifier import LABELS, random_texts

TOKENS, LENGTHS = pad(random_texts([3, 17, 25, 8]), 299)
TARGETS = torch.tensor([0, 1, 2, 0])


def loss_of(net, tokens=TOKENS, lengths=LENGTHS, targets=TARGETS):
    return F.cross_entropy(net(tokens, lengths), targets)


def loss_at(net, x, lengths=LENGTHS, targets=TARGETS):
    """The loss where the token embeddings are x, (B, T, C): by hand, without a hook."""
    body = net.transformer
    state = x + body.wpe.weight[: x.size(1)] if net.config.position == "learned" else x
    for block in body.h:
        state = block(state, None)
    return F.cross_entropy(net.head(body.ln_f(state), lengths), targets)


def test_the_attacked_loss_is_that_at_exactly_x_plus_epsilon_g_over_its_length(model):
    net = label_net(model, LABELS)
    x = net.transformer.wte(TOKENS).detach().requires_grad_()
    (g,) = torch.autograd.grad(loss_at(net, x), x)
    moved = torch.stack([one + 0.7 * of_one / of_one.norm() for one, of_one in zip(x, g, strict=True)])
    attack = FastGradientMethod(net.transformer.wte, 0.7)
    with attack.watched():
        clean = loss_of(net)
    clean.backward()
    with attack.moved():
        attacked = loss_of(net)
    torch.testing.assert_close(attacked, loss_at(net, moved), rtol=1e-6, atol=1e-6)
    assert attacked > clean


def test_an_attack_moves_no_weight_and_ends_with_its_block(model):
    net = label_net(model, LABELS)
    before, clean = {name: w.clone() for name, w in net.state_dict().items()}, loss_of(net)
    attack = FastGradientMethod(net.transformer.wte, 5.0)
    with attack.watched():
        loss_of(net).backward()
    with attack.moved():
        loss_of(net).backward()
    assert all(torch.equal(w, before[name]) for name, w in net.state_dict().items())
    assert torch.equal(loss_of(net), clean)


def test_the_step_is_worse_than_any_random_step_of_its_length(model):
    net = label_net(model, LABELS)
    x = net.transformer.wte(TOKENS).detach().requires_grad_()
    (g,) = torch.autograd.grad(loss_at(net, x), x)
    torch.manual_seed(0)
    random = [loss_at(net, x + worst_step(torch.randn_like(x), 0.5)) for _ in range(20)]
    assert loss_at(net, x + worst_step(g, 0.5)) > max(random)


def test_a_step_is_epsilon_long_for_each_text_and_padding_stays(model):
    net = label_net(model, LABELS)
    x = net.transformer.wte(TOKENS).detach().requires_grad_()
    (g,) = torch.autograd.grad(loss_at(net, x), x)
    r = worst_step(g, 0.5)
    torch.testing.assert_close(r.norm(dim=(1, 2)), torch.full((4,), 0.5))
    assert all(not r[i, length:].any() for i, length in enumerate(LENGTHS))
    assert not worst_step(torch.zeros(1, 2, 3), 0.5).any()


def test_frozen_embeddings_can_be_attacked_too(model):
    net = label_net(model, LABELS)
    adapt(net, LoraConfig(4))
    attack = FastGradientMethod(net.transformer.wte, 3.0)
    with attack.watched():
        clean = loss_of(net)
    clean.backward()
    with attack.moved():
        assert loss_of(net) > clean
    assert net.transformer.wte.weight.grad is None


def test_a_step_without_a_gradient_is_refused(model):
    with pytest.raises(ValueError, match="no gradient"), FastGradientMethod(model.transformer.wte, 1.0).moved():
        pass


def test_an_interrupted_run_with_attacks_and_l2_goes_on_bit_for_bit(config, tmp_path, monkeypatch):
    config = dataclasses.replace(config, min_steps=16, evaluations=2, accumulate=2, adversarial=0.3, l2=0.01)
    whole = dataclasses.replace(config, out=tmp_path / "whole", word_dropout=0.3)
    config = dataclasses.replace(whole, out=config.out)
    finetune(whole)
    with monkeypatch.context() as patch:
        stop_after(patch, Buckets, 11)
        assert finetune(config) is None
    finetune(dataclasses.replace(config, resume=True))
    one, two = (load_file(folder / "model.safetensors") for folder in (config.out, whole.out))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert read_metrics(config.out) == read_metrics(whole.out)
    finetune(clean := dataclasses.replace(whole, adversarial=0.0, out=tmp_path / "clean"))
    assert read_metrics(clean.out) != read_metrics(whole.out)


def test_the_gradient_of_l2_is_the_weight_itself_for_the_trained_matrices_alone(model):
    net = label_net(model, LABELS)
    net.transformer.h[0].requires_grad_(False)
    l2_penalty(net).backward()
    reached = {name: weight for name, weight in net.named_parameters() if weight.grad is not None}
    assert reached.keys() == {
        name for name, weight in net.named_parameters()
        if weight.ndim == 2 and weight.requires_grad and ".wte." not in name and ".wpe." not in name
    }  # fmt: skip
    assert "score.weight" in reached and not any(name.startswith("transformer.h.0.") for name in reached)
    assert all(weight.grad is not None and torch.equal(weight.grad, weight) for weight in reached.values())


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_l2_in_the_loss_is_the_weight_decay_of_sgd_and_of_adam_but_not_of_adamw(optimizer):
    ours, theirs = (label_net(random_model("rotary"), LABELS) for _ in range(2))
    decaying = [weight for name, weight in theirs.named_parameters() if is_regularised(name, weight)]
    others = [weight for name, weight in theirs.named_parameters() if not is_regularised(name, weight)]
    plain = torch.optim.Adam if optimizer is torch.optim.AdamW else optimizer
    one = plain(ours.parameters(), 0.01)
    two = optimizer([{"params": decaying, "weight_decay": 0.5}, {"params": others, "weight_decay": 0.0}], 0.01)
    for _ in range(5):
        (loss_of(ours) + 0.5 * l2_penalty(ours)).backward()
        loss_of(theirs).backward()
        for each in (one, two):
            each.step()
            each.zero_grad()
    apart = max(
        float((a - b).detach().abs().max()) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )
    assert (apart > 1e-2) if optimizer is torch.optim.AdamW else (apart < 1e-5)


def test_l2_keeps_the_matrices_of_a_run_smaller(config):
    sizes = []
    for l2 in (0.0, 1.0):
        run = dataclasses.replace(
            config, min_steps=20, evaluations=1, weight_decay=0.0, l2=l2, out=config.out.with_name(f"l2-{l2}")
        )
        finetune(run)
        weights = load_file(run.out / "model.safetensors")
        sizes.append(
            np.sqrt(sum(float(w.square().sum()) for n, w in weights.items() if w.ndim == 2 and "embed" not in n))
        )
    assert sizes[1] < 0.9 * sizes[0]


def test_l2_without_a_matrix_to_keep_small_is_refused():
    with pytest.raises(UserError, match="trains no matrix"):
        FinetuneConfig(task="answer", train="bias", l2=0.1)
    with pytest.raises(UserError, match="adversarial is -1"):
        FinetuneConfig(adversarial=-1)
