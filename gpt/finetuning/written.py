"""Answers written by a model that was fine-tuned to answer: the likeliest token, or a drawn one, until it stops."""

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
    temperature: float = 0.0,
    seed: int = 0,
    plain: bool = False,
) -> list[str]:
    """The answer to the last prompt of each conversation, in their order. Answer i depends on seed + i alone, not on
    its neighbours. It ends where the model ends it, or when the context is full.

    plain: one after the other, with the plain `generate`. A prompt that leaves less than a quarter of the context for
    the answer loses its beginning. Raises UserError if the temperature is below 0.
    """
    Sampling(temperature)  # refuses a wrong one before the work begins
    context = net.config.context_length
    prompts = [encode_conversation(tokenizer, conversation)[0] for conversation in asked]
    prompts = [cut_beginning(ids, max(1, context - context // 4)) for ids in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    bar = tqdm(total=len(prompts), desc="answering", unit="answer", leave=False, delay=1)
    for start in range(0, len(order), 1 if plain else AT_ONCE):
        rows = order[start : start + (1 if plain else AT_ONCE)]
        if plain:
            room = context - len(prompts[rows[0]])
            of_rows = [list(generate(net, prompts[rows[0]], room, seed + rows[0], tokenizer.end_of_text,
                                     temperature=temperature))]  # fmt: skip
        else:
            of_rows = write_side_by_side(
                net, [prompts[i] for i in rows], [seed + i for i in rows], tokenizer.end_of_text, temperature
            )
        for i, tokens in zip(rows, of_rows, strict=True):
            answers[i] = tokenizer.decode(tokens).strip()
        bar.update(len(rows))
    bar.close()
    return answers


def write_side_by_side(
    net: GPT, prompts: list[list[int]], seeds: list[int], end_of_text: int, temperature: float
) -> list[list[int]]:
    """The tokens that continue each prompt up to end_of_text, or up to the end of the context."""
    room = [net.config.context_length - len(prompt) for prompt in prompts]
    batch = Batch(net, prompts, seeds, max(room), Sampling(temperature))
    written: list[list[int]] = [[] for _ in prompts]
    while batch.rows:
        ended = set()
        for row, choice in batch.step().items():
            if choice.token == end_of_text:
                ended.add(row)
            else:
                written[row].append(choice.token)
                ended |= {row} if len(written[row]) == room[row] else set()
        batch.drop(ended)
    return written
