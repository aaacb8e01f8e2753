"""The settings of each way to adapt a model that has some: --train lora, adalora, adapter, prefix."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import tyro

from gpt.errors import UserError

Target = Literal["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
Targets = Annotated[tuple[Target, ...], tyro.conf.arg(metavar="MATRIX ...")]


@dataclass(frozen=True)
class LoraConfig:
    rank: int = 8
    """rank of the update that is added to each matrix"""
    alpha: float = 16.0
    """scale of the update: it is multiplied by alpha / rank"""
    targets: Targets = ("attn.c_attn", "mlp.c_fc")
    """the matrices of each block that are adapted: attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj"""

    def __post_init__(self) -> None:
        check_matrices("lora", self.rank, self.alpha, self.targets)


@dataclass(frozen=True)
class AdaloraConfig:
    first_rank: int = 12
    """rank of each matrix's update at the beginning"""
    rank: int = 8
    """mean rank over all matrices at the end; those that matter more keep more"""
    alpha: float = 16.0
    """scale of the update: it is multiplied by alpha / first rank"""
    targets: Targets = ("attn.c_attn", "mlp.c_fc")
    """the matrices of each block that are adapted, as for lora"""
    orthogonality: float = 0.1
    """weight of the penalty that keeps the columns of P and the rows of Q orthogonal"""

    def __post_init__(self) -> None:
        check_matrices("adalora", self.rank, self.alpha, self.targets)
        if self.first_rank < self.rank:
            raise UserError(f"adalora: the first rank {self.first_rank} is below the rank {self.rank} of the end")
        if not 0 <= self.orthogonality < math.inf:
            raise UserError(f"adalora: orthogonality is {self.orthogonality}: it must be at least 0")


@dataclass(frozen=True)
class AdapterConfig:
    width: int = 8
    """channels of each bottleneck"""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UserError(f"adapter: width is {self.width}: it must be at least 1")


@dataclass(frozen=True)
class PrefixConfig:
    length: int = 10
    """learned keys and values before each text, in every layer; the text has so many places less"""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise UserError(f"prefix: length is {self.length}: it must be at least 1")


PeftSettings = LoraConfig | AdaloraConfig | PrefixConfig  # of the methods that the library peft has, too
Settings = PeftSettings | AdapterConfig | None  # None: of --train bias, which has none


def check_matrices(name: str, rank: int, alpha: float, targets: tuple[str, ...]) -> None:
    """Raise UserError for settings with which no matrix can be adapted."""
    if rank < 1 or not 0 < alpha < math.inf:
        raise UserError(f"{name}: rank {rank} and alpha {alpha} must be above 0")
    if not targets or not set(targets) <= set(get_args(Target)):
        raise UserError(f"{name}: targets must be some of {', '.join(get_args(Target))}")
    if len(set(targets)) < len(targets):
        raise UserError(f"{name}: targets names a matrix twice: {', '.join(targets)}")
