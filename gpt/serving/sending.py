"""Texts on their way from the engine's thread to a client, who may be slow, or hang up.

Whatever happens to the client, its rows are given back: when it hangs up or its time is over, `cancel` takes its texts
out of the batch before the next token.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from gpt.serving.engine import FullError, Generation, Piece
from gpt.serving.metrics import Metrics
from gpt.serving.replies import Reply
from gpt.serving.requests import ApiError, Writing
from gpt.serving.served import Writer

Result = TypeVar("Result")


class Texts:
    """All texts of one request: n of each prompt. Text i of a prompt is drawn with seed + i, as by sample.py."""

    def __init__(self, writer: Writer, writing: Writing, prompts: list[list[int]]):
        self.engine, self.mailbox = writer.engine, writer.mailbox
        self.loop = self.mailbox.loop = asyncio.get_running_loop()
        self.pieces = asyncio.Queue[tuple[int, Piece]]()
        seed = secrets.randbelow(2**32) if writing.seed is None else writing.seed
        self.generations = []
        for number in range(len(prompts) * writing.n):
            prompt = prompts[number // writing.n]
            limit = writing.max_tokens
            if limit is None:  # of an answer: until the context is full, or the server's limit is reached
                limit = min(writer.most_tokens, max(1, writer.context - len(prompt)))
            self.generations.append(
                Generation(
                    prompt, limit, self._deliverer(number), seed + number % writing.n,
                    writing.sampling, writing.stop, writing.num_top,
                )
            )  # fmt: skip

    def submit(self) -> None:
        """Raises UserError as the engine does, and ApiError where there is no place or the server stops."""
        try:
            self.engine.submit(self.generations)
        except FullError:
            raise too_busy() from None
        except RuntimeError as error:
            raise ApiError(503, f"{error}: the server is stopping", "stopping") from None

    def _deliverer(self, number: int) -> Callable[[Piece], None]:
        def deliver(piece: Piece) -> None:  # in the engine's thread
            urgent = piece.prompt is not None or piece.finish is not None  # the first and the last one
            self.mailbox.put(self.pieces.put_nowait, (number, piece), urgent)

        return deliver

    async def all(self) -> AsyncIterator[list[tuple[int, Piece]]]:
        """Every piece of every text, as they come: lists of (number of the text, piece). Raises ApiError if one text
        failed."""
        unfinished = len(self.generations)
        while unfinished:
            pieces = [await self.pieces.get()]
            while not self.pieces.empty():
                pieces.append(self.pieces.get_nowait())
            if any(piece.finish == "error" for _, piece in pieces):
                raise ApiError(500, "the server failed at this text; its log says why", "server_error")
            unfinished -= sum(piece.finish is not None for _, piece in pieces)
            yield pieces

    def cancel(self) -> None:
        self.engine.cancel(self.generations)


def too_busy() -> ApiError:
    return ApiError(429, "too many texts are waiting already: try again in a moment", "rate_limit_exceeded")


async def in_time(receive: Receive, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    """The result of `work`, if the client stays and it does not take longer than this. Otherwise the work is cancelled,
    and it raises ClientDisconnect or ApiError."""

    async def hang_up() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(hang_up())
    try:
        done, _ = await asyncio.wait({working, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            return working.result()
        if gone in done:
            raise ClientDisconnect
        raise ApiError(504, f"it took longer than {seconds:g} seconds: ask for fewer tokens", "time_limit")
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


class Answer:
    """The texts of one request as a response: whole, or streamed as server-sent events."""

    def __init__(self, texts: Texts, reply: Reply, metrics: Metrics, seconds: float):
        self.texts, self.reply, self.metrics, self.seconds = texts, reply, metrics, seconds
        self.started = texts.loop.time()

    async def chunks(self) -> AsyncIterator[list[dict[str, Any]]]:
        async for pieces in self.texts.all():
            chunks = [self.take(number, piece) for number, piece in pieces]
            yield [chunk for chunk in chunks if chunk is not None]

    def take(self, number: int, piece: Piece) -> dict[str, Any] | None:
        if piece.prompt is not None and number % self.reply.writing.n == 0:
            self.metrics.read_prompt(self.reply.writing.model, piece.prompt)
        if piece.choice is not None and self.reply.written == 0:
            self.metrics.first_token.observe(self.texts.loop.time() - self.started)
        return self.reply.add(number, piece)

    async def whole(self, receive: Receive) -> dict[str, Any]:
        """The JSON of all texts. Raises ClientDisconnect, or ApiError when the time is over."""

        async def collect() -> None:
            async for _ in self.chunks():
                pass

        try:
            await in_time(receive, collect(), self.seconds)
        finally:
            self.texts.cancel()
        return self.reply.whole()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]

        async def send_events(contents: list[str], more: bool = True) -> None:
            body = "".join(f"data: {content}\n\n" for content in contents)
            await send({"type": "http.response.body", "body": body.encode(), "more_body": more})

        async def send_all() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for chunks in self.chunks():
                if chunks:  # in ASCII: some clients take U+2028 for the end of a line
                    await send_events([json.dumps(chunk) for chunk in chunks])
            last = [json.dumps(self.reply.last_chunk())] if self.reply.writing.include_usage else []
            await send_events([*last, "[DONE]"], more=False)

        try:
            await in_time(receive, send_all(), self.seconds)
        except ApiError as error:  # the status is sent already, so it comes as an event
            self.texts.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await send_events([json.dumps(error.content)], more=False)
        finally:
            self.texts.cancel()
