"""What is believed about each user: a linear posterior held as exact, additive statistics.

A user's reward for an item with features x is x·w + noise, where w is drawn from the prior: a Gaussian, or one of
several for kinds of users (`kinds.py`). All that has to be remembered of the observations is A = Σ x xᵀ and
b = Σ r x. Features and rewards are rounded to steps of 2⁻¹⁶, so their products are whole steps of 2⁻³², which floats
add up without an error and 64-bit integers keep: sums do not depend on their order, shards merge and people are
unlearned to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.errors import InvalidInput
from honeyguide.explore.about import About
from honeyguide.explore.kinds import Belief, Believer, Kinds, Leaning
from honeyguide.types import Candidates, Decision, Floats, Rows, State, Vectors

STEP = 2.0**-32
MAX_FEATURE = (
    64.0  # with |x| <= 2^6 a product takes 2^12 / STEP = 2^44, which leaves room for 2^18 worst cases
)
_GRID = 2.0**-16  # of features and rewards: STEP is its square
_HEADROOM = 2**62
_ROWS = 256  # products below 2^44 of so many rows add up below 2^53, where float64 is exact


class Prior(Kinds):
    """One kind of users only: mean (d,), covariance (d, d), and the noise of one reward."""

    def __init__(self, mean: Floats, covariance: Floats, noise_variance: float) -> None:
        d = len(mean)
        if covariance.shape != (d, d):
            raise InvalidInput(f"covariance must be ({d}, {d}), got {covariance.shape}")
        super().__init__(np.ones(1), mean[None], covariance[None], noise_variance)

    @classmethod
    def isotropic(cls, dim: int, *, variance: float = 1.0, noise_variance: float = 0.25) -> Self:
        """The prior that knows nothing: a baseline, and what a brand-new shop starts from."""
        return cls(np.zeros(dim), variance * np.eye(dim), noise_variance)


class UserPosterior:
    """A posterior per user under one prior, which may hold several kinds of users.

    Some users lean: what they had done before anything was observed makes some kinds likelier, and shifts the means.
    That is fixed before their first observation; it belongs to the prior, so it is not in the sums.
    """

    def __init__(self, prior: Kinds) -> None:
        self.prior = prior
        self._believer = Believer(prior)
        self._stats: dict[str, NDArray[np.int64]] = {}  # user -> (d, d + 1): A beside b
        self._leanings: dict[str, Leaning] = {}
        self._beliefs: dict[str | None, Belief] = {}  # None is a stranger
        self._nothing = np.zeros((prior.dim, prior.dim + 1), dtype=np.int64)

    @property
    def users(self) -> Iterator[str]:
        """Everyone of whom something was observed."""
        return iter(self._stats)

    def belief(self, user_id: str) -> Belief:
        """What is believed of this user now; the prior where nothing was observed."""
        leaning = self._leanings.get(user_id)
        key = None if user_id not in self._stats and leaning is None else user_id
        if key not in self._beliefs:
            self._beliefs[key] = self._solve(self._sums(user_id), leaning)
        return self._beliefs[key]

    def about(self, candidates: Candidates) -> About:
        """What is believed of the candidates' rewards for their user."""
        return self.about_features(candidates.user_id, candidates.features)

    def about_features(self, user_id: str, features: Vectors, groups: Rows | None = None) -> About:
        """The same of items of which only the (n, d) features are known, and the interests (n,) where they matter."""
        wide, belief = features.astype(np.float64), self.belief(user_id)
        noise = np.full(len(wide), self.prior.noise_variance)
        return About(wide @ belief.mean, belief, wide, noise)

    def liked(self, item_ids: Sequence[str]) -> Rows:
        """(m,): places of new items that earned more than was due, the most liked first: here none is known."""
        return np.empty(0, dtype=np.int64)

    def learn(self, decision: Decision, rewards: Floats) -> None:
        """Add the (k,) rewards of what a page showed; InvalidInput leaves no trace."""
        self.observe(decision.user_id, decision.features, rewards)

    def unlearn(self, decision: Decision, rewards: Floats) -> None:
        """Take a page's rewards back, to the bit."""
        self.retract(decision.user_id, decision.features, rewards)

    def lean(self, user_id: str, leaning: Leaning) -> None:
        """Let a user's prior be another than a stranger's; InvalidInput leaves no trace."""
        kinds = (len(self.prior),)
        if leaning.log_weights.shape != kinds or leaning.shift.shape != (self.prior.dim,):
            raise InvalidInput(
                f"a leaning under this prior has log_weights {kinds} and shift ({self.prior.dim},), "
                f"got {leaning.log_weights.shape} and {leaning.shift.shape}"
            )
        self._leanings[user_id] = leaning
        self._beliefs.pop(user_id, None)

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
        """Unlearn a user, to the bit, and how they lean."""
        self._stats.pop(user_id, None)
        self._leanings.pop(user_id, None)
        self._beliefs.pop(user_id, None)

    def state(self) -> State:
        """The prior, every user's statistics, and the leanings where there are any.

        `prior.mean` (d,), `prior.covariance` (d, d) of one kind; else `prior.weights` (k,), `prior.means` (k, d),
        `prior.covariances` (k, d, d); `prior.noise_variance` (1,). `users.stats` (u, d, d + 1) int64 are A beside b
        in steps of STEP, of `users.names`. `leanings.log_weights` (l, k) and `leanings.shifts` (l, d) are of
        `leanings.names`.
        """
        names, offsets = pack_strings(sorted(self._stats))
        stats = [self._stats[user] for user in sorted(self._stats)]
        return {
            **_prior_state(self.prior),
            "users.names": names,
            "users.offsets": offsets,
            "users.stats": np.stack(stats) if stats else np.zeros((0, *self._nothing.shape), dtype=np.int64),
            **_leanings_state(self._leanings),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The posterior whose `state()` this is."""
        posterior = cls(prior_from(state))
        posterior._recall(state)
        return posterior

    def _recall(self, state: State) -> None:
        """Take over the users of a state."""
        names = unpack_strings(state["users.names"], state["users.offsets"])
        for name, stats in zip(names, state["users.stats"], strict=True):
            self._stats[name] = self._stats.get(name, self._nothing) + stats
        self._leanings = _leanings_from(state)

    def _statistics(
        self, features: Vectors, rewards: Floats, looked: Floats | None = None
    ) -> NDArray[np.int64]:
        check_rewards(rewards, len(features))
        if features.ndim != 2 or features.shape[1] != self.prior.dim:
            raise InvalidInput(f"features must be (k, {self.prior.dim}), got {features.shape}")
        if not (np.abs(features) <= MAX_FEATURE).all():  # also refuses NaN
            raise InvalidInput(f"features must be finite and within ±{MAX_FEATURE:g}: scale them")
        looked = np.ones(len(rewards)) if looked is None else looked
        x, r = self._weighed(features.astype(np.float64), rewards, looked)
        rows = np.rint(np.concatenate([x, r[:, None]], axis=1) / _GRID)
        if len(rows) <= _ROWS:
            return _products(rows)
        total = np.zeros(self._nothing.shape, dtype=np.int64)
        for start in range(0, len(rows), _ROWS):
            total += _products(rows[start : start + _ROWS])
        return total

    def _weighed(self, features: Floats, rewards: Floats, looked: Floats) -> tuple[Floats, Floats]:
        """(k, d) features and (k,) rewards whose products are summed; a linear posterior takes them as they are."""
        return features, rewards

    def _add(self, user_id: str, statistics: NDArray[np.int64]) -> None:
        old = self._stats.get(user_id)
        new = statistics if old is None else old + statistics
        most, least = new.max(), new.min()
        if most > _HEADROOM or least < -_HEADROOM:
            raise InvalidInput(
                f"user {user_id!r} has too many observations to add up exactly: forget or split it"
            )
        self._beliefs.pop(user_id, None)
        if most or least:
            self._stats[user_id] = new
        else:  # everything was retracted: nobody can tell that the user was ever here
            self._stats.pop(user_id, None)

    def _sums(self, user_id: str) -> Floats:
        """(d, d + 1): what counts of a user's sums, in steps of STEP."""
        return np.asarray(self._stats.get(user_id, self._nothing), dtype=np.float64)

    def _solve(self, statistics: Floats, leaning: Leaning | None) -> Belief:
        sums = statistics * (STEP / self.prior.noise_variance)
        return self._believer.believe(sums[:, :-1], sums[:, -1], leaning)


def _products(rows: Floats) -> NDArray[np.int64]:
    """(d, d + 1): Σ x (x, r)ᵀ over so few (k, d + 1) rows of whole numbers that no float of it is rounded."""
    return np.asarray(np.dot(rows[:, :-1].T, rows), dtype=np.int64)


def check_rewards(rewards: Floats, k: int) -> None:
    """InvalidInput unless `rewards` is (k,) and each lies in [-1, 1]."""
    if rewards.shape != (k,):
        raise InvalidInput(f"rewards must be ({k},), one per item shown, got {rewards.shape}")
    if not (np.abs(rewards) <= 1).all():  # also refuses NaN
        raise InvalidInput(f"rewards must be finite and within [-1, 1], got {rewards.tolist()}")


def _prior_state(prior: Kinds) -> State:
    noise = np.array([prior.noise_variance])
    if len(prior) == 1:
        return {
            "prior.mean": prior.mean,
            "prior.covariance": prior.covariance,
            "prior.noise_variance": noise,
        }
    return {
        "prior.weights": prior.weights,
        "prior.means": prior.means,
        "prior.covariances": prior.covariances,
        "prior.noise_variance": noise,
    }


def prior_from(state: State) -> Kinds:
    """The prior in a posterior's state."""
    noise = float(state["prior.noise_variance"][0])
    if "prior.mean" in state:
        return Prior(state["prior.mean"], state["prior.covariance"], noise)
    return Kinds(state["prior.weights"], state["prior.means"], state["prior.covariances"], noise)


def _leanings_state(leanings: dict[str, Leaning]) -> State:
    if not leanings:
        return {}
    users = sorted(leanings)
    names, offsets = pack_strings(users)
    return {
        "leanings.names": names,
        "leanings.offsets": offsets,
        "leanings.log_weights": np.stack([leanings[user].log_weights for user in users]),
        "leanings.shifts": np.stack([leanings[user].shift for user in users]),
    }


def _leanings_from(state: State) -> dict[str, Leaning]:
    if "leanings.names" not in state:
        return {}
    names = unpack_strings(state["leanings.names"], state["leanings.offsets"])
    parts = zip(names, state["leanings.log_weights"], state["leanings.shifts"], strict=True)
    return {name: Leaning(log_weights.copy(), shift.copy()) for name, log_weights, shift in parts}
