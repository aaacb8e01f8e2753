"""int8 weights: close to the float ones, a quarter of the size, on whichever path this machine takes."""

import copy

import pytest
import torch
import torch.nn.functional as F

from gpt.fast import int8
from gpt.fast.batch import generate_with_cache
from gpt.fast.int8 import Int8Linear, has_vnni, int8_product, pack, packed_product, quantize_int8, to_int8
from gpt.fast.linear import few_rows_linear
from gpt.model import GPT, GPTConfig

WEIGHT = torch.randn(40, 64, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 1, 40)[:, None]


def test_no_weight_moves_by_more_than_half_a_step_of_its_row():
    whole, scale = to_int8(WEIGHT)
    assert whole.dtype == torch.int8 and whole.abs().amax(1).eq(127).all()
    assert ((whole * scale - WEIGHT).abs() <= scale * 0.5001).all()


def test_a_row_of_zeros_stays_zero():
    whole, scale = to_int8(torch.zeros(2, 8))
    assert torch.equal(whole * scale, torch.zeros(2, 8))


@pytest.mark.parametrize("vnni", [True, False])
@pytest.mark.parametrize("rows", [1, 5])
def test_the_product_is_that_of_the_float_weights_to_within_a_percent(monkeypatch, vnni, rows):
    if vnni and not has_vnni():
        pytest.skip("this CPU has no VNNI")
    monkeypatch.setattr(int8, "has_vnni", lambda: vnni)
    x = torch.randn(rows, 64, generator=torch.Generator().manual_seed(1))
    whole, scale = to_int8(WEIGHT)
    exact = F.linear(x, WEIGHT)
    error = (int8_product(x, whole, scale[:, 0]) - exact).norm(dim=0) / (WEIGHT.norm(dim=1) * rows**0.5)
    assert error.max() < 0.05 and error.square().mean().sqrt() < 0.012


@pytest.mark.parametrize("bias", [None, torch.arange(40.0)])
def test_a_packed_matrix_gives_the_same_product(bias):
    whole, scale = to_int8(WEIGHT)
    if (packed := pack(whole, scale)) is None:
        pytest.skip("this CPU has no VNNI, or this PyTorch no FBGEMM")
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(1)) * torch.logspace(-3, 3, 5)[:, None]
    x[2] = 0
    exact = int8_product(x, whole, scale[:, 0])
    torch.testing.assert_close(packed_product(x, packed, bias), exact if bias is None else exact + bias)
    for row in range(5):  # no row depends on those beside it
        alone = packed_product(x[row : row + 1], packed, bias)
        assert torch.equal(alone, packed_product(x, packed, bias)[row : row + 1])


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize(("inputs", "channels"), [(64, 96), (384, 1152)])
def test_decoding_multiplies_with_the_same_int8_weights_be_they_widened_or_packed(rows, inputs, channels):
    whole, scale = to_int8(torch.randn(channels, inputs))
    layer, x = Int8Linear(whole, scale, torch.arange(float(channels))), torch.randn(rows, inputs)
    exact = F.linear(x, whole * scale)
    error = few_rows_linear(layer)(x) - layer.bias - exact
    assert error.square().mean().sqrt() < 0.01 * exact.square().mean().sqrt()  # packed, x is rounded as well


@pytest.mark.parametrize("inputs", [36, 40, 96, 100])
def test_without_vnni_every_width_gives_the_product(monkeypatch, inputs):
    monkeypatch.setattr(int8, "has_vnni", lambda: False)
    torch.manual_seed(0)
    whole, scale = to_int8(torch.randn(512, inputs))
    x, bias = torch.randn(4, inputs), torch.randn(512)
    exact = F.linear(x, whole * scale, bias)
    error = int8.int8_product(x, whole, scale[:, 0], bias) - exact
    assert error.square().mean().sqrt() < 0.01 * exact.square().mean().sqrt()


def test_without_vnni_or_fbgemm_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(int8, "has_vnni", lambda: False)
    assert pack(*to_int8(WEIGHT)) is None
    monkeypatch.setattr(int8, "has_vnni", lambda: True)
    monkeypatch.delattr(torch, "_make_per_channel_quantized_tensor")
    assert pack(*to_int8(WEIGHT)) is None


def test_a_pytorch_that_cannot_say_what_the_cpu_has_does_without(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported", raising=False)
    assert not has_vnni.__wrapped__()


def test_a_layer_keeps_its_shape_and_bias():
    layer = torch.nn.Linear(64, 40)
    quantized = Int8Linear(*to_int8(layer.weight.detach()), layer.bias.detach())
    x = torch.randn(2, 3, 64)
    assert quantized(x).shape == (2, 3, 40)
    torch.testing.assert_close(quantized(torch.zeros(1, 64))[0], layer.bias.detach())


def test_a_quantized_model_finds_texts_nearly_as_likely(model):
    tokens = torch.randint(0, 300, (8, 32), generator=torch.Generator().manual_seed(2))
    small = copy.deepcopy(model)
    quantize_int8(small)
    with torch.no_grad():
        float_loss, int8_loss = (
            F.cross_entropy(m(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()) for m in (model, small)
        )
    assert int8_loss.item() == pytest.approx(float_loss.item(), rel=0.005)
    assert not torch.equal(int8_loss, float_loss)


def test_a_quantized_model_generates_the_tokens_of_its_own_full_pass(model):
    quantize_int8(model)
    text = [1, 2, 3]
    for token in generate_with_cache(model, [1, 2, 3], 25, temperature=0):
        assert token == model(torch.tensor([text]))[0, -1].argmax().item()
        text.append(token)


def test_the_weights_take_about_a_quarter_of_the_memory():
    model = GPT(GPTConfig(5000, 64, 4, 4, 256))
    before = sum(p.numel() * p.element_size() for p in model.parameters())
    quantize_int8(model)
    tensors = {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}  # the tied matrix once
    after = sum(t.numel() * t.element_size() for t in tensors.values())
    assert 0.25 < after / before < 0.28


def test_embedding_and_head_share_one_matrix(model):
    quantize_int8(model)
    assert model.transformer.wte.weight.data_ptr() == model.lm_head.weight.data_ptr()
