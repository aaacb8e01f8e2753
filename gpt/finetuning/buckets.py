"""Batches of texts of like length: less padding, and still in random order, a function of (seed, step) alone."""

import functools

import numpy as np

POOL = 32  # batches that are sorted by length together: more would save padding, but make neighbours too alike


class Buckets:
    """Batch `step` is an array of indices into the texts; every text comes once in an epoch."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed = np.array(lengths), batch_size, seed
        self.batches_per_epoch = -(-len(lengths) // batch_size)
        self.epoch = functools.lru_cache(maxsize=1)(self._epoch)

    def batch(self, step: int) -> np.ndarray:
        """Indices of the texts of update `step`, (batch_size,) or fewer in an epoch's odd batch."""
        return self.epoch(step // self.batches_per_epoch)[step % self.batches_per_epoch]

    def _epoch(self, number: int) -> list[np.ndarray]:
        """Shuffle, sort pools of some batches by length, cut them into batches, shuffle those."""
        random = np.random.default_rng([self.seed, number])
        order = random.permutation(len(self.lengths))
        batches = []
        for start in range(0, len(order), POOL * self.batch_size):
            pool = order[start : start + POOL * self.batch_size]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        random.shuffle(batches)
        return batches
