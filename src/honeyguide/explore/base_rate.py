"""What an item is expected to earn before anything is known of how this user differs, or this item.

One logistic regression for all users and items, over the features that a policy sees. Rewards are rare and their
reasons multiply (a popular item of a liked interest), which sums of features cannot say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from honeyguide.types import Floats, Rows, Vectors

LEAST, MOST = 1e-3, 0.95
"""What is expected of anything: rewards are weighed by one over it."""
RIDGES = (1.0, 10.0, 100.0, 1000.0)
MOST_ROWS = 300_000
"""Rows that are learned from: those of whole users, drawn where there are more."""


@dataclass(frozen=True, slots=True, eq=False)
class BaseRate:
    """The weights (d,) and the intercept of a logistic regression."""

    weights: Floats
    intercept: float

    def expected(self, features: Vectors | Floats) -> Floats:
        """(n,): the expected reward of each of the (n, d) features, within LEAST..MOST."""
        found = expit(features.astype(np.float64) @ self.weights + self.intercept)
        return np.asarray(np.clip(found, LEAST, MOST))

    @property
    def dim(self) -> int:
        """How many features an item has."""
        return len(self.weights)


def learn_base_rate(
    features: Vectors, rewards: Floats, starts: Rows, looked: Floats, *, seed: int
) -> tuple[BaseRate, float]:
    """The base rate of rows (r, d) with rewards (r,) in 0..1, and the ridge it was learned with.

    Users' rows begin at `starts` (u + 1,); `looked` (r,) are the chances that the rows were looked at. How far the
    weights of standardised features are held to 0 is chosen by what one half of the users says of the other.
    """
    some = some_users(starts, MOST_ROWS, np.random.default_rng(seed))
    features, rewards, looked = features[some.rows], rewards[some.rows], looked[some.rows]
    if not 0 < rewards.sum() < len(rewards):  # nothing tells rows apart
        return BaseRate(np.zeros(features.shape[1]), _logit(rewards, looked)), RIDGES[-1]
    halves = some.of_half(0), some.of_half(1)
    losses = [
        sum(
            _loss(logistic(features[a], rewards[a], ridge, looked[a]), features[b], rewards[b], looked[b])
            for a, b in (halves, halves[::-1])
        )
        for ridge in RIDGES
    ]
    ridge = RIDGES[int(np.argmin(losses))]
    return logistic(features, rewards, ridge, looked), ridge


def logistic(features: Vectors, rewards: Floats, ridge: float, looked: Floats) -> BaseRate:
    """The logistic regression with this ridge on its standardised weights; a feature that never differs has none.

    The logarithms of `looked` (r,) are added to the logits: of what is rare that is what looking comes to.
    """
    wide = features.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    used = deviation > 1e-9
    x = np.ones((len(wide), int(used.sum()) + 1))
    x[:, 1:] = (wide[:, used] - mean[used]) / deviation[used]

    def worth(weights: Floats) -> tuple[float, Floats]:
        logits = x @ weights + seen
        held = ridge * weights
        held[0] = 0.0
        value = np.logaddexp(0, logits).sum() - rewards @ logits + 0.5 * (held @ weights)
        return float(value), x.T @ (expit(logits) - rewards) + held

    seen = np.log(looked)
    start = np.zeros(x.shape[1])
    start[0] = _logit(rewards, looked)
    found = minimize(worth, start, jac=True, method="L-BFGS-B").x
    weights = np.zeros(features.shape[1])
    weights[used] = found[1:] / deviation[used]
    return BaseRate(weights, float(found[0] - mean @ weights))


def held(features: Vectors, ridge: float) -> Floats:
    """(d, d): the precision that a ridge on standardised features gives the weights of the features themselves."""
    deviation = features.std(axis=0, dtype=np.float64)
    return np.diag(ridge * np.where(deviation > 1e-9, deviation, 1.0) ** 2)


def _logit(rewards: Floats, looked: Floats) -> float:
    """The logit of the mean of rewards (r,) of what was looked at, never quite infinite."""
    return float(np.log(rewards.sum() + 0.5) - np.log(max(looked.sum() - rewards.sum(), 0.0) + 0.5))


def _loss(base: BaseRate, features: Vectors, rewards: Floats, looked: Floats) -> float:
    """The log loss of rewards (r,), summed."""
    chance = base.expected(features) * looked
    return float(-(rewards * np.log(chance) + (1 - rewards) * np.log1p(-chance)).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Linearised:
    """What (k,) rewards say of their items' logits: each is `due`, scatters by `variance`, and moves by `slope`.

    One step of Fisher scoring: (slope / √variance)·x with the reward (r - due)/√variance is a row of a linear model.
    """

    due: Floats
    variance: Floats
    slope: Floats

    @classmethod
    def of(cls, rate: Floats, looked: Floats) -> Self:
        """Around base rates (k,) of items that are looked at with the chances `looked` (k,)."""
        due = rate * looked
        return cls(due, due * (1 - due), due * (1 - rate))

    def rows(self, features: Vectors | Floats, rewards: Floats) -> tuple[Floats, Floats]:
        """The (k, d) features and (k,) rewards of the linear model whose noise is of one size."""
        root = np.sqrt(self.variance)
        return features * (self.slope / root)[:, None], (rewards - self.due) / root

    def scores(self, rewards: Floats) -> tuple[Floats, Floats]:
        """(k,) how much each reward tells of its item's logit, and (k,) what: Fisher information and score."""
        share = self.slope / self.variance
        return share * self.slope, share * (rewards - self.due)


@dataclass(frozen=True, slots=True, eq=False)
class SomeRows:
    """Rows (r,) of whole users, and whose each is (r,), counted from 0."""

    rows: Rows
    user: Rows

    def of_half(self, half: int) -> NDArray[np.bool_]:
        """(r,): which rows are of every second user."""
        return np.asarray(self.user % 2 == half)


def some_users(starts: Rows, most: int, rng: np.random.Generator) -> SomeRows:
    """The rows of as many users, drawn at random, as have `most` rows together; of one at the least."""
    users = rng.permutation(len(starts) - 1)
    counts = np.diff(starts)[users].cumsum()
    users = users[: max(int(np.searchsorted(counts, most, side="right")), 1)]
    parts = [np.arange(starts[user], starts[user + 1]) for user in users]
    return SomeRows(np.concatenate(parts), np.repeat(np.arange(len(users)), [len(part) for part in parts]))
