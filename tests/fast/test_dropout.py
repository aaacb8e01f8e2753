"""Our own dropout: what PyTorch's does, drawn faster."""

import pytest
import torch

from gpt.fast.dropout import Dropout, drop


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_p_is_dropped_and_the_rest_grows(p, dtype):
    torch.manual_seed(0)
    y = drop(torch.ones(1001, 999, dtype=dtype), p)
    assert y.dtype == dtype and y.shape == (1001, 999)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=4 * (p * (1 - p) / 1e6) ** 0.5)
    assert y.max().item() == pytest.approx(1 / (1 - p), rel=0.01)
    assert set(y.unique().tolist()) == {0.0, y.max().item()}


def test_neighbours_are_dropped_independently():
    torch.manual_seed(1)
    kept = (drop(torch.ones(1_000_000), 0.5) > 0).float() - 0.5
    for distance in range(1, 9):  # four units share one random number
        assert abs((kept[distance:] * kept[:-distance]).mean().item()) < 4 * 0.25 / 1000


def test_the_seed_decides():
    x = torch.ones(100)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(drop(x, 0.5))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_gradients_pass_where_units_were_kept_and_nowhere_else():
    x = torch.ones(1000, requires_grad=True)
    y = drop(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_nothing_is_dropped_after_training_or_at_0():
    x = torch.randn(50)
    assert torch.equal(Dropout(0.9).eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)
    assert (Dropout(0.999999).train()(x) == 0).sum() >= 49
