"""What drawn levels have earned: exact sums per user, each slot weighed by one over its level's chance."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.types import Decision, Floats, State

LEVELS = (0.0, 0.1, 0.25, 0.5)
"""The levels that are drawn among; 0 is exploit-only."""
STEP = 2.0**-20  # a weight squared may be 10^5: this leaves room for 10^8 such slots
_SHAPE = (len(LEVELS), 2, 3)


class LevelSums:
    """Per level, of the slots whose level was drawn: Σ rᵖ / chanceᑫ for p in 0, 1, 2 and q in 1, 2, per user."""

    def __init__(self) -> None:
        self._users: dict[str, NDArray[np.int64]] = {}
        self._sum = np.zeros(_SHAPE, dtype=np.int64)

    @property
    def totals(self) -> Floats:
        """(levels, q, p): over all users."""
        return np.asarray(self._sum * STEP)

    def add(self, decision: Decision, rewards: Floats) -> None:
        """Count the (k,) rewards of a decision's slots; of one whose level was not drawn, or is pinned, nothing."""
        self._add(decision.user_id, _entries(decision, rewards))

    def subtract(self, decision: Decision, rewards: Floats) -> None:
        """Take them back."""
        self._add(decision.user_id, -_entries(decision, rewards))

    def forget(self, user_id: str) -> None:
        """Drop a user's share."""
        self._sum = self._sum - self._users.pop(user_id, 0)

    def state(self) -> State:
        """Every user's sums, in steps of STEP."""
        users = sorted(self._users)
        names, offsets = pack_strings(users)
        sums = [self._users[user] for user in users]
        return {
            "levels.names": names,
            "levels.offsets": offsets,
            "levels.sums": np.stack(sums) if sums else np.zeros((0, *_SHAPE), dtype=np.int64),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The sums whose `state()` this is."""
        found = cls()
        names = unpack_strings(state["levels.names"], state["levels.offsets"])
        found._users = {name: sums.copy() for name, sums in zip(names, state["levels.sums"], strict=True)}
        found._sum = state["levels.sums"].sum(axis=0, dtype=np.int64)
        return found

    def _add(self, user_id: str, entries: NDArray[np.int64]) -> None:
        new = self._users.get(user_id, 0) + entries
        self._sum = self._sum + entries
        if new.any():
            self._users[user_id] = new
        else:
            self._users.pop(user_id, None)


def level_of(decision: Decision) -> int | None:
    """Which of LEVELS was drawn for a decision; None where none was."""
    plan = decision.plan
    return LEVELS.index(plan.level) if plan.chance is not None and plan.level in LEVELS else None


def _entries(decision: Decision, rewards: Floats) -> NDArray[np.int64]:
    entries = np.zeros(_SHAPE, dtype=np.int64)
    level, chance = level_of(decision), decision.plan.chance
    if level is None or chance is None:
        return entries
    drawn = rewards[~decision.pinned]
    moments = np.stack([np.ones(len(drawn)), drawn, drawn**2])
    weights = np.array([1 / chance, 1 / chance**2])
    # each slot is rounded by itself: the sum is then the same however a page is cut into pieces
    entries[level] = np.rint(weights[:, None, None] * moments / STEP).astype(np.int64).sum(axis=2)
    return entries
