"""Every choice of the generator goes through here, so the probability of its text is known.

`Draw` chooses at random and adds up -log2 p. `Follow` receives the choices and adds up the same numbers. The same
generator runs with both: with `Draw` it writes a story, with `Follow` it measures one.
"""

import math
import random

_LOG2 = [0.0] + [math.log2(n) for n in range(1, 4000)]


class Draw:
    """Chooses at random. The same `key` gives the same choices on every machine and Python version:
    seeding with a string hashes it with SHA-512, and only `random()` is ever called."""

    def __init__(self, key):
        self._random = random.Random(key).random
        self.bits = 0.0

    def choose(self, options):
        """One of a list of options, all equally likely."""
        self.bits += _LOG2[len(options)]
        return options[int(self._random() * len(options))]

    def weigh(self, options, weights):
        """One of a list of options, with probabilities proportional to integer weights."""
        total = sum(weights)
        left = int(self._random() * total)
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0:
                self.bits += _LOG2[total] - _LOG2[weight]
                return option
        raise AssertionError("the weights sum to less than their total")


class Impossible(Exception):
    """The given choice is not among the options: the generator gives it probability 0."""


class Follow:
    """Replays known choices, in order, and adds up their -log2 p."""

    def __init__(self):
        self.wanted = []
        self.bits = 0.0

    def choose(self, options):
        choice = self.wanted.pop(0)
        if choice not in options:
            raise Impossible(choice)
        self.bits += _LOG2[len(options)]
        return choice

    def weigh(self, options, weights):
        choice = self.wanted.pop(0)
        if choice not in options:
            raise Impossible(choice)
        self.bits += _LOG2[sum(weights)] - _LOG2[weights[options.index(choice)]]
        return choice
