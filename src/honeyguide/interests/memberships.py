"""Which leaves an item belongs to, and how much: one main leaf, and up to two more where it lies between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Rows, Vectors

MOST = 3
"""Leaves of one item."""
_LEAST = 0.05  # of an item's weight: less says nothing of it
_BLOCK = 8192  # items whose likeness to all leaves is in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class Memberships:
    """Item i is in `leaf[starts[i] : starts[i + 1]]` with as many `weight`s, the largest first, that sum to 1.

    `starts` is (n + 1,) int64, `leaf` int64 and `weight` float32.
    """

    starts: Rows
    leaf: Rows
    weight: Vectors

    def __post_init__(self) -> None:
        if len(self.leaf) != len(self.weight) or int(self.starts[-1]) != len(self.leaf):
            raise InvalidInput(f"starts must end at the number of memberships, {len(self.leaf)}")
        if (np.diff(self.starts) < 1).any():
            raise InvalidInput("every item must be in a leaf")

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def main(self) -> Rows:
        """(n,): the leaf that each item is in most."""
        return np.asarray(self.leaf[self.starts[:-1]], dtype=np.int64)

    def of_item(self, row: int) -> list[tuple[int, float]]:
        """The leaves of an item and its weights in them."""
        part = slice(*self.starts[row : row + 2])
        return list(zip(self.leaf[part].tolist(), self.weight[part].tolist(), strict=True))

    def take(self, rows: Rows) -> Memberships:
        """Of some items, in that order."""
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        at = np.repeat(self.starts[rows] - starts[:-1], counts) + np.arange(starts[-1])
        return Memberships(starts, self.leaf[at], self.weight[at])

    @classmethod
    def of(cls, vectors: Vectors, centroids: Vectors, temperature: float) -> Memberships:
        """By the softmax of the cosines of (n, d) vectors to (leaves, d) centroids over a temperature.

        At temperature 0 an item is in the nearest leaf only. Zero vectors are in the leaf with a zero centroid.
        """
        bounds = [*range(0, len(vectors), _BLOCK), len(vectors)]
        parts = [
            _nearest(vectors[start:stop], centroids, temperature) for start, stop in pairwise(bounds)
        ] or [_nearest(vectors, centroids, temperature)]
        leaf = np.concatenate([leaf for leaf, _ in parts])
        weight = np.concatenate([weight for _, weight in parts])
        kept = weight > 0
        starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int64)
        return cls(starts, leaf[kept], weight[kept])


def _nearest(
    vectors: Vectors, centroids: Vectors, temperature: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(m, up to MOST) leaves and their weights, 0 where a leaf says too little."""
    said, nothing = np.flatnonzero(centroids.any(axis=1)), np.flatnonzero(~centroids.any(axis=1))
    if not len(said):
        return np.zeros((len(vectors), 1), dtype=np.int64), np.ones((len(vectors), 1), dtype=np.float32)
    likeness = (vectors @ centroids[said].T).astype(np.float64)
    order = np.argsort(-likeness, axis=1, kind="stable")[:, : MOST if temperature > 0 else 1]
    best = np.take_along_axis(likeness, order, axis=1)
    weight = np.exp((best - best[:, :1]) / max(temperature, 1e-9))
    leaf = said[order]
    if len(nothing):
        silent = ~vectors.any(axis=1)
        leaf[silent, 0], weight[silent, 1:] = nothing[0], 0.0
    weight[weight < _LEAST * weight.sum(axis=1, keepdims=True)] = 0.0
    weight /= weight.sum(axis=1, keepdims=True)
    return leaf, weight.astype(np.float32)
