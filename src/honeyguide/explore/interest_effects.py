"""How each of a user's interests differs for them: one posterior per interest, jointly with the user's weights.

One vector of weights cannot hold that somebody likes camping and cooking and nothing between. So an item of interest
g is worth x·w + t_g in logits, where t_g is drawn from N(0, v) for every user and interest. Of what was told of an
interest, its information s = Σ i, score r and Σ i·x are kept, so that the weights and the interests are believed
jointly: the interests are summed out of the weights' normal equations (a Schur complement), and follow from the
weights. The sums are exact as the others are: any order, by period, unlearned to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.errors import InvalidInput
from honeyguide.explore.posterior import STEP
from honeyguide.types import Floats, Rows, State, Vectors

Sums = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What was told of a user's interests `groups` (g,), ascending, in units of the noise.

    `precision` (g,) of each effect given the weights, `pull` (g,) towards it, and `cross` (g, d) with the weights.
    """

    groups: Rows
    precision: Floats
    pull: Floats
    cross: Floats

    def of(self, groups: Rows, variance: float) -> tuple[Floats, Floats, Floats]:
        """For interests (n,): how the weights lean each (n, d), its mean without them (n,), its own variance (n,)."""
        at = np.minimum(np.searchsorted(self.groups, groups), len(self.groups) - 1)
        known = self.groups[at] == groups
        share = np.where(known, 1 / self.precision[at], 0.0)
        return share[:, None] * self.cross[at], share * self.pull[at], np.where(known, share, variance)

    def summed_out(self) -> tuple[Floats, Floats]:
        """(d, d) and (d,): what the weights' normal equations lose when the interests are not known."""
        scaled = self.cross / self.precision[:, None]
        return self.cross.T @ scaled, self.pull @ scaled


class InterestEffects:
    """Sums per user, interest and period; with a `variance` of 0 no interest differs, and there is nothing to add."""

    def __init__(self, variance: float, noise: float, dim: int) -> None:
        if not (variance >= 0 and np.isfinite(variance)):
            raise InvalidInput(f"the variance of interests must be finite and 0 or more, got {variance}")
        self.variance = variance
        self.noise = noise
        self.dim = dim
        self._users: dict[str, dict[tuple[int, int], Sums]] = {}  # user -> (period, interest) -> (d + 2,)

    def told(self, user_id: str) -> Told | None:
        """What counts of what was told of a user's interests; older periods by half each. None for nothing."""
        mine = self._users.get(user_id)
        if not mine:
            return None
        newest = max(period for period, _ in mine)
        groups = np.unique([group for _, group in mine])
        sums = np.zeros((len(groups), self.dim + 2))
        for (period, group), part in sorted(mine.items()):
            sums[np.searchsorted(groups, group)] += np.ldexp(part.astype(np.float64), period - newest)
        return told_of(groups, sums * STEP, self.variance, self.noise)

    def of(self, user_id: str, groups: Rows) -> tuple[Floats, Floats, Floats]:
        """What is believed of a user's interests (n,), as `Told.of` says it."""
        told = self.told(user_id)
        if told is not None:
            return told.of(groups, self.variance)
        n = len(groups)
        return np.zeros((n, self.dim)), np.zeros(n), np.full(n, self.variance)

    def add(self, user_id: str, period: int, groups: Rows, rows: Floats, *, sign: int = 1) -> None:
        """Add what (k,) items of these interests told, as `rows_told` says it; `sign` -1 takes it back."""
        mine = self._users.setdefault(user_id, {})
        for group, row in zip(groups.tolist(), rows, strict=True):
            key, part = (period, group), sign * np.rint(row / STEP).astype(np.int64)
            new = mine[key] + part if key in mine else part
            if new.any():
                mine[key] = new
            else:
                mine.pop(key, None)
        if not mine:
            del self._users[user_id]

    def forget(self, user_id: str) -> None:
        """Drop all of a user's sums."""
        self._users.pop(user_id, None)

    def state(self) -> State:
        """`tastes.variance` (1,), and `tastes.sums` (m, d + 2) int64 of users, periods and interests (m,)."""
        rows = list(self)
        names, offsets = pack_strings([user for user, _, _, _ in rows])
        return {
            "tastes.variance": np.array([self.variance]),
            "tastes.users": names,
            "tastes.offsets": offsets,
            "tastes.periods": np.array([period for _, period, _, _ in rows], dtype=np.int64),
            "tastes.interests": np.array([group for _, _, group, _ in rows], dtype=np.int64),
            "tastes.sums": np.array([sums for *_, sums in rows], dtype=np.int64).reshape(-1, self.dim + 2),
        }

    @classmethod
    def from_state(cls, state: State, noise: float, dim: int) -> InterestEffects:
        """The effects whose `state()` this is; of a state from before there were any, none."""
        if "tastes.variance" not in state:
            return cls(0.0, noise, dim)
        found = cls(float(state["tastes.variance"][0]), noise, dim)
        users = unpack_strings(state["tastes.users"], state["tastes.offsets"])
        keys = zip(users, state["tastes.periods"].tolist(), state["tastes.interests"].tolist(), strict=True)
        for (user, period, group), sums in zip(keys, state["tastes.sums"], strict=True):
            found._users.setdefault(user, {})[period, group] = sums.copy()
        return found

    def __iter__(self) -> Iterator[tuple[str, int, int, Sums]]:
        """(user, period, interest, sums) of all that there is, in order."""
        for user in sorted(self._users):
            for (period, group), sums in sorted(self._users[user].items()):
                yield user, period, group, sums


def told_of(groups: Rows, sums: Floats, variance: float, noise: float) -> Told:
    """What sums (g, d + 2) of information, score and information times x tell under this variance."""
    scaled = sums / noise
    return Told(groups, scaled[:, 0] + 1 / variance, scaled[:, 1], scaled[:, 2:])


def rows_told(information: Floats, scores: Floats, features: Vectors | Floats) -> Floats:
    """(k, d + 2): what each of k reactions adds to the sums of its interest."""
    return np.column_stack([information, scores, information[:, None] * features.astype(np.float64)])
