"""Finds the interests in a catalogue: clusters of item vectors, grouped, named and laid out on a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.sparse import csr_array

from honeyguide.errors import InvalidInput
from honeyguide.interests.layout import lay_out
from honeyguide.interests.naming import Vocabulary, name_groups
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.types import Floats, Progress, Rows, Vectors, silent

UNREAD = "Everything else"
"""The name of the leaf and the top of items that have no text."""
_STARTS = 2
_TRIALS = 5
_ROUNDS = 50
_UNSOLD = 0.1  # what an item counts that nobody bought: its shelf exists all the same


def build_taxonomy(
    vectors: Vectors,
    texts: Sequence[str],
    weights: Floats,
    *,
    top: int,
    leaves: int,
    seed: int,
    phrases: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Taxonomy:
    """A tree of at most `leaves` interests under at most `top`, over item vectors (n, d) of unit norm or zero.

    `weights` (n,) say how much an item counts, such as its purchases; names come from `phrases` (n,), such as the
    shop's category paths, and from `texts` (n,) where that is not given.
    """
    _check(vectors, texts, weights, phrases, top, leaves)
    shelf = Shelf.of(vectors, texts, weights)
    steps = 4
    centroids, leaf_of_distinct = cluster(shelf.vectors, shelf.weights, leaves, seed)
    progress(1, steps)
    parent = group(centroids, top)
    progress(2, steps)
    leaf = np.full(len(texts), len(centroids), dtype=np.int64)
    leaf[shelf.read] = leaf_of_distinct[shelf.distinct_of]
    vocabulary = Vocabulary.of(
        _taken(texts if phrases is None else phrases, shelf.read), weights[shelf.read] + _UNSOLD
    )
    leaf_names = name_groups(vocabulary, leaf[shelf.read], len(centroids), longest=2)
    top_names = name_groups(vocabulary, parent[leaf[shelf.read]], int(parent.max(initial=-1)) + 1, longest=3)
    progress(3, steps)
    if not shelf.read.all():
        centroids = np.vstack([centroids, np.zeros((1, vectors.shape[1]), dtype=np.float32)])
        parent = np.append(parent, len(top_names))
        leaf_names, top_names = (*leaf_names, UNREAD), (*top_names, UNREAD)
    layout = lay_out(centroids, shelf.vectors, shelf.first_row, shelf.weights, seed=seed)
    progress(4, steps)
    return Taxonomy(leaf, parent, centroids, leaf_names, top_names, layout)


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
        total = np.bincount(distinct_of, weights=weights[rows] + _UNSOLD, minlength=len(row_of))
        return cls(vectors[rows[first]], total.astype(np.float64), rows[first], read, distinct_of)


def cluster(vectors: Vectors, weights: Floats, leaves: int, seed: int) -> tuple[Vectors, Rows]:
    """Spherical k-means: unit centroids (k, d) and the cluster (m,) of each point; k is at most `leaves`.

    The best of two starts. No cluster is empty.
    """
    count = min(leaves, len({vector.tobytes() for vector in vectors}))
    if count == 0:
        return np.zeros((0, vectors.shape[1]), dtype=np.float32), np.zeros(0, dtype=np.int64)
    rng = np.random.default_rng(seed)
    runs = [_lloyd(vectors, weights, _starts(vectors, weights, count, rng)) for _ in range(_STARTS)]
    centroids, likeness = max(runs, key=lambda run: float(weights @ run[1].max(axis=1)))
    used, nearest = np.unique(likeness.argmax(axis=1), return_inverse=True)
    return centroids[used], nearest


def _starts(vectors: Vectors, weights: Floats, count: int, rng: np.random.Generator) -> Vectors:
    """Greedy k-means++: each next start is the best of a few drawn by their distance to those before."""
    gap = np.full(len(vectors), 2.0)
    chosen: list[int] = []
    while len(chosen) < count:
        pull = weights * gap
        drawn = rng.choice(len(vectors), size=_TRIALS, p=pull / pull.sum())
        gaps = np.minimum(gap[:, None], 1.0 - np.minimum(vectors @ vectors[drawn].T, 1.0))
        best = int((weights @ gaps).argmin())
        gap = gaps[:, best]
        gap[drawn[best]] = 0.0
        chosen.append(int(drawn[best]))
    return vectors[chosen]


def _lloyd(vectors: Vectors, weights: Floats, centroids: Vectors) -> tuple[Vectors, Vectors]:
    """Centroids that no longer move, and the (m, k) likeness of every point to them."""
    points = np.arange(len(vectors))
    likeness = vectors @ centroids.T
    nearest = likeness.argmax(axis=1)
    for _ in range(_ROUNDS):
        member = csr_array((weights, (nearest, points)), shape=(len(centroids), len(vectors)))
        pull = member @ vectors
        norm = np.linalg.norm(pull, axis=1, keepdims=True)
        centroids = np.divide(pull, norm, out=centroids.astype(np.float64), where=norm > 0).astype(np.float32)
        likeness = vectors @ centroids.T
        moved = likeness.argmax(axis=1)
        if np.array_equal(moved, nearest):
            break
        nearest = moved
    return centroids, likeness


def group(centroids: Vectors, top: int) -> Rows:
    """(leaves,): the leaves in at most `top` groups of alike ones, by Ward's criterion."""
    if len(centroids) <= 1:
        return np.zeros(len(centroids), dtype=np.int64)
    tree = linkage(centroids.astype(np.float64), method="ward")
    groups = cut_tree(tree, n_clusters=min(top, len(centroids))).ravel()
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _taken(entries: Sequence[str], keep: NDArray[np.bool_]) -> list[str]:
    return [entries[row] for row in np.flatnonzero(keep).tolist()]


def _check(
    vectors: Vectors,
    texts: Sequence[str],
    weights: Floats,
    phrases: Sequence[str] | None,
    top: int,
    leaves: int,
) -> None:
    n = len(texts)
    if vectors.ndim != 2 or len(vectors) != n or weights.shape != (n,) or n != len(phrases or texts):
        raise InvalidInput(
            f"vectors, weights and phrases must have one row per text, {n}, got {vectors.shape}, {weights.shape}"
            + (f", {len(phrases)}" if phrases is not None else "")
        )
    if n == 0:
        raise InvalidInput("there are no items to find interests in: import a catalogue first")
    if not np.isfinite(vectors).all() or not np.isfinite(weights).all() or (weights < 0).any():
        raise InvalidInput("vectors must be finite, and weights finite and at least 0")
    if top < 1 or leaves < top:
        raise InvalidInput(f"leaves must be at least top and top at least 1, got leaves={leaves}, top={top}")
