"""Take the next story that has what a task needs, and keep those passed over for the tasks that come later."""

from collections import deque
from collections.abc import Callable, Iterator

from data.world.tasks.told import Told

MOST_WAITING = 50  # the oldest is dropped then: it has nothing but what most stories have


class Waiting:
    """The stories of an endless iterator, each taken once at most."""

    def __init__(self, stories: Iterator[Told]):
        self._stories = stories
        self._passed: deque[Told] = deque(maxlen=MOST_WAITING)

    def next_that(self, suits: Callable[[Told], bool]) -> Told:
        """The first story that suits. It never ends if no story does."""
        for told in self._passed:
            if suits(told):
                self._passed.remove(told)
                return told
        for told in self._stories:
            if suits(told):
                return told
            self._passed.append(told)
        raise AssertionError("the stories never end")
