"""Thompson sampling at a fixed exploration level; level 0 is the exploit-only page."""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.believing import Believing, check_number, expected_rewards, less_penalty, settings_of
from honeyguide.explore.page import OnLeft, shares_of
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import posterior_of
from honeyguide.explore.shares import win_shares, with_floor
from honeyguide.types import Candidates, Floats, Plan, State


class Thompson(Believing):
    """Each item's chance is its share of wins over joint posterior draws, their spread scaled by `level`.

    The pmf is the policy: what is served is drawn from these shares, never from a fresh posterior draw, so
    the logged propensity is exact. Thompson 1933; Agrawal & Goyal 2013 (arXiv
    1209.3352) for the linear-Gaussian form.
    """

    def __init__(
        self, posterior: UserPosterior, *, level: float, floor: float, draws: int, name: str | None = None
    ) -> None:
        self.level = check_number("level", level)
        self.draws = check_draws(draws)
        super().__init__(
            posterior,
            floor=floor,
            name=name or ("greedy" if level == 0 else f"thompson-{level:g}"),
            settings=(self.level, float(draws)),
        )

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

    def page(self, candidates: Candidates, rng: np.random.Generator, *, level: float) -> OnLeft:
        """Win-shares among what is left, for every slot over the same joint draws."""
        return thompson_page(self.posterior, candidates, rng, level=level, floor=self.floor, draws=self.draws)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, level, draws), name = settings_of(state)
        return cls(posterior_of(state), level=level, floor=floor, draws=int(draws), name=name)


def drawn_scores(
    posterior: UserPosterior, candidates: Candidates, rng: np.random.Generator, *, level: float, draws: int
) -> Floats:
    """(draws, n): expected rewards under joint posterior draws at this level; at 0 one row says them all."""
    if level == 0:
        return expected_rewards(posterior, candidates)[None, :]
    return less_penalty(posterior.about(candidates).draws(draws, rng, scale=level), candidates)


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
    return with_floor(win_shares(drawn_scores(posterior, candidates, rng, level=level, draws=draws)), floor)


def thompson_page(
    posterior: UserPosterior,
    candidates: Candidates,
    rng: np.random.Generator,
    *,
    level: float,
    floor: float,
    draws: int,
) -> OnLeft:
    """The same for every slot of a page, all over one set of draws: among what is left."""
    return shares_of(drawn_scores(posterior, candidates, rng, level=level, draws=draws), floor)


def check_draws(draws: int) -> int:
    """`draws` itself; InvalidInput unless there are two at the least."""
    if draws < 2:
        raise InvalidInput(f"draws must be at least 2, got {draws}")
    return draws


__all__ = ["Thompson", "check_draws", "drawn_scores", "expected_rewards", "thompson_page", "thompson_pmf"]
