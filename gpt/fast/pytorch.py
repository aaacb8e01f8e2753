"""PyTorch's optimizers without its compiler.

Most methods of `torch.optim` import `torch._dynamo`, and with it sympy and hundreds of other modules, only to tell the
compiler that it should leave them alone. That takes 1.2 s and 70 MB, where a whole training may take ten seconds. We
never compile an optimizer, so these are the same methods without that wrapping.
"""

import inspect

import torch
from torch.optim import Optimizer


class Uncompiled(Optimizer):
    """The base of our optimizers."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


class AdamW(Uncompiled, torch.optim.AdamW):
    """Decoupled weight decay (Loshchilov and Hutter 2019), PyTorch's own code."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
