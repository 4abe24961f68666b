"""What the users of a simulated shop really want: several tastes each, and items that differ in quality.

No learner of ours is of this form: the factors come from who took what in the whole log, and a user's interest in an
item is a soft maximum over tastes, not one linear vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Tastes of u users, and n items, in a space of f factors.

    `items` (n, f) and `tastes` (t, f) are of unit norm or zero; `interest` (n,) says which of the true interests each
    item is of, `quality` (n,) is standardised. User u has the tastes starts[u]:starts[u + 1] of all, with `weights`
    (t,) that sum to 1 over each user's. `per_match` and `per_quality` are what one unit of either is worth, in
    logits.
    """

    items: Floats
    interest: Rows
    quality: Floats
    tastes: Floats
    weights: Floats
    starts: Rows
    sharpness: float
    per_match: float
    per_quality: float

    def __post_init__(self) -> None:
        if not len(self.items) == len(self.interest) == len(self.quality):
            raise InvalidInput("items, interest and quality must all have one row per item")
        if not len(self.tastes) == len(self.weights) == self.starts[-1]:
            raise InvalidInput("tastes and weights must have one row per taste of every user")
        if not (np.diff(self.starts) > 0).all():
            raise InvalidInput("every user needs a taste: leave out users who took nothing")

    @property
    def users(self) -> int:
        """How many there are."""
        return len(self.starts) - 1

    def of_user(self, user: int) -> Rows:
        """(m,): which tastes are theirs."""
        return np.arange(self.starts[user], self.starts[user + 1])

    def match(self, tastes: Floats, weights: Floats, rows: Rows) -> Floats:
        """(n,): how well items suit some tastes (m, f) of weights (m,): a soft maximum of their cosines.

        It is log Σ w·exp(sharpness·(cosine - 1)) over the sharpness: 0 for what suits a single taste perfectly.
        """
        return soft_match(self.items[rows], tastes, weights, self.sharpness)


def soft_match(items: Floats, tastes: Floats, weights: Floats, sharpness: float) -> Floats:
    """(..., n): of items (..., n, f) and tastes (..., m, f) of weights (..., m)."""
    close = np.exp(sharpness * (items @ np.swapaxes(tastes, -1, -2) - 1))
    return np.asarray(np.log((close * weights[..., None, :]).sum(axis=-1)) / sharpness)
