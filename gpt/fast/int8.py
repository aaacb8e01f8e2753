"""Weights in 8 bits instead of 32: a quarter of the memory, and a quarter of what every token must read.

Each row w of a matrix (the weights of one output channel) is kept as whole numbers from -127 to 127 and one scale,
max|w| / 127, so that w ≈ scale · integers ("LLM.int8()", Dettmers et al. 2022, section 2.1: absmax, by row). Biases,
norms and positions are about 1 % of the weights and stay as they are. For generating only: int8 has no gradient.
`python -m gpt.export.int8` writes such weights to the disk.
"""

import functools
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.model import GPT, Transformer


def to_int8(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, M) floats to (N, M) int8 and (N, 1) scales; whole numbers times scale is x again, nearly."""
    scale = largest_of_rows(x).div_(127)
    return (x / scale).round_().to(torch.int8), scale


def largest_of_rows(x: Tensor) -> Tensor:
    """(N, M) to (N, 1): the largest absolute value of each row, not quite 0, so that one can divide by it."""
    return x.abs().amax(-1, keepdim=True).clamp_(min=1e-30)  # many rows: 3 to 20 times as fast as vector_norm


def int8_product(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, in) floats times an int8 matrix (out, in) with its scales (out,), plus a bias (out,): (N, out) floats.

    The fastest way that this machine has. With VNNI (most x86 CPUs since 2020) x is rounded to int8 too, each row
    by a scale of its own, and whole numbers are multiplied. Other CPUs multiply in bfloat16 and widen the weights
    as they are read, if a row is a multiple of 16 long. Elsewhere the weights are widened first, which saves memory
    but no time.
    """
    if x.device.type == "cpu" and has_vnni():
        whole, step = to_int8(x)  # (N, in), (N, 1)
        y = torch.ops.aten._int_mm(whole, weight.t()) * step  # int32 before it is scaled: nothing overflows
        return y * scale if bias is None else torch.addcmul(bias, y, scale)
    if x.device.type == "cpu" and weight.size(1) % 16 == 0:  # PyTorch's kernel reads past the end of other widths
        y = torch.ops.aten._weight_int8pack_mm(x.to(torch.bfloat16), weight, scale.to(torch.bfloat16)).to(x.dtype)
    else:
        y = F.linear(x, weight.to(x.dtype)) * scale
    return y if bias is None else y + bias


def pack(weight: Tensor, scale: Tensor) -> Any:
    """An int8 matrix (out, in) with its scales (out, 1), in the order in which FBGEMM reads it for a few rows of x.

    None where that cannot be: without VNNI it would add in 16 bits, which overflow.
    """
    if weight.device.type != "cpu" or not has_vnni() or "fbgemm" not in torch.backends.quantized.supported_engines:
        return None
    engine = torch.backends.quantized.engine
    try:
        torch.backends.quantized.engine = "fbgemm"
        with warnings.catch_warnings(action="ignore"):  # a later PyTorch will not have this type of tensor
            zeros = torch.zeros(len(weight), dtype=torch.long)
            make = getattr(torch, "_make_per_channel_quantized_tensor")  # noqa: B009 (not public, and may go)
            matrix = make(weight, scale[:, 0].double(), zeros, 0)
            return torch.ops.quantized.linear_prepack(matrix, None)
    except (AttributeError, NotImplementedError):  # a PyTorch that has not got these tensors
        return None
    finally:
        torch.backends.quantized.engine = engine


def packed_product(x: Tensor, packed: Any, bias: Tensor | None) -> Tensor:
    """The same as int8_product with a matrix from `pack`: rounding and product are one call."""
    largest = largest_of_rows(x)  # (N, 1)
    # Within -1 and 1, each row is rounded to steps of 1 / 127; FBGEMM counts them from 128.
    y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(x / largest, 1 / 127, 128, packed)  # (N, out)
    return y * largest if bias is None else torch.addcmul(bias, y, largest)


@functools.cache
def has_vnni() -> bool:
    """Whether this CPU multiplies int8, as far as PyTorch can say; its check is not public and may go."""
    check = getattr(torch.cpu, "_is_vnni_supported", None)
    return check is not None and check()


class Int8Linear(nn.Module):
    """x Wᵀ + b with W in int8."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None):
        super().__init__()
        self.register_buffer("weight", weight)  # (out, in)
        self.register_buffer("scale", scale)  # (out, 1)
        self.register_buffer("bias", bias)  # (out,)

    @functools.cached_property
    def packed(self) -> Any:
        """The matrix for few rows, made on first use (half a second for GPT-2's), or None; see pack."""
        return pack(self.weight, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return int8_product(x.flatten(0, -2), self.weight, self.scale[:, 0], self.bias).view(*x.shape[:-1], -1)


class Int8Embedding(nn.Module):
    """Rows of an int8 matrix by their numbers."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("weight", weight)  # (V, C)
        self.register_buffer("scale", scale)  # (V, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.weight[tokens] * self.scale[tokens]  # (B, T, C)


def quantize_int8(model: GPT) -> None:
    """Replace a model's matrices by int8 ones, in place. The head and the embedding still share theirs."""
    quantize_transformer(model.transformer)
    embedding = model.transformer.wte
    model.lm_head = Int8Linear(embedding.weight, embedding.scale, None)  # type: ignore[assignment]


def quantize_transformer(transformer: Transformer) -> None:
    """The same for what is below the head, whatever that is."""
    for block in transformer.h:
        for part in (block.attn, block.mlp):
            for name, linear in list(part.named_children()):
                if isinstance(linear, nn.Linear):
                    setattr(part, name, Int8Linear(*to_int8(linear.weight.detach()), linear.bias.detach()))
    transformer.wte = Int8Embedding(*to_int8(transformer.wte.weight.detach()))  # type: ignore[assignment]
