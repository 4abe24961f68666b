"""Whether chances can be believed, and whether they tell what came from what did not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.types import Floats

BINS = 10
_RARE = 1e-9


@dataclass(frozen=True, slots=True)
class Reliability:
    """A bin of chances alike: the mean that was `given`, how often it `came`, and the `share` of all in the bin."""

    given: float
    came: float
    share: float


@dataclass(frozen=True, slots=True)
class HeadQuality:
    """How good chances are: `base` is how often it came in all, `auc` how often what came is put before what did not.

    `log_loss` is in nats, `base_log_loss` that of always saying `base`; `ece` the mean distance, over `bins`, of the
    chance given and how often it came.
    """

    rows: int
    came: int
    base: float
    auc: float
    log_loss: float
    base_log_loss: float
    ece: float
    bins: tuple[Reliability, ...]


def head_quality(chances: Floats, came: NDArray[np.bool_], weight: Floats | None = None) -> HeadQuality:
    """The quality of chances (r,) of what `came` (r,) or did not, each row standing for `weight` (r,) of them."""
    weight = np.ones(len(chances)) if weight is None else weight
    share = weight / weight.sum()
    base = float(share @ came)
    told = np.clip(np.where(came, chances, 1 - chances), _RARE, 1.0)
    usual = np.clip(np.where(came, base, 1 - base), _RARE, 1.0)
    bins = reliability(chances, came, weight)
    return HeadQuality(
        rows=len(chances),
        came=int(came.sum()),
        base=base,
        auc=_auc(chances, came, weight),
        log_loss=float(-(share @ np.log(told))),
        base_log_loss=float(-(share @ np.log(usual))),
        ece=float(sum(one.share * abs(one.given - one.came) for one in bins)),
        bins=bins,
    )


def reliability(chances: Floats, came: NDArray[np.bool_], weight: Floats) -> tuple[Reliability, ...]:
    """Bins of chances alike, ascending, with about as much of what came in each as in another.

    >>> found = reliability(np.array([0.1, 0.1, 0.6, 0.8]), np.array([False, False, True, True]), np.ones(4))
    >>> [(one.given, one.came, one.share) for one in found]
    [(0.1, 0.0, 0.5), (0.6, 1.0, 0.25), (0.8, 1.0, 0.25)]
    """
    order = np.argsort(chances, kind="stable")
    chances, came, weight = chances[order], came[order], weight[order]
    so_far = np.cumsum(weight * chances)
    place = np.minimum((so_far / max(so_far[-1], _RARE) * BINS).astype(np.int64), BINS - 1)
    # equal chances belong together, in the bin of the first of them
    same = np.flatnonzero(np.diff(chances) > 0) + 1
    starts = np.concatenate([[0], same])
    place = np.repeat(place[starts], np.diff(np.append(starts, len(chances))))
    found = []
    for bin_ in np.unique(place):
        inside = place == bin_
        mass = weight[inside].sum()
        given, true = weight[inside] @ chances[inside] / mass, weight[inside] @ came[inside] / mass
        found.append(Reliability(float(given), float(true), float(mass / weight.sum())))
    return tuple(found)


def _auc(chances: Floats, came: NDArray[np.bool_], weight: Floats) -> float:
    """How often a row that came has the higher chance than one that did not; ties count half; 0.5 without both."""
    values, at = np.unique(chances, return_inverse=True)
    yes = np.bincount(at, weights=weight * came, minlength=len(values))
    no = np.bincount(at, weights=weight * ~came, minlength=len(values))
    if not yes.sum() or not no.sum():
        return 0.5
    below = np.cumsum(no) - no
    return float(yes @ (below + no / 2) / (yes.sum() * no.sum()))
