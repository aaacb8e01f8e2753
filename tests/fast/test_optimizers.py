"""Fast optimizers: the steps of their plain originals."""

import subprocess
import sys

import pytest
import torch

from gpt.fast.optimizers import BatchedMuon, BFloat16Muon, FusedAdamW, UncompiledSGD, orthogonalize_batch
from gpt.muon import Muon, orthogonalize
from gpt.optim import SGD, AdamW
from tests.helpers import ROOT, matrices_with, move_side_by_side


@pytest.mark.parametrize(
    ("plain", "fast", "settings", "tolerance"),
    [
        (SGD, UncompiledSGD, {"lr": 0.05}, 0),
        (AdamW, FusedAdamW, {"lr": 0.05, "betas": (0.9, 0.95)}, 1e-5),
        (Muon, BatchedMuon, {"lr": 0.02}, 1e-5),
        (Muon, BFloat16Muon, {"lr": 0.02}, 3e-3),
    ],
)
def test_a_fast_optimizer_takes_the_plain_steps(plain, fast, settings, tolerance):
    move_side_by_side(
        lambda weights: plain([{"params": weights, "weight_decay": 0.1}], **settings),
        lambda weights: fast([{"params": weights, "weight_decay": 0.1}], **settings),
        tolerance,
    )


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (32, 32)])
def test_a_batch_is_made_orthogonal_as_each_matrix_is_alone(shape):
    torch.manual_seed(0)
    matrices = matrices_with(torch.linspace(1, 0.1, 32), *shape)
    alone = torch.stack([orthogonalize(matrix) for matrix in matrices])
    torch.testing.assert_close(orthogonalize_batch(matrices), alone, atol=2e-4, rtol=0)


@pytest.mark.parametrize("shape", [(128, 512), (512, 128), (128, 128)])
def test_a_batch_in_bfloat16_stays_bounded_where_most_directions_are_nearly_absent(shape):
    torch.manual_seed(0)
    for strengths in (torch.logspace(0, -6, 128), torch.logspace(0, -2, 128), torch.eye(128)[0]):
        result = orthogonalize_batch(matrices_with(strengths, *shape).bfloat16()).float()
        assert torch.linalg.svdvals(result).max() < 1.5


def test_building_and_stepping_optimizers_does_not_import_the_compiler():
    code = """
import sys, torch
from gpt.fast.speed_up import speed_up
from gpt.optim import build_optimizers
from gpt.model import GPT, GPTConfig
model = GPT(GPTConfig(50, 16, 1, 2, 16))
twins = speed_up(model, torch.device("cpu"), torch.float32)
optimizers = build_optimizers(model, "muon", 1e-3, 0.02, 0.1, twins)
model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
for optimizer in optimizers:
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
