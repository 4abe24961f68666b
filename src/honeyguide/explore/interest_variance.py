"""How much users differ in single interests beyond what their weights say: learned by foreseeing their next pages."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from honeyguide.explore.base_rate import LEAST, MOST
from honeyguide.explore.interest_effects import Told, rows_told, told_of
from honeyguide.explore.kinds import Kinds
from honeyguide.types import Floats, Rows

VARIANCES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
_CLEARLY = 2.0  # standard errors
_USERS = 500  # that are asked, drawn at random where there are more


@dataclass(frozen=True, slots=True, eq=False)
class InterestRows:
    """Rows (r,) of pages, user by user and page by page: what was expected, what it earned, and what that tells.

    `rate` is the base rate and `looked` the chance to be looked at; `information` and `scores` are those of the
    reward, `groups` the items' interests and `pages` what differs from one page to the next. `features` are (r, d).
    """

    features: Floats
    rewards: Floats
    rate: Floats
    looked: Floats
    information: Floats
    scores: Floats
    groups: Rows
    pages: Rows

    def of(self, rows: slice) -> InterestRows:
        """Some of them."""
        return InterestRows(*(getattr(self, name)[rows] for name in self.__slots__))


def learn_interest_variance(rows: InterestRows, starts: Rows, kinds: Kinds, *, seed: int) -> float:
    """The variance of users' interests under which their pages are foreseen best, each from those before it.

    Users' rows begin at `starts` (u + 1,). What a user took is in the features of later pages already, so it counts
    only what is told beyond that; 0, which is none, unless the log loss falls by more than two standard errors.
    """
    bounds = [pair for pair in pairwise(starts.tolist()) if len(np.unique(rows.pages[slice(*pair)])) > 1]
    if len(bounds) < 2:
        return 0.0
    drawn = np.random.default_rng(seed).permutation(len(bounds))[:_USERS]
    precision = np.asarray(np.linalg.inv(kinds.covariance), dtype=np.float64)
    losses = np.array([_losses(rows.of(slice(*bounds[user])), kinds, precision) for user in drawn])
    gains = losses[:, :1] - losses
    best = int(gains.sum(axis=0).argmax())
    error = gains[:, best].std(ddof=1) * np.sqrt(len(gains))
    return VARIANCES[best] if gains[:, best].sum() > _CLEARLY * error else 0.0


def _losses(rows: InterestRows, kinds: Kinds, precision: Floats) -> Floats:
    """(variances,): the log loss of a user's pages, each foreseen from those before it."""
    told = rows_told(rows.information, rows.scores, rows.features)
    names, at = np.unique(rows.groups, return_inverse=True)
    sums, found = np.zeros((len(names), told.shape[1])), np.zeros(len(VARIANCES))
    xx, xr = np.zeros_like(precision), precision @ kinds.mean
    bounds = np.flatnonzero(np.diff(rows.pages, prepend=rows.pages[0] - 1)).tolist()
    for start, stop in pairwise([*bounds, len(rows.pages)]):
        page = slice(start, stop)
        if start:
            for which, variance in enumerate(VARIANCES):
                told_now = (
                    told_of(np.arange(len(names)), sums, variance, kinds.noise_variance) if variance else None
                )
                moved = _foreseen(rows.features[page], at[page], precision + xx, xr, told_now, variance)
                found[which] += _loss(rows.of(page), moved)
        np.add.at(sums, at[page], told[page])
        xx = xx + told[page, 2:].T @ rows.features[page] / kinds.noise_variance
        xr = xr + told[page, 1] @ rows.features[page] / kinds.noise_variance
    return found


def _foreseen(
    features: Floats, interests: Rows, precision: Floats, pulled: Floats, told: Told | None, variance: float
) -> Floats:
    """(k,): how far the logits of items (k, d) in interests (k,) are expected to differ from the base rate."""
    if told is None:
        return np.asarray(features @ cho_solve(cho_factor(precision, lower=True), pulled))
    less = told.summed_out()
    weights = cho_solve(cho_factor(precision - less[0], lower=True), pulled - less[1])
    lean, level, _ = told.of(interests, variance)
    return np.asarray((features - lean) @ weights + level)


def _loss(page: InterestRows, moved: Floats) -> float:
    """The log loss of a page's rewards where its items' logits differ from the base rate by `moved` (k,)."""
    chance = page.looked * np.clip(page.rate + page.rate * (1 - page.rate) * moved, LEAST, MOST)
    return float(-(page.rewards * np.log(chance) + (1 - page.rewards) * np.log1p(-chance)).sum())
