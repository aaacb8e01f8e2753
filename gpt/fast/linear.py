"""Matrix products for a single token, whose speed depends on how the weights are read."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gpt.fast.int8 import Int8Linear, packed_product
from gpt.model import GPT

Function = Callable[[Tensor], Tensor]
FEW = 16  # rows; with more, as in a prompt, the cores are busy computing, and memory waits for them


def few_rows_linear(layer: nn.Module) -> Function:
    """A layer's x Wᵀ + b for x of (N, in), made for few rows on a CPU.

    One token is one row, and a row times a matrix is limited by memory bandwidth: every weight should be read once, in
    one stream per core. PyTorch passes the product to MKL, which reads several rows of W at once, and uses one core if
    x is a single row. So W is copied into blocks of 32 output channels. Each block is read from start to end, and the
    cores share the blocks. A small matrix stays in the core's own cache, where one product with the transposed matrix
    needs the fewest calls, also if it was int8. A matrix too large to copy, the head, and more rows go to oneDNN, which
    uses all cores. A large int8 matrix has a layout of its own (Int8Linear.packed).
    """
    if not isinstance(layer, nn.Linear | Int8Linear) or layer.weight.device.type != "cpu":
        return layer.forward  # .forward, past nn.Module's own call, which looks for hooks each time
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    size, (channels, inputs) = weight.numel(), weight.shape
    if bias is not None and size <= 2**16:
        wide = weight * layer.scale if isinstance(layer, Int8Linear) else weight
        transposed = wide.t().contiguous()
        return lambda x: torch.addmm(bias, x, transposed)
    if isinstance(layer, Int8Linear):
        if layer.packed is None:
            return layer.forward
        return lambda x: packed_product(x, layer.packed, bias) if len(x) <= FEW else layer.forward(x)
    many_rows = with_onednn(weight, bias) or layer.forward
    if bias is not None and size <= 2**22 and channels % 32 == 0:
        blocks = weight.view(-1, 32, inputs).transpose(1, 2).contiguous()  # (out/32, in, 32)
        biases = bias.view(-1, 1, 32)

        def in_blocks(x: Tensor) -> Tensor:
            if len(x) > FEW:
                return many_rows(x)
            y = torch.baddbmm(biases, x.expand(len(biases), -1, -1), blocks)  # (out/32, N, 32)
            return y.transpose(0, 1).reshape(len(x), channels)

        return in_blocks
    return many_rows if size > 2**20 else layer.forward


def with_onednn(weight: Tensor, bias: Tensor | None) -> Function | None:
    """x Wᵀ + b by oneDNN, or None where PyTorch has not got it. F.linear asks MKL, which is slower on AMD's CPUs."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    product = torch.ops.mkldnn._linear_pointwise  # not public, but what torch.compile makes of a Linear
    return lambda x: product(x, weight, bias, "none", [], "")


def useful_threads(model: GPT) -> int:
    """The number of CPU threads with which this model generates fastest: one for a model up to 128 wide, whose products
    end before a second thread has started (measured: 2,800 tokens a second instead of 2,400, and no waiting for other
    processes), else all of PyTorch's."""
    return 1 if model.config.n_embd <= 128 else torch.get_num_threads()
