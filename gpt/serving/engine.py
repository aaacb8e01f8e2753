"""The running batch: one thread owns a model and writes many texts at once, which join and leave between two tokens.

    waiting     D E            asked for, in the order in which they came
    running     A B C          one turn: read the last token of each, choose the next one of each, hand both out

When a text ends, or nobody wants it any more, its row is free, and the next turn begins with the first that waits
("Orca", Yu et al. 2022, section 3.1: iteration-level scheduling). A turn reads at most one new prompt, so that those
that are running wait for no more than that.

What a text becomes depends on its prompt, its settings and its seed alone: each draws from a generator of its own, and
rows.py keeps its logits apart from its neighbours', bit by bit.
"""

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gpt.fast.linear import useful_threads
from gpt.generate import Choice, check_prompt, mark_tokens, with_logprobs
from gpt.model import GPT
from gpt.running.streaming import TextStream
from gpt.sampling import Sampling, choose
from gpt.serving.privacy import log
from gpt.serving.rows import CacheRow, RowDecoder
from gpt.tokenizer import Tokenizer

JUDGED_AT_ONCE = 64  # tokens of a prompt that are judged in one product with the head, which may be large


class Piece(NamedTuple):
    """What a turn makes of a text. The first piece has no token: it says that the prompt was read."""

    text: str = ""  # what can be shown now
    choice: Choice | None = None  # the token
    finish: Literal["stop", "length", "error"] | None = None  # why this is the last piece, if it is
    prompt: tuple[Choice, ...] | None = None  # in the first piece: each token of the prompt but its first


@dataclass(eq=False)
class Generation:
    """A text to be written. `deliver` gets its pieces, in the engine's thread."""

    prompt: list[int]
    max_tokens: int
    deliver: Callable[[Piece], None]
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    num_top: int | None = None  # how many likeliest tokens to name beside each; None: no logprobs
    cancelled: bool = False


class Running:
    """A text in the batch."""

    row: CacheRow
    logits: Tensor  # (1, V): what comes next

    def __init__(self, generation: Generation, tokenizer: Tokenizer, vocab_size: int):
        self.generation = generation
        self.is_new = True  # its prompt is still to be read
        self.window = list(generation.prompt)  # what the model sees of it
        self.seen = mark_tokens([generation.prompt], vocab_size)  # (1, V), true for the tokens that the text holds
        self.generator = random.Random(generation.seed)
        self.stream = TextStream(tokenizer, generation.stop)
        self.written = 0


class FullError(Exception):
    """There is no place left, not even to wait."""


