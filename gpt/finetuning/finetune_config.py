"""What finetune.py can be told."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro

from gpt.errors import UserError

OUR_REVIEWS = Path("data/reviews")
Target = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]


@dataclass(frozen=True)
class LoraConfig:
    rank: int = 8
    """how many directions are added to each matrix"""
    alpha: float = 16.0
    """how strongly: what is learned is multiplied by alpha / rank"""
    targets: Annotated[tuple[Target, ...], tyro.conf.arg(metavar="MATRIX ...")] = ("attn.c_attn", "mlp.c_fc")
    """which matrices of each block: attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj"""

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 < self.alpha < math.inf:
            raise UserError(f"lora: rank {self.rank} and alpha {self.alpha} must be above 0")
        if not self.targets or not set(self.targets) <= set(get_args(Target)):
            raise UserError(f"lora: targets must be some of {', '.join(get_args(Target))}")
        if len(set(self.targets)) < len(self.targets):
            raise UserError(f"lora: targets names a matrix twice: {', '.join(self.targets)}")


@dataclass(frozen=True)
class FinetuneConfig:
    model: Path = Path("out/tiny")
    """the folder of a pretrained model, such as train.py writes"""
    data: Path = OUR_REVIEWS
    """a folder with train.csv and perhaps val.csv and test.csv (or .jsonl), or one such file; columns text, label.
    The default is made the first time: reviews of the toy world"""
    out: Path = Path("out/sentiment")
    """the run folder to write"""
    task: Literal["classification", "regression"] = "classification"
    """regression: every label is a number, and numbers are estimated"""
    train: Literal["full", "head", "last-n", "lora"] = "full"
    """what is trained: everything, the head alone, the last blocks and the head, or LoRA's thin matrices"""
    last_n: int = 2
    """blocks that --train last-n trains"""
    lora: LoraConfig = LoraConfig()
    """the thin matrices of --train lora"""
    keep_adapter: bool = False
    """with --train lora: write a small adapter beside the model it needs, not a whole model"""
    from_scratch: bool = False
    """begin with random weights of the model's shape: shows what pretraining is worth"""
    compare: bool = False
    """do the same from random weights too, and tell the difference"""
    label_counts: tuple[int, ...] = ()
    """do it with so many training labels too, from pretrained and from random weights, and draw the curves"""
    labels: int | None = None
    """use only so many of the training examples"""
    epochs: float = 2
    """times through the training examples; hard tasks want more, and no harm is done: the best weights are kept"""
    min_steps: int = 500
    """but at least so many updates, however few the examples"""
    batch_size: int = 32
    """texts in one update"""
    accumulate: int = 1
    """parts that a batch is computed in, one after the other: more parts take less memory"""
    learning_rate: float = 2e-3
    """peak learning rate of the last block; for the 124M parameters of GPT-2 take a tenth"""
    layer_decay: float = 0.9
    """each block learns at this share of the rate of the one above it"""
    head_learning_rate: float = 5e-3
    """peak learning rate of the head, which begins at random"""
    warmup: float = 0.1
    """share of the updates over which the learning rates rise; then they fall in a straight line to 0"""
    weight_decay: float = 0.1
    """pull of the matrices towards 0"""
    dropout: float = 0.1
    """share of units dropped while training"""
    word_dropout: float = 0.0
    """share of each text's tokens left out while training, others every time"""
    label_smoothing: float = 0.0
    """share of the target that is spread evenly over all labels"""
    class_weights: bool = False
    """let rare labels count more, so that each label weighs as much as the others in all"""
    lm_loss: float = 0.0
    """weight of the language-model loss on the same texts beside the loss on the labels (GPT-1: 0.5)"""
    grad_clip: float = 1.0
    """longest gradient that is taken as it is; a longer one is shortened to this"""
    evaluations: int = 10
    """looks at the validation split in the whole run; the best weights are kept"""
    patience: int = 5
    """stop after so many looks without a better one"""
    split_seed: int = 0
    """which examples make a validation or test split that is not given"""
    seed: int = 0
    """the same seed on the same machine gives the same model, bit for bit"""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes the fastest there is"""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """what matrix products are computed in; auto takes what this hardware is made for"""
    threads: int | None = None
    """CPU threads to use; by default one for each core"""
    plain: bool = False
    """only the plain code of gpt/*.py: no fast twins, and float32 unless --precision says otherwise"""
    resume: bool = False
    """go on from the run folder's resume.pt"""
    overwrite: bool = False
    """begin anew in a run folder that already holds a run"""

    def __post_init__(self) -> None:
        for name in ("last_n", "min_steps", "batch_size", "accumulate", "evaluations", "patience"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")
        for name in ("epochs", "learning_rate", "head_learning_rate", "layer_decay", "grad_clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("warmup", "dropout", "word_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 0 and less than 1")
        for name in ("weight_decay", "lm_loss", "split_seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 0")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}: it must be a whole number from 0 up")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads is {self.threads}: it must be at least 1")
        if min(self.label_counts, default=2) < 2 or (self.labels is not None and self.labels < 2):
            raise UserError("labels and label_counts must be at least 2: there must be something to tell apart")
        if self.from_scratch and (self.compare or self.train != "full"):
            raise UserError("--from-scratch trains everything, and is itself what --compare compares with")
        if self.train != "full" and (self.compare or self.label_counts):
            raise UserError("--compare and --label-counts need --train full: random weights must all be trained")
        if self.keep_adapter and self.train != "lora":
            raise UserError("--keep-adapter needs --train lora")
        if self.task == "regression" and (self.class_weights or self.label_smoothing):
            raise UserError("regression has no classes: leave out --class-weights and --label-smoothing")
