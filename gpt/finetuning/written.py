"""Answers written by a model that was fine-tuned to answer: the likeliest token, or a drawn one, until it stops."""

import sys

from tqdm import tqdm

from gpt.fast.batch import Batch
from gpt.finetuning.conversations import Conversation, cut_beginning, encode_conversation
from gpt.generate import generate
from gpt.model import GPT
from gpt.running.device import Machine
from gpt.sampling import Sampling
from gpt.tokenizer import Tokenizer

AT_ONCE = 64  # answers written side by side


def write_answers(
    net: GPT,
    tokenizer: Tokenizer,
    asked: list[Conversation],
    machine: Machine,
    room: int,
    temperature: float = 0.0,
    seed: int = 0,
    plain: bool = False,
) -> list[str]:
    """The answer to the last prompt of each conversation, in their order. Answer i depends on seed + i alone, not on
    its neighbours. It ends where the model ends it, or when the context is full.

    A prompt that does not fit the context loses its beginning. So does one whose answer fills the rest of the context
    before it ends: it is answered again, with `room` tokens left for the answer. plain: one after the other, with the
    plain `generate`. Raises UserError if the temperature is below 0.
    """
    sampling, context = Sampling(temperature), net.config.context_length
    ids = [encode_conversation(tokenizer, conversation)[0] for conversation in asked]
    answers, todo, cut = [""] * len(ids), list(range(len(ids))), set()
    for longest in (context - 1, max(1, context - room)):  # of a prompt
        todo = sorted((i for i in todo if longest == context - 1 or len(ids[i]) > longest), key=lambda i: len(ids[i]))
        cut |= {i for i in todo if len(ids[i]) > longest}
        unended = []
        for start in tqdm(range(0, len(todo), AT_ONCE), desc="answering", unit="batch", leave=False, delay=1):
            rows = todo[start : start + AT_ONCE]
            prompts, seeds = [cut_beginning(ids[i], longest) for i in rows], [seed + i for i in rows]
            write = write_one_by_one if plain else write_side_by_side
            for i, tokens in zip(rows, write(net, prompts, seeds, tokenizer.end_of_text, sampling), strict=True):
                ended = tokens[-1:] == [tokenizer.end_of_text]
                answers[i] = tokenizer.decode(tokens[:-1] if ended else tokens).strip()
                unended += [] if ended else [i]
        todo = unended
    if cut:
        print(f"note: {len(cut):,} prompts are too long for the context and lose their beginning", file=sys.stderr)
    return answers


def write_side_by_side(
    net: GPT, prompts: list[list[int]], seeds: list[int], end_of_text: int, sampling: Sampling
) -> list[list[int]]:
    """The tokens that continue each prompt up to end_of_text, itself among them, or up to the end of the context."""
    left = [net.config.context_length - len(prompt) for prompt in prompts]
    batch = Batch(net, prompts, seeds, max(left), sampling)
    written: list[list[int]] = [[] for _ in prompts]
    while batch.rows:
        for row, choice in batch.step().items():
            written[row].append(choice.token)
        batch.drop({row for row in batch.rows if written[row][-1] == end_of_text or len(written[row]) == left[row]})
    return written


def write_one_by_one(
    net: GPT, prompts: list[list[int]], seeds: list[int], end_of_text: int, sampling: Sampling
) -> list[list[int]]:
    """The same with the plain `generate`."""
    written: list[list[int]] = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        left, tokens = net.config.context_length - len(prompt), []
        for token in generate(net, prompt, left, seed, temperature=sampling.temperature):
            tokens.append(token)
            if token == end_of_text:
                break
        written.append(tokens)
    return written
