"""How soft the memberships of a tree are: measured on halves of the catalogue."""

from __future__ import annotations

import numpy as np

from honeyguide.interests.clusters import lloyd, nearest_of
from honeyguide.types import Floats, Rows, Vectors

_GRID = np.geomspace(0.01, 0.4, 25)
_HALVES = 4
_MOST = 10_000  # points: enough for one number
_ROUNDS = 10  # from where the whole tree stands, a half's centroids have come to rest by then


def learn_temperature(vectors: Vectors, weights: Floats, centroids: Vectors, seed: int) -> float:
    """The temperature whose memberships best foretell where an item falls in a tree that never saw it.

    Centroids are learned from one half of the points (m, d); where the other half falls then is foretold by the
    softmax of its cosines to the whole tree's `centroids` (leaves, d), and likelihood decides. 0 where there is but
    one leaf.
    """
    if len(centroids) < 2 or len(vectors) < 4:
        return 0.0
    rng = np.random.default_rng([seed, 1])
    some = rng.choice(len(vectors), size=min(_MOST, len(vectors)), replace=False)
    points, mass = vectors[some], weights[some]
    surprise = np.zeros(len(_GRID))
    for _ in range(_HALVES):
        learn = rng.random(len(points)) < 0.5
        if learn.all() or not learn.any():
            continue
        half = lloyd(points[learn], mass[learn], centroids, rounds=_ROUNDS)
        fell = nearest_of(points[~learn], half)
        likeness = (points[~learn] @ centroids.T).astype(np.float64)
        surprise += [_surprise(likeness / temperature, fell, mass[~learn]) for temperature in _GRID]
    return float(_GRID[int(surprise.argmin())])


def _surprise(scores: Floats, fell: Rows, weights: Floats) -> float:
    """The weighted sum of -log softmax of `scores` (m, leaves) at where the points fell (m,)."""
    top = scores.max(axis=1)
    total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return float(weights @ (total - scores[np.arange(len(fell)), fell]))
