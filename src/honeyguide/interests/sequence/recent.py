"""A user's newest events, as far back as the sequence model reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.interests.sequence.histories import FIRST, Sequences, gap_classes
from honeyguide.types import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Recent:
    """The newest events of a user that are read, in the order of time, those of one moment by their marks.

    `tokens` (r,) int64 are rows of what the model knows, `kinds` (r,) int8 positions in EVENT_KINDS, `time_us` (r,)
    int64 epoch microseconds, `marks` (r,) uint64 hashes of event ids, 0 for those that were fitted.
    """

    tokens: Rows
    kinds: NDArray[np.int8]
    time_us: NDArray[np.int64]
    marks: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, tokens: Rows, kinds: NDArray[np.int8], time_us: NDArray[np.int64]) -> Recent:
        """What was fitted, in the order of time."""
        return cls(tokens, kinds, time_us, np.zeros(len(tokens), dtype=np.uint64))

    def add(self, token: int, kind: int, time_us: int, mark: np.uint64, *, longest: int) -> Recent:
        """One more event, in its place by time; the oldest goes where there are more than `longest`."""
        first = int(np.searchsorted(self.time_us, time_us, side="left"))
        last = int(np.searchsorted(self.time_us, time_us, side="right"))
        at = first + int(np.searchsorted(self.marks[first:last], mark, side="right"))
        return Recent(
            np.insert(self.tokens, at, token)[-longest:],
            np.insert(self.kinds, at, kind)[-longest:],
            np.insert(self.time_us, at, time_us)[-longest:],
            np.insert(self.marks, at, mark)[-longest:],
        )

    def sequence(self, now_us: int | None = None) -> Sequences:
        """The events as those of a single user, asked about now; None where that is not known."""
        gaps = np.full(len(self), FIRST, dtype=np.int8)
        gaps[1:] = gap_classes(np.diff(self.time_us))
        ahead = np.full(1, FIRST, dtype=np.int8)
        if now_us is not None and len(self):
            ahead = gap_classes(np.maximum(now_us - self.time_us[-1:], 0))
        return Sequences(self.tokens, self.kinds, gaps, np.array([0, len(self)]), ahead)


NOTHING = Recent.of(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int8), np.empty(0, dtype=np.int64))
"""Of somebody who has done nothing."""
