"""Label texts with a language model that was never fine-tuned: which label's word does it expect after the text?

    The plums were salty. It was bad.        examples (few-shot) or none of them (zero-shot)
    We had a lovely day. It was good.
    Nobody liked the soup. It was ____       is "good" likelier here, or "bad"?

The words that stand for labels are verbalisers (Schick and Schütze 2021, "Exploiting Cloze Questions for Few-Shot Text
Classification"). Examples in front of the text change no weight: in-context learning (Brown et al. 2020). Some words
are likelier than others after anything, so the score for an empty text in the same place is taken off (contextual
calibration; Zhao et al. 2021, "Calibrate Before Use").
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gpt.classifier import pad
from gpt.errors import UserError
from gpt.finetuning.labelled import Example
from gpt.generate import check_causal
from gpt.model import GPT
from gpt.running.device import Machine
from gpt.tokenizer import Tokenizer


@dataclass(frozen=True)
class Prompting:
    """What a text is put into. Raises UserError for a template without {text} or {word}."""

    template: str
    words: dict[str, str]  # {label: the word or words that stand for it}
    examples: tuple[Example, ...] = ()  # in their order; the last is nearest to the text

    def __post_init__(self) -> None:
        for slot in ("{text}", "{word}"):
            if slot not in self.template:
                raise UserError(f"the template {self.template!r} has no {slot}: see '{{text}} It was {{word}}.'")

    def line(self, text: str, label: str) -> str:
        """The template with the text and the label's word in it. The text comes last: it may spell out a slot."""
        return self.template.replace("{word}", self.words[label]).replace("{text}", text).strip()


def read_label_words(pairs: tuple[str, ...]) -> dict[str, str]:
    """("positive=good", "negative=bad") -> {label: word}. Raises UserError if a label has no word, if a label or a word
    occurs twice, or if there is only one label."""
    words: dict[str, str] = {}
    for pair in pairs:
        label, _, word = (part.strip() for part in pair.partition("="))
        if not label or not word:
            raise UserError(f"--label-words has {pair!r}, a label without a word: write it like positive=good")
        if label in words or word in words.values():
            raise UserError(f"--label-words names {label if label in words else word!r} twice: two labels, two words")
        words[label] = word
    if len(words) < 2:
        raise UserError(f"--label-words has one label, {pairs[0]!r}: there is nothing to tell apart")
    return words


def choose_examples(examples: list[Example], labels: Sequence[str], shots: int, seed: int) -> tuple[Example, ...]:
    """`shots` examples in an order that the seed decides, as it decides which; each label equally often, but for the
    remainder. Other labels are passed over. Raises UserError if there are too few."""
    draw = random.Random(f"{seed} shots")
    order = draw.sample(list(labels), len(labels))
    chosen: list[Example] = []
    for number, label in enumerate(order):
        wanted = shots // len(order) + (number < shots % len(order))
        own = [example for example in examples if example.label == label]
        if wanted > len(own):
            raise UserError(f"--shots {shots} needs {wanted} examples labelled {label!r}, but there are {len(own)}")
        chosen += draw.sample(own, wanted)
    return tuple(draw.sample(chosen, shots))


class Prompt(NamedTuple):
    """A text with its examples, once with each label's word."""

    rows: list[list[int]]  # ids, for each label
    start: int  # the number of ids that all rows begin with
    num_examples: int  # those that fit
    is_whole: bool  # whether nothing was left out


def fill_prompt(tokenizer: Tokenizer, prompting: Prompting, text: str, context_length: int) -> Prompt:
    """The ids to score. All but the last must fit the context: if need be, examples are left out whole, the first ones
    first. Then the text loses its beginning, or where its end is further from the word, its end."""
    lines = [tokenizer.encode(prompting.line(text, label)) for label in prompting.words]
    before = [tokenizer.encode(prompting.line(e.text, e.label) + "\n") for e in prompting.examples]
    longest = max(map(len, lines))
    while before and sum(map(len, before)) + longest > context_length:
        del before[0]
    too_many = max(0, longest - context_length)
    word_is_last = prompting.template.index("{text}") < prompting.template.index("{word}")
    begin = [tokenizer.end_of_text, *(token for example in before for token in example)]
    rows = [begin + (line[too_many:] if word_is_last else line[:context_length]) for line in lines]
    shortest = min(map(len, rows))
    start = next((i for i in range(shortest) if len({row[i] for row in rows}) > 1), shortest)
    return Prompt(rows, start, len(before), not too_many and len(before) == len(prompting.examples))


@torch.inference_mode()
def continuation_logprobs(
    model: GPT, rows: list[list[int]], starts: list[int], machine: Machine, batch_size: int = 64
) -> Tensor:
    """The log-probability of ids[start:], given ids[:start], of each row: (rows,) in nats, float32 on the CPU.

    One forward for each batch, of rows of similar length; only the states of tokens that count go through the head.
    """
    order, sums = sorted(range(len(rows)), key=lambda i: len(rows[i])), torch.zeros(len(rows))
    for first in range(0, len(order), batch_size):
        batch = order[first : first + batch_size]
        tokens, lengths = (x.to(machine.device) for x in pad([rows[i] for i in batch]))  # (B, T + 1), (B,)
        places = torch.arange(1, tokens.size(1), device=machine.device)  # of the tokens that are predicted
        begins = torch.tensor([starts[i] for i in batch], device=machine.device)
        counts = (places >= begins[:, None]) & (places < lengths[:, None])  # (B, T)
        with machine.autocast():
            logits = model.lm_head(model.transformer(tokens[:, :-1])[counts])  # (tokens that count, V)
        of_tokens = logits.float().log_softmax(-1).gather(-1, tokens[:, 1:][counts][:, None])[:, 0]
        sums[batch] = torch.zeros(counts.shape, device=machine.device).masked_scatter(counts, of_tokens).sum(1).cpu()
    return sums


def score_labels(
    model: GPT, tokenizer: Tokenizer, prompting: Prompting, texts: list[str], machine: Machine, calibrate: bool = True
) -> tuple[Tensor, int]:
    """(How much each text speaks for each label, (texts, labels) in nats; the number of texts whose prompt did not fit
    the context). A softmax over the labels makes them probabilities. Raises UserError for a masked model.

    calibrate: take off what the same examples say about an empty text.
    """
    check_causal(model)
    T = model.config.context_length
    filled = [fill_prompt(tokenizer, prompting, text, T) for text in texts]
    numbers = sorted({prompt.num_examples for prompt in filled}) if calibrate else []
    for number in numbers:
        nearest = prompting.examples[len(prompting.examples) - number :]
        filled.append(fill_prompt(tokenizer, replace(prompting, examples=nearest), "", T))
    rows = [row for prompt in filled for row in prompt.rows]
    starts = [prompt.start for prompt in filled for _ in prompt.rows]
    scores = continuation_logprobs(model, rows, starts, machine).view(len(filled), -1)
    if calibrate:
        empty = {number: scores[len(texts) + i] for i, number in enumerate(numbers)}
        own = zip(filled[: len(texts)], scores, strict=False)
        scores = torch.stack([score - empty[prompt.num_examples] for prompt, score in own])
    return scores[: len(texts)], sum(not prompt.is_whole for prompt in filled[: len(texts)])
