"""Muon: momentum for matrices, made orthogonal before it is applied (Jordan et al. 2024).

A gradient of a weight matrix is mostly a few strong directions; an optimizer that follows it learns those and
neglects the rest. Muon keeps the directions of the momentum M = U S Vᵀ and makes them all equally strong, U Vᵀ, so
each step moves the matrix equally far in every direction. U Vᵀ comes from five matrix polynomials instead of an
SVD. `torch.optim.Muon` is the same, matrix by matrix; here matrices of one shape go through as one batch.
"""

from collections import defaultdict

import torch
from torch import Tensor

from gpt.fast.pytorch import Uncompiled
from gpt.running.processes import share_like, whole

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of a polynomial that drives singular values towards 1, quickly if roughly


class Muon(Uncompiled):
    """For matrices only. `dtype` is what the orthogonalisation computes in: its result need not be precise."""

    def __init__(
        self, params: list[Tensor], lr: float, weight_decay: float, dtype: torch.dtype, momentum: float = 0.95
    ):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

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
                    update = weight.grad.lerp(state["momentum"], group["momentum"])  # Nesterov's look ahead
                    updates.append(whole(update).to(self.dtype))  # a process may hold but a share of the rows
                directions = orthogonalize(torch.stack(updates))  # (n, rows, columns)
                scale = group["lr"] * max(1, rows / columns) ** 0.5  # taller matrices need longer steps
                for weight, direction in zip(weights, directions, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(share_like(direction, weight), alpha=-scale)


def orthogonalize(matrices: Tensor) -> Tensor:
    """(n, rows, columns) -> the same with all singular values brought to about 1 (0.7 to 1.2; in bfloat16 to 1.4),
    except those below about 1/500 of the norm, which five steps do not lift so far.

    Five steps of a Newton-Schulz iteration: X ← aX + b(XXᵀ)X + c(XXᵀ)²X applies s ← as + bs³ + cs⁵ to every singular
    value. Each is a product PX with P = a + bG + cG², and the next G = XXᵀ is PGP: several steps can be taken among
    these small squares, and X, several times as wide, be multiplied once by the product of all P. bfloat16 would not
    bear all five at one go: what rounding adds to G grows tenfold with each.
    """
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices  # XXᵀ is the smaller square
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # now none is above 1
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
