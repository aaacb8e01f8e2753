"""Adversarial training: a text is learned twice, as it is and moved to where its loss grows fastest.

    x      the embeddings of the text's tokens, (T, C)
    g      the gradient of the text's loss L(x) with respect to x
    r      = ε g / |g|, the step of length ε that raises the loss most (to first order)
    L(x) + L(x + r)      is minimised; r counts as a constant

This is the "fast gradient method" (Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text
Classification", section 3, equations 5 and 6). They also bring all embeddings to variance 1 first. Here the embeddings
are what pretraining left, so ε is in their units: a token's embedding in out/tiny is 2.6 long on average.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class FastGradientMethod:
    """The two passes through a net whose token embedding is `embedding`. epsilon: the length of r; 0 means no attack.

        with attack.watched():
            loss = ...
        loss.backward()     # also leaves g
        with attack.moved():
            loss = ...      # of the same texts at x + r
        loss.backward()

    The weights themselves never move, so nothing has to be restored. It works also where the embedding is frozen.
    """

    def __init__(self, embedding: nn.Embedding, epsilon: float):
        self.embedding, self.epsilon = embedding, epsilon
        self.x: Tensor | None = None  # (B, T, C)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it, the embeddings of a batch are kept, and after backward() they have a gradient."""

        def keep(_: nn.Module, inputs: tuple, x: Tensor) -> None:
            self.x = x if x.requires_grad else x.requires_grad_()  # a frozen embedding's output would not have one
            self.x.retain_grad()

        with hooked(self.embedding, keep if self.epsilon else None):
            yield

    @contextmanager
    def moved(self) -> Iterator[None]:
        """Within it, the embedding gives x + r in place of x. Raises ValueError if no backward() left a gradient."""
        if self.x is None or self.x.grad is None:
            raise ValueError("there is no gradient: watch a pass first, and call backward() on its loss")
        r, self.x = worst_step(self.x.grad, self.epsilon), None
        with hooked(self.embedding, lambda _, inputs, x: x + r):
            yield


def worst_step(g: Tensor, epsilon: float) -> Tensor:
    """r = ε g / |g| of each text of a batch: (B, T, C) -> (B, T, C). Padding has no gradient and does not move."""
    length = g.norm(dim=(1, 2), keepdim=True)  # (B, 1, 1)
    return epsilon * g / length.clamp(min=1e-30)  # a text whose gradient is 0 stays where it is


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any] | None) -> Iterator[None]:
    """Call `hook` on each output of the module; what it returns, if anything, replaces the output."""
    handle = module.register_forward_hook(hook) if hook else None
    try:
        yield
    finally:
        if handle:
            handle.remove()
