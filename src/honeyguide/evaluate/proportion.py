"""Whether a page has each interest in the proportion that a user's past has it (Steck 2018)."""

from __future__ import annotations

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows

_SURE = (
    0.01  # of the past, which every page is taken to hold: an interest that it lacks is not infinitely far
)


def disproportion_at_k(ranked: Rows, past: Floats, interests: Rows, k: int) -> Floats:
    """(u,): how far the interests of the first k places are from those of the past, in nats; 0 is in proportion.

    `ranked` is (u, m) item rows, -1 being none, `past` (u, g) how much of a user's past each interest has, of any
    sum above 0, and `interests` (n,) which one each item has. It is the Kullback-Leibler divergence of the page from
    the past; InvalidInput where a user has none.

    >>> interests, past = np.array([0, 0, 1, 1]), np.array([[1.0, 1.0]])
    >>> disproportion_at_k(np.array([[0, 2]]), past, interests, 2).tolist()
    [0.0]
    >>> disproportion_at_k(np.array([[0, 1]]), past, interests, 2).round(2).tolist()
    [1.96]
    """
    width = past.shape[1]
    if ranked.ndim != 2 or ranked.shape[1] < k or len(ranked) != len(past):
        raise InvalidInput(f"ranked must be ({len(past)}, at least {k}), got {ranked.shape}")
    if not (past >= 0).all() or not (past.sum(axis=1) > 0).all() or interests.max(initial=0) >= width:
        raise InvalidInput(f"past must be 0 or more, with something of each user, in all {width} interests")
    had = past / past.sum(axis=1, keepdims=True)
    page = np.zeros_like(had)
    user, place = np.nonzero(ranked[:, :k] >= 0)
    np.add.at(page, (user, interests[ranked[user, place]]), 1.0)
    page /= np.maximum(page.sum(axis=1, keepdims=True), 1.0)
    told = (1 - _SURE) * page + _SURE * had
    ratio = np.divide(had, told, out=np.ones_like(had), where=had > 0)
    return np.asarray((had * np.log(ratio)).sum(axis=1))
