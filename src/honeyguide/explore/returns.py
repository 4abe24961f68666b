"""What users earned after a level was drawn for them: exact sums by user, day and how often they may still come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.explore.level_sums import LEVELS, STEP, level_of
from honeyguide.types import Decision, Floats, State

VISITS = (1.5, 4.0, 12.0)
"""Users of fewer expected visits than these are of one activity, and of more of the next."""
ACTIVITIES = len(VISITS) + 1
_WIDTH = len(LEVELS) + 1  # the weight of each level's pages, and the reward
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Days = dict[tuple[int, int], NDArray[np.int64]]
"""(day, activity) -> (levels + 1,): pages of each level over its chance, and the reward, in steps of STEP."""


class Returns:
    """Per activity and level: pages over the level's chance, their returns, and the squares of these.

    The return of a page is what its user earned on its day and the `horizon_days` after it, discounted by
    e^(-days / horizon). It grows as later rewards come in: nothing waits for the horizon to end. Exact are the sums
    of each user's days; what follows from them is computed anew whenever they change, so the order does not matter.
    """

    def __init__(self, horizon_days: float) -> None:
        self.horizon_days = horizon_days
        self._users: dict[str, _Days] = {}
        self._parts: dict[str, NDArray[np.int64]] = {}
        self._sum = np.zeros((ACTIVITIES, len(LEVELS), 3), dtype=np.int64)

    @property
    def totals(self) -> Floats:
        """(activities, levels, 3): over all users."""
        return np.asarray(self._sum * STEP)

    def add(self, decision: Decision, rewards: Floats) -> None:
        """Count the (k,) rewards of a decision's slots: those of one whose level was not drawn are returns, too."""
        self._add(decision, _entry(decision, rewards))

    def subtract(self, decision: Decision, rewards: Floats) -> None:
        """Take them back."""
        self._add(decision, -_entry(decision, rewards))

    def forget(self, user_id: str) -> None:
        """Drop a user's days."""
        self._users.pop(user_id, None)
        self._sum = self._sum - self._parts.pop(user_id, 0)

    def state(self) -> State:
        """Every user's days: `returns.days` (n, 2) are day and activity, `returns.sums` (n, levels + 1) of each.

        `returns.counts` (u,) says how many of them are each user's of `returns.names`.
        """
        users = sorted(self._users)
        names, offsets = pack_strings(users)
        keys = [key for user in users for key in sorted(self._users[user])]
        sums = [self._users[user][key] for user in users for key in sorted(self._users[user])]
        return {
            "returns.names": names,
            "returns.offsets": offsets,
            "returns.counts": np.array([len(self._users[user]) for user in users], dtype=np.int64),
            "returns.days": np.array(keys, dtype=np.int64).reshape(-1, 2),
            "returns.sums": np.array(sums, dtype=np.int64).reshape(-1, _WIDTH),
            "returns.horizon_days": np.array([self.horizon_days]),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The returns whose `state()` this is."""
        found = cls(float(state["returns.horizon_days"][0]))
        ends = np.cumsum(state["returns.counts"])
        names = unpack_strings(state["returns.names"], state["returns.offsets"])
        for name, end, count in zip(names, ends.tolist(), state["returns.counts"].tolist(), strict=True):
            part = slice(end - count, end)
            rows = zip(state["returns.days"][part].tolist(), state["returns.sums"][part], strict=True)
            found._users[name] = {(day, activity): sums.copy() for (day, activity), sums in rows}
            found._refresh(name)
        return found

    def _add(self, decision: Decision, entry: NDArray[np.int64]) -> None:
        days = self._users.setdefault(decision.user_id, {})
        key = ((decision.time - _EPOCH).days, activity_of(decision.candidates.remaining_visits))
        days[key] = days.get(key, 0) + entry
        if not days[key].any():
            del days[key]
        self._refresh(decision.user_id)

    def _refresh(self, user_id: str) -> None:
        self._sum = self._sum - self._parts.pop(user_id, 0)
        if self._users[user_id]:
            self._parts[user_id] = _part(self._users[user_id], self.horizon_days)
            self._sum = self._sum + self._parts[user_id]
        else:
            del self._users[user_id]


def activity_of(remaining_visits: float) -> int:
    """Which of the activities users belong to of whom so many more visits are expected."""
    return int(np.searchsorted(VISITS, remaining_visits, side="right"))


def _entry(decision: Decision, rewards: Floats) -> NDArray[np.int64]:
    """(levels + 1,): each slot is its share of a page, and rounded by itself, however the page is cut into pieces.

    What is pinned was not drawn at any level, but earns.
    """
    entry = np.zeros(_WIDTH, dtype=np.int64)
    level, chance = level_of(decision), decision.plan.chance
    if level is not None and chance is not None:
        drawn = int((~decision.pinned).sum())
        entry[level] = drawn * round(1 / (chance * decision.page_size) / STEP)
    entry[-1] = np.rint(rewards / STEP).astype(np.int64).sum()
    return entry


def _part(days: _Days, horizon_days: float) -> NDArray[np.int64]:
    """(activities, levels, 3): a user's share of the totals, in steps of STEP."""
    keys = sorted(days)
    day = np.array([key[0] for key in keys], dtype=np.float64)
    sums = np.stack([days[key] for key in keys]) * STEP
    after = day - day[:, None]
    counts = np.where((after >= 0) & (after <= horizon_days), np.exp(-np.abs(after) / horizon_days), 0.0)
    returns = (counts * sums[:, -1]).sum(axis=1)
    moments = np.stack([np.ones(len(keys)), returns, returns**2], axis=1)
    part = np.zeros((ACTIVITIES, len(LEVELS), 3))
    np.add.at(part, [key[1] for key in keys], sums[:, :-1, None] * moments[:, None, :])
    return np.rint(part / STEP).astype(np.int64)
