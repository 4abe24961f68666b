"""What exploring has earned, and what it was promised to earn: exact sums per user, kept from the feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.explore.posterior import STEP
from honeyguide.types import Decision, Floats, State

_SHRINK = 50.0  # slots' worth of belief that exploring pays as it promises, before anything is measured


@dataclass(frozen=True, slots=True)
class Totals:
    """Slots shown, reward earned and reward promised (expected when it was decided), explored and exploited."""

    explored: float
    explored_reward: float
    explored_promise: float
    exploited: float
    exploited_reward: float
    exploited_promise: float
    greedy_promise: float
    """What exploit-only pages were expected to earn on the same slots."""

    @property
    def calibration(self) -> float:
        """Earned over promised on exploited slots, for promises are too good: choosing the maximum makes them so.

        Of few slots it is near that of all.
        """
        promise = self.explored_promise + self.exploited_promise
        earned = _share(self.explored_reward + self.exploited_reward, promise, 0.0)
        return _share(self.exploited_reward + earned * self._belief, self.exploited_promise, self._belief)

    @property
    def payoff(self) -> float:
        """Earned over promised on explored slots, relative to the exploited ones; 1 before anything is known."""
        belief = self._belief * self.calibration
        found = _share(self.explored_reward + belief, self.explored_promise * self.calibration, belief)
        return min(max(found, 0.0), 2.0)

    @property
    def _belief(self) -> float:
        """What so many slots were promised, of those that were shown."""
        slots = self.explored + self.exploited
        return _SHRINK * max(self.explored_promise + self.exploited_promise, 0.0) / max(slots, 1.0)

    def shortfall(self, epsilon: float) -> float:
        """How far earnings are below (1 - epsilon) of exploit-only's estimate; 0 or less is a kept promise.

        One standard error of the rewards is allowed for, so that luck alone does not end exploring.
        """
        earned = self.explored_reward + self.exploited_reward
        estimate = self.greedy_promise * self.calibration
        noise = np.sqrt(max(earned, 1.0))
        return float((1 - epsilon) * estimate - earned - noise)


def _share(reward: float, promise: float, belief: float) -> float:
    """Reward over promise and `belief`; 1 where nothing was promised."""
    promised = max(promise, 0.0) + belief
    return reward / promised if promised > 0 else 1.0


class Ledger:
    """Exact per-user sums of what `Totals` holds: added, subtracted and forgotten to the bit."""

    def __init__(self) -> None:
        self._users: dict[str, NDArray[np.int64]] = {}
        self._sum = np.zeros(7, dtype=np.int64)

    @property
    def totals(self) -> Totals:
        """The sums over all users."""
        return Totals(*(float(value) for value in self._sum * STEP))

    def add(self, decision: Decision, rewards: Floats) -> None:
        """Count the (k,) rewards of a decision's slots."""
        self._add(decision.user_id, _entries(decision, rewards))

    def subtract(self, decision: Decision, rewards: Floats) -> None:
        """Take them back."""
        self._add(decision.user_id, -_entries(decision, rewards))

    def forget(self, user_id: str) -> None:
        """Drop a user's share."""
        self._sum -= self._users.pop(user_id, 0)

    def state(self) -> State:
        """Every user's sums."""
        users = sorted(self._users)
        names, offsets = pack_strings(users)
        sums = [self._users[user] for user in users]
        return {
            "ledger.names": names,
            "ledger.offsets": offsets,
            "ledger.sums": np.stack(sums) if sums else np.zeros((0, 7), dtype=np.int64),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The ledger whose `state()` this is."""
        ledger = cls()
        names = unpack_strings(state["ledger.names"], state["ledger.offsets"])
        ledger._users = {name: sums.copy() for name, sums in zip(names, state["ledger.sums"], strict=True)}
        ledger._sum = state["ledger.sums"].sum(axis=0, dtype=np.int64)
        return ledger

    def _add(self, user_id: str, entries: NDArray[np.int64]) -> None:
        self._sum = self._sum + entries
        new = self._users.get(user_id, np.zeros(7, dtype=np.int64)) + entries
        if new.any():
            self._users[user_id] = new
        else:
            self._users.pop(user_id, None)


def _entries(decision: Decision, rewards: Floats) -> NDArray[np.int64]:
    mine = ~decision.pinned  # what the shop fixed was no choice of the policy's
    if not mine.any():
        return np.zeros(7, dtype=np.int64)
    explored, earned = decision.explored[mine], rewards[mine]
    promise = decision.plan.scores[decision.chosen[mine]]
    exploited = decision.exploit_rows
    fixed = [row for _, row in decision.pins]
    greedy = decision.plan.scores[exploited[~np.isin(exploited, fixed)]].mean()
    rows = np.stack(
        [
            explored,
            explored * earned,
            explored * promise,
            ~explored,
            ~explored * earned,
            ~explored * promise,
            np.full(len(earned), greedy),
        ]
    )
    return np.asarray(np.rint(rows / STEP).astype(np.int64).sum(axis=1))
