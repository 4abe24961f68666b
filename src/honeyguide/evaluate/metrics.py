"""Ranking metrics: one value per query, so that they can be averaged by user and given an interval.

A query's ranking is one row of a matrix, best first. Metrics that no ranking can earn anything on (a query with
nothing relevant) are refused rather than counted as 0 or 1: leave such queries out, and say how many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows


def recall_at_k(hits: NDArray[np.bool_], relevant: Rows, k: int) -> Floats:
    """(q,): which share of a query's relevant items stands among its first k.

    `hits` is (q, m): whether the item at each place of the ranking is relevant; `relevant` is (q,): how many
    relevant items there are in all, at least 1.

    >>> hits = np.array([[True, False, True], [False, False, True]])
    >>> recall_at_k(hits, np.array([4, 1]), 2).tolist()
    [0.25, 0.0]
    >>> recall_at_k(hits, np.array([4, 1]), 3).tolist()
    [0.5, 1.0]
    """
    _check_k(hits, k)
    if relevant.shape != (len(hits),) or not (relevant >= np.maximum(hits.sum(axis=1), 1)).all():
        raise InvalidInput(
            f"relevant must be ({len(hits)},), at least 1 and no less than the hits, got {relevant.tolist()[:8]}: "
            "leave out queries with nothing relevant"
        )
    return np.asarray(hits[:, :k].sum(axis=1) / relevant, dtype=np.float64)


def ndcg_at_k(gains: Floats, ideal: Floats, k: int) -> Floats:
    """(q,): discounted gain of the first k places, as a share of the best possible ranking's.

    `gains` is (q, m), 0 or more: what the item at each place is worth; `ideal` is (q, p): the worth of all
    relevant items in any order, padded with 0. Place j, from 0, counts 1 / log2(j + 2)
    (Järvelin & Kekäläinen 2002, with the gains as they are, not as powers of 2).

    >>> ndcg_at_k(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0], [1.0]]), 2).round(4).tolist()
    [1.0, 0.6309]
    >>> ndcg_at_k(np.array([[1.0, 3.0]]), np.array([[1.0, 3.0]]), 2).round(4).tolist()
    [0.7967]
    """
    _check_k(gains, k)
    if len(ideal) != len(gains) or (gains < 0).any() or not (ideal.max(axis=1, initial=0.0) > 0).all():
        raise InvalidInput(
            f"ideal must hold a gain above 0 for each of the {len(gains)} queries, and no gain may be below 0: "
            "leave out queries with nothing relevant"
        )
    best = -np.sort(-ideal, axis=1)[:, :k]
    return np.asarray(_discounted(gains[:, :k]) / _discounted(best))


def coverage_at_k(ranked: Rows, n_items: int, k: int) -> float:
    """Which share of the n_items rows stands among the first k of any query; `ranked` is (q, m) rows.

    >>> coverage_at_k(np.array([[0, 1, 2], [1, 0, 3]]), 4, 2)
    0.5
    """
    return float((exposure_at_k(ranked, n_items, k) > 0).mean())


def exposure_entropy(exposure: Rows | Floats) -> float:
    """Entropy of (n,) exposures, 0 or more, in nats: 0 where one item is all that is shown, ln n where all are alike.

    >>> exposure_entropy(np.array([5, 0, 0]))
    0.0
    >>> round(exposure_entropy(np.array([2, 2, 2, 2])), 4)
    1.3863
    """
    total = float(exposure.sum())
    if not (exposure >= 0).all() or not 0 < total < np.inf:
        raise InvalidInput(f"exposure must be 0 or more and not 0 everywhere, got a sum of {total:g}")
    share = exposure[exposure > 0] / total
    return float(np.abs((share * np.log(share)).sum()))


def exposure_at_k(ranked: Rows, n_items: int, k: int) -> Rows:
    """(n_items,): how often each row stands among the first k.

    >>> exposure_at_k(np.array([[0, 1, 2], [1, 0, 3]]), 4, 2).tolist()
    [2, 2, 0, 0]
    """
    _check_k(ranked, k)
    shown = ranked[:, :k].ravel()
    if ((shown < 0) | (shown >= n_items)).any():
        raise InvalidInput(
            f"ranked must hold rows in 0..{n_items - 1}, got {int(shown.min())}..{int(shown.max())}"
        )
    return np.bincount(shown, minlength=n_items).astype(np.int64)


def _check_k(ranking: NDArray[np.generic], k: int) -> None:
    if ranking.ndim != 2 or not len(ranking):
        raise InvalidInput(f"rankings must be (queries, places) with at least one query, got {ranking.shape}")
    if not 1 <= k <= ranking.shape[1]:
        raise InvalidInput(f"k must be in 1..{ranking.shape[1]} (the places of the ranking), got {k}")


def _discounted(gains: Floats) -> Floats:
    return np.asarray(gains @ (1 / np.log2(np.arange(gains.shape[1]) + 2)))
