"""Clusters of alike points: weighted spherical k-means, begun anew or where an earlier one ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from honeyguide.types import Floats, Rows, Vectors

UNSOLD = 0.1
"""What an item counts that nobody bought: its shelf exists all the same."""
_STARTS = 2
_TRIALS = 5
_ROUNDS = 100
_MOST = 50_000  # points that centroids are learned from: more of them do not move the centroids
_BLOCK = 8192
_BETTER = 1.02  # a fresh start must be this much better to be worth a tree that nobody knows yet


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """The distinct texts that say something: `vectors` (m, d), `weights` (m,), `first_row` (m,) of the items.

    `read` (n,) says which items are among them and `distinct_of` (read items,) which of them they are.
    """

    vectors: Vectors
    weights: Floats
    first_row: Rows
    read: NDArray[np.bool_]
    distinct_of: Rows

    @property
    def point_of(self) -> Rows:
        """(n,): which distinct text each item has, -1 where it says nothing."""
        points = np.full(len(self.read), -1)
        points[self.read] = self.distinct_of
        return points

    @classmethod
    def of(cls, vectors: Vectors, texts: Sequence[str], weights: Floats) -> Shelf:
        """Items of one text are one point: the tree must not depend on how many sizes a thing comes in."""
        read = np.asarray(vectors.any(axis=1))
        rows = np.flatnonzero(read)
        row_of: dict[str, int] = {}
        distinct_of = np.array(
            [row_of.setdefault(texts[row], len(row_of)) for row in rows.tolist()], dtype=np.int64
        )
        _, first = np.unique(distinct_of, return_index=True)
        total = np.bincount(distinct_of, weights=weights[rows] + UNSOLD, minlength=len(row_of))
        return cls(vectors[rows[first]], total.astype(np.float64), rows[first], read, distinct_of)


def cluster(
    vectors: Vectors, weights: Floats, count: int, seed: int, *, start: Vectors | None = None
) -> tuple[Vectors, Rows]:
    """Spherical k-means: unit centroids (k, d) and the cluster (m,) of each point; k is at most `count`.

    The best of two starts, or the one from `start` (s, d) where no other is clearly better. No cluster is empty,
    and those from `start` keep their order.
    """
    count = min(count, len({vector.tobytes() for vector in vectors}))
    if count == 0:
        return np.zeros((0, vectors.shape[1]), dtype=np.float32), np.zeros(0, dtype=np.int64)
    rng = np.random.default_rng(seed)
    part = np.arange(len(vectors))
    if len(vectors) > _MOST:
        part = np.sort(rng.choice(len(vectors), size=_MOST, replace=False))
    points, mass = vectors[part], weights[part]
    fresh = [
        lloyd(points, mass, _starts(points, mass, count, rng)) for _ in range(_STARTS if start is None else 1)
    ]
    centroids = max(fresh, key=lambda found: closeness(points, mass, found))
    if start is not None:
        warm = lloyd(points, mass, _starts(points, mass, count, rng, known=start[:count]))
        if closeness(points, mass, centroids) <= _BETTER * closeness(points, mass, warm):
            centroids = warm
    used, nearest = np.unique(nearest_of(vectors, centroids), return_inverse=True)
    return centroids[used], nearest


def nearest_of(vectors: Vectors, centroids: Vectors) -> Rows:
    """(m,): the centroid next to each point."""
    blocks = [*range(0, len(vectors), _BLOCK), len(vectors)]
    parts = [(vectors[a:b] @ centroids.T).argmax(axis=1) for a, b in pairwise(blocks)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)


def closeness(vectors: Vectors, weights: Floats, centroids: Vectors) -> float:
    """The weighted mean cosine of the points to the centroids next to them."""
    best = (vectors @ centroids.T).max(axis=1)
    return float(weights @ best / weights.sum())


def lloyd(vectors: Vectors, weights: Floats, centroids: Vectors, *, rounds: int = _ROUNDS) -> Vectors:
    """Centroids (k, d) that no longer move, or that have moved `rounds` times."""
    nearest = (vectors @ centroids.T).argmax(axis=1)
    for _ in range(rounds):
        centroids = means(vectors, weights, nearest, len(centroids), otherwise=centroids)
        moved = (vectors @ centroids.T).argmax(axis=1)
        if np.array_equal(moved, nearest):
            break
        nearest = moved
    return centroids


def means(
    vectors: Vectors, weights: Floats, groups: Rows, count: int, *, otherwise: Vectors | None = None
) -> Vectors:
    """(count, d): the unit mean of each group of points, `otherwise` or zero where it has none."""
    member = csr_array((weights, (groups, np.arange(len(vectors)))), shape=(count, len(vectors)))
    pull = member @ vectors
    norm = np.linalg.norm(pull, axis=1, keepdims=True)
    blank = np.zeros_like(pull) if otherwise is None else otherwise.astype(np.float64)
    return np.asarray(np.divide(pull, norm, out=blank, where=norm > 0), dtype=np.float32)


def _starts(
    vectors: Vectors,
    weights: Floats,
    count: int,
    rng: np.random.Generator,
    *,
    known: Vectors | None = None,
) -> Vectors:
    """Greedy k-means++ after what is `known`: each next start is the best of a few drawn by their distance."""
    gap = np.full(len(vectors), 2.0)
    first = np.zeros((0, vectors.shape[1]), dtype=np.float32) if known is None else known
    if len(first):
        gap = np.maximum(1.0 - (vectors @ first.T).max(axis=1), 0.0).astype(np.float64)
    chosen: list[int] = []
    while len(first) + len(chosen) < count and (pull := weights * gap).any():
        drawn = rng.choice(len(vectors), size=_TRIALS, p=pull / pull.sum())
        gaps = np.minimum(gap[:, None], 1.0 - np.minimum(vectors @ vectors[drawn].T, 1.0))
        best = int((weights @ gaps).argmin())
        gap = gaps[:, best]
        gap[drawn[best]] = 0.0
        chosen.append(int(drawn[best]))
    return np.vstack([first, vectors[chosen]])
