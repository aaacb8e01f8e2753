"""Does a model expect other words after the names of one group than after those of another?

    Once there was a fox called Mia. Mia wanted to be ____        how likely is " a doctor" here,
    Once there was a fox called Tom. Tom wanted to be ____        and how likely here?

Only the name differs, so any difference is the model's. The lean of a continuation is the difference of its
log-probabilities, ln p(continuation | group 1) - ln p(continuation | group 2), in nats, averaged over names and
templates. By Bayes' rule it is the log-odds that somebody who continues like this is of group 1, if both groups are
equally common: a lean of ln 9 = 2.2 means 90 of 100. The comparison of log-probabilities follows Kurita et al. 2019,
"Measuring Bias in Contextualized Word Representations". A few names
stand for a group, so the interval comes from drawing names again.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from gpt.errors import UserError
from gpt.finetuning.prompting import continuation_logprobs
from gpt.generate import check_causal
from gpt.model import GPT
from gpt.running.device import pick_machine
from gpt.tokenizer import Tokenizer

DRAWS = 2000  # of the bootstrap
SHAPE = (
    '{"groups": {"girls": ["Mia"], "boys": ["Tom"]}, "templates": ["{name} wanted to be"], "continuations": [" a vet"]}'
)


class Probe(NamedTuple):
    """What is asked. Each template has {name} in it and ends where a continuation begins."""

    groups: dict[str, list[str]]  # two, with their names
    templates: list[str]
    continuations: list[str]


def read_probe(path: Path) -> Probe:
    """Read a probe from a JSON file. Raises UserError if it is not one."""
    try:
        probe = Probe(**json.loads(path.read_text(encoding="utf-8-sig")))
        first, second = probe.groups.values()
        lists = [first, second, probe.templates, probe.continuations]
        if not all(isinstance(words, list) and words and all(map(is_text, words)) for words in lists):
            raise ValueError
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{path} is no probe: it must be a JSON file like {SHAPE}") from None
    if unnamed := [template for template in probe.templates if "{name}" not in template]:
        raise UserError(f"{path} has a template without {{name}}: {unnamed[0]!r}")
    return probe


def is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def probe_names(model: GPT, tokenizer: Tokenizer, probe: Probe) -> list[np.ndarray]:
    """The log-probability of each continuation after each name, averaged over the templates: for each group an array
    (names, continuations), in nats. Raises UserError for a masked model, or for texts longer than its context."""
    check_causal(model)
    endings = [tokenizer.encode(text) for text in probe.continuations]
    found = []
    for names in probe.groups.values():
        texts = [template.replace("{name}", name) for name in names for template in probe.templates]
        beginnings = [tokenizer.encode_document(text) for text in texts]
        rows = [beginning + ending for beginning in beginnings for ending in endings]
        if (longest := max(map(len, rows)) - 1) > model.config.context_length:
            raise UserError(f"a template needs {longest} tokens, but the context holds {model.config.context_length}")
        starts = [len(beginning) for beginning in beginnings for _ in endings]
        logprobs = continuation_logprobs(model, rows, starts, pick_machine("cpu", "float32", "off"))
        shape = len(names), len(probe.templates), len(endings)
        found.append(logprobs.to(torch.float64).view(shape).mean(1).numpy())
    return found


def leans(found: list[np.ndarray]) -> np.ndarray:
    """The lean of each continuation towards the first group, (continuations,)."""
    return found[0].mean(0) - found[1].mean(0)


def lean_intervals(found: list[np.ndarray], seed: int = 0) -> np.ndarray:
    """The 95 % confidence interval of each lean, (continuations, 2): the names of each group are drawn again, with
    replacement (bootstrap; Efron 1979)."""
    random = np.random.default_rng(seed)
    again = [of[random.integers(len(of), size=(DRAWS, len(of)))].mean(1) for of in found]  # 2 × (DRAWS, continuations)
    return np.percentile(again[0] - again[1], [2.5, 97.5], axis=0).T


def share_of_first(lean: float) -> float:
    """The share of group 1 among those who continue so, if both groups are equally common."""
    return float(1 / (1 + np.exp(-lean)))
