"""What an event earns: the grade of its kind, and a rating's in proportion to its stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.types import EVENT_KINDS, Floats, Grade

RATING = EVENT_KINDS.index("rating")
_USUAL_TOPS = (1.0, 5.0, 10.0, 100.0)
_FROM_ZERO = (1.0, 100.0)
"""Thumbs and percentages begin at 0; stars and points begin at 1 until somebody gives less."""


@dataclass(frozen=True, slots=True)
class StarScale:
    """The lowest and the highest rating that can be given."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise InvalidInput(
                f"a scale needs a lowest rating below the highest, got {self.low} and {self.high}"
            )

    @classmethod
    def of(cls, stars: NDArray[np.floating[Any]]) -> StarScale:
        """The usual scale that these ratings fit on: 0 or 1, 1 to 5, 1 to 10, 0 to 100; without any, 1 to 5.

        A rating below 1 moves the lower end to 0, a negative one to itself; above 100 the highest is the upper end.
        """
        given = np.asarray(stars, dtype=np.float64)
        given = given[~np.isnan(given)]
        if not len(given):
            return cls(1.0, 5.0)
        bottom, top = float(given.min()), float(given.max())
        high = next((usual for usual in _USUAL_TOPS if usual >= top), top)
        return cls(min(bottom, 0.0) if bottom < 1 or high in _FROM_ZERO else 1.0, high)

    def share(self, stars: NDArray[np.floating[Any]]) -> Floats:
        """(n,) in 0..1: how far up the scale each rating is; NaN where there are no stars."""
        up = (np.asarray(stars, dtype=np.float64) - self.low) / (self.high - self.low)
        return np.asarray(np.clip(up, 0.0, 1.0))


def rewards(table: EventTable, *, grade: Grade, scale: StarScale | None = None) -> Floats:
    """(n,) in 0..1: what each event of the table earns; 0 for what is about no item."""
    return np.where(table.item >= 0, graded(table.kind, table.value, grade=grade, scale=scale), 0.0)


def graded(
    kind: NDArray[np.int8], value: NDArray[np.floating[Any]], *, grade: Grade, scale: StarScale | None = None
) -> Floats:
    """(n,) in 0..1: the grade of each event's kind; on a `scale` a rating earns only its stars' share of it."""
    grades = np.array([grade(name) for name in EVENT_KINDS], dtype=np.float64)
    earned = grades[kind]
    if scale is None:
        return np.asarray(earned)
    starred = (kind == RATING) & ~np.isnan(value)
    return np.where(starred, earned * np.nan_to_num(scale.share(value)), earned)
