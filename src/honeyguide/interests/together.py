"""What is taken together lies together: vectors of texts drawn towards those of what users took near them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows, Vectors

_EVENTS = 10.0  # an item taken so often follows its company half as much as one taken without end
_CHUNK = 1 << 21  # pairs that are counted at a time


@dataclass(frozen=True, slots=True, eq=False)
class Company:
    """What m points were taken with: `counts` (m, m) symmetric, and how often each was `taken` (m,)."""

    counts: csr_array
    taken: Floats

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.taken),) * 2:
            raise InvalidInput(f"counts must be square, one row per point, {len(self.taken)}")

    @classmethod
    def of(cls, first: Rows, second: Rows, taken: Floats) -> Company:
        """From pairs (p,) of points that one user took near each other; a pair with itself says nothing."""
        points = len(taken)
        counts = csr_array((points, points), dtype=np.float64)
        for start in range(0, len(first), _CHUNK):
            a, b = first[start : start + _CHUNK], second[start : start + _CHUNK]
            a, b = a[a != b], b[a != b]
            some = coo_array((np.ones(len(a)), (a, b)), shape=(points, points)).tocsr()
            counts = counts + some
        return cls((counts + counts.T).tocsr(), taken)


def draw_together(vectors: Vectors, company: Company, share: float) -> Vectors:
    """(m, d): unit vectors drawn towards the mean of their company, by `share` where they were taken without end.

    An item that was hardly taken stays where its text is: by n / (n + 10) of the share after n times.
    """
    if not 0 <= share <= 1:
        raise InvalidInput(f"share must lie in 0..1, got {share}")
    totals = np.asarray(company.counts.sum(axis=1)).ravel()
    around = _unit(company.counts @ vectors / np.maximum(totals, 1.0)[:, None])
    pull = share * company.taken / (company.taken + _EVENTS) * (totals > 0)
    return _unit((1 - pull)[:, None] * vectors + pull[:, None] * around)


def _unit(vectors: Floats) -> Vectors:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norm, out=np.zeros(vectors.shape), where=norm > 0)
    return np.asarray(unit, dtype=np.float32)
