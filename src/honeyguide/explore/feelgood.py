"""Feel-good Thompson sampling: draws in which something is very good count for more."""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.explore.believing import Believing, check_number, expected_rewards, settings_of
from honeyguide.explore.kinds import softmax
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import posterior_of
from honeyguide.explore.shares import win_shares, with_floor
from honeyguide.explore.thompson import check_draws, drawn_scores
from honeyguide.types import Candidates, Floats, Plan, State

_BEST = 1.0  # no reward is higher


class FeelGood(Believing):
    """Thompson sampling from the posterior reweighted by e^(optimism · best expected reward in the draw).

    Zhang 2021 (arXiv 2110.00871), with the term of the present candidates only: those of past pages are not in sums
    that can be undone. The joint draws are weighted by it, so each one's win counts its share of
    the weight, and the shares are exact. Optimism 0 is plain Thompson sampling. A draw's best counts as 1 at most.
    """

    def __init__(
        self,
        posterior: UserPosterior,
        *,
        optimism: float,
        floor: float,
        draws: int,
        level: float = 1.0,
        name: str | None = None,
    ) -> None:
        self.optimism = check_number("optimism", optimism)
        self.level = check_number("level", level)
        self.draws = check_draws(draws)
        super().__init__(
            posterior,
            floor=floor,
            name=name or f"feel-good-{optimism:g}-at-{level:g}",
            settings=(self.optimism, self.level, float(draws)),
        )

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards under the posterior mean; the level is fixed."""
        reason = f"fixed level {self.level:g}, optimism {self.optimism:g}"
        return Plan(self.level, reason, expected_rewards(self.posterior, candidates))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): the weight of the draws that each candidate wins, mixed with the floor."""
        width = self.level if level is None else level
        scores = drawn_scores(self.posterior, candidates, rng, level=width, draws=self.draws)
        weights = softmax(self.optimism * np.minimum(scores.max(axis=1), _BEST))
        return with_floor(win_shares(scores, weights), self.floor)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, optimism, level, draws), name = settings_of(state)
        posterior = posterior_of(state)
        return cls(posterior, optimism=optimism, floor=floor, draws=int(draws), level=level, name=name)
