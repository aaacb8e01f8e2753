"""Muon: momentum for matrices, made orthogonal before it is applied (Jordan et al. 2024).

The gradient of a weight matrix is mostly a few strong directions. An optimizer that follows it learns those and
neglects the rest. Muon keeps the directions of the momentum M = U S Vᵀ and makes them all equally strong, U Vᵀ, so that
each step moves the matrix equally far in every direction. U Vᵀ comes from five matrix polynomials instead of an SVD.
"""

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of a polynomial that drives singular values towards 1, quickly if roughly


class Muon(Optimizer):
    """M ← μM + (1 - μ)∇L, W ← (1 - αλ)W - α √max(1, rows/columns) orthogonalize(μM + (1 - μ)∇L), for matrices only."""

    def __init__(self, groups: list[dict], lr: float, momentum: float = 0.95):
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # PyTorch's also takes a closure
        for group in self.param_groups:
            lr, mu = group["lr"], group["momentum"]
            for weight in group["params"]:
                rows, columns = weight.shape
                momentum = mu * self.state[weight].get("momentum", 0.0) + (1 - mu) * weight.grad
                self.state[weight]["momentum"] = momentum
                direction = orthogonalize(mu * momentum + (1 - mu) * weight.grad)  # Nesterov's look ahead
                weight *= 1 - lr * group["weight_decay"]
                weight -= lr * max(1, rows / columns) ** 0.5 * direction  # taller matrices need longer steps


def orthogonalize(matrix: Tensor) -> Tensor:
    """(rows, columns) -> the same with all singular values brought to about 1 (0.7 to 1.2), except those below about
    1/500 of the norm, which five steps do not lift so far.

    A Newton-Schulz iteration: X ← aX + b(XXᵀ)X + c(XXᵀ)²X applies s ← as + bs³ + cs⁵ to every singular value s.
    """
    a, b, c = COEFFICIENTS
    x = matrix / matrix.norm().clamp(min=1e-7)  # now no singular value is above 1
    for _ in range(5):
        square = x @ x.T  # (rows, rows)
        x = a * x + (b * square + c * square @ square) @ x
    return x
