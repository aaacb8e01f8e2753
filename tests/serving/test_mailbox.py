"""What goes from the engine's thread to the event loop: all of it, in order, and the loop is not woken too often."""

import asyncio
import threading

from gpt.serving import mailbox as module
from gpt.serving.mailbox import Mailbox


class Loop:
    """Counts how often it is woken."""

    def __init__(self):
        self.calls = []

    def call_soon_threadsafe(self, call):
        self.calls.append(call)


def test_a_crowd_wakes_the_loop_once_in_a_while_and_one_or_two_texts_at_once(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    box, taken = Mailbox(), []
    box.loop = loop = Loop()

    def turn(texts, urgent=False):
        for text in range(texts):
            box.put(taken.append, text, urgent and text == 0)
        box.wake()
        woken = bool(loop.calls)
        while loop.calls:
            loop.calls.pop()()
        return woken

    assert turn(30) and len(taken) == 30  # it was not woken before
    now[0] += 0.005
    assert not turn(30) and not turn(30) and len(taken) == 30
    now[0] += module.PAUSE
    assert turn(30) and len(taken) == 120
    now[0] += 0.001
    assert turn(30, urgent=True) and turn(2) and turn(1) and len(taken) == 153
    assert not turn(0) and taken[-3:] == [0, 1, 0]


def test_nothing_is_lost_or_overtaken_between_the_threads():
    box, taken = Mailbox(), []

    async def take_all():
        box.loop = asyncio.get_running_loop()
        thread = threading.Thread(target=write)
        thread.start()
        while len(taken) < 20_000:
            await asyncio.sleep(0.001)
        thread.join()

    def write():
        for number in range(20_000):
            box.put(taken.append, number, urgent=number % 7 == 0 or number == 19_999)
            box.wake()

    asyncio.run(asyncio.wait_for(take_all(), 10))
    assert taken == list(range(20_000)) and not box.letters


def test_a_loop_that_closes_does_not_end_the_engines_thread():
    def refuse(call):
        raise RuntimeError("Event loop is closed")

    box, taken = Mailbox(), []
    box.loop = closing = Loop()
    closing.call_soon_threadsafe = refuse  # a moment ago it was still open
    box.put(taken.append, 1, urgent=True)
    box.wake()
    box.loop = loop = Loop()
    box.put(taken.append, 2, urgent=True)
    box.wake()
    loop.calls.pop()()
    assert taken == [1, 2]
