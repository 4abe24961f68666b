"""How far users differ, chosen by foreseeing their next pages from those before: what a prior is needed for.

What makes whole histories likely is no guide to it. What a user took is in the features of the pages that follow, so
within a page the same taste counts once more than between pages; and users who differ by what hardly moves the
likelihood may still be told apart in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from honeyguide.explore.base_rate import LEAST, MOST
from honeyguide.explore.interest_effects import Told, rows_told, told_of
from honeyguide.explore.kinds import Kinds
from honeyguide.types import Floats, Rows, Vectors

BREADTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""What a prior's covariances are tried times."""
VARIANCES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
"""Of a user's single interests; 0 is none."""
_CLEARLY = 2.0  # standard errors
_USERS = 500  # that are asked, drawn at random where there are more


@dataclass(frozen=True, slots=True, eq=False)
class PagesTold:
    """Rows (r,) of pages, user by user and page by page: what was expected, what it earned, and what that tells.

    `rate` is the base rate and `looked` the chance to be looked at; `information` and `scores` are those of the
    reward, `groups` the items' interests and `pages` what differs from one page to the next. `features` are (r, d).
    """

    features: Vectors
    rewards: Floats
    rate: Floats
    looked: Floats
    information: Floats
    scores: Floats
    groups: Rows
    pages: Rows

    def of(self, rows: slice) -> PagesTold:
        """Some of them."""
        return PagesTold(*(getattr(self, name)[rows] for name in self.__slots__))


def widened(rows: PagesTold, starts: Rows, kinds: Kinds, *, seed: int) -> Kinds:
    """The kinds with their covariances times the one of BREADTHS under which pages are foreseen best.

    Users' rows begin at `starts` (u + 1,). Only those count that are clearly better than the covariances as they are:
    the log loss falls by more than two standard errors over users.
    """
    breadth = BREADTHS[_best(rows, starts, [_Way.of(kinds, breadth, 0.0) for breadth in BREADTHS], seed)]
    return Kinds(kinds.weights, kinds.means, breadth * kinds.covariances, kinds.noise_variance)


def interest_variance(rows: PagesTold, starts: Rows, kinds: Kinds, *, seed: int) -> float:
    """The one of VARIANCES under which pages are foreseen best; 0 unless another is clearly better."""
    return VARIANCES[_best(rows, starts, [_Way.of(kinds, 1.0, variance) for variance in VARIANCES], seed)]


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A prior over weights by its first two moments, a variance of interests, and the noise of one reward."""

    precision: Floats
    pulled: Floats
    variance: float
    noise: float

    @classmethod
    def of(cls, kinds: Kinds, breadth: float, variance: float) -> _Way:
        precision = np.asarray(np.linalg.inv(breadth * kinds.covariance), dtype=np.float64)
        return cls(precision, precision @ kinds.mean, variance, kinds.noise_variance)

    def foreseen(self, page: PagesTold, at: Rows, xx: Floats, xr: Floats, sums: Floats) -> Floats:
        """(k,): how far the logits of a page's items are expected to differ from the base rate, after such sums."""
        precision, pulled = self.precision + xx / self.noise, self.pulled + xr / self.noise
        if not self.variance:
            return np.asarray(page.features @ cho_solve(cho_factor(precision, lower=True), pulled))
        told: Told = told_of(np.arange(len(sums)), sums, self.variance, self.noise)
        less = told.summed_out()
        weights = cho_solve(cho_factor(precision - less[0], lower=True), pulled - less[1])
        lean, level, _ = told.of(at, self.variance)
        return np.asarray((page.features - lean) @ weights + level)


def _best(rows: PagesTold, starts: Rows, ways: Sequence[_Way], seed: int) -> int:
    """Which way foresees best of those that are clearly better than the first one; else that."""
    bounds = [pair for pair in pairwise(starts.tolist()) if len(np.unique(rows.pages[slice(*pair)])) > 1]
    if len(bounds) < 2:
        return 0
    drawn = np.random.default_rng(seed).permutation(len(bounds))[:_USERS]
    losses = np.array([_losses(rows.of(slice(*bounds[user])), ways) for user in drawn])
    gains = losses[:, :1] - losses
    gained, error = gains.sum(axis=0), gains.std(axis=0, ddof=1) * np.sqrt(len(gains))
    return int(np.where(gained > _CLEARLY * error, gained, 0.0).argmax())


def _losses(rows: PagesTold, ways: Sequence[_Way]) -> Floats:
    """(ways,): the log loss of a user's pages, each foreseen from those before it."""
    told = rows_told(rows.information, rows.scores, rows.features)  # wide numbers, of one user at a time
    names, at = np.unique(rows.groups, return_inverse=True)
    d = rows.features.shape[1]
    sums, xx, xr = np.zeros((len(names), d + 2)), np.zeros((d, d)), np.zeros(d)
    found = np.zeros(len(ways))
    bounds = np.flatnonzero(np.diff(rows.pages, prepend=rows.pages[0] - 1)).tolist()
    for start, stop in pairwise([*bounds, len(rows.pages)]):
        rows_of, page = slice(start, stop), rows.of(slice(start, stop))
        if start:
            found += [_loss(page, way.foreseen(page, at[rows_of], xx, xr, sums)) for way in ways]
        np.add.at(sums, at[rows_of], told[rows_of])
        wide = page.features.astype(np.float64)
        xx = xx + told[rows_of, 2:].T @ wide
        xr = xr + page.scores @ wide
    return found


def _loss(page: PagesTold, moved: Floats) -> float:
    """The log loss of a page's rewards where its items' logits differ from the base rate by `moved` (k,)."""
    chance = page.looked * np.clip(page.rate + page.rate * (1 - page.rate) * moved, LEAST, MOST)
    return float(-(page.rewards * np.log(chance) + (1 - page.rewards) * np.log1p(-chance)).sum())
