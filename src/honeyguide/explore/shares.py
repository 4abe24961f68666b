"""From sampled scores to a pmf: shares of wins, and the floor that keeps every item estimable."""

from __future__ import annotations

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows

_TIE = 2.0**-30  # scores this close tie: the last bits of a matrix product depend on where an item stands


def win_shares(scores: Floats, weights: Floats | None = None) -> Floats:
    """(n,): each item's share of first places over the rows of `scores` (draws, n); ties are shared.

    A row counts its part of `weights` (draws,), which sum to 1; all count the same where there are none.
    """
    winners = scores >= scores.max(axis=1, keepdims=True) - _TIE
    shared = winners.sum(axis=1, keepdims=True)
    if weights is not None:
        return np.asarray(weights @ (winners / shared))
    if shared.max() == 1:
        return np.asarray(winners.sum(axis=0) / len(scores))
    return np.asarray((winners / shared).mean(axis=0))


def win_shares_within(scores: Floats, starts: Rows) -> Floats:
    """(n,): the same within each of the groups whose columns of `scores` (draws, n) begin at `starts` (g,).

    The shares of a group sum to 1.
    """
    sizes = np.diff(starts, append=scores.shape[1])
    winners = scores >= np.repeat(np.maximum.reduceat(scores, starts, axis=1), sizes, axis=1) - _TIE
    shared = np.repeat(np.add.reduceat(winners, starts, axis=1, dtype=np.int64), sizes, axis=1)
    return np.asarray((winners / shared).mean(axis=0))


def with_floor(pmf: Floats, floor: float) -> Floats:
    """`pmf` with the share `floor` of it spread evenly: no entry falls below floor / n."""
    mixed = (1.0 - floor) * pmf + floor / len(pmf)
    return np.asarray(mixed / mixed.sum())


def check_floor(floor: float) -> float:
    """`floor` itself; InvalidInput unless it lies in (0, 1]."""
    if not 0 < floor <= 1:
        raise InvalidInput(
            f"floor must lie in (0, 1], got {floor}: without it an item cannot be evaluated off-policy"
        )
    return floor
