"""The models that a server offers, each by the name of its folder: those that write, and those that label."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from gpt.classifier import GPTClassifier
from gpt.errors import UserError
from gpt.fast.int8 import quantize_int8
from gpt.fast.linear import useful_threads
from gpt.fast.speed_up import speed_up
from gpt.files.checkpoint import load_model
from gpt.files.huggingface import holds_adapter
from gpt.files.int8_file import holds_int8
from gpt.files.tokenizer_files import load_tokenizer
from gpt.finetuning.conversations import Conversation, cut_beginning, encode_conversation, texts_of
from gpt.finetuning.labelling import classify
from gpt.finetuning.methods import merged
from gpt.finetuning.saved import kind_of, load_fine_tuned, room_for_answer
from gpt.generate import check_causal
from gpt.model import GPT
from gpt.running.device import Machine
from gpt.serving.engine import Engine, FullError
from gpt.serving.mailbox import Mailbox
from gpt.serving.requests import Limits
from gpt.tokenizer import Tokenizer

Value = TypeVar("Value")


class OneThread:
    """A thread of a model's own for short jobs, one after the other. At most `places` of them wait."""

    def __init__(self, places: int, torch_threads: int):
        self.places, self.unfinished = places, 0
        self.executor = ThreadPoolExecutor(1, "jobs", torch.set_num_threads, (torch_threads,))

    async def run(self, jobs: list[Callable[[], Value]]) -> list[Value]:
        """What the jobs return. Raises FullError if too many wait already. If the caller is cancelled, what has not
        begun is left out."""
        if self.unfinished + len(jobs) > self.places:
            raise FullError
        running = [asyncio.wrap_future(self.executor.submit(job)) for job in jobs]
        self.unfinished += len(running)
        for job in running:
            job.add_done_callback(self._count_down)
        return await asyncio.gather(*running)

    def _count_down(self, job: asyncio.Future) -> None:
        self.unfinished -= 1


class Writer:
    """A language model behind its engine. room: of a model that was fine-tuned to answer, the tokens of the context
    that a prompt must leave to the answer; None for one that only continues texts."""

    def __init__(self, model: GPT, tokenizer: Tokenizer, limits: Limits, room: int | None = None):
        check_causal(model)
        self.tokenizer, self.room, self.context = tokenizer, room, model.config.context_length
        self.most_tokens = limits.max_tokens
        self.longest = max(map(len, tokenizer.ids))  # bytes of a token
        self.engine, self.mailbox = Engine(model, tokenizer, limits.rows, limits.waiting), Mailbox()
        self.engine.after_turn = self.mailbox.wake
        self.looking = OneThread(limits.rows + limits.waiting, useful_threads(model))  # inspect.py looks inside there
        self.created = int(time.time())
        self.kind = "language model" if room is None else "answers"

    def encode(self, prompt: str | list[int]) -> list[int]:
        """The tokens of a prompt, as sample.py reads it. Raises UserError if it cannot fit the context."""
        if isinstance(prompt, list):
            return prompt
        if len(prompt) > self.context * self.longest:  # before a megabyte of text is cut into tokens
            raise UserError(f"the prompt is far too long for the model's context of {self.context} tokens: shorten it")
        return self.tokenizer.encode_document(prompt) or [self.tokenizer.end_of_text]

    def encode_messages(self, messages: list[Any]) -> list[int]:
        """The tokens of a conversation whose answer is wanted, as finetune.py wrote them in training. What does not fit
        the context beside an answer loses its beginning. Raises UserError if the model does not answer, or if user and
        assistant do not take turns, or if one says nothing."""
        if self.room is None:
            raise UserError(
                "this model continues texts and was not fine-tuned to answer (finetune.py --task answer): "
                "use /v1/completions, or another model"
            )
        texts = texts_of({"turns": messages}, "messages", ("prompt",))
        if not all(texts):
            raise UserError("a message is empty: say something, or leave it out")
        # Earlier texts, and earlier parts of long ones, cannot be in the context: leave them out, so that a megabyte
        # of them is not cut into tokens. The number of texts is odd, and stays so.
        texts = [text[-self.context * self.longest :] for text in texts[-(self.context // 2 * 2 + 1) :]]
        conversation = Conversation(tuple(zip(texts[::2], [*texts[1::2], ""], strict=True)))
        ids, _ = encode_conversation(self.tokenizer, conversation)
        return cut_beginning(ids, max(1, self.context - self.room))

    def close(self) -> None:
        self.engine.close()
        self.looking.executor.shutdown()


class Labeller:
    """A classifier or a regression model, which reads one text at a time: so no answer depends on its neighbours."""

    kind = "labels"

    def __init__(self, model: GPTClassifier, tokenizer: Tokenizer, limits: Limits, machine: Machine):
        self.model, self.tokenizer, self.machine = model, tokenizer, machine
        self.context = model.config.context_length
        self.labelling = OneThread(limits.rows + limits.waiting, torch.get_num_threads())
        self.created = int(time.time())

    def encode_text(self, text: str) -> list[int]:
        """The beginning of a text, as much as fits the context. Raises UserError for an empty one."""
        longest = max(map(len, self.tokenizer.ids))
        tokens = self.tokenizer.encode_document(text[: self.context * longest])[: self.context]
        if not text.strip() or not tokens:
            raise UserError("there is no text to label: it must hold more than white space")
        return tokens

    @property
    def unfinished(self) -> int:
        return self.labelling.unfinished

    async def label(self, texts: list[list[int]]) -> list[list[float]]:
        """For each text the probabilities of the labels, or for regression the number. Raises FullError if too many
        texts wait already."""
        return await self.labelling.run([partial(self._label, text) for text in texts])

    def _label(self, text: list[int]) -> list[float]:
        logits = classify(self.model, [text], self.machine)
        return (logits if self.model.is_regression else logits.softmax(1))[0].tolist()

    def close(self) -> None:
        self.labelling.executor.shutdown()


Served = Writer | Labeller


def load_served(folders: tuple[Path, ...], machine: Machine, limits: Limits, quantize: bool) -> dict[str, Served]:
    """Name -> model, for model folders of train.py and finetune.py. quantize: language models in 8 bits, as those
    that lie so on the disk always are.

    Raises UserError if two folders have the same name, if one holds no model, or one that can only fill gaps or tag.
    """
    served: dict[str, Served] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in served:
            raise UserError(f"two models are called {name}: a client could not tell them apart; rename a folder")
        tokenizer = load_tokenizer(folder)
        kind = kind_of(folder)
        model = load_fine_tuned(folder, machine.device) if kind else load_model(folder, machine.device)
        if holds_adapter(folder):
            model = merged(model)
        if isinstance(model, GPT):
            speed_up(model, machine.device, torch.float32)  # as sample.py does
            if quantize or holds_int8(folder):
                quantize_int8(model)
            room = room_for_answer(folder, model.config.context_length) if kind == "answers" else None
            served[name] = Writer(model, tokenizer, limits, room)
        elif isinstance(model, GPTClassifier):
            speed_up(model, machine.device, machine.dtype)  # as finetune.py predict does
            served[name] = Labeller(model, tokenizer, limits, machine)
        else:
            raise UserError(f"{folder} holds a tagger, which is not served: use finetune.py predict")
    return served
