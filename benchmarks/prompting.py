"""What examples in the prompt are worth, without any fine-tuning: accuracy after 0, 1, 2, 4 and 8 of them.

    python -m data.world patterns --out data/pairs.jsonl
    python -m data.prepare data/pairs.jsonl --out data/pairs --vocab-size 2048
    python train.py tiny --data data/pairs --out out/pairs --model.context-length 40 --model.n-layer 2 \\
        --batch-size 64 --max-steps 1500 --eval-every 250
    python -m benchmarks.prompting --model out/tiny --patterns out/pairs

The model of stories says "good" or "bad" after easy reviews that are not neutral: chance is right in half of them. A
model of patterns names a colour, one of eight. There, the examples are the lines before with the same word
(pairs) or with a word of the same kind (kinds). Pairs can be guessed right without any induction head: where two words
alternate, by looking two lines back. So a second table says how far back the word was, and then comes where the heads
look. Several models of patterns are drawn into one picture (--picture). docs/induction.md shows what came out.
"""

import itertools
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from torch import Tensor

from benchmarks.roofline import table
from data.world.patterns import KINDS, PAIRS, VALUES, patterns
from data.world.reviews import write_reviews
from gpt.errors import UserError
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.labelled import Example, read_examples
from gpt.finetuning.prompting import Prompting, choose_examples, score_labels
from gpt.inside.interpret import trace
from gpt.model import GPT
from gpt.running.command_line import parse_flags, run_main
from gpt.running.device import Machine, pick_machine
from gpt.tokenizer import Tokenizer

SHOTS = (0, 1, 2, 4, 8)
SINCE = (2, 3, 4, 5)
WORDS = {"positive": "good", "negative": "bad"}
UNSEEN = 10**6  # number of the first document that no corpus holds: 4 MB are about 25,000
KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}


@dataclass(frozen=True)
class PromptingConfig:
    model: Path | None = None
    """the folder of a language model that was never fine-tuned, such as out/tiny"""
    patterns: tuple[Path, ...] = ()
    """the folders of models of patterns"""
    picture: Path | None = None
    """draw how often the models of patterns are right about pairs to this PNG file"""
    reviews: Path = Path("data/reviews-easy")
    """the folder with the reviews, made on first use"""
    template: str = "{text} It was {word}."
    """what a review is put into"""
    texts: int = 200
    """reviews to label, and documents of each sort to read"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """seeds of the examples, and of the documents"""

    def __post_init__(self) -> None:
        if not self.model and not self.patterns:
            raise UserError("give --model or --patterns, or both")
        if self.texts < 1 or not self.seeds:
            raise UserError("--texts must be at least 1, and --seeds must name one or more")
        if self.picture and not self.patterns:
            raise UserError("--picture shows models of patterns: give --patterns, too")


def review_accuracy(
    model: GPT,
    tokenizer: Tokenizer,
    prompting: Prompting,
    asked: list[Example],
    machine: Machine,
    calibrate: bool,
) -> tuple[float, int]:
    """(The share of reviews with the right label, the number whose prompt did not fit)."""
    texts = [example.text for example in asked]
    scores, cut = score_labels(model, tokenizer, prompting, texts, machine, calibrate)
    labels = list(prompting.words)
    right = [labels[i] == example.label for i, example in zip(scores.argmax(1).tolist(), asked, strict=True)]
    return statistics.mean(right), cut


class Guess(NamedTuple):
    """What a model says a word's value is."""

    right: bool  # whether its likeliest token is the value
    told: int  # lines before that tell the value: those with this word (pairs), or a word of its kind
    since: int  # lines since the last of them; 0 if there is none
    different: int  # words (pairs) or kinds in the document


@torch.inference_mode()
def guess_values(model: GPT, tokenizer: Tokenizer, sort: str, seed: int, count: int) -> list[Guess]:
    """A guess for each line of `count` documents of a sort, which no corpus holds."""
    guesses = []
    for document in itertools.islice(patterns(start=UNSEEN * (seed + 1), sort=sort), count):
        ids = [tokenizer.end_of_text, *tokenizer.encode(document.text)]
        likeliest = model(torch.tensor([ids]))[0].argmax(-1).tolist()
        keys = [word if sort == "pairs" else KIND_OF[word] for word, _ in document.lines]
        place = 0  # of a word's last token
        for i, (word, value) in enumerate(document.lines):
            place += len(tokenizer.encode(word))
            earlier = [j for j in range(i) if keys[j] == keys[i]]
            right = likeliest[place] == tokenizer.encode(f" {value}")[0]
            guesses.append(Guess(right, len(earlier), i - earlier[-1] if earlier else 0, len(set(keys))))
            place += len(tokenizer.encode(f" {value}\n"))
    return guesses


def attention_to_examples(model: GPT, tokenizer: Tokenizer, count: int) -> tuple[Tensor, float]:
    """(Of each head's attention at a word that came before, the share that goes to the values which followed it then,
    (L, nh); the share that even attention would give them). The mean over `count` documents with pairs."""
    shares, even = [], []
    for document in itertools.islice(patterns(start=UNSEEN, sort="pairs"), count):
        ids, ends, values = [tokenizer.end_of_text], [], []  # where each word ends, and where each value begins
        for word, value in document.lines:
            ids += tokenizer.encode(word)
            ends.append(len(ids) - 1)
            values.append(len(ids))
            ids += tokenizer.encode(f" {value}\n")
        _, weights = trace(model, ids)  # (L, nh, T, T)
        for i, (word, _) in enumerate(document.lines):
            if earlier := [values[j] for j in range(i) if document.lines[j][0] == word]:
                shares.append(weights[:, :, ends[i], earlier].sum(-1))  # (L, nh)
                even.append(len(earlier) / (ends[i] + 1))
    return torch.stack(shares).mean(0), statistics.mean(even)


