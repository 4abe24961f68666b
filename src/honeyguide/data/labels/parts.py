"""Which part of a split an example belongs to: the one that holds all that its label was made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.types import Rows

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Moments:
    """Validation and test begin at these moments, and nothing is known of what comes after `end_us`."""

    validation_us: int
    test_us: int
    end_us: int

    def part(self, time_us: Rows) -> NDArray[np.int8]:
        """(n,): the position in PARTS of each moment."""
        return np.searchsorted([self.validation_us, self.test_us], time_us, side="right").astype(np.int8)

    def part_of_span(self, first_us: Rows, last_us: Rows) -> NDArray[np.int8]:
        """(n,): the part that holds all from the first to the last moment, -1 where none does."""
        part = self.part(first_us)
        return np.where((part == self.part(last_us)) & (last_us <= self.end_us), part, -1).astype(np.int8)
