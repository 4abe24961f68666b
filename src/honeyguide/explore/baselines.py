"""Policies that do not learn: what exploring has to be compared with."""

from __future__ import annotations

from typing import Self

import numpy as np

from honeyguide.explore.posterior import check_rewards
from honeyguide.explore.shares import check_floor, win_shares, with_floor
from honeyguide.types import Candidates, Decision, Floats, Plan, State


class _Unlearning:
    """What a policy without memory does with feedback: checks it, and keeps nothing."""

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Refuse what is no reward; nothing is learned."""
        check_rewards(rewards, len(decision.chosen))

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Nothing was learned, so there is nothing to undo."""
        check_rewards(rewards, len(decision.chosen))

    def forget(self, user_id: str) -> None:
        """Nothing was learned, so there is nothing to forget."""


class Uniform(_Unlearning):
    """Every candidate is as likely as any other."""

    name = "uniform"

    def plan(self, candidates: Candidates) -> Plan:
        """All candidates are expected to earn the same: nothing is known."""
        return Plan(1.0, "every item is equally likely", np.zeros(len(candidates)))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): 1 / n each."""
        return np.full(len(candidates), 1.0 / len(candidates))

    def state(self) -> State:
        """Nothing."""
        return {}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The same policy: there is only one."""
        return cls()


class Ranked(_Unlearning):
    """Ranks by one feature, best first, whoever asks: popularity, where that feature is popularity."""

    def __init__(self, column: int, *, floor: float, name: str = "popularity") -> None:
        self.column = column
        self.floor = check_floor(floor)
        self.name = name

    def plan(self, candidates: Candidates) -> Plan:
        """The feature itself stands for the expected reward."""
        return Plan(0.0, f"ranked by {self.name}", candidates.features[:, self.column].astype(np.float64))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): the floor, and all the rest on the best item."""
        return with_floor(
            win_shares(candidates.features[None, :, self.column].astype(np.float64)), self.floor
        )

    def state(self) -> State:
        """The settings: nothing is learned."""
        name = np.frombuffer(self.name.encode(), dtype=np.uint8)
        return {"column": np.array([self.column]), "floor": np.array([self.floor]), "name": name}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        name = state["name"].tobytes().decode()
        return cls(int(state["column"][0]), floor=float(state["floor"][0]), name=name)