class Engine:
    """A model, its thread, `num_rows` texts at once, and `max_waiting` more that wait."""

    def __init__(self, model: GPT, tokenizer: Tokenizer, num_rows: int = 32, max_waiting: int = 64):
        self.model, self.tokenizer, self.decoder = model, tokenizer, RowDecoder(model)
        self.context = model.config.context_length
        self.num_rows, self.max_waiting = num_rows, max_waiting
        self.waiting: deque[Generation] = deque()
        self.running: list[Running] = []
        self.generated = 0  # tokens, since the start
        self.after_turn: Callable[[], None] = lambda: None  # called when all pieces of a turn are delivered
        self.closed = False
        self.changed = threading.Condition()  # guards waiting, running and closed
        self.thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.thread.start()

    @property
    def unfinished(self) -> int:
        return len(self.waiting) + len(self.running)

    def submit(self, generations: list[Generation]) -> None:
        """Let these texts be written, all or none. Raises UserError if the model cannot continue one of the prompts,
        FullError if there is no place for them, RuntimeError after close()."""
        for generation in generations:
            check_prompt(self.model, generation.prompt, generation.max_tokens)
            TextStream(self.tokenizer, generation.stop)  # raises UserError for an empty stop string
        with self.changed:
            if self.closed:
                raise RuntimeError("the engine is closed")
            if self.unfinished + len(generations) > self.num_rows + self.max_waiting:
                raise FullError
            self.waiting.extend(generations)
            self.changed.notify()

    def cancel(self, generations: list[Generation]) -> None:
        """Stop these texts: those that wait at once, those that run before the next token. Ended ones are ended."""
        with self.changed:
            for generation in generations:
                generation.cancelled = True
            self.waiting = deque(generation for generation in self.waiting if not generation.cancelled)

    def close(self, seconds: float = 60) -> None:
        """Finish what was submitted, but wait no longer than this; then the thread ends."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join(seconds)

    def _run(self) -> None:
        torch.set_num_threads(useful_threads(self.model))  # a setting of the thread
        while True:
            with self.changed:
                while not (self.unfinished or self.closed):
                    self.changed.wait()
                if not self.unfinished:
                    return
            try:
                self._turn()
            except Exception:  # a bug, or no memory left: these texts are lost, but the next ones need not be
                log.exception("the texts in the batch had to be given up")
                with self.changed:
                    lost, self.running = self.running, []
                for running in lost:
                    running.generation.deliver(Piece(finish="error"))
            self.after_turn()

    def _turn(self) -> None:
        """One more token for every text in the batch, after one prompt that waits has joined it."""
        with self.changed:
            self.running = [running for running in self.running if not running.generation.cancelled]
            new: list[Running] = []
            while self.waiting and len(self.running) < self.num_rows:
                if new and self.waiting[0].prompt != new[0].generation.prompt:
                    break  # several texts that begin alike join together; others wait for the next turn
                new.append(Running(self.waiting.popleft(), self.tokenizer, self.model.config.vocab_size))
                self.running.append(new[-1])
        self._read_last_tokens([running for running in self.running if not running.is_new])
        if new:
            self._read_prompt(new)
        ended = {running for running in self.running if self._write_or_fail(running)}
        with self.changed:
            self.running = [running for running in self.running if running not in ended]

    @torch.inference_mode()
    def _read_prompt(self, new: list[Running]) -> None:
        """Read the prompt that these texts share, once, and say how likely each of its tokens was."""
        tokens = new[0].window
        room = max(running.generation.max_tokens for running in new)
        row, states = self.decoder.begin(tokens, min(self.context, len(tokens) + room))
        logits = self.decoder.head(states[-1:]).float().cpu()  # (1, V)
        num_top = max(running.generation.num_top or 0 for running in new)
        judged: list[Choice] = []
        for start in range(0, len(tokens) - 1, JUDGED_AT_ONCE):
            part = self.decoder.head(states[start : min(start + JUDGED_AT_ONCE, len(tokens) - 1)]).float().cpu()
            judged += with_logprobs(part, torch.tensor(tokens[start + 1 : start + 1 + len(part)]), num_top)
        for running in new:
            running.row = row if running is new[0] else row.copy()
            running.logits, running.is_new = logits, False
            num_top = running.generation.num_top or 0
            prompt = tuple(Choice(choice.token, choice.logprob, choice.top[:num_top]) for choice in judged)
            finish = "length" if running.generation.max_tokens == 0 else None
            running.generation.deliver(Piece(prompt=prompt, finish=finish))

    @torch.inference_mode()
    def _read_last_tokens(self, older: list[Running]) -> None:
        """Read the token that each chose in the last turn. Where the context is full, its older half is forgotten and
        the newer one read again, as in gpt/generate.py."""
        for running in older:
            if len(running.window) > self.context:
                running.window = running.window[-max(1, self.context // 2) :]
                running.row, states = self.decoder.begin(running.window, self.context)
                running.logits = self.decoder.head(states[-1:]).float().cpu()
                older = [other for other in older if other is not running]
        if older:
            rows, tokens = [running.row for running in older], [running.window[-1] for running in older]
            for running, logits in zip(older, self.decoder.advance(rows, tokens).float().cpu().split(1), strict=True):
                running.logits = logits

    def _write_or_fail(self, running: Running) -> bool:
        """_write; but what fails there fails for this text alone."""
        try:
            return self._write(running)
        except Exception:
            log.exception("a text had to be given up")
            running.generation.deliver(Piece(finish="error"))
            return True

    @torch.inference_mode()
    def _write(self, running: Running) -> bool:
        """Choose the next token of a text and deliver it; whether the text has ended. Each text by itself: PyTorch adds
        up one row of a large vocabulary in another order than several."""
        generation, stream = running.generation, running.stream
        if running.written == generation.max_tokens:  # none was wanted
            return True
        chosen = choose(running.logits, running.seen, generation.sampling, [running.generator])  # (1,)
        token = int(chosen)
        choice = Choice(token)
        if generation.num_top is not None:
            [choice] = with_logprobs(running.logits, chosen, generation.num_top)
        running.window.append(token)
        running.seen[0, token] = True
        running.written += 1
        self.generated += 1
        text = stream.show(token, is_last=running.written == generation.max_tokens)
        stopped = stream.stopped or token == self.tokenizer.end_of_text
        generation.deliver(Piece(text, choice, ("stop" if stopped else "length") if stream.ended else None))
        return stream.ended
