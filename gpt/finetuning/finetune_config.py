"""The settings of finetune.py."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gpt.errors import UserError
from gpt.finetuning.method_config import AdaloraConfig, AdapterConfig, LoraConfig, PrefixConfig, Settings
from gpt.model import GPTConfig
from gpt.running.events import check_tensorboard

TrainName = Literal["full", "head", "last-n", "bias", "lora", "adalora", "adapter", "prefix"]
TaskName = Literal["classification", "regression", "answer", "tags"]
DEFAULTS = {  # task -> the data of the toy world that is made on first use, and the run folder
    "classification": (Path("data/reviews"), Path("out/sentiment")),
    "regression": (Path("data/stars"), Path("out/stars")),
    "answer": (Path("data/questions"), Path("out/questions")),
    "tags": (Path("data/entities"), Path("out/entities")),
}
BY_TASK = Path()  # stands for the default of the task


@dataclass(frozen=True)
class FinetuneConfig:
    model: Path = Path("out/tiny")
    """the folder of a pretrained model, written by train.py or transformers"""
    data: Annotated[Path, tyro.conf.arg(help_behavior_hint="(by task: data/reviews, stars, questions, entities)")] = (
        BY_TASK
    )
    """a folder with train.csv and optionally val.csv and test.csv (or .jsonl), or one such file; see --task for what it
    holds. The default data come from the toy world, and are made on first use"""
    out: Annotated[Path, tyro.conf.arg(help_behavior_hint="(by task: out/sentiment, stars, questions, entities)")] = (
        BY_TASK
    )
    """the run folder to write"""
    task: TaskName = "classification"
    """what is learned. classification: a label for each text (columns text, label). regression: the same with numbers
    for labels. answer: an answer to each prompt (columns prompt, answer, or JSONL with "turns" of user and assistant).
    tags: spans in each text (JSONL with text and "spans": [[start, end, "LABEL"], ...])"""
    train: TrainName = "full"
    """which weights are trained beside the head: all (full), none (head), the last blocks (last-n), the bias vectors
    (bias), or new ones: thin matrices beside the old (lora, adalora), small layers between the old (adapter), keys and
    values before each text (prefix). adapter and prefix save an adapter, as --keep-adapter does: a plain model has no
    place for them"""
    last_n: int = 2
    """number of blocks that --train last-n trains"""
    lora: LoraConfig = field(default=LoraConfig())
    """the thin matrices of --train lora"""
    adalora: AdaloraConfig = field(default=AdaloraConfig())
    """the thin matrices of --train adalora, whose ranks shrink where they matter least"""
    adapter: AdapterConfig = field(default=AdapterConfig())
    """the layers of --train adapter"""
    prefix: PrefixConfig = field(default=PrefixConfig())
    """the keys and values of --train prefix"""
    keep_adapter: bool = False
    """with --train bias, lora or adalora: save a small adapter that needs the pretrained model, not a whole model"""
    from_scratch: bool = False
    """start from random weights of the same shape, to measure the value of pretraining"""
    compare: bool = False
    """also train from random weights, and report the difference"""
    label_counts: tuple[int, ...] = ()
    """also train with these numbers of labels, from pretrained and from random weights, and plot the curves"""
    labels: int | None = None
    """use only this many training examples"""
    epochs: float = 2
    """passes over the training examples; hard tasks need more, and more do no harm: the best weights are kept"""
    min_steps: int = 500
    """minimum number of updates, however few the examples"""
    batch_size: int = 32
    """texts per update"""
    accumulate: int = 1
    """parts into which a batch is split for gradient accumulation; more parts need less memory"""
    optimizer: Literal["auto", "adamw", "muon", "sgd"] = "auto"
    """adamw: a lower rate for each block than for the one above, which keeps what was pretrained. muon: as in train.py,
    quicker where much is new. sgd: one rate for all. auto: muon for --task answer with --train full or last-n, else
    adamw"""
    learning_rate: float = 2e-3
    """peak learning rate of the last block (with muon: of all that is no matrix of a block); use a tenth of the default
    for the 124M parameters of GPT-2"""
    muon_learning_rate: float = 0.006
    """with muon: peak learning rate of the blocks' matrices; with pretraining's 0.03 much of what is known is lost"""
    sgd_learning_rate: float = 0.1
    """with sgd: peak learning rate of all weights"""
    layer_decay: float = 0.9
    """learning rate of each block, as a fraction of the rate of the block above it"""
    head_learning_rate: float = 5e-3
    """peak learning rate of the head, which starts from random weights"""
    warmup: float = 0.1
    """fraction of the updates in which the learning rates rise; afterwards they decay linearly to 0"""
    weight_decay: float = 0.1
    """weight decay of the matrices: they shrink beside the update, as in AdamW"""
    l2: float = 0.0
    """L2 regularisation of the matrices: half their square times this is added to the loss, so it acts through the
    gradient, which Adam then divides by its usual size"""
    dropout: float = 0.1
    """dropout probability during training"""
    word_dropout: float = 0.0
    """fraction of each text's tokens dropped during training, chosen anew for each update"""
    adversarial: float = 0.0
    """also learn each text with its embeddings moved this far, all together, in the direction in which the loss grows
    fastest (FGM); try 0.2 with out/tiny, in which a token's embedding is 2.6 long. Each update takes twice as long"""
    label_smoothing: float = 0.0
    """fraction of the target probability that is spread evenly over all labels"""
    class_weights: bool = False
    """weight the loss so that every label has the same total weight, however rare it is"""
    lm_loss: float = 0.0
    """weight of the language-model loss on the same texts, added to the loss on the labels (GPT-1: 0.5)"""
    grad_clip: float = 1.0
    """maximum norm of the gradient; a longer gradient is scaled down to it"""
    evaluations: int = 10
    """number of evaluations on the validation split; the best weights are kept"""
    patience: int = 5
    """stop after this many evaluations without improvement"""
    split_seed: int = 0
    """seed for the choice of a missing validation or test split, and of the examples for --labels"""
    seed: int = 0
    """the same seed on the same machine gives the same model, bit for bit"""
    device: str = "auto"
    """cpu, cuda, cuda:1 or mps; auto selects the fastest available device"""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """data type of matrix products; auto selects the best one for this hardware"""
    threads: int | None = None
    """number of CPU threads; by default one per core"""
    plain: bool = False
    """use only the plain code of gpt/*.py: no fast twins, and float32 unless --precision is given"""
    tensorboard: bool = False
    """also write the metrics as an event file into the run folder, which TensorBoard draws (pip install tensorboard)"""
    resume: bool = False
    """continue from the run folder's resume.pt"""
    overwrite: bool = False
    """start a new run in a run folder that already holds one"""

    def __post_init__(self) -> None:
        for name, default in zip(("data", "out"), DEFAULTS[self.task], strict=True):
            if getattr(self, name) == BY_TASK:
                object.__setattr__(self, name, default)  # frozen for everybody else
        for name in ("last_n", "min_steps", "batch_size", "accumulate", "evaluations", "patience"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1")
        rates = ("learning_rate", "muon_learning_rate", "sgd_learning_rate", "head_learning_rate")
        for name in ("epochs", *rates, "layer_decay", "grad_clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("warmup", "dropout", "word_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 0 and less than 1")
        for name in ("weight_decay", "l2", "adversarial", "lm_loss", "split_seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 0")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed is {self.seed}: it must be a whole number from 0 up")
        if self.tensorboard:
            check_tensorboard()
        if min(self.label_counts, default=2) < 2 or (self.labels is not None and self.labels < 2):
            raise UserError("labels and label_counts must be at least 2: there must be something to tell apart")
        if self.from_scratch and (self.compare or self.train != "full"):
            raise UserError("--from-scratch needs --train full, and excludes --compare, which includes such a run")
        if self.train != "full" and (self.compare or self.label_counts):
            raise UserError("--compare and --label-counts need --train full: random weights must all be trained")
        if self.keep_adapter and self.train in ("full", "head", "last-n"):
            raise UserError("--keep-adapter needs --train lora, adalora, bias, adapter or prefix")
        if self.task != "classification" and (self.class_weights or self.label_smoothing):
            raise UserError(f"--task {self.task} has no classes: leave out --class-weights and --label-smoothing")
        if self.task in ("answer", "tags") and self.word_dropout:
            raise UserError(f"--task {self.task} needs every word: leave out --word-dropout")
        if self.task == "tags" and self.lm_loss:
            raise UserError("--task tags has no language-model loss: leave out --lm-loss")
        if self.task == "answer" and self.train == "head":
            raise UserError("--task answer has no head of its own: use another --train, such as full or lora")
        if self.task == "answer" and self.train in ("bias", "prefix") and self.l2:
            raise UserError(f"--task answer with --train {self.train} trains no matrix: leave out --l2")
        if self.task in ("answer", "tags") and (self.compare or self.label_counts):
            raise UserError(f"--compare and --label-counts compare labels, which --task {self.task} does not have")

    @property
    def saves_adapter(self) -> bool:
        """Whether a folder is written that needs the pretrained model."""
        return self.keep_adapter or self.train in ("adapter", "prefix")

    @property
    def settings(self) -> Settings:
        """Those of --train, for a method that has some."""
        methods = {"lora": self.lora, "adalora": self.adalora, "adapter": self.adapter, "prefix": self.prefix}
        return methods.get(self.train)

    @property
    def uses_muon(self) -> bool:
        """What --optimizer auto means for this task."""
        if self.optimizer == "auto":
            return self.task == "answer" and self.train in ("full", "last-n")
        return self.optimizer == "muon"


def check_objective(config: FinetuneConfig, pretrained: GPTConfig) -> None:
    """Raise UserError for what only a causal model can do. One that sees both sides would see the next word."""
    if not pretrained.causal and (config.task == "answer" or config.lm_loss):
        what = "--task answer" if config.task == "answer" else "--lm-loss"
        raise UserError(
            f"{config.model} was trained with --objective masked and cannot write: {what} needs a causal one"
        )
