"""Optimizers and schedule: every weight is moved by exactly one of them, and as far as it should."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from gpt.fast.pytorch import AdamW
from gpt.model import GPT, GPTConfig
from gpt.muon import Muon, orthogonalize
from gpt.optim import build_optimizers, learning_rate_scale, set_learning_rate
from tests.helpers import ROOT


@pytest.mark.parametrize("name", ["adamw", "muon"])
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


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_both_optimizers_learn(name):
    torch.manual_seed(0)
    model = GPT(GPTConfig(50, 16, 2, 2, 32))
    tokens = torch.randint(0, 50, (4, 17))
    optimizers = build_optimizers(model, name, 3e-3, 0.02, 0.1)
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


def matrices_with(strengths: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(3, rows, columns), with as many of these singular values as fit: once, a thousandth, fifty times."""
    U, _, Vh = torch.linalg.svd(torch.randn(3, rows, columns), full_matrices=False)
    return U @ torch.diag(strengths[: min(rows, columns)]) @ Vh * torch.tensor([1, 1e-3, 50])[:, None, None]


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (32, 32)])
def test_orthogonalize_keeps_directions_and_evens_out_their_strength(shape):
    torch.manual_seed(0)
    matrices = matrices_with(torch.linspace(1, 0.1, 32), *shape)
    U, _, Vh = torch.linalg.svd(matrices, full_matrices=False)
    inside = U.mT @ orthogonalize(matrices) @ Vh.mT  # diagonal where the directions are kept
    strengths = inside.diagonal(dim1=1, dim2=2)
    assert (inside - torch.diag_embed(strengths)).abs().max() < 1e-3
    assert strengths.min() > 0.65 and strengths.max() < 1.25


@pytest.mark.parametrize("shape", [(128, 512), (512, 128), (128, 128)])
def test_orthogonalize_in_bfloat16_stays_bounded_where_most_directions_are_nearly_absent(shape):
    torch.manual_seed(0)
    for strengths in (torch.logspace(0, -6, 128), torch.logspace(0, -2, 128), torch.eye(128)[0]):
        result = orthogonalize(matrices_with(strengths, *shape).bfloat16()).float()
        assert torch.linalg.svdvals(result).max() < 1.5


def test_muon_moves_matrices_as_pytorchs_own_does():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((48, 16), (16, 48), (16, 16), (16, 16))]
    theirs = [torch.nn.Parameter(weight.detach().clone()) for weight in ours]
    one, two = Muon(ours, 0.02, 0.1, torch.float32), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1)
    for _ in range(5):
        for here, there in zip(ours, theirs, strict=True):
            here.grad = torch.randn_like(here)
            there.grad = here.grad.clone()
        one.step()
        two.step()
    for here, there in zip(ours, theirs, strict=True):
        torch.testing.assert_close(here, there, atol=3e-3, rtol=0)  # PyTorch's computes in bfloat16


def test_building_and_stepping_optimizers_does_not_import_the_compiler():
    code = """
import sys, torch
from gpt.optim import build_optimizers
from gpt.model import GPT, GPTConfig
model = GPT(GPTConfig(50, 16, 1, 2, 16))
optimizers = build_optimizers(model, "muon", 1e-3, 0.02, 0.1)
model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
for optimizer in optimizers:
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_our_adamw_moves_weights_as_pytorchs_own_does():
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
    theirs.load_state_dict(ours.state_dict())
    one = AdamW(ours.parameters(), lr=0.1, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    two = torch.optim.AdamW(theirs.parameters(), lr=0.1, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    for _ in range(5):
        for model, optimizer in ((ours, one), (theirs, two)):
            model(torch.ones(2, 8)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(here, there) for here, there in zip(ours.parameters(), theirs.parameters(), strict=True))
