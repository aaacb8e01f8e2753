"""Which weights are trained, and the learning rate of each."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.optim import Optimizer

from gpt.errors import UserError
from gpt.fast.pytorch import Uncompiled
from gpt.finetuning.finetune_config import FinetuneConfig
from gpt.finetuning.methods import Net, adapt
from gpt.optim import AdamW, build_optimizers

BETAS = (0.9, 0.98)


def choose_weights(model: Net, config: FinetuneConfig) -> None:
    """Freeze the weights that `config.train` does not train, and add what it adds. The final norm (of "bias", its bias)
    and the head are always trained.

    Raises UserError if config.last_n is larger than the number of blocks, or as adapt does.
    """
    body = model.transformer
    if config.train in ("head", "last-n"):
        body.requires_grad_(False)
        body.ln_f.requires_grad_(True)
    elif config.train != "full":
        adapt(model, config.settings)
    if config.train == "last-n":
        if config.last_n > len(body.h):
            raise UserError(f"--last-n is {config.last_n}, but the model has {len(body.h)} blocks")
        for block in body.h[-config.last_n :]:
            block.requires_grad_(True)


def count_weights(model: Net) -> tuple[int, int]:
    """(Number of trained weights, number of all weights.)"""
    sizes = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def is_regularised(name: str, weight: Tensor) -> bool:
    """Whether a weight should stay small: the matrices, but not embeddings. (A prefix has 4 dimensions.)"""
    return weight.ndim == 2 and ".wte." not in name and ".wpe." not in name


def l2_penalty(model: Net) -> Tensor:
    """½ Σ w² over the trained matrices that weight decay reaches too, (). Its gradient is w.

    With plain gradient descent this and weight decay are the same. Adam divides the gradient, and the penalty in it, by
    the gradient's usual size: a weight with large gradients is then pulled less ("Decoupled Weight Decay
    Regularization", Loshchilov and Hutter 2019, section 2).
    """
    weights = [w for name, w in model.named_parameters() if w.requires_grad and is_regularised(name, w)]
    return 0.5 * torch.stack([weight.square().sum() for weight in weights]).sum()


def build_finetuning_optimizers(net: Net, config: FinetuneConfig, twins: Mapping[type, type]) -> list[Optimizer]:
    """The optimizers of all trained weights, as config.optimizer says. twins: for a class here, the faster one."""
    if config.uses_muon:
        return build_optimizers(
            net, "muon", config.learning_rate, config.muon_learning_rate, config.weight_decay, twins
        )
    if config.optimizer == "sgd":
        return build_optimizers(net, "sgd", config.sgd_learning_rate, 0.0, config.weight_decay, twins)
    return build_layerwise_optimizers(net, config, twins)


def build_layerwise_optimizers(
    model: Net, config: FinetuneConfig, twins: Mapping[type, type] = MappingProxyType({})
) -> list[Optimizer]:
    """The optimizers of all trained weights: SharedAdam for the token embeddings, AdamW for the rest.

    The head has its own learning rate. Each block has a lower rate than the block above it, because lower layers are
    more general ("Universal Language Model Fine-tuning for Text Classification", Howard and Ruder 2018, section 3.2).
    Weight decay applies to matrices, but not to embeddings. twins: for a class here, the faster one to use.
    """
    n_layer = model.config.n_layer
    lowest = config.learning_rate * config.layer_decay**n_layer
    groups: dict[tuple[float, float], list] = {}  # (peak rate, decay) -> weights
    for name, weight in model.named_parameters():
        if not weight.requires_grad or name == "transformer.wte.weight":
            continue
        if name.startswith(("score.", "classifier.")):
            rate = config.head_learning_rate
        elif name.startswith("transformer.h."):
            depth = int(name.split(".")[2])
            rate = config.learning_rate * config.layer_decay ** (n_layer - 1 - depth)
        elif name.startswith("transformer.ln_f."):
            rate = config.learning_rate
        else:  # position embeddings
            rate = lowest
        decay = config.weight_decay if is_regularised(name, weight) else 0.0
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
    """Adam (Kingma and Ba 2015) with one second moment for a whole matrix: the mean square of the gradients of all rows
    whose gradient is not zero. These are the tokens of a batch; with a language-model loss, all tokens.

    Adam divides each gradient by its own root mean square, so the embedding of a token that occurs once moves as far as
    that of a token that occurs a thousand times. A language model needs this to learn rare tokens (Kunstner et al.
    2024). A classifier would use rare tokens to memorise the few examples that contain them. With one second moment for
    all, embeddings of rare tokens move little.
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
