"""Optimizers and schedule: every weight is moved by exactly one of them, and as far as it should."""

import pytest
import torch
import torch.nn.functional as F

from gpt.model import GPT, GPTConfig
from gpt.muon import Muon, orthogonalize
from gpt.optim import SGD, AdamW, build_optimizers, learning_rate_scale, set_learning_rate
from tests.helpers import matrices_with, move_side_by_side


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_every_weight_belongs_to_exactly_one_group(name):
    model = GPT(GPTConfig(100, 16, 2, 2, 32))
    optimizers = build_optimizers(model, name, 1e-3, 0.02, 0.1)
    held = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_muon_takes_the_matrices_of_the_blocks_and_only_those():
    model = GPT(GPTConfig(100, 16, 2, 2, 32))
    names = {id(p): name for name, p in model.named_parameters()}
    _, muon = build_optimizers(model, "muon", 1e-3, 0.02, 0.1)
    taken = sorted(names[id(p)] for group in muon.param_groups for p in group["params"])
    matrices = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert taken == sorted(f"transformer.h.{i}.{m}.weight" for i in range(2) for m in matrices)


def test_only_matrices_decay():
    model = GPT(GPTConfig(100, 16, 2, 2, 32))
    for optimizer in build_optimizers(model, "muon", 1e-3, 0.02, 0.1):
        for group in optimizer.param_groups:
            for weight in group["params"]:
                assert (group["weight_decay"] > 0) == (weight.ndim == 2)


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_every_optimizer_learns(name):
    torch.manual_seed(0)
    model = GPT(GPTConfig(50, 16, 2, 2, 32))
    tokens = torch.randint(0, 50, (4, 17))
    optimizers = build_optimizers(model, name, 0.5 if name == "sgd" else 3e-3, 0.02, 0.01)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        losses.append(loss.item())
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[-1] < 0.3 * losses[0]


def test_the_learning_rate_rises_to_its_peak_and_falls_in_a_straight_line():
    scales = [learning_rate_scale(step, max_steps=100, warmup_steps=10) for step in range(100)]
    assert scales[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(scales) == scales[9] == scales[10] == 1
    assert scales[55] == pytest.approx(0.5)
    assert scales[99] == pytest.approx(1 / 90)
    assert learning_rate_scale(0, max_steps=10, warmup_steps=0) == 1


def test_each_group_keeps_its_own_peak():
    model = GPT(GPTConfig(100, 16, 2, 2, 32))
    optimizers = build_optimizers(model, "muon", 1e-3, 0.02, 0.1)
    for scale in (0.5, 0.25):
        set_learning_rate(optimizers, scale)
        rates = {group["lr"] for o in optimizers for group in o.param_groups}
        assert rates == {1e-3 * scale, 0.02 * scale}


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (32, 32)])
def test_orthogonalize_keeps_directions_and_evens_out_their_strength(shape):
    torch.manual_seed(0)
    for matrix in matrices_with(torch.linspace(1, 0.1, 32), *shape):
        U, _, Vh = torch.linalg.svd(matrix, full_matrices=False)
        inside = U.T @ orthogonalize(matrix) @ Vh.T  # diagonal where the directions are kept
        assert (inside - torch.diag(inside.diagonal())).abs().max() < 1e-3
        assert inside.diagonal().min() > 0.65 and inside.diagonal().max() < 1.25


def test_gradient_descent_is_the_formula():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    weight.grad = torch.tensor([0.5, 0.5])
    SGD([{"params": [weight], "weight_decay": 0.1}], lr=0.2).step()
    assert weight.tolist() == pytest.approx([1 - 0.2 * (0.5 + 0.1), -2 - 0.2 * (0.5 - 0.2)])


def test_sgd_and_adamw_move_weights_as_pytorchs_own_do():
    move_side_by_side(
        lambda weights: SGD([{"params": weights, "weight_decay": 0.1}], lr=0.05),
        lambda weights: torch.optim.SGD(weights, lr=0.05, weight_decay=0.1),
        tolerance=1e-6,
    )
    move_side_by_side(
        lambda weights: AdamW([{"params": weights, "weight_decay": 0.1}], lr=0.05, betas=(0.9, 0.95)),
        lambda weights: torch.optim.AdamW(weights, lr=0.05, betas=(0.9, 0.95), weight_decay=0.1),
        tolerance=1e-5,
    )


def test_muon_moves_matrices_as_pytorchs_own_does():
    move_side_by_side(
        lambda weights: Muon([{"params": weights, "weight_decay": 0.1}], lr=0.02),
        lambda weights: torch.optim.Muon(weights, lr=0.02, weight_decay=0.1),
        tolerance=3e-3,  # PyTorch's computes in bfloat16
    )
