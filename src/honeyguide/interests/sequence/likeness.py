"""Items that the log says little of are held to be taken like those that they resemble.

A new item has no vector of its own, no bias and no pairs; what is known of it is its content. Its chance to be next
is that of the items alike, and of having been taken by this user itself, for who took one of a kind takes another.
All that are held to be like an item have together no more of its chance than it has itself: of fifty of one name, one
sold and the others not, none is to be had for that.
An item of n events keeps `n / (n + rarity)` of its own chance: what is known of few is shrunk towards what is known
of many (Robbins 1956; kernel smoothing: Nadaraya 1964).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.types import Floats, Rows, State, Vectors

_NEAR = 20  # items that an item is held to be like
_LENDERS = 20_000  # items that others are held to be like, the most taken ones
_FALLING = 2.0  # the weight falls by e² over a typical distance from the nearest to the last of these
_ECHO = 0.4  # how much having taken an item itself counts for those alike, beside its chance to be taken next
_RECENCY = 0.7  # of a user's items each weighs so much of the one after it
_CHUNK = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Of n items the most alike: `near` (n, k) rows and `weights` (n, k) that sum to 1; `taken` (n,) their events.

    `rarity` is how many events of its own make an item half its own; `newness` how often one without any is taken
    beside what the ones alike would say: 1 where it has only just come, less where it has lain about unsold.
    """

    near: Rows
    weights: Vectors
    taken: Floats
    rarity: float = 1.0
    newness: float = 1.0
    own: Vectors = field(init=False, repr=False)
    """(n,): the share of its own chance that an item keeps."""
    borrowed: Vectors = field(init=False, repr=False)
    """(n, k): how much each item has of the chances of those alike."""
    lent: csr_matrix = field(init=False, repr=False)
    """(n, n): the same from the other side; rows sum to 1 at the most."""

    def __post_init__(self) -> None:
        if not (self.rarity > 0 and 0 <= self.newness <= 1):
            raise InvalidInput(
                f"rarity must be above 0 and newness in 0..1, got {self.rarity} and {self.newness}"
            )
        n, k = self.near.shape
        own = np.asarray(self.taken / (self.taken + self.rarity), dtype=np.float32)
        asked = np.where(self.taken > 0, 1 - own, np.float32(self.newness))[:, None] * self.weights
        of_lender = np.bincount(self.near.ravel(), weights=asked.ravel(), minlength=n)
        borrowed = (asked / np.maximum(of_lender, 1.0)[self.near]).astype(np.float32)
        borrowers = np.repeat(np.arange(n), k)
        lent = csr_matrix((borrowed.ravel(), (self.near.ravel(), borrowers)), shape=(n, n))
        object.__setattr__(self, "own", own)
        object.__setattr__(self, "borrowed", borrowed)
        object.__setattr__(self, "lent", lent)

    @classmethod
    def of(cls, vectors: Vectors, taken: Rows, *, rarity: float = 1.0, newness: float = 1.0) -> Self:
        """By the cosine of contents (n, d) to items that were `taken` (n,), an item itself left out."""
        lenders = np.sort(np.argsort(-taken, kind="stable")[: min(_LENDERS, int((taken > 0).sum()))])
        if not len(lenders):
            raise InvalidInput("no item was taken: there is nothing that others could be like")
        k = min(_NEAR, max(len(lenders) - 1, 1))
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        unit = unit.astype(np.float32)
        near, cosine = _nearest(unit, lenders, k)
        spread = float(np.median(cosine.max(axis=1) - cosine.min(axis=1)))
        weights = np.exp((cosine - cosine.max(axis=1, keepdims=True)) * (_FALLING / max(spread, 1e-6)))
        weights = weights / weights.sum(axis=1, keepdims=True)
        return cls(near, weights.astype(np.float32), taken.astype(np.float64), rarity, newness)

    def with_share(self, came: float) -> Likeness:
        """New items as often taken as the log says: this share of what is taken, and no oftener than those alike."""
        weight = self.taken / self.taken.sum()
        new = self.taken == 0
        expected = float((weight[self.near[new]] * self.weights[new]).sum())
        if expected == 0:
            return self
        return replace(self, newness=min(came / (max(1 - came, 1e-9) * expected), 1.0))

    def mix(self, sequences: Sequences, chances: Vectors) -> Vectors:
        """(u, n): the chance of each item to be next, rows summing to 1, out of `chances` (u, n) without likeness."""
        lent = (1 - _ECHO) * chances + _ECHO * self._echo(sequences).toarray()
        found = chances * self.own + np.asarray((self.lent.T @ lent.T).T)
        return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)

    def mix_some(
        self, sequence: Sequences, rows: Rows, chances_of: Callable[[Rows], Vectors], pool: Rows | None
    ) -> Vectors:
        """(r,): the same of some items for one user; `chances_of` gives those without likeness, of any rows.

        Items outside of `pool` count for nothing in the sum of all chances; None counts all.
        """
        n = len(self.own)
        everything = np.arange(n) if pool is None else pool
        wanted = np.zeros(n, dtype=np.bool_)
        wanted[everything], wanted[rows], wanted[self.near[rows]] = True, True, True
        chances = np.zeros(n, dtype=np.float32)
        needed = np.flatnonzero(wanted)
        chances[needed] = chances_of(needed)
        lent = (1 - _ECHO) * chances + _ECHO * self._echo(sequence).toarray()[0]
        found = chances * self.own
        found[rows] += (lent[self.near[rows]] * self.borrowed[rows]).sum(axis=1)
        lending = np.asarray(self.lent.sum(axis=1)).ravel()
        whole = (chances[everything] * self.own[everything]).sum() + lent @ lending
        return np.asarray(found[rows] / whole, dtype=np.float32)

    def _echo(self, sequences: Sequences) -> csr_matrix:
        """(u, n): what each user took, the newest the most; rows sum to 1, or to 0 of who took nothing."""
        user, token, share = sequences.by_recency(len(self.own), _RECENCY)
        return csr_matrix((share.astype(np.float32), (user, token)), shape=(len(sequences), len(self.own)))

    def state(self) -> State:
        """The likeness as named arrays."""
        return {
            "likeness.near": self.near.astype(np.int32),
            "likeness.weights": self.weights,
            "likeness.taken": self.taken,
            "likeness.how": np.array([self.rarity, self.newness]),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The likeness whose `state()` this is."""
        rarity, newness = state["likeness.how"].tolist()
        near = state["likeness.near"].astype(np.int64)
        return cls(near, state["likeness.weights"], state["likeness.taken"], rarity, newness)


def share_of_new(rows: Rows, *, last: float = 0.1) -> float:
    """Which share of what was taken last was of items not taken before it; item `rows` (n,) in the order of time.

    >>> share_of_new(np.array([0, 1, 0, 1, 0, 1, 0, 2, 0, 2]), last=0.4)
    0.5
    """
    recent = len(rows) - max(round(last * len(rows)), 1)
    return float(np.isin(rows[recent:], rows[:recent], invert=True).mean())


def _nearest(unit: Vectors, lenders: Rows, k: int) -> tuple[Rows, Vectors]:
    """(n, k) rows among the lenders and their cosines, an item itself left out."""
    place = np.full(len(unit), -1, dtype=np.int64)
    place[lenders] = np.arange(len(lenders))
    near, cosines = [], []
    for first in range(0, len(unit), _CHUNK):
        cosine = unit[first : first + _CHUNK] @ unit[lenders].T
        own = place[first : first + _CHUNK]
        if len(lenders) > 1:
            cosine[own >= 0, own[own >= 0]] = -2.0
        found = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        near.append(lenders[found])
        cosines.append(np.take_along_axis(cosine, found, axis=1))
    return np.concatenate(near).astype(np.int64), np.concatenate(cosines)
