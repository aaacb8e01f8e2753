"""What several tries are worth: the share of groups of n stories with at least one that the judge accepts.

    python -m benchmarks.best_of_n --model out/tiny

The judge accepts a story that is grammatical and consistent. Beside each share stands 1 - (1 - p)^n, where p is the
share of all stories that are accepted: so it would be if no prompt were harder than another, and here all prompts are
the same. A judge who knows the world is seldom there, but the model itself is: in the last column it chooses, of n
stories, the one that it finds likeliest per token.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from benchmarks.roofline import table
from data.world.judge import judge
from data.world.samples import LONGEST_STORY, sample_stories
from gpt.classifier import pad
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.generate import check_causal, score
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.tokenizer import Tokenizer

SIZES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class BestOfNConfig:
    model: Path
    """the folder of a model of English stories"""
    groups: int = 64
    """groups of 16 stories; smaller groups are parts of these"""
    temperatures: tuple[float, ...] = (0.7, 1.0)
    """temperatures to sample at"""
    seed: int = 0
    """story i of a temperature is drawn from seed + i"""

    def __post_init__(self) -> None:
        if self.groups < 1 or not self.temperatures:
            raise UserError("--groups must be at least 1, and --temperatures must name one or more")


def mean_logprobs(model: GPT, tokenizer: Tokenizer, stories: list[str], batch_size: int = 50) -> list[float]:
    """How likely the model finds each story, in nats per token. A story as long as the context or longer is read in
    windows (see `score`); an empty one is the least likely."""
    T = model.config.context_length
    ids = [[tokenizer.end_of_text, *tokenizer.encode(story)] for story in stories]
    means = [-float("inf")] * len(ids)
    order = sorted((i for i in range(len(ids)) if len(ids[i]) > 1), key=lambda i: len(ids[i]))
    short = [i for i in order if len(ids[i]) <= T + 1]
    for i in order[len(short) :]:
        means[i] = statistics.mean(choice.logprob for choice in score(model, ids[i]))
    for first in range(0, len(short), batch_size):
        batch = short[first : first + batch_size]
        tokens, lengths = pad([ids[i] for i in batch])  # (B, T + 1), (B,)
        with torch.inference_mode():
            logprobs = model(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]  # (B, T)
        is_real = torch.arange(1, tokens.size(1)) < lengths[:, None]
        for i, mean in zip(batch, ((logprobs * is_real).sum(1) / is_real.sum(1)).tolist(), strict=True):
            means[i] = mean
    return means


def any_in_groups(accepted: list[bool], size: int) -> float:
    """The share of groups of `size` neighbours with at least one accepted story."""
    groups = [accepted[i : i + size] for i in range(0, len(accepted), size)]
    return statistics.mean(any(group) for group in groups)


def likeliest_in_groups(accepted: list[bool], likely: list[float], size: int) -> float:
    """The share of groups whose likeliest story is accepted."""
    chosen = [max(range(i, i + size), key=lambda i: likely[i]) for i in range(0, len(accepted), size)]
    return statistics.mean(accepted[i] for i in chosen)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(BestOfNConfig, description=__doc__))
    model, tokenizer = load_model(config.model), load_tokenizer(config.model)
    check_causal(model)
    speed_up(model, torch.device("cpu"), torch.float32)
    rows = []
    for temperature in config.temperatures:
        stories = sample_stories(model, tokenizer, config.groups * max(SIZES), temperature, config.seed)
        accepted = [judge(story).consistent for story in stories]
        likely, p = mean_logprobs(model, tokenizer, stories), statistics.mean(accepted)
        for n in SIZES:
            shares = any_in_groups(accepted, n), 1 - (1 - p) ** n, likeliest_in_groups(accepted, likely, n)
            rows.append([f"{temperature:g}", str(n), *(f"{share:.1%}" for share in shares)])
    print(table(["temperature", "n", "at least one accepted", "1 - (1 - p)^n", "the likeliest accepted"], rows))
    print(f"{config.groups * max(SIZES):,} stories at each temperature, at most {LONGEST_STORY} tokens long")


if __name__ == "__main__":
    run_main(main)
