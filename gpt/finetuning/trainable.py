"""Which weights of a classifier move, and how fast each of them."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch.optim import Optimizer

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.fast.pytorch import Uncompiled
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.lora import add_lora
from gpt.optim import AdamW

BETAS = (0.9, 0.98)


def choose_weights(model: GPTClassifier, config: FinetuneConfig) -> None:
    """Freeze what `config.train` leaves alone. The last norm and the head are always trained.

    Raises UserError if more blocks are asked for than there are.
    """
    body = model.transformer
    if config.train == "lora":
        add_lora(model, config.lora.rank, config.lora.alpha, config.lora.targets)
    elif config.train != "full":
        body.requires_grad_(False)
        body.ln_f.requires_grad_(True)
    if config.train == "last-n":
        if config.last_n > len(body.h):
            raise UserError(f"--last-n is {config.last_n}, but the model has {len(body.h)} blocks")
        body.h[-config.last_n :].requires_grad_(True)


def count_weights(model: GPTClassifier) -> tuple[int, int]:
    """(Weights that are trained, all weights.)"""
    sizes = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def build_layerwise_optimizers(
    model: GPTClassifier, config: FinetuneConfig, twins: Mapping[type, type] = MappingProxyType({})
) -> list[Optimizer]:
    """The optimizers that together update the weights that are trained: SharedAdam for the tokens' embeddings and AdamW
    for the rest. Each depth has a rate of its own: the head fastest, every block slower than the one above it
    ("Universal Language Model Fine-tuning for Text Classification", Howard and Ruder 2018, section 3.2), because
    what lies low is the most general. Only matrices decay, and not the embeddings: they are looked up."""
    n_layer = model.config.n_layer
    lowest = config.learning_rate * config.layer_decay**n_layer
    groups: dict[tuple[float, float], list] = {}  # (peak rate, decay) -> weights
    for name, weight in model.named_parameters():
        if not weight.requires_grad or name == "transformer.wte.weight":
            continue
        if name.startswith("score."):
            rate = config.head_learning_rate
        elif name.startswith("transformer.h."):
            depth = int(name.split(".")[2])
            rate = config.learning_rate * config.layer_decay ** (n_layer - 1 - depth)
        elif name.startswith("transformer.ln_f."):
            rate = config.learning_rate
        else:  # learned positions
            rate = lowest
        decay = config.weight_decay if weight.ndim >= 2 and ".wpe." not in name else 0.0
        groups.setdefault((rate, decay), []).append(weight)
    settings = [
        {"params": ws, "lr": rate, "peak_lr": rate, "weight_decay": decay} for (rate, decay), ws in groups.items()
    ]
    optimizers: list[Optimizer] = [twins.get(AdamW, AdamW)(settings, config.learning_rate, betas=BETAS)]
    tokens = model.transformer.wte.weight
    if tokens.requires_grad:
        optimizers.append(SharedAdam([{"params": [tokens], "lr": lowest, "peak_lr": lowest}], BETAS))
    return optimizers


class SharedAdam(Uncompiled):
    """Adam (Kingma and Ba 2015) with one second moment for a whole matrix: the mean square of the gradients of those
    rows that have one, which are the words of a batch and, beside a language-model loss, all.

    Adam divides each gradient by its own usual size, so the vector of a word that occurs once moves as far as that
    of one that occurs a thousand times. A language model has to learn its rare words that way (Kunstner et al. 2024); a
    classifier would learn by them which few examples they stood in. Divided by one size for all, they move little.
    """

    def __init__(self, params: list[dict], betas: tuple[float, float]):
        super().__init__(params, {"betas": betas})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state |= {"step": 0, "mean": torch.zeros_like(weight), "square": weight.new_zeros(())}
                state["step"] += 1
                state["mean"].lerp_(weight.grad, 1 - beta1)
                rows = (weight.grad != 0).any(1).sum().clamp(min=1)
                state["square"].lerp_(weight.grad.square().mean() * (len(weight) / rows), 1 - beta2)
                size = (state["square"] / (1 - beta2 ** state["step"])).sqrt().clamp(min=1e-12)
                weight.sub_(state["mean"] / size, alpha=group["lr"] / (1 - beta1 ** state["step"]))
