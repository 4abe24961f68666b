"""What is learned of everybody at once beside each user: a base rate, its correction, and every item's own effect.

The expected reward of an item with features x is p + p(1 - p)·(x·(m + w) + t + z). p is the base rate, fixed by the
fit; m is how far everybody's logits differ from it by now, w how the user's differ from everybody's, t how the item's
interest differs for the user (`interest_effects.py`), z what is the item's own. That is one step of Fisher scoring
from the base rate (`Linearised`), and the sums stay additive. m follows from the sums of all users, the prior of a
user is centred on it, and z comes from what the item earned beside what p promised. In a slot that is looked at with
chance e, e·p was due instead of p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.errors import InvalidInput
from honeyguide.explore.about import About
from honeyguide.explore.base_rate import BaseRate, Linearised
from honeyguide.explore.examination import EVERYTHING, Examination
from honeyguide.explore.interest_effects import InterestEffects, rows_told
from honeyguide.explore.item_effects import ItemEffects, ItemPrior
from honeyguide.explore.kinds import Belief, Kinds, Leaning
from honeyguide.explore.periods import Periods
from honeyguide.explore.posterior import STEP, UserPosterior, prior_from
from honeyguide.types import Candidates, Decision, Floats, Rows, State, Vectors


class SharedPosterior(UserPosterior):
    """A posterior per user around what all users and items have shown; `known` (d, d) is how sure the fit is of p.

    `known` is the precision of the base rate's weights.
    """

    def __init__(
        self,
        prior: Kinds,
        base: BaseRate,
        known: Floats,
        items: ItemPrior,
        examination: Examination = EVERYTHING,
        *,
        half_life_days: float = 0.0,
        interest_variance: float = 0.0,
    ) -> None:
        if not base.dim == prior.dim == len(known):
            raise InvalidInput(f"prior, base rate and `known` must have one dimension, got {prior.dim}")
        self.base = base
        self.known = known
        self.examination = examination
        self.items = ItemEffects(items, prior.noise_variance)
        self.interests = InterestEffects(interest_variance, prior.noise_variance, prior.dim)
        self.periods = Periods(half_life_days)
        self._everybody = np.zeros((prior.dim, prior.dim + 1), dtype=np.int64)
        self._moved: Floats | None = None
        self._asked: tuple[Candidates, About] | None = None  # a page is planned and drawn by the same beliefs
        super().__init__(prior)

    def about(self, candidates: Candidates) -> About:
        """What is believed of the candidates' rewards for their user, with what is the items' own."""
        if self._asked is None or self._asked[0] is not candidates:
            self._asked = candidates, self._about(candidates)
        return self._asked[1]

    def _about(self, candidates: Candidates) -> About:
        found = self.about_features(candidates.user_id, candidates.features, candidates.groups)
        slope = found.noise / self.prior.noise_variance
        rows = self.items.rows(candidates.item_ids)
        effect, variance = self.items.of(rows, candidates.fresh)
        return replace(
            found,
            mean=found.mean + slope * effect,
            own=slope**2 * variance,
            reach=self.items.reach(rows),
        )

    def about_features(self, user_id: str, features: Vectors, groups: Rows | None = None) -> About:
        """What is believed of items of which only the (n, d) features and the interests (n,) are known."""
        rate, belief = self.base.expected(features), self.belief(user_id)
        slope = rate * (1 - rate)
        noise = self.prior.noise_variance * slope
        if groups is None or not self.interests.variance:
            moved = slope[:, None] * features
            return About(rate + moved @ belief.mean, belief, moved, noise)
        names, at = np.unique(groups, return_inverse=True)
        lean, level, variance = self.interests.of(user_id, names)
        moved = slope[:, None] * (features - lean[at])
        beside = np.zeros((len(names), len(groups)))
        beside[at, np.arange(len(groups))] = slope * np.sqrt(variance)[at]
        return About(rate + moved @ belief.mean + slope * level[at], belief, moved, noise, beside=beside)

    def liked(self, item_ids: Sequence[str]) -> Rows:
        """(m,): places of new items that earned more than was due when they were shown, the most liked first."""
        return self.items.liked(item_ids)

    def moved(self) -> Floats:
        """(d,): how far everybody differs from the base rate by now."""
        if self._moved is None:
            sums = self._everybody * (STEP / self.prior.noise_variance)
            self._moved = cho_solve(cho_factor(self.known + sums[:, :-1]), sums[:, -1])
        return self._moved

    def learn(self, decision: Decision, rewards: Floats) -> None:
        """Add the (k,) rewards of what a page showed; InvalidInput leaves no trace."""
        self._page(decision, rewards, 1)

    def unlearn(self, decision: Decision, rewards: Floats) -> None:
        """Take a page's rewards back, to the bit."""
        self._page(decision, rewards, -1)

    def lean(self, user_id: str, leaning: Leaning) -> None:
        """Let a user's prior be another than a stranger's; InvalidInput leaves no trace."""
        super().lean(user_id, leaning)
        self._asked = None

    def observe_at(
        self, user_id: str, features: Vectors, rewards: Floats, time_us: int, groups: Rows | None = None
    ) -> None:
        """Add (k, d) features of items in interests (k,), and their (k,) rewards of that moment.

        InvalidInput leaves no trace.
        """
        period = self.periods.of_us(time_us)
        self._add(user_id, self._statistics(features, rewards), period)
        if groups is not None and self.interests.variance:
            told = Linearised.of(self.base.expected(features), np.ones(len(rewards))).scores(rewards)
            self.interests.add(user_id, period, groups, rows_told(*told, features))

    def forget(self, user_id: str) -> None:
        """Unlearn a user, to the bit: also what they said of everybody and of items."""
        if not self.items.aside(user_id):
            self._everybody = self._everybody - self._stats.get(user_id, self._nothing)
        self._forget_beliefs()
        self.items.forget(user_id)
        self.interests.forget(user_id)
        self.periods.forget(user_id)
        super().forget(user_id)

    def state(self) -> State:
        """The users' state by period, and the items' effects; of what is shared, all that `__init__` takes.

        `users.stats` are then of `users.names` in `users.periods`; `base.weights` (d,), `base.intercept` (1,),
        `base.known` (d, d), `base.looked` (m,), `base.half_life` (1,) days.
        """
        names, offsets = pack_strings([user for user, _, _ in self.periods])
        users: State = {
            "users.names": names,
            "users.offsets": offsets,
            "users.periods": np.array([period for _, period, _ in self.periods], dtype=np.int64),
            "users.stats": np.array([sums for _, _, sums in self.periods], dtype=np.int64).reshape(
                -1, *self._nothing.shape
            ),
        }
        base = {
            "base.half_life": np.array([self.periods.half_life_days]),
            "base.looked": self.examination.chances,
            "base.weights": self.base.weights,
            "base.intercept": np.array([self.base.intercept]),
            "base.known": self.known,
        }
        return {**super().state(), **users, **base, **self.items.state(), **self.interests.state()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The posterior whose `state()` this is."""
        prior = prior_from(state)
        items = ItemEffects.from_state(state, prior.noise_variance)
        base = BaseRate(state["base.weights"], float(state["base.intercept"][0]))
        examination = Examination(state["base.looked"])
        days = float(state["base.half_life"][0])
        posterior = cls(prior, base, state["base.known"], items.prior, examination, half_life_days=days)
        posterior.items = items
        posterior.interests = InterestEffects.from_state(state, prior.noise_variance, prior.dim)
        posterior._recall(state)
        names = unpack_strings(state["users.names"], state["users.offsets"])
        counted = np.array([not items.aside(user) for user in names], dtype=np.bool_)
        posterior._everybody += state["users.stats"][counted].sum(axis=0, dtype=np.int64)
        for user, period, sums in zip(names, state["users.periods"], state["users.stats"], strict=True):
            posterior.periods.add(user, int(period), sums.copy())
        return posterior

    def _weighed(self, features: Floats, rewards: Floats, looked: Floats) -> tuple[Floats, Floats]:
        return Linearised.of(self.base.expected(features), looked).rows(features, rewards)

    def _add(self, user_id: str, statistics: NDArray[np.int64], period: int = 0) -> None:
        super()._add(user_id, statistics)
        self.periods.add(user_id, period, statistics)
        if not self.items.aside(user_id):
            self._everybody = self._everybody + statistics
        self._forget_beliefs()

    def _page(self, decision: Decision, rewards: Floats, sign: int) -> None:
        looked = self.examination.of(decision.places)
        statistics = sign * self._statistics(decision.features, rewards, looked)
        user, period = decision.user_id, self.periods.of(decision.time)
        self._add(user, statistics, period)
        told = Linearised.of(self.base.expected(decision.features), looked).scores(rewards)
        before = self.items.aside(user)
        self.items.add(user, decision.item_ids, *told, sign=sign)
        if self.items.aside(user) != before:  # who is set aside tells nothing of everybody either
            mine = self._stats.get(user, self._nothing)
            self._everybody = self._everybody + (mine if before else -mine)
        groups = decision.candidates.groups
        if groups is not None and self.interests.variance:
            rows = rows_told(*told, decision.features)
            self.interests.add(user, period, groups[decision.chosen], rows, sign=sign)

    def _forget_beliefs(self) -> None:
        self._moved = self._asked = None
        self._beliefs.clear()

    def _sums(self, user_id: str) -> Floats:
        faded = self.periods.faded(user_id)
        sums = super()._sums(user_id) if faded is None else faded
        told = self.interests.told(user_id)
        if told is None:
            return sums
        return sums - np.column_stack(told.summed_out()) * (self.prior.noise_variance / STEP)

    def _solve(self, statistics: Floats, leaning: Leaning | None) -> Belief:
        moved = self.moved()
        if leaning is None:
            return super()._solve(statistics, Leaning(np.log(self.prior.weights), moved))
        return super()._solve(statistics, Leaning(leaning.log_weights, leaning.shift + moved))


def posterior_of(state: State) -> UserPosterior:
    """The posterior whose `state()` this is, shared or of users alone."""
    shared = "base.weights" in state
    return SharedPosterior.from_state(state) if shared else UserPosterior.from_state(state)
