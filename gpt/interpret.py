"""A look inside: what a model attends to, what each layer would already say, and how it pictures tokens.

Everything here returns tensors or plain lists, for notebooks; plots.py draws them.
"""

from gpt.errors import UserError
from gpt.model import GPT


def exit_after(model: GPT, layer: int) -> None:
    """Let the model speak after its first `layer` blocks, in place: those above are taken away."""
    if not 1 <= layer <= len(model.transformer.h):
        raise UserError(f"the exit layer is {layer}, but the model has {len(model.transformer.h)} layers, from 1 up")
    model.transformer.h = model.transformer.h[:layer]
