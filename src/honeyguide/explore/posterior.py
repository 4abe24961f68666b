"""What is believed about each user: a linear-Gaussian posterior held as exact, additive statistics.

A user's reward for an item with features x is x·w + noise, w ~ N(prior mean, prior covariance). All that has to
be remembered of the observations is A = Σ x xᵀ and b = Σ r x. Both are kept as 64-bit integers in fixed point
(steps of 2⁻³²), so sums do not depend on their order, shards merge and people are unlearned to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, State, Vectors

STEP = 2.0**-32
MAX_FEATURE = (
    64.0  # with |x| <= 2^6 a product takes 2^12 / STEP = 2^44, which leaves room for 2^18 worst cases
)
_HEADROOM = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What is believed of a user nobody has met: mean (d,), covariance (d, d), and the noise of one reward."""

    mean: Floats
    covariance: Floats
    noise_variance: float

    def __post_init__(self) -> None:
        d = len(self.mean)
        if self.covariance.shape != (d, d):
            raise InvalidInput(f"covariance must be ({d}, {d}), got {self.covariance.shape}")
        if not (self.noise_variance > 0 and np.isfinite(self.noise_variance)):
            raise InvalidInput(f"noise_variance must be positive and finite, got {self.noise_variance}")

    @property
    def dim(self) -> int:
        """How many features an item has."""
        return len(self.mean)

    @classmethod
    def isotropic(cls, dim: int, *, variance: float = 1.0, noise_variance: float = 0.25) -> Self:
        """The prior that knows nothing: a baseline, and what a brand-new shop starts from."""
        return cls(np.zeros(dim), variance * np.eye(dim), noise_variance)


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """One user's posterior: mean (d,), and a root (d, d) with rootᵀ·root the covariance of the weights."""

    mean: Floats
    root: Floats

    def sample(self, draws: int, rng: np.random.Generator, *, scale: float = 1.0) -> Floats:
        """(draws, d): joint draws of the weights, their spread multiplied by `scale`."""
        noise = rng.standard_normal((len(self.mean), draws))
        return np.asarray(self.mean + scale * self.spread(noise).T)

    def spread(self, noise: Floats) -> Floats:
        """(d, draws): standard normal `noise` (d, draws) turned into deviations from the mean."""
        return self.root.T @ noise

    def score_root(self, features: Floats) -> Floats:
        """(d, n): a matrix R with RᵀR the covariance of the (n, d) items' expected rewards."""
        return self.root @ features.T

    def variance(self, features: Vectors) -> Floats:
        """(n,): how uncertain the expected reward of each item is."""
        return np.asarray((self.score_root(features.astype(np.float64)) ** 2).sum(axis=0))

    @property
    def covariance(self) -> Floats:
        """(d, d): the posterior covariance of the weights."""
        return self.root.T @ self.root


