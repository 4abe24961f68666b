"""Lists that do not say the same thing twice: relevance against likeness, by MMR or by a determinantal process."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows, Vectors

METHODS = ("dpp", "mmr")
_NOTHING_NEW = (
    1e-6  # the share of an item that is new where it repeats what was taken: its logarithm stays finite
)


class Diverse(Protocol):
    """What each candidate would add to the list as it stands."""

    def gains(self) -> Floats:
        """(n,): the higher, the rather it comes next."""
        ...

    def take(self, row: int) -> None:
        """Put a candidate on the list."""
        ...


class Mmr:
    """Maximal marginal relevance: relevance less the likeness to the most alike item on the list."""

    def __init__(self, relevance: Floats, vectors: Vectors, diversity: float) -> None:
        self._relevance, self._vectors = _checked(relevance, vectors, diversity)
        self._diversity = diversity
        self._nearest = np.zeros(len(relevance))

    def gains(self) -> Floats:
        """(n,): (1 - diversity) x relevance - diversity x likeness, both in 0..1."""
        return (1 - self._diversity) * self._relevance - self._diversity * self._nearest

    def take(self, row: int) -> None:
        """Put a candidate on the list: O(n d)."""
        self._nearest = np.maximum(self._nearest, _likeness(self._vectors, row))


class Dpp:
    """The greedy most probable list of a determinantal point process (Chen, Zhang and Zhou, 2018).

    The kernel is exp(a r_i) S_ij exp(a r_j) with S the likeness in 0..1; a list's logarithm is then the sum of its
    relevances and log det S, weighed (1 - diversity) to diversity. The Cholesky factor grows by one row per item.
    """

    def __init__(self, relevance: Floats, vectors: Vectors, diversity: float) -> None:
        self._relevance, self._vectors = _checked(relevance, vectors, diversity)
        self._diversity = diversity
        self._new = np.ones(len(relevance))
        self._factor = np.zeros((0, len(relevance)))

    def gains(self) -> Floats:
        """(n,): (1 - diversity) x relevance + diversity x the logarithm of the share of the item that is new."""
        return (1 - self._diversity) * self._relevance + self._diversity * np.log(
            np.maximum(self._new, _NOTHING_NEW)
        )

    def take(self, row: int) -> None:
        """Put a candidate on the list: O(n (d + items on the list))."""
        if self._new[row] < _NOTHING_NEW:  # it adds nothing to what the list spans
            return
        likeness = _likeness(self._vectors, row)
        step = (likeness - self._factor[:, row] @ self._factor) / np.sqrt(self._new[row])
        self._factor = np.vstack([self._factor, step])
        self._new = np.maximum(self._new - step**2, 0.0)


class Limits:
    """At most so many candidates of one group on a list, and each candidate once."""

    def __init__(self, n: int, groups: tuple[Rows, ...] = (), most: tuple[int, ...] = ()) -> None:
        """`groups` are (n,) group numbers per attribute, -1 for those that are not limited; `most` goes with each."""
        if len(groups) != len(most) or any(group.shape != (n,) for group in groups):
            raise InvalidInput(f"every limit needs one group number for each of the {n} candidates")
        self._groups, self._most = groups, most
        self._counts = [np.bincount(np.zeros(0, int), minlength=int(g.max(initial=-1)) + 1) for g in groups]
        self.free = np.ones(n, dtype=np.bool_)

    def take(self, row: int) -> None:
        """A candidate is on the list: it, and the rest of a group that is full, are free no more."""
        self.free[row] = False
        for group, most, counts in zip(self._groups, self._most, self._counts, strict=True):
            if (of := group[row]) < 0:
                continue
            counts[of] += 1
            if counts[of] >= most:
                self.free &= group != of


def choose(diverse: Diverse, limits: Limits, k: int, pinned: dict[int, int] | None = None) -> Rows:
    """(k,) rows or fewer: the best by what each adds, within the limits; of equal ones the lower row.

    `pinned` are rows by slot from 0. They count towards the limits but are not refused by them.
    """
    pins = pinned or {}
    chosen: list[int] = []
    for row in pins.values():
        limits.take(row)
        diverse.take(row)
    for slot in range(k):
        if slot in pins:
            chosen.append(pins[slot])
            continue
        if not limits.free.any():
            continue
        best = int(np.where(limits.free, diverse.gains(), -np.inf).argmax())
        limits.take(best)
        diverse.take(best)
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def make_diverse(method: str, relevance: Floats, vectors: Vectors, diversity: float) -> Diverse:
    """The named way to weigh relevance (n,) against likeness of (n, d) vectors; `diversity` lies in 0..1."""
    if method not in METHODS:
        raise InvalidInput(f"diversify by one of {', '.join(METHODS)}, got {method!r}")
    return (Dpp if method == "dpp" else Mmr)(relevance, vectors, diversity)


def alike(vectors: Vectors) -> float:
    """The mean likeness, in 0..1, of the pairs of a list of (k, d) vectors; 0 where there is no pair."""
    k = len(vectors)
    if k < 2:
        return 0.0
    pairs = _unit(vectors) @ _unit(vectors).T
    return float((1 + (pairs.sum() - np.trace(pairs)) / (k * (k - 1))) / 2)


def _checked(relevance: Floats, vectors: Vectors, diversity: float) -> tuple[Floats, Floats]:
    """Relevance scaled to 0..1 and unit vectors."""
    if not 0 <= diversity <= 1:
        raise InvalidInput(f"diversity must lie in 0..1, got {diversity}")
    if vectors.ndim != 2 or relevance.shape != (len(vectors),):
        raise InvalidInput(
            f"relevance must be ({len(vectors)},), one per vector, got shape {relevance.shape}"
        )
    if not np.isfinite(relevance).all() or not np.isfinite(vectors).all():
        raise InvalidInput("relevance and vectors must be finite")
    low = relevance.min(initial=np.inf)
    width = relevance.max(initial=-np.inf) - low
    scaled = (relevance - low) / width if width > 0 else np.zeros(len(relevance))
    return scaled, _unit(vectors)


def _unit(vectors: Vectors) -> Floats:
    wide = vectors.astype(np.float64)
    norm = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, norm, out=np.zeros_like(wide), where=norm > 0))


def _likeness(vectors: Floats, row: int) -> NDArray[np.float64]:
    """(n,) in 0..1: half of one plus the cosine; the matrix of all pairs is positive semidefinite."""
    found = (1 + vectors @ vectors[row]) / 2
    found[row] = 1.0  # also of an item without a vector
    return np.asarray(found)
