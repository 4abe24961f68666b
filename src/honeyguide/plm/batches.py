"""Which texts share a batch: alike lengths go together, so that little is padded.

Batches are found by their number alone: epoch and place follow from it, and the order within an epoch from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Rows

_POOL = 50  # batches' worth of shuffled rows that are sorted by length together


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Rows in batches of about `tokens` padded tokens, each row once an epoch, in another order every epoch.

    `lengths` (n,) are those that count for padding; a batch holds `rows` at the most where that is given.
    """

    lengths: NDArray[np.int64]
    tokens: int
    seed: int
    rows: int | None = None

    def __post_init__(self) -> None:
        if not len(self.lengths):
            raise InvalidInput("there is nothing to learn from: the corpus is empty")
        if self.tokens < int(self.lengths.max()):
            raise InvalidInput(
                f"a batch must hold the longest text: tokens is {self.tokens}, that text has {self.lengths.max()}"
            )
        object.__setattr__(self, "_epoch", lru_cache(maxsize=2)(self._make))

    def batch(self, number: int) -> Rows:
        """The rows of a batch, by its number from 0 on; every epoch has as many batches as the first."""
        per_epoch = self.per_epoch
        return self._batches(number // per_epoch)[number % per_epoch]

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self._batches(0))

    def _batches(self, epoch: int) -> list[Rows]:
        found: list[Rows] = self._epoch(epoch)  # type: ignore[attr-defined]
        return found

    def _make(self, epoch: int) -> list[Rows]:
        rng = np.random.default_rng([self.seed, epoch])
        rows = rng.permutation(len(self.lengths)).astype(np.int64)
        size = max(1, int(self.tokens / max(1.0, float(self.lengths.mean()))))
        pool = _POOL * min(size, self.rows or size)
        found: list[Rows] = []
        for first in range(0, len(rows), pool):
            part = rows[first : first + pool]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            found += self._cut(part)
        order = rng.permutation(len(found)).tolist()
        shuffled = [found[place] for place in order]
        # the cuts differ a little from epoch to epoch; a batch's number must not depend on how many there were
        wanted = len(found) if epoch == 0 else self.per_epoch
        return [shuffled[i % len(shuffled)] for i in range(wanted)]

    def _cut(self, rows: Rows) -> list[Rows]:
        found, start = [], 0
        for end in range(1, len(rows) + 1):
            full = end < len(rows) and (
                (end + 1 - start) * int(self.lengths[rows[end]]) > self.tokens or end - start == self.rows
            )
            if full or end == len(rows):
                found.append(rows[start:end])
                start = end
        return found


def padded(
    texts: Sequence[NDArray[np.uint32]], *, first: int, last: int, pad: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(ids, mask), both (n, longest): each text between the `first` and the `last` special token."""
    width = 2 + max(len(text) for text in texts)
    ids = np.full((len(texts), width), pad, dtype=np.int64)
    mask = np.zeros((len(texts), width), dtype=np.int64)
    for row, text in enumerate(texts):
        n = len(text)
        ids[row, 0], ids[row, 1 : n + 1], ids[row, n + 1] = first, text, last
        mask[row, : n + 2] = 1
    return ids, mask
