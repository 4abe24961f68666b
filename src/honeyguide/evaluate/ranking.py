"""What rankings of a whole catalogue are worth, where one item was taken next: accuracy, and what else a shop wants.

All are computed on the full ranking: those on a sample of negatives can put models in another order (Krichene &
Rendle 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.metrics import coverage_at_k, ndcg_at_k
from honeyguide.types import Floats, Rows

_LIKES_POPULAR = 1.5  # how fast the chance to be observed grows with popularity: Yang et al. 2018, gamma of 2


@dataclass(frozen=True, slots=True)
class RankingQuality:
    """Means over users; each is of the first k places of a ranking.

    `debiased_ndcg` weighs users by how seldom their item is taken, so that finding what everybody finds counts little
    (Yang et al. 2018, self-normalised inverse propensities); `coverage` is the share of the catalogue that stands in
    any ranking, `novelty` the mean information of what is shown, in bits: how surprising it is that somebody took it.
    """

    recall: float
    ndcg: float
    debiased_ndcg: float
    coverage: float
    novelty: float
    users: int


def ranking_quality(ranked: Rows, targets: Rows, taken: Rows, k: int) -> RankingQuality:
    """The quality of `ranked` (u, m) item rows for users who took `targets` (u,) next.

    `taken` (n,) says how often each item of the catalogue was taken before. A row of -1 stands for no item.
    """
    hits = hits_of(ranked, targets, k)
    ndcg = ndcg_at_k(hits.astype(np.float64), np.ones((len(hits), 1)), k)
    weight = np.maximum(taken[targets], 1).astype(np.float64) ** -_LIKES_POPULAR
    shown = ranked[:, :k]
    return RankingQuality(
        recall=float(hits.any(axis=1).mean()),
        ndcg=float(ndcg.mean()),
        debiased_ndcg=float(weight @ ndcg / weight.sum()),
        coverage=coverage_at_k(shown[(shown >= 0).all(axis=1)], len(taken), k),
        novelty=float(_information(taken)[shown[shown >= 0]].mean()),
        users=len(targets),
    )


def hits_of(ranked: Rows, targets: Rows, k: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(u, k): whether the item at each of the first k places is the user's."""
    if ranked.ndim != 2 or ranked.shape[1] < k or len(ranked) != len(targets) or not len(targets):
        raise InvalidInput(
            f"ranked must be (users, at least {k}) with a target for each user, got {ranked.shape} and {len(targets)}"
        )
    return np.asarray(ranked[:, :k] == targets[:, None])


def _information(taken: Rows) -> Floats:
    share = (taken + 1) / (taken.sum() + len(taken))
    return np.asarray(-np.log2(share))
