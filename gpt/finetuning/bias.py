"""BitFit: fine-tune a model by its bias vectors alone ("BitFit: Simple Parameter-efficient Fine-tuning for
Transformer-based Masked Language-models", Ben Zaken et al. 2021).

Every linear layer answers W x + b, and every norm scales and then adds b. W and the scales stay as they are; only the b
are trained, and the head of the task. Nothing is added to the model, so the result is a plain model again.
"""

from torch import nn


def train_biases(model: nn.Module) -> None:
    """Freeze everything but the bias vectors and the head."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.endswith(".bias") or name.startswith(("score.", "classifier.")))
