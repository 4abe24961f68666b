"""Exact sums by period, of which older ones count less: what somebody did long ago says less of them.

Sums that fade with every update would depend on the order of updates. So each period has sums of its own, in fixed
point, and they are weighed when they are asked for: by half for each period before the newest one that there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000


@dataclass(slots=True)
class Periods:
    """Sums per user and period; a period is `half_life_days` long, and with 0 all time is one."""

    half_life_days: float
    _sums: dict[str, dict[int, NDArray[np.int64]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.half_life_days >= 0 and np.isfinite(self.half_life_days)):
            raise InvalidInput(f"half_life_days must be finite and 0 or more, got {self.half_life_days}")

    def of(self, time: datetime) -> int:
        """The period of a moment."""
        return self.of_us((time - _EPOCH) // timedelta(microseconds=1))

    def of_us(self, time_us: int) -> int:
        """The period of a moment in microseconds since 1970."""
        return int(time_us // (self.half_life_days * _DAY_US)) if self.half_life_days else 0

    def add(self, user_id: str, period: int, sums: NDArray[np.int64]) -> None:
        """Add to a user's sums of a period; what comes to nothing leaves no trace."""
        mine = self._sums.setdefault(user_id, {})
        new = mine[period] + sums if period in mine else sums
        if new.any():
            mine[period] = new
        else:
            mine.pop(period, None)
        if not mine:
            del self._sums[user_id]

    def faded(self, user_id: str) -> Floats | None:
        """A user's sums, halved for each period before their newest; None where there are none."""
        mine = self._sums.get(user_id)
        if mine is None:
            return None
        newest = max(mine)
        weighed = [np.ldexp(mine[period].astype(np.float64), period - newest) for period in sorted(mine)]
        return np.asarray(sum(weighed[1:], start=weighed[0]))

    def forget(self, user_id: str) -> None:
        """Drop all of a user's sums."""
        self._sums.pop(user_id, None)

    def __iter__(self) -> Iterator[tuple[str, int, NDArray[np.int64]]]:
        """(user, period, sums) of all that there is, in order."""
        for user in sorted(self._sums):
            for period in sorted(self._sums[user]):
                yield user, period, self._sums[user][period]
