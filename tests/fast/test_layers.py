"""Fast layers: each gives the values and the gradients of its plain original.

Tolerances: in float32, sums in another order, 1e-5 of a value near 1. In bfloat16, which keeps 8 bits of a number, a
layer may differ by a few roundings, 2^-7 of its largest value each.
"""

import copy

import pytest
import torch
import torch.nn.functional as F

from gpt.classifier import GPTClassifier, pad
from gpt.fast.layers import (
    AddedMaskAttention,
    FusedGELU,
    FusedLayerNorm,
    KernelAttention,
    QuickDropout,
    drop_units,
    rotary_tables,
)
from gpt.fast.speed_up import speed_up
from gpt.model import GELU, GPT, CausalSelfAttention, Dropout, GPTConfig, LayerNorm, rotate
from tests.helpers import random_model

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 4 * 2**-7}


def as_twin(layer, kind):
    """A copy of a layer, made what speed_up makes of it."""
    twin = copy.deepcopy(layer)
    twin.__class__ = kind
    if isinstance(twin, KernelAttention | AddedMaskAttention):
        twin.prepare(GPTConfig(10, 32, 1, 4, 64, position="rotary"), CPU)
    return twin


def run(layer, x, dtype):
    """The layer's answer, and the gradients of the input and of all weights, where products are made in `dtype`."""
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = layer(x)
    y.float().mul(torch.linspace(-1, 1, y.numel()).view(y.shape)).sum().backward()
    return [y.float().detach(), x.grad, *(weight.grad for weight in layer.parameters())]