def shares_of(sets: list[list[Guess]], wanted: Callable[[Guess], bool]) -> list[float]:
    """The share of right guesses in each set, of those that are wanted."""
    picked = [[guess.right for guess in guesses if wanted(guess)] for guesses in sets]
    return [statistics.mean(right) for right in picked if right]


def spread(shares: list[float]) -> str:
    """The mean, and the lowest and highest."""
    return f"{statistics.mean(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})" if shares else "none"


def review_rows(config: PromptingConfig, machine: Machine) -> list[list[str]]:
    """A line for each number of examples: accuracy with and without calibration, prompts that did not fit."""
    assert config.model
    if not (config.reviews / "train.csv").is_file():
        write_reviews(config.reviews, 3000, "easy", 1, "en")
    train, test = (
        [example for example in read_examples(config.reviews / f"{split}.csv") if example.label in WORDS]
        for split in ("train", "test")
    )
    model, tokenizer = load_model(config.model, machine.device), load_tokenizer(config.model)
    speed_up(model, machine.device, machine.dtype)
    rows = []
    for shots in SHOTS:
        calibrated, plain, cuts = [], [], 0
        for seed in config.seeds if shots else config.seeds[:1]:
            chosen = choose_examples(train, list(WORDS), shots, seed)
            prompting = Prompting(config.template, WORDS, chosen)
            share, cut = review_accuracy(model, tokenizer, prompting, test[: config.texts], machine, True)
            calibrated.append(share)
            plain.append(review_accuracy(model, tokenizer, prompting, test[: config.texts], machine, False)[0])
            cuts += cut
        rows.append([str(shots), spread(calibrated), spread(plain), str(cuts)])
    return rows


def pattern_tables(folder: Path, config: PromptingConfig) -> list[float]:
    """Print what a model of patterns knows, and where its heads look. -> The share of pairs that is right, for each
    of SHOTS, nan where no document has so many examples."""
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    attention, even = attention_to_examples(model, tokenizer, min(config.texts, 100))
    speed_up(model, torch.device("cpu"), torch.float32)
    pairs, kinds = (
        [guess_values(model, tokenizer, sort, seed, config.texts) for seed in config.seeds]
        for sort in ("pairs", "kinds")
    )
    by_shots = [[shares_of(sets, lambda g, k=k: g.told == k) for k in SHOTS] for sets in (pairs, kinds)]
    rows = [[str(k), spread(one), spread(two)] for k, one, two in zip(SHOTS, *by_shots, strict=True)]
    rows.append(["1 or more", *(spread(shares_of(sets, lambda g: g.told > 0)) for sets in (pairs, kinds))])
    print(table(["examples", "pairs", "kinds"], rows), f"\n{folder}; chance {1 / len(VALUES):.1%}\n")
    rows = []
    for since in SINCE:
        name = f"{since}{' or more' if since == SINCE[-1] else ''}"
        near = [[g for g in guesses if g.since == since or g.since > since == SINCE[-1]] for guesses in pairs]
        rows.append([name, *(spread(shares_of(near, lambda g, n=n: g.different == n)) for n in PAIRS)])
    print(table(["lines since the word came", *(f"pairs of {n} words" for n in PAIRS)], rows))
    layer, head = divmod(int(attention.argmax()), attention.size(1))
    print(
        f"\nAt a word that came before, head {layer + 1}.{head + 1} gives {attention.max():.0%} of its attention to "
        f"the values that followed it; even attention would give {even:.0%}.\n"
    )
    return [statistics.mean(shares) if shares else math.nan for shares in by_shots[0]]


def plot_pairs(curves: dict[str, list[float]], path: Path) -> None:
    """How often each model is right about pairs, after how many examples."""
    import matplotlib.pyplot as plt  # here, because it takes a second to import

    figure, panel = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for (name, shares), mark in zip(curves.items(), itertools.cycle("osv^D")):
        panel.plot(SHOTS, [100 * share for share in shares], f"{mark}-", label=name)
    panel.axhline(100 / len(VALUES), color="0.5", linestyle=":", label="chance")
    panel.set(xlabel="examples: lines before with the same word", ylabel="right about its value (%)", ylim=(0, 104))
    panel.set_xticks([k for i, k in enumerate(SHOTS) if any(math.isfinite(shares[i]) for shares in curves.values())])
    panel.legend(loc="center right", frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    config = parse_flags(lambda: tyro.cli(PromptingConfig, description=__doc__))
    machine = pick_machine("cpu", "float32", "off")
    if config.model:
        head = ["examples", "reviews, calibrated", "as they are", "prompts that did not fit"]
        print(table(head, review_rows(config, machine)), "\nchance 50.0%\n")
    curves = {str(folder): pattern_tables(folder, config) for folder in config.patterns}
    if config.picture:
        plot_pairs(curves, config.picture)


if __name__ == "__main__":
    run_main(main)
