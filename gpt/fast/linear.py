"""Matrix products for a single token, whose speed depends on how the weights are read."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gpt.fast.int8 import Int8Linear, packed_product
from gpt.model import GPT

Function = Callable[[Tensor], Tensor]
FEW = 16  # rows; with more, as in a prompt, the cores are busy computing, and memory waits for them


def few_rows_linear(layer: nn.Module, rows: int = 1) -> Function:
    """A layer's x Wᵀ + b for x of (N, in), made for an N of about `rows` on a CPU.

    One token is one row, and a few rows times a matrix are limited by memory bandwidth: every weight should be read
    once, in one stream per core. PyTorch passes the product to MKL, which reads several rows of W at once, and uses one
    core if x is a single row. So W is copied into another layout, which depends on its size and the number of rows:

    - A small matrix stays in the core's own cache, where one product with the transposed matrix needs the fewest calls,
      also if it was int8.
    - For one or two rows: blocks of 16 output channels. Each is read from start to end, and the cores share the blocks.
    - For more rows, and for a head of up to 4 million weights: as oneDNN wants it.

    What is left goes to oneDNN as it is: for one or two rows a large head, other widths, and the prompt before them. A
    large int8 matrix has a layout of its own (Int8Linear.packed).
    """
    kinds = [(torch.device("cpu"), dtype) for dtype in (torch.float32, torch.int8)]
    if not isinstance(layer, nn.Linear | Int8Linear) or (layer.weight.device, layer.weight.dtype) not in kinds:
        return layer.forward  # .forward, past nn.Module's own call, which looks for hooks each time
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    size, (channels, inputs) = weight.numel(), weight.shape
    if size <= 2**16:
        wide = weight * layer.scale if isinstance(layer, Int8Linear) else weight
        transposed = wide.t().contiguous()
        return (lambda x: x @ transposed) if bias is None else (lambda x: torch.addmm(bias, x, transposed))
    if isinstance(layer, Int8Linear):
        if layer.packed is None:
            return layer.forward
        return lambda x: packed_product(x, layer.packed, bias) if len(x) <= FEW else layer.forward(x)
    if rows > 2 or (bias is None and size <= 2**22):
        return with_onednn(weight, bias, copy=True) or layer.forward
    uncopied = with_onednn(weight, bias) or layer.forward
    if bias is None or size > 2**22 or channels % 16:
        return uncopied
    blocks = weight.view(-1, 16, inputs).transpose(1, 2).contiguous()  # (out/16, in, 16)
    biases = bias.view(-1, 1, 16)

    def in_blocks(x: Tensor) -> Tensor:
        if len(x) > 2:
            return uncopied(x)
        y = torch.baddbmm(biases, x.expand(len(biases), -1, -1), blocks)  # (out/16, N, 16)
        return y.transpose(0, 1).reshape(len(x), channels)

    return in_blocks


def with_onednn(weight: Tensor, bias: Tensor | None, copy: bool = False) -> Function | None:
    """x Wᵀ + b by oneDNN, or None where PyTorch has not got it. F.linear asks MKL, which is slower on AMD's CPUs. A
    copy of W, in oneDNN's own layout, makes it up to 1.7 times as fast for few rows. Neither function is public, but
    both are what torch.compile makes of a Linear."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    product = torch.ops.mkldnn._linear_pointwise
    if copy and hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        weight = torch.ops.mkldnn._reorder_linear_weight(weight, FEW)
    return lambda x: product(x, weight, bias, "none", [], "")


def useful_threads(model: GPT, rows: int = 1) -> int:
    """The number of CPU threads with which this model generates `rows` texts fastest: one for few texts and a model up
    to 128 wide, whose products end before a second thread has started (measured: 2,800 tokens a second instead of
    2,400, and no waiting for other processes), else all of PyTorch's."""
    return 1 if model.config.n_embd <= 128 and rows < 16 else torch.get_num_threads()