def assert_equal(plain, fast, x, dtype):
    for one, two in zip(run(plain, x, dtype), run(fast, x, dtype), strict=True):
        scale = max(1.0, one.abs().max().item())
        torch.testing.assert_close(two / scale, one / scale, atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_layer_norm_and_its_twin_agree_and_are_pytorchs(dtype, offset):
    torch.manual_seed(0)
    plain = LayerNorm(48)
    torch.nn.init.normal_(plain.weight)
    torch.nn.init.normal_(plain.bias)
    x = torch.randn(2, 7, 48) * 3 + offset
    assert_equal(plain, as_twin(plain, FusedLayerNorm), x, dtype)
    torch.testing.assert_close(plain(x), F.layer_norm(x, (48,), plain.weight, plain.bias), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("exact", [True, False])
def test_gelu_and_its_twin_agree(dtype, exact):
    x = torch.linspace(-6, 6, 1001).view(1, 7, 143)
    assert_equal(GELU(exact), as_twin(GELU(exact), FusedGELU), x, dtype)
    assert GELU(exact)(torch.tensor([0.0, 100.0, -100.0])).tolist() == [0, 100, 0]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", [KernelAttention, AddedMaskAttention])
@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("T", [1, 5, 32])
def test_attention_and_its_twins_agree(dtype, kind, position, T):
    torch.manual_seed(T)
    plain = CausalSelfAttention(GPTConfig(10, 32, 1, 4, 64, position=position))
    with torch.no_grad():
        plain.c_attn.weight.mul_(3)  # so that attention is not nearly even
    assert_equal(plain, as_twin(plain, kind), torch.randn(3, T, 64), dtype)


@pytest.mark.parametrize("kind", [CausalSelfAttention, KernelAttention, AddedMaskAttention])
def test_attention_with_dropout_is_right_on_average(kind):
    torch.manual_seed(0)
    plain = CausalSelfAttention(GPTConfig(10, 32, 1, 4, 64, dropout=0.3))
    layer, x = as_twin(plain, kind).train(), torch.randn(1, 8, 64)
    expected = layer.eval()(x)
    draws = torch.stack([layer.train()(x) for _ in range(2000)])
    assert draws.std(0).min() > 0
    torch.testing.assert_close(draws.mean(0), expected, atol=4 * draws.std(0).max().item() / 2000**0.5, rtol=0)


def test_the_tables_of_a_rotation_are_those_of_the_formula():
    x = torch.randn(2, 3, 32, 16)
    cos, sin = rotary_tables(32, 16)
    torch.testing.assert_close(x * cos + x.roll(8, dims=-1) * sin, rotate(x), atol=0, rtol=0)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_whole_model_and_its_fast_twin_agree_in_loss_and_gradients(dtype, position):
    plain = random_model(position).train()
    fast = copy.deepcopy(plain)
    speed_up(fast, CPU, dtype)
    tokens = torch.randint(0, 300, (4, 33), generator=torch.Generator().manual_seed(1))
    found = []
    for model in (plain, fast):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        loss.backward()
        found.append((loss.item(), {name: weight.grad for name, weight in model.named_parameters()}))
    (loss, gradients), (fast_loss, fast_gradients) = found
    assert fast_loss == pytest.approx(loss, rel=1e-5 if dtype == torch.float32 else 5e-3)
    assert gradients.keys() == fast_gradients.keys()
    for name, gradient in gradients.items():
        difference = (fast_gradients[name] - gradient).norm() / gradient.norm()
        assert difference < (1e-4 if dtype == torch.float32 else 0.1), name


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_padded_texts_get_the_plain_answers(dtype, position):
    base = random_model(position)
    plain = GPTClassifier(base.config, ("a", "b", "c")).eval()
    plain.transformer.load_state_dict(base.transformer.state_dict())
    fast = copy.deepcopy(plain)
    speed_up(fast, CPU, dtype)
    tokens, lengths = pad([[1, 2, 3], [7] * 32, [250, 4]])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        one, two = plain(tokens, lengths).float(), fast(tokens, lengths).float()
    torch.testing.assert_close(two, one, atol=TOLERANCE[dtype] * one.abs().max().item(), rtol=0)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", [Dropout, QuickDropout])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_plain_and_quick_dropout_have_the_same_distribution_and_gradients(kind, p, dtype):
    torch.manual_seed(0)
    layer, x = kind(p).train(), torch.ones(1000, 1000, dtype=dtype, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=4 * (p * (1 - p) / 1e6) ** 0.5)
    assert y.max().item() == pytest.approx(1 / (1 - p), rel=0.01)
    assert torch.equal(x.grad, y.detach())
    assert torch.equal(layer.eval()(x), x)


def test_speeding_up_changes_no_weight_no_name_and_no_object():
    model = GPT(GPTConfig(50, 16, 2, 2, 16, dropout=0.1))
    before = {name: id(weight) for name, weight in model.named_parameters()}
    state = copy.deepcopy(model.state_dict())
    twins = speed_up(model, CPU, torch.float32)
    assert {name: id(weight) for name, weight in model.named_parameters()} == before
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(model.state_dict()[name], weight) for name, weight in state.items())
    kinds = {type(part) for part in model.modules()}
    assert not kinds & {LayerNorm, GELU, Dropout, CausalSelfAttention}
    assert kinds >= {twins[LayerNorm], twins[GELU], twins[Dropout], twins[CausalSelfAttention]}


@pytest.mark.parametrize(
    ("device", "dtype", "context", "kind"),
    [
        ("cpu", torch.bfloat16, 256, AddedMaskAttention),
        ("cpu", torch.bfloat16, 1024, KernelAttention),
        ("cpu", torch.float32, 256, KernelAttention),
        ("meta", torch.bfloat16, 256, KernelAttention),
    ],
)
def test_only_bfloat16_on_a_cpu_with_short_contexts_attends_by_hand(device, dtype, context, kind):
    with torch.device(device):
        model = GPT(GPTConfig(50, context, 1, 2, 16))
    assert speed_up(model, torch.device(device), dtype)[CausalSelfAttention] is kind
    assert type(model.transformer.h[0].attn) is kind


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_p_is_dropped_and_the_rest_grows(p, dtype):
    torch.manual_seed(0)
    y = drop_units(torch.ones(1001, 999, dtype=dtype), p)
    assert y.dtype == dtype and y.shape == (1001, 999)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=4 * (p * (1 - p) / 1e6) ** 0.5)
    assert y.max().item() == pytest.approx(1 / (1 - p), rel=0.01)
    assert set(y.unique().tolist()) == {0.0, y.max().item()}


def test_neighbours_are_dropped_independently():
    torch.manual_seed(1)
    kept = (drop_units(torch.ones(1_000_000), 0.5) > 0).float() - 0.5
    for distance in range(1, 9):  # four units share one random number
        assert abs((kept[distance:] * kept[:-distance]).mean().item()) < 4 * 0.25 / 1000


def test_the_seed_decides():
    x = torch.ones(100)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(drop_units(x, 0.5))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_gradients_pass_where_units_were_kept_and_nowhere_else():
    x = torch.ones(1000, requires_grad=True)
    y = drop_units(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_nothing_is_dropped_after_training_or_at_0():
    x = torch.randn(50)
    assert torch.equal(QuickDropout(0.9).eval()(x), x)
    assert torch.equal(QuickDropout(0.0).train()(x), x)
    assert (QuickDropout(0.999999).train()(x) == 0).sum() >= 49
