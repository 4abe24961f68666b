"""Thompson sampling at a fixed exploration level; level 0 is the exploit-only page."""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shares import check_floor, win_shares, with_floor
from honeyguide.types import Candidates, Decision, Floats, Plan, State


class Thompson:
    """Each item's chance is its share of wins over joint posterior draws, their spread scaled by `level`.

    The pmf is the policy: what is served is drawn from these shares, never from a fresh posterior draw, so
    the logged propensity is exact. Thompson 1933; Agrawal & Goyal 2013 (arXiv
    1209.3352) for the linear-Gaussian form.
    """

    def __init__(
        self, posterior: UserPosterior, *, level: float, floor: float, draws: int, name: str | None = None
    ) -> None:
        if not (level >= 0 and np.isfinite(level)):
            raise InvalidInput(f"level must be 0 or more, got {level}")
        if draws < 2:
            raise InvalidInput(f"draws must be at least 2, got {draws}")
        self.posterior = posterior
        self.level = level
        self.floor = check_floor(floor)
        self.draws = draws
        self.name = name or ("greedy" if level == 0 else f"thompson-{level:g}")

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards under the posterior mean; the level is fixed."""
        reason = "exploit-only" if self.level == 0 else f"fixed level {self.level:g}"
        return Plan(self.level, reason, expected_rewards(self.posterior, candidates))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): win-shares over the joint draws, mixed with the floor."""
        return thompson_pmf(
            self.posterior,
            candidates,
            rng,
            level=self.level if level is None else level,
            floor=self.floor,
            draws=self.draws,
        )

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Add what was shown and what it earned to the user's statistics."""
        self.posterior.observe(decision.user_id, decision.features, rewards)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        self.posterior.retract(decision.user_id, decision.features, rewards)

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit."""
        self.posterior.forget(user_id)

    def state(self) -> State:
        """The posterior and the policy's own settings."""
        name = np.frombuffer(self.name.encode(), dtype=np.uint8)
        settings = np.array([self.level, self.floor, float(self.draws)])
        return {"thompson.settings": settings, "thompson.name": name, **self.posterior.state()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        level, floor, draws = (float(value) for value in state["thompson.settings"])
        name = state["thompson.name"].tobytes().decode()
        return cls(UserPosterior.from_state(state), level=level, floor=floor, draws=int(draws), name=name)


def expected_rewards(posterior: UserPosterior, candidates: Candidates) -> Floats:
    """(n,): the expected reward of each candidate under the user's posterior mean."""
    return np.asarray(candidates.features.astype(np.float64) @ posterior.belief(candidates.user_id).mean)


def thompson_pmf(
    posterior: UserPosterior,
    candidates: Candidates,
    rng: np.random.Generator,
    *,
    level: float,
    floor: float,
    draws: int,
) -> Floats:
    """(n,): shares of wins over joint posterior draws at this level, mixed with the floor."""
    if level == 0:
        return with_floor(win_shares(expected_rewards(posterior, candidates)[None, :]), floor)
    scores = posterior.draw_scores(candidates.user_id, candidates.features, draws, rng, scale=level)
    return with_floor(win_shares(scores), floor)
