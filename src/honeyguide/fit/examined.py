"""How far down the shop's own pages people look, read from its journal."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

import numpy as np

from honeyguide.config import Labels
from honeyguide.explore.base_rate import BaseRate
from honeyguide.explore.examination import EVERYTHING, Examination, examination_of
from honeyguide.journal.codec import from_us
from honeyguide.journal.learner import Learner
from honeyguide.journal.protocol import Journal
from honeyguide.types import Decision, Floats, State


def served_examination(journal: Journal, base: BaseRate, labels: Labels) -> Examination:
    """What the pages that were served tell of slots; where none was, every slot is taken as looked at.

    Reactions count as they do for learning. Pages that another model decided, with other features, are left out.
    """
    if not journal.end():
        return EVERYTHING
    window = timedelta(days=labels.window_days)
    learner = Learner(SlotSums(base), grade=labels.grade, window=window)
    learner.catch_up(journal)
    learner.settle_all(from_us(learner.watermark_us) + window + timedelta(days=1), journal)
    due, earned = learner.policy.sums
    return examination_of(due, earned) if due.any() else EVERYTHING


class SlotSums:
    """What slots were expected to earn, by the base rate, and earned: taught like a policy."""

    def __init__(self, base: BaseRate) -> None:
        self.base = base
        self.sums: Floats = np.zeros((2, 0))

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Add the (k,) rewards of what was shown."""
        self._add(decision, rewards, 1)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Take them back."""
        self._add(decision, rewards, -1)

    def forget(self, user_id: str) -> None:
        """Who was shown what is not held."""

    def state(self) -> State:
        """The sums (2, slots)."""
        return {"slots": self.sums}

    def from_state(self, state: State) -> Self:
        """The sums of that state."""
        found = type(self)(self.base)
        found.sums = state["slots"].copy()
        return found

    def _add(self, decision: Decision, rewards: Floats, sign: int) -> None:
        if decision.features.shape[1] != self.base.dim:
            return
        places = decision.places
        grown = np.zeros((2, max(self.sums.shape[1], int(places.max()) + 1)))
        grown[:, : self.sums.shape[1]] = self.sums
        grown[:, places] += sign * np.stack([self.base.expected(decision.features), rewards])
        self.sums = grown
