"""Which weights of a classifier move, and how fast each of them."""

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.finetune_config import FinetuneConfig
from gpt.lora import add_lora
from gpt.uncompiled import AdamW


def choose(model: GPTClassifier, config: FinetuneConfig) -> None:
    """Freeze what `config.train` leaves alone. The last norm and the head are always trained.

    Raises UserError if more blocks are asked for than there are.
    """
    body = model.transformer
    if config.train == "lora":
        add_lora(model, config.lora)
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


def build_optimizer(model: GPTClassifier, config: FinetuneConfig) -> AdamW:
    """AdamW with a rate of its own for each depth: the head fastest, every block slower than the one above it
    ("Universal Language Model Fine-tuning for Text Classification", Howard and Ruder 2018, section 3.2), because
    what lies low is the most general. Only matrices decay, and not the embeddings: they are looked up."""
    n_layer = model.config.n_layer
    groups: dict[tuple[float, float], list] = {}  # (peak rate, decay) -> weights
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        if name.startswith("score."):
            rate = config.head_learning_rate
        elif name.startswith("transformer.h."):
            depth = int(name.split(".")[2])
            rate = config.learning_rate * config.layer_decay ** (n_layer - 1 - depth)
        elif name.startswith("transformer.ln_f."):
            rate = config.learning_rate
        else:  # embeddings
            rate = config.learning_rate * config.layer_decay**n_layer
        decay = config.weight_decay if weight.ndim >= 2 and ".wte." not in name and ".wpe." not in name else 0.0
        groups.setdefault((rate, decay), []).append(weight)
    return AdamW(
        [{"params": ws, "lr": rate, "peak_lr": rate, "weight_decay": decay} for (rate, decay), ws in groups.items()],
        betas=(0.9, 0.98),
        fused=True,
    )
