"""How far down a page people look: a reaction low on the page says more than the lack of one.

The examination hypothesis: an item earns if it is looked at and wanted, and whether it is looked at depends on its
slot alone (the position-based model; Craswell et al. 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows

LEAST = 0.02
_DOUBT = 5.0  # rewards' worth of belief, for every slot, that it is looked at like the first


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """How likely each slot is looked at beside the first: `chances` (m,), never rising; the last holds below it."""

    chances: Floats

    def __post_init__(self) -> None:
        if not (len(self.chances) and ((self.chances > 0) & (self.chances <= 1)).all()):
            raise InvalidInput(f"chances must lie in (0, 1], got {self.chances.tolist()}")

    def of(self, places: Rows) -> Floats:
        """(k,): the chances of the slots `places` (k,), 0 being the first."""
        return np.asarray(self.chances[np.minimum(places, len(self.chances) - 1)])


EVERYTHING = Examination(np.ones(1))
"""Every slot is looked at."""


def learn_examination(places: Rows, expected: Floats, rewards: Floats) -> Examination:
    """What slots (r,) earned of what their items were expected to earn (r,), were they looked at."""
    due, earned = (np.bincount(places, each).astype(np.float64) for each in (expected, rewards))
    return examination_of(due, earned)


def examination_of(due: Floats, earned: Floats) -> Examination:
    """The same of the sums over each slot (m,).

    A slot is believed to be looked at like the first until its rewards say otherwise, and never more than one above
    it (isotonic regression).
    """
    share = (earned + _DOUBT) / (due + _DOUBT)
    falling = isotonic_regression(share, weights=due + _DOUBT, increasing=False).x
    return Examination(np.clip(falling / falling[0], LEAST, 1.0))
