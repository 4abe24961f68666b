"""Thompson sampling in two stages: an interest first, then an item of it."""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.believing import Believing, check_number, expected_rewards, settings_of
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import posterior_of
from honeyguide.explore.shares import win_shares, win_shares_within, with_floor
from honeyguide.explore.thompson import check_draws, drawn_scores
from honeyguide.types import Candidates, Floats, Plan, Rows, State


class InterestFirst(Believing):
    """p(item) = p(interest) · p(item | interest), both exact shares of wins over the same joint posterior draws.

    In a draw an interest is worth its best item; in the second stage only the items of one interest compete. The
    draws are spread by `level` in the first stage and by `within` times that in the second. So an interest wins as
    often as by plain Thompson sampling, but what is shown of it does not depend on the draws that it won in: with
    `within` below 1 interests are explored more than items. With one interest this is Thompson sampling at
    level · within, with one item an interest it is that at `level`.

    Where it is `led`, an interest's share is weighed by how many times likelier than usual this user goes on to it
    (`Candidates.leads`; transitions between interests, looked up: arXiv 2405.16363). Of two interests that may be
    as good, the one that others went on to from here is then explored more; at level 0 nothing is.
    """

    def __init__(
        self,
        posterior: UserPosterior,
        *,
        level: float,
        floor: float,
        draws: int,
        within: float = 1.0,
        led: bool = False,
        name: str | None = None,
    ) -> None:
        self.level = check_number("level", level)
        self.within = check_number("within", within)
        self.draws = check_draws(draws)
        self.led = led
        kind = "interest-first-led" if led else "interest-first"
        super().__init__(
            posterior,
            floor=floor,
            name=name or f"{kind}-{level:g}-within-{within:g}",
            settings=(self.level, self.within, float(draws), float(led)),
        )

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards under the posterior mean; the level is the first stage's."""
        reason = f"an interest at level {self.level:g}, its item at {self.level * self.within:g}"
        return Plan(self.level, reason, expected_rewards(self.posterior, candidates))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): the interest's share of wins times the item's share within it, mixed with the floor."""
        order, starts = _by_interest(candidates)
        width = self.level if level is None else level
        first = drawn_scores(self.posterior, candidates, rng, level=width, draws=self.draws)[:, order]
        chances = win_shares(np.maximum.reduceat(first, starts, axis=1))
        if self.led and width > 0 and candidates.leads is not None:
            chances = chances * candidates.leads[order[starts]]
            chances /= chances.sum()
        mean = expected_rewards(self.posterior, candidates)[order]
        within = win_shares_within(mean + self.within * (first - mean), starts)
        pmf = np.empty(len(order))
        pmf[order] = np.repeat(chances, np.diff(starts, append=len(order))) * within
        return with_floor(pmf, self.floor)

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, level, within, draws, led), name = settings_of(state)
        posterior = posterior_of(state)
        return cls(
            posterior, level=level, floor=floor, draws=int(draws), within=within, led=bool(led), name=name
        )


def _by_interest(candidates: Candidates) -> tuple[Rows, Rows]:
    """(n,) rows, those of one interest side by side, and (g,) where each interest begins."""
    if candidates.groups is None:
        raise InvalidInput("these candidates do not say their interests: give Candidates their groups")
    order = np.argsort(candidates.groups, kind="stable")
    sorted_groups = candidates.groups[order]
    starts = np.flatnonzero(np.r_[True, sorted_groups[1:] != sorted_groups[:-1]])
    return order, starts