class UserPosterior:
    """A linear-Gaussian posterior per user, under one prior."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior
        self._precision = _invert(prior.covariance)
        self._identity = np.eye(prior.dim)
        self._shift = self._precision @ prior.mean
        self._stats: dict[str, NDArray[np.int64]] = {}  # user -> (d, d + 1): A beside b
        self._beliefs: dict[str, Belief] = {}
        self._untaught = self._solve(np.zeros((prior.dim, prior.dim + 1), dtype=np.int64))

    @property
    def users(self) -> Iterator[str]:
        """Everyone of whom something was observed."""
        return iter(self._stats)

    def belief(self, user_id: str) -> Belief:
        """What is believed of this user now; the prior where nothing was observed."""
        if user_id not in self._stats:
            return self._untaught
        if user_id not in self._beliefs:
            self._beliefs[user_id] = self._solve(self._stats[user_id])
        return self._beliefs[user_id]

    def draw_scores(
        self, user_id: str, features: Vectors, draws: int, rng: np.random.Generator, *, scale: float = 1.0
    ) -> Floats:
        """(draws, n): row i scores every item under the same posterior draw."""
        weights = self.belief(user_id).sample(draws, rng, scale=scale)
        return np.asarray(weights @ features.T.astype(np.float64))

    def observe(self, user_id: str, features: Vectors, rewards: Floats) -> None:
        """Add (k, d) features and their (k,) rewards; InvalidInput leaves no trace."""
        self._add(user_id, self._statistics(features, rewards))

    def retract(self, user_id: str, features: Vectors, rewards: Floats) -> None:
        """Take an observation back, to the bit."""
        self._add(user_id, -self._statistics(features, rewards))

    def forget(self, user_id: str) -> None:
        """Unlearn a user, to the bit."""
        self._stats.pop(user_id, None)
        self._beliefs.pop(user_id, None)

    def state(self) -> State:
        """The prior and every user's statistics."""
        names, offsets = pack_strings(sorted(self._stats))
        d = self.prior.dim
        stats = [self._stats[user] for user in sorted(self._stats)]
        return {
            "prior.mean": self.prior.mean,
            "prior.covariance": self.prior.covariance,
            "prior.noise_variance": np.array([self.prior.noise_variance]),
            "users.names": names,
            "users.offsets": offsets,
            "users.stats": np.stack(stats) if stats else np.zeros((0, d, d + 1), dtype=np.int64),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The posterior whose `state()` this is."""
        prior = Prior(state["prior.mean"], state["prior.covariance"], float(state["prior.noise_variance"][0]))
        posterior = cls(prior)
        names = unpack_strings(state["users.names"], state["users.offsets"])
        posterior._stats = {
            name: stats.copy() for name, stats in zip(names, state["users.stats"], strict=True)
        }
        return posterior

    def _statistics(self, features: Vectors, rewards: Floats) -> NDArray[np.int64]:
        check_rewards(rewards, len(features))
        if features.ndim != 2 or features.shape[1] != self.prior.dim:
            raise InvalidInput(f"features must be (k, {self.prior.dim}), got {features.shape}")
        if not (np.abs(features) <= MAX_FEATURE).all():  # also refuses NaN
            raise InvalidInput(f"features must be finite and within ±{MAX_FEATURE:g}: scale them")
        x = features.astype(np.float64)
        beside = np.concatenate([x, rewards[:, None]], axis=1)
        # each observation is rounded by itself: the sum is then the same however a page is cut into pieces
        products = np.rint(x[:, :, None] * beside[:, None, :] / STEP)
        return np.asarray(products.astype(np.int64).sum(axis=0))

    def _add(self, user_id: str, statistics: NDArray[np.int64]) -> None:
        old = self._stats.get(user_id)
        new = statistics if old is None else old + statistics
        if np.abs(new).max() > _HEADROOM:
            raise InvalidInput(
                f"user {user_id!r} has too many observations to add up exactly: forget or split it"
            )
        self._beliefs.pop(user_id, None)
        if new.any():
            self._stats[user_id] = new
        else:  # everything was retracted: nobody can tell that the user was ever here
            self._stats.pop(user_id, None)

    def _solve(self, statistics: NDArray[np.int64]) -> Belief:
        sums = statistics * (STEP / self.prior.noise_variance)
        factor, _ = cho_factor(self._precision + sums[:, :-1], lower=True, check_finite=False)
        mean = cho_solve((factor, True), self._shift + sums[:, -1], check_finite=False)
        # inverted once: every draw and every slot then costs one small product
        root = solve_triangular(factor, self._identity, lower=True, check_finite=False)
        return Belief(mean, root)


def check_rewards(rewards: Floats, k: int) -> None:
    """InvalidInput unless `rewards` is (k,) and each lies in [-1, 1]."""
    if rewards.shape != (k,):
        raise InvalidInput(f"rewards must be ({k},), one per item shown, got {rewards.shape}")
    if not (np.abs(rewards) <= 1).all():  # also refuses NaN
        raise InvalidInput(f"rewards must be finite and within [-1, 1], got {rewards.tolist()}")


def _invert(matrix: Floats) -> Floats:
    try:
        inverse = cho_solve(cho_factor(matrix, lower=True), np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        raise InvalidInput(
            "the prior covariance must be positive definite: add a ridge to its diagonal"
        ) from None
    return np.asarray((inverse + inverse.T) / 2)
