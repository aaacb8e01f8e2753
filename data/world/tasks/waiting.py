"""Take the next story that has what a task needs, and keep those passed over for the tasks that come later."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

from data.world.tasks.told import Told

MOST_TRIED = 20_000
MOST_WAITING = 50  # the oldest is dropped then: it has nothing but what most stories have


class Waiting:
    """The stories of an endless iterator, each taken once at most."""

    def __init__(self, stories: Iterator[Told]):
        self._stories = stories
        self._passed: deque[Told] = deque(maxlen=MOST_WAITING)

    def next_that(self, suits: Callable[[Told], bool]) -> Told:
        """The first story that suits. Raises AssertionError if none of very many does: then none ever will."""
        for told in self._passed:
            if suits(told):
                self._passed.remove(told)
                return told
        for told in islice(self._stories, MOST_TRIED):
            if suits(told):
                return told
            self._passed.append(told)
        raise AssertionError(f"none of {MOST_TRIED:,} stories suits")
