"""The items nearest to a query: an exact scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows, Vectors

_BLOCK = 128  # scores


class ExactRetriever:
    """Scans all vectors (n, d) by inner product: no index to build, no neighbour missed."""

    def __init__(self, vectors: Vectors) -> None:
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise InvalidInput(f"vectors must be (n, d) and finite, got shape {vectors.shape}")
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)

    def __len__(self) -> int:
        return len(self._vectors)

    def search(
        self, query: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[Rows, Vectors]:
        """(rows, scores), both (min(k, allowed),): descending, distinct; ties go to the lower row."""
        scores = self._scores(query)
        if k < 1:
            raise InvalidInput(f"k must be at least 1, got {k}")
        rows = np.arange(len(self)) if allowed is None else self._allowed_rows(allowed)
        best = largest(scores if allowed is None else scores[rows], k)
        return rows[best], scores[rows[best]]

    def _scores(self, query: Vectors) -> Vectors:
        dim = self._vectors.shape[1]
        if query.shape != (dim,) or not np.isfinite(query).all():
            raise InvalidInput(f"query must be ({dim},) and finite, got shape {query.shape}")
        return np.asarray(self._vectors @ query.astype(np.float32, copy=False))

    def _allowed_rows(self, allowed: NDArray[np.bool_]) -> Rows:
        if allowed.shape != (len(self),) or allowed.dtype != np.bool_:
            raise InvalidInput(f"allowed must be ({len(self)},) bool, got {allowed.shape} {allowed.dtype}")
        return np.flatnonzero(allowed)


def largest(scores: Vectors | Floats, k: int) -> Rows:
    """(min(k, n),) places of the k largest scores, descending, ties to the lower place."""
    n = len(scores)
    if k < n:
        near = np.flatnonzero(scores >= _reached_by(scores, k))
        # partition breaks ties as it likes: everything as good as the k-th is kept, and the order decides
        kth = np.partition(scores[near], len(near) - k)[len(near) - k]
        places = near[scores[near] >= kth]
    else:
        places = np.arange(n)
    return np.asarray(places[np.argsort(-scores[places], kind="stable")[:k]])


def _reached_by(scores: Vectors | Floats, k: int) -> float:
    """What k of the scores reach at the least: of the blocks' best the k-th, found in a tenth of a partition."""
    blocks = len(scores) // _BLOCK
    if blocks <= k:
        return -np.inf
    best = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
    return float(np.partition(best, blocks - k)[blocks - k])
