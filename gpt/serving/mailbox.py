"""From the engine's thread to the event loop: what a turn made of all texts goes over at once.

The two threads take turns in running Python, and each hand-over costs more than a small model's token. So the loop is
woken after a turn, and not once for each text; and in a crowd only every few turns, which nobody sees.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

PAUSE = 0.02  # seconds for which a crowd's letters may lie


class Mailbox:
    """put and wake are called in the engine's thread, the rest in the event loop's."""

    loop: asyncio.AbstractEventLoop | None = None  # of the server; known when the first request comes

    def __init__(self) -> None:
        self.letters: deque[tuple[Callable[[Any], None], Any]] = deque()  # (who takes it, what)
        self.is_urgent = False
        self.is_called = False  # the loop will come
        self.woken = 0.0  # when it was called last

    def put(self, take: Callable[[Any], None], letter: Any, urgent: bool) -> None:
        self.letters.append((take, letter))
        self.is_urgent |= urgent

    def wake(self) -> None:
        """After each turn. One or two letters, and those that are urgent, do not lie."""
        now = time.monotonic()
        if self.loop is None or self.is_called or not self.letters:
            return
        if self.is_urgent or len(self.letters) <= 2 or now - self.woken >= PAUSE:
            self.is_urgent, self.is_called, self.woken = False, True, now
            try:
                self.loop.call_soon_threadsafe(self._empty)
            except RuntimeError:  # the loop is closed, which it may be at any moment: nobody reads these any more
                self.is_called = False

    def _empty(self) -> None:
        self.is_called = False  # before it looks, so that no letter is left lying
        while self.letters:
            take, letter = self.letters.popleft()
            take(letter)
