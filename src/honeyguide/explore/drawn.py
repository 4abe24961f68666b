"""Thompson sampling whose level is drawn for every request, from chances that follow from what each level earned."""

from __future__ import annotations

from hashlib import blake2b
from types import MappingProxyType
from typing import Protocol, Self

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.believing import Believing, expected_rewards, settings_of
from honeyguide.explore.gradient import Gradient
from honeyguide.explore.level_sums import LEVELS
from honeyguide.explore.meta import Champion, Corral
from honeyguide.explore.page import OnLeft
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import posterior_of
from honeyguide.explore.thompson import check_draws, thompson_page, thompson_pmf
from honeyguide.types import Candidates, Decision, Floats, Plan, State


class Chooser(Protocol):
    """Says how likely each level is to be drawn; a function of sums that can be undone to the bit."""

    @property
    def name(self) -> str:
        """What it is called, with its settings."""
        ...

    def chances(self, remaining_visits: float) -> Floats:
        """(levels,): sums to 1, every entry above 0; asking never learns."""
        ...

    def add(self, decision: Decision, rewards: Floats) -> None:
        """Count the (k,) rewards of a decision's slots."""
        ...

    def subtract(self, decision: Decision, rewards: Floats) -> None:
        """Take them back, to the bit."""
        ...

    def forget(self, user_id: str) -> None:
        """Drop a user's share, to the bit."""
        ...

    def state(self) -> State:
        """Everything learnt, and the settings."""
        ...

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The chooser whose `state()` this is."""
        ...


_CHOOSERS: MappingProxyType[str, type[Chooser]] = MappingProxyType(
    {kind.__name__: kind for kind in (Corral, Champion, Gradient)}
)


class Drawn(Believing):
    """Shares of wins over joint draws of one posterior, at a level that a chooser's chances say for this request.

    The level is drawn by a number that follows from the request and `seed`, so a plan can be recomputed, and it holds
    for the page. Every propensity is exact given the level, whose own chance is in the plan: that
    is what the chooser weighs rewards by.
    """

    def __init__(
        self,
        posterior: UserPosterior,
        chooser: Chooser,
        *,
        floor: float,
        draws: int,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if type(chooser).__name__ not in _CHOOSERS:
            raise InvalidInput(
                f"a level is drawn by one of {', '.join(_CHOOSERS)}, got {type(chooser).__name__}"
            )
        self.chooser = chooser
        self.draws = check_draws(draws)
        self.seed = seed
        super().__init__(
            posterior, floor=floor, name=name or chooser.name, settings=(float(draws), float(seed))
        )

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards, the level that was drawn, and the chance that it had."""
        chances = self.chooser.chances(candidates.remaining_visits)
        at = int(np.searchsorted(np.cumsum(chances)[:-1], lot(self.seed, candidates), side="right"))
        reason = f"level {LEVELS[at]:g}, drawn with a chance of {chances[at]:.1%} by what each level earned"
        scores = expected_rewards(self.posterior, candidates)
        return Plan(LEVELS[at], reason, scores, chance=float(chances[at]))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): Thompson win-shares at the given level, or at the one that this request draws."""
        chosen = self.plan(candidates).level if level is None else level
        return thompson_pmf(self.posterior, candidates, rng, level=chosen, floor=self.floor, draws=self.draws)

    def page(self, candidates: Candidates, rng: np.random.Generator, *, level: float) -> OnLeft:
        """Win-shares among what is left, for every slot over the same joint draws."""
        return thompson_page(self.posterior, candidates, rng, level=level, floor=self.floor, draws=self.draws)

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Add the rewards to the user's statistics, and to the level's where it was drawn."""
        super().update(decision, rewards)
        self.chooser.add(decision, rewards)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        super().retract(decision, rewards)
        self.chooser.subtract(decision, rewards)

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit."""
        super().forget(user_id)
        self.chooser.forget(user_id)

    def state(self) -> State:
        """The posterior, the chooser's sums and the settings."""
        kind = np.frombuffer(type(self.chooser).__name__.encode(), dtype=np.uint8)
        return {"drawn.chooser": kind, **self.chooser.state(), **super().state()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        (floor, draws, seed), name = settings_of(state)
        chooser = _CHOOSERS[state["drawn.chooser"].tobytes().decode()].from_state(state)
        posterior = posterior_of(state)
        return cls(posterior, chooser, floor=floor, draws=int(draws), seed=int(seed), name=name)


def lot(seed: int, candidates: Candidates) -> float:
    """A number in [0, 1) that is the same for the same request, in whatever order its candidates stand.

    It follows from the user, the visits that are expected of them, and every candidate's id and features.
    """
    order = sorted(range(len(candidates)), key=candidates.item_ids.__getitem__)
    asked = (seed, candidates.user_id, candidates.remaining_visits, [candidates.item_ids[at] for at in order])
    digest = blake2b(repr(asked).encode("utf-8", "surrogatepass"), digest_size=8)
    digest.update(candidates.features[order].astype("<f4").tobytes())
    return (int.from_bytes(digest.digest(), "little") >> 11) * 2.0**-53
