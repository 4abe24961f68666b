"""Which interests a user has, and the events that say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc

from honeyguide.errors import InvalidInput
from honeyguide.interests.users import MILLI, History
from honeyguide.types import Floats, Rows

_PRIOR = 5.0  # events that what is usual in the shop counts for
_EVIDENCE = 3


@dataclass(frozen=True, slots=True)
class InterestLabel:
    """An interest of a user: `surely` is the chance that they want more of it than shoppers in general do.

    `lift` is how many times as much they took of it, after shrinking; `evidence` the item rows that say so, the
    weightiest first, and `events_us` when each was last taken.
    """

    leaf: int
    surely: float
    lift: float
    evidence: tuple[int, ...]
    events_us: tuple[int, ...]


def classify(history: History, leaf: Rows, base: Floats, *, least: float = 0.95) -> tuple[InterestLabel, ...]:
    """The interests that a user has by at least this chance, the surest first; as many as there are.

    How much a user takes of an interest is Poisson, its rate Gamma around the shop's `base` (leaves,), which sums to
    1 (an empirical-Bayes disproportionality: DuMouchel 1999). `leaf` (n,) is the interest of each item.
    """
    if not 0 < least < 1:
        raise InvalidInput(f"least must lie between 0 and 1, got {least}")
    weight = history.weight / MILLI
    took = np.bincount(leaf[history.rows], weights=weight, minlength=len(base))
    total = float(took.sum())
    prior = _PRIOR * base
    surely = gammaincc(prior + took, (_PRIOR + total) * base)
    lift = (prior + took) / ((_PRIOR + total) * base)
    chosen = np.flatnonzero((surely >= least) & (took > 0))
    order = chosen[np.lexsort((-lift[chosen], -surely[chosen]))]
    return tuple(_label(history, leaf, int(one), float(surely[one]), float(lift[one])) for one in order)


def _label(history: History, leaf: Rows, one: int, surely: float, lift: float) -> InterestLabel:
    own = np.flatnonzero(leaf[history.rows] == one)
    first = own[np.lexsort((-history.last_us[own], -history.weight[own]))][:_EVIDENCE]
    rows, times = history.rows[first], history.last_us[first]
    return InterestLabel(one, surely, lift, tuple(rows.tolist()), tuple(times.tolist()))
