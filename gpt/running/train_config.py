"""The settings of train.py, and its presets."""

import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from gpt.errors import UserError
from gpt.model import GPTConfig
from gpt.running.command_line import parse_flags
from gpt.running.events import check_tensorboard


@dataclass(frozen=True)
class TrainConfig:
    model: GPTConfig
    out: Path
    """the run folder to write"""
    max_steps: int
    """updates of the weights"""
    batch_size: int
    """windows of context_length tokens in one update"""
    accumulate: int = 1
    """parts into which a batch is split for gradient accumulation; more parts need less memory"""
    objective: Literal["causal", "masked"] = "causal"
    """what is learned: causal, to predict each next token (GPT), or masked, to fill in gaps from both sides (BERT)"""
    optimizer: Literal["muon", "adamw", "sgd"] = "muon"
    """muon for the blocks' matrices and adamw for the rest, or one of the others for everything"""
    learning_rate: float = 6e-3
    """peak learning rate of AdamW"""
    sgd_learning_rate: float = 1.0
    """peak learning rate of SGD, which needs a much larger one"""
    muon_learning_rate: float = 0.03
    """peak learning rate of Muon"""
    warmup_steps: int = 20
    """updates over which the learning rate rises; afterwards it falls linearly to 0. A run of fewer updates warms up
    for a fifth of them"""
    weight_decay: float = 0.1
    """weight decay of the matrices"""
    grad_clip: float = 1.0
    """largest gradient norm; a longer gradient is scaled down to it"""
    eval_every: int = 100
    """updates between two evaluations on the whole validation split"""
    log_every: int = 10
    """updates that one line of metrics.jsonl averages"""
    seed: int = 0
    """the same seed on the same machine gives the same model, bit for bit"""
    data: Path | None = None
    """the tokens folder to train on; the default data, stories of the toy world, are generated on first use"""
    stories: Literal["en", "zh", "both"] = "en"
    """without --data, the language of the default data: English, Chinese, or each story in both, one below the other"""
    init: Path | None = None
    """start from the weights of this model folder; the data must use its tokenizer, the model must have its shape"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """data type of matrix products; auto selects the best one for this hardware"""
    compile: Literal["auto", "on", "off"] = "auto"
    """compile the model with torch.compile; auto does so on GPUs"""
    threads: int | None = None
    """number of CPU threads; by default one per core"""
    plain: bool = False
    """use only the plain code of gpt/*.py: no fast twins, and float32 unless --precision is given"""
    sharding: bool = False
    """under torchrun: shard weights, gradients and optimizer state over the processes, for models too large for one"""
    tensorboard: bool = False
    """also write the metrics as an event file into the run folder, which TensorBoard draws (pip install tensorboard)"""
    resume: bool = False
    """continue from the run folder's resume.pt"""
    overwrite: bool = False
    """start a new run in a run folder that already holds one"""

    def __post_init__(self) -> None:
        for name in ("max_steps", "batch_size", "accumulate", "eval_every", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("learning_rate", "sgd_learning_rate", "muon_learning_rate", "grad_clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}: it must be above 0")
        if self.objective == "masked" and self.model.context_length < 2:
            raise UserError("a gap is filled in from what is beside it: --model.context-length must be at least 2")
        if not self.model.causal and self.objective != "masked":
            raise UserError("--model.no-causal would let tokens see those they predict: ask for --objective masked")
        if self.warmup_steps < 0:
            raise UserError(f"warmup_steps is {self.warmup_steps}: it must be at least 0")
        if self.plain and self.sharding:
            raise UserError("--sharding needs the fast optimizers: leave --plain out")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}: it must be a whole number from 0 up")
        if not 0 <= self.weight_decay < math.inf:
            raise UserError(f"weight_decay is {self.weight_decay}: it must be at least 0")
        if self.init is not None and self.init.resolve() == self.out.resolve():
            raise UserError(f"--out {self.out} is the folder of the model to begin with: choose another one")
        if self.tensorboard:
            check_tensorboard()

    def model_for(self, tokenizer_size: int) -> GPTConfig:
        """The model for a tokenizer with so many ids; a masked one has two more, for mask and padding."""
        masked = self.objective == "masked"
        return dataclasses.replace(self.model, vocab_size=tokenizer_size + 2 * masked, causal=not masked)

    @property
    def peak_rate(self) -> float:
        """The peak learning rate of all weights but Muon's."""
        return self.sgd_learning_rate if self.optimizer == "sgd" else self.learning_rate

    @property
    def warmup(self) -> int:
        """The updates that the learning rate rises over, which leave some of a short run to learn in."""
        return self.warmup_steps if self.warmup_steps < self.max_steps else self.max_steps // 5


def gpt2(out: str, n_layer: int, n_head: int, n_embd: int, learning_rate: float) -> TrainConfig:
    """A member of the GPT-2 family: about half a million tokens an update, peak rates of GPT-3's table 2.1."""
    return TrainConfig(
        GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd),
        Path(out),
        max_steps=20_000,
        batch_size=512,
        accumulate=32,
        optimizer="adamw",
        learning_rate=learning_rate,
        warmup_steps=700,
        eval_every=500,
    )


PRESETS = {
    "tiny": (
        "0.9M parameters: about two minutes on 2 CPU cores",
        TrainConfig(GPTConfig(2048, 176, 3, 4, 128, position="rotary"), Path("out/tiny"), 700, 16, eval_every=140),
    ),
    "small": (
        "11M parameters: an hour or two on a laptop, minutes on a GPU",
        TrainConfig(
            GPTConfig(2048, 256, 6, 6, 384, position="rotary"),
            Path("out/small"),
            1500,
            32,
            2,
            learning_rate=3e-3,
            muon_learning_rate=0.02,
            warmup_steps=100,
            eval_every=200,
        ),
    ),
    "bilingual": (
        "2.6M parameters, English and Chinese: four minutes on 2 CPU cores",
        TrainConfig(
            GPTConfig(4096, 288, 4, 6, 192, position="rotary"),
            Path("out/bilingual"),
            1000,
            16,
            eval_every=200,
            stories="both",
        ),
    ),
    "gpt2": ("124M parameters, GPT-2's smallest: one GPU", gpt2("out/gpt2", 12, 12, 768, 6e-4)),
    "gpt2-medium": ("355M parameters", gpt2("out/gpt2-medium", 24, 16, 1024, 3e-4)),
    "gpt2-large": ("774M parameters", gpt2("out/gpt2-large", 36, 20, 1280, 2.5e-4)),
    "gpt2-xl": ("1,558M parameters, the GPT-2 of the paper", gpt2("out/gpt2-xl", 48, 25, 1600, 2e-4)),
}


def read_train_flags(description: str | None) -> TrainConfig:
    """The settings on the command line, `train.py PRESET --FLAG VALUE ...`. description: what --help says first.
    Raises UserError if they are not understood or contradict each other."""
    config = parse_flags(lambda: tyro.extras.overridable_config_cli(PRESETS, description=description))
    if config.data and any(flag.partition("=")[0] == "--stories" for flag in sys.argv):  # a preset may have them, too
        raise UserError("--stories chooses the default data, which --data replaces: leave one of them out")
    return config
