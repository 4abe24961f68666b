"""Policies in closed form: no draws, the distribution follows from expected rewards, counts, or an upper bound.

Of all of them a level of 0 is the exploit-only page, and more level is more exploring.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.explore.believing import (
    Believing,
    Counting,
    check_number,
    expected_rewards,
    less_penalty,
    settings_of,
)
from honeyguide.explore.kinds import softmax
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import posterior_of
from honeyguide.explore.shares import win_shares, with_floor
from honeyguide.types import Candidates, Floats, Plan, State


class EpsilonGreedy(Counting):
    """The best item, but for a share epsilon of every slot that is spread evenly.

    After n observations of this user that is min(1, epsilon / n^decay): with decay 0 it is fixed. The count is the
    user's own because the belief that it explores for is the user's own. What is spread is at least the floor.
    """

    def __init__(
        self,
        posterior: UserPosterior,
        *,
        epsilon: float,
        floor: float,
        decay: float = 0.0,
        name: str | None = None,
    ) -> None:
        self.epsilon = check_number("epsilon", epsilon)
        self.decay = check_number("decay", decay)
        kind = "epsilon-greedy-decaying" if decay else "epsilon-greedy"
        super().__init__(
            posterior, floor=floor, name=name or f"{kind}-{epsilon:g}", settings=(self.epsilon, self.decay)
        )

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards; the level is epsilon."""
        level = self._level(candidates.user_id)
        return Plan(
            level, f"{level:.1%} of every slot is spread evenly", expected_rewards(self.posterior, candidates)
        )

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): epsilon spread evenly, the rest on the best item."""
        epsilon = self._level(candidates.user_id) if level is None else level
        best = win_shares(expected_rewards(self.posterior, candidates)[None, :])
        return with_floor(best, min(max(epsilon, self.floor), 1.0))

    def _level(self, user_id: str) -> float:
        return float(min(1.0, self.epsilon / max(self.seen(user_id), 1) ** self.decay))

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, epsilon, decay), name = settings_of(state)
        policy = cls(posterior_of(state), epsilon=epsilon, floor=floor, decay=decay, name=name)
        policy.recall(state)
        return policy


class Softmax(Believing):
    """Chances in proportion to e^(expected reward / temperature): Boltzmann exploration; 0 is greedy."""

    def __init__(
        self, posterior: UserPosterior, *, temperature: float, floor: float, name: str | None = None
    ) -> None:
        self.temperature = check_number("temperature", temperature)
        super().__init__(
            posterior, floor=floor, name=name or f"softmax-{temperature:g}", settings=(self.temperature,)
        )

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards; the level is the temperature."""
        scores = expected_rewards(self.posterior, candidates)
        return Plan(self.temperature, f"drawn at temperature {self.temperature:g}", scores)

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): the softmax of expected rewards, mixed with the floor."""
        temperature = self.temperature if level is None else level
        scores = expected_rewards(self.posterior, candidates)
        shares = (
            win_shares(scores[None, :])
            if temperature == 0
            else softmax((scores - scores.max()) / temperature)
        )
        return with_floor(shares, self.floor)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, temperature), name = settings_of(state)
        return cls(posterior_of(state), temperature=temperature, floor=floor, name=name)


class LinUCB(Believing):
    """All but the floor goes to the item whose upper bound is highest: mean + alpha · √(xᵀ Σ x).

    Li et al. 2010 (arXiv 1003.0146) with the posterior's covariance Σ, so that the prior counts too. Where
    the prior has several kinds of users, mean and Σ are the exact moments of the mixture. Equal bounds share.
    """

    def __init__(
        self, posterior: UserPosterior, *, alpha: float, floor: float, name: str | None = None
    ) -> None:
        self.alpha = check_number("alpha", alpha)
        super().__init__(posterior, floor=floor, name=name or f"linucb-{alpha:g}", settings=(self.alpha,))

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards, without the bonus; the level is alpha."""
        scores = expected_rewards(self.posterior, candidates)
        return Plan(self.alpha, f"highest of expectation plus {self.alpha:g} deviations", scores)

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): the floor, and all the rest on the highest upper bound."""
        bounds = self.bounds(candidates, self.alpha if level is None else level)
        return with_floor(win_shares(bounds[None, :]), self.floor)

    def bounds(self, candidates: Candidates, alpha: float) -> Floats:
        """(n,): expected reward plus `alpha` standard deviations of it."""
        about = self.posterior.about(candidates)
        bounds = about.mean if alpha == 0 else about.mean + alpha * np.sqrt(about.variance())
        return less_penalty(bounds, candidates)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, alpha), name = settings_of(state)
        return cls(posterior_of(state), alpha=alpha, floor=floor, name=name)


class SquareCB(Counting):
    """Inverse gap weighting: 1 / (n + gamma · gap) for what falls short of the best by `gap`, the rest for the best.

    Foster & Rakhlin 2020 (arXiv 2002.04926); of equal bests each has its share. After m observations of this user
    gamma is gamma · m^growth: with growth 0 it is fixed. The level is 1 / gamma. A large gamma makes weights 1 / p
    useless: the floor caps them at n / floor. (Why a cap: Rucker, Zhu & Mineiro 2023, arXiv 2302.08551.)
    """

    def __init__(
        self,
        posterior: UserPosterior,
        *,
        gamma: float,
        floor: float,
        growth: float = 0.0,
        name: str | None = None,
    ) -> None:
        self.gamma = check_number("gamma", gamma, above=True)
        self.growth = check_number("growth", growth)
        kind = "squarecb-growing" if growth else "squarecb"
        super().__init__(
            posterior, floor=floor, name=name or f"{kind}-{gamma:g}", settings=(self.gamma, self.growth)
        )

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards; the level is 1 / gamma."""
        level = self._level(candidates.user_id)
        scores = expected_rewards(self.posterior, candidates)
        return Plan(level, f"drawn by the inverse gap, gamma {1 / level:.3g}", scores)

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): inverse gap weights, mixed with the floor."""
        scores = expected_rewards(self.posterior, candidates)
        best = win_shares(scores[None, :])
        level = self._level(candidates.user_id) if level is None else level
        others = np.flatnonzero(best == 0)
        pmf = np.zeros(len(scores))
        pmf[others] = level / (level * len(scores) + scores.max() - scores[others])
        return with_floor(pmf + (1.0 - pmf.sum()) * best, self.floor)

    def _level(self, user_id: str) -> float:
        return float(1.0 / (self.gamma * max(self.seen(user_id), 1) ** self.growth))

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, gamma, growth), name = settings_of(state)
        policy = cls(posterior_of(state), gamma=gamma, floor=floor, growth=growth, name=name)
        policy.recall(state)
        return policy
