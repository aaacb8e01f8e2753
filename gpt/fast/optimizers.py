"""SGD, AdamW and Muon, faster."""

import inspect
from collections import defaultdict

import torch
from torch import Tensor

from gpt.fast.pytorch import Uncompiled
from gpt.muon import COEFFICIENTS, Muon
from gpt.optim import SGD


class UncompiledSGD(Uncompiled, SGD):
    """The same formula, without the compiler's start-up."""


class FusedAdamW(Uncompiled, torch.optim.AdamW):
    """PyTorch's own code, one kernel for all of a weight's arithmetic."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))

    def __init__(self, groups: list[dict], lr: float, betas: tuple[float, float]):
        super().__init__(groups, lr, betas, weight_decay=0.0, fused=True)


class BatchedMuon(Uncompiled, Muon):
    """Matrices of one shape go through the polynomials as one batch, computed in `dtype`."""

    dtype = torch.float32

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for (rows, columns), weights in by_shape.items():
                updates = []
                for weight in weights:
                    state = self.state[weight]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(weight)
                    state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                    updates.append(weight.grad.lerp(state["momentum"], group["momentum"]))
                scale = group["lr"] * max(1, rows / columns) ** 0.5
                for weight, direction in zip(weights, self.directions(updates), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(direction, alpha=-scale)

    def directions(self, updates: list[Tensor]) -> list[Tensor]:
        """Matrices of one shape, made orthogonal."""
        return list(orthogonalize_batch(torch.stack([update.to(self.dtype) for update in updates])))


class BFloat16Muon(BatchedMuon):
    """For machines that multiply bfloat16 quickly: what is made orthogonal need not be precise."""

    dtype = torch.bfloat16


def orthogonalize_batch(matrices: Tensor) -> Tensor:
    """orthogonalize of gpt/muon.py for many matrices (n, rows, columns) at once; in bfloat16 singular values reach 1.4.

    Each step of the iteration is a product PX with P = a + bG + cG² and G = XXᵀ, and the next G is PGP. So several
    steps can be taken among these small squares, and X, several times as wide, be multiplied once by the product of all
    P. bfloat16 would not bear all five in one go: what rounding adds to G grows tenfold with each.
    """
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices  # XXᵀ is the smaller square
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for steps in (2, 3):
        x = polynomials(x @ x.mT, steps) @ x
    return x.mT if tall else x


def polynomials(gram: Tensor, steps: int) -> Tensor:
    """G = XXᵀ, (n, rows, rows) -> the product of the P of the next `steps` steps, (n, rows, rows)."""
    product = last = polynomial(gram)
    for _ in range(steps - 1):
        gram = last @ gram @ last
        last = polynomial(gram)
        product = last @ product
    return product


def polynomial(gram: Tensor) -> Tensor:
    """P = a + bG + cG²."""
    a, b, c = COEFFICIENTS
    result = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    result.diagonal(dim1=1, dim2=2).add_(a)
    return result
