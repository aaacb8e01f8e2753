"""Ways to adapt a model that train little of it, by the names that --train gives them: each has a file of its own."""

from typing import Any

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.finetuning.adalora import add_adalora, to_lora
from gpt.finetuning.bias import train_biases
from gpt.finetuning.bottleneck import add_bottlenecks
from gpt.finetuning.method_config import AdaloraConfig, AdapterConfig, LoraConfig, PrefixConfig, Settings
from gpt.finetuning.prefix import add_prefix
from gpt.finetuning.tagger import GPTTagger
from gpt.lora import LoraLinear, add_lora, merge_lora
from gpt.model import GPT

Net = GPT | GPTClassifier | GPTTagger


def adapt(model: Net, settings: Settings) -> None:
    """Freeze the model, but for its head and its last norm, and add the weights that the method with these settings
    trains; with none, train the bias vectors. Raises UserError for settings that do not suit the model's size."""
    width = model.config.n_embd
    match settings:
        case LoraConfig(rank, alpha, targets):
            check_width("lora", "rank", rank, width)
            add_lora(model.transformer, rank, alpha, targets)
        case AdaloraConfig(rank, _, alpha, targets):
            check_width("adalora", "first rank", rank, width)
            add_adalora(model.transformer, rank, alpha, targets)
        case AdapterConfig(narrow):
            check_width("adapter", "width", narrow, width)
            add_bottlenecks(model.transformer, narrow)
        case PrefixConfig(length):
            add_prefix(model, length)
        case None:
            train_biases(model)


def check_width(method: str, name: str, value: int, width: int) -> None:
    if value > width:
        raise UserError(f"{method}: a {name} of {value} is above the model's width of {width}: more cannot be learned")


def merged(model: Any) -> Any:
    """A plain model of its class, a copy, with what LoRA or AdaLoRA learned added into the matrices; the model itself
    where there is nothing to add, because a copy of a large model takes time and memory."""
    adds = any(isinstance(part, LoraLinear) for part in model.modules())
    return merge_lora(to_lora(model)) if adds else model
