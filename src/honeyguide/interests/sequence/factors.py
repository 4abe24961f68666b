"""Who takes what over all of a user's time: what a network of the newest events does not read.

The matrix of who ever took what is written as a few factors (PureSVD: Cremonesi, Koren & Turrin 2010), the weaker
ones shrunk as ridge regression would. A user is the sum over the items that were taken, each once and in any order:
folding one by one equals folding the history. An item of a kind that a user takes much is likelier than its factors
say: households try another brand of what they buy every week.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.types import Floats, Rows, State, Vectors

_RANK = 64
_WHOLE = 3000  # up to so many users, or items, all factors are computed and the largest kept
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Factors `items` (n, r) float32 of n items, and how far each is trusted, `trust` (r,) in 0..1.

    `share` of the chance that something new to a user comes next is told by them, and the rest stays as it was.
    `near` (n, k) are the items most alike to each; an item's chance grows with (1 + the user's events among those)
    to the power of `pull`.
    """

    items: Vectors
    trust: Vectors
    near: NDArray[np.integer[Any]]
    share: float = 0.5
    pull: float = 0.2

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and self.pull >= 0):
            raise InvalidInput(
                f"share must lie in 0..1 and pull be at least 0, got {self.share}, {self.pull}"
            )
        object.__setattr__(
            self, "near", self.near.astype(np.int32)
        )  # half of what is gathered for every request

    @classmethod
    def of(cls, sequences: Sequences, near: Rows, *, rank: int = _RANK) -> Self:
        """What users took of the first `len(near)` tokens; InvalidInput where two users or items are too few."""
        taken = _counts(sequences, len(near))
        taken.data[:] = 1
        most = min(taken.shape) - 1
        if most < 1 or not taken.nnz:
            raise InvalidInput("factors need at least two users and two items: import more events")
        strength, items = _largest(taken, min(rank, most))
        middle = float(np.median(strength)) ** 2
        trust = strength**2 / (strength**2 + max(middle, _NOTHING))
        return cls(items.astype(np.float32), trust.astype(np.float32), near)

    def mix(self, sequences: Sequences, chances: Vectors) -> Vectors:
        """(u, n): the chance of each item to be next, out of `chances` (u, n) without; rows keep their sums."""
        counts = _counts(sequences, len(self.items))
        user = np.repeat(np.arange(len(sequences)), np.diff(counts.indptr))
        had = user, counts.indices
        told = self._told(_ones(counts)) * self._pulled((counts @ self._kin()).toarray())
        told[had] = 0.0
        whole = told.sum(axis=1, keepdims=True)
        told = np.divide(told, whole, out=np.zeros_like(told), where=whole > _NOTHING)
        left = np.where(whole > _NOTHING, 1 - np.float32(self.share), np.float32(1.0))
        kept = chances[had]
        new = chances.sum(axis=1) - np.bincount(user, weights=kept, minlength=len(sequences))
        found = np.asarray(left * chances + (1 - left) * new[:, None] * told, dtype=np.float32)
        found[had] = kept
        return found

    def mix_some(
        self, sequence: Sequences, rows: Rows, chances_of: Callable[[Rows], Vectors], pool: Rows | None
    ) -> Vectors:
        """(r,): the same of some items for one user; `chances_of` gives those without factors, of any rows.

        Items outside of `pool` count for nothing in the sum of all chances; None counts all.
        """
        n = len(self.items)
        often = np.bincount(sequence.tokens[sequence.tokens < n], minlength=n)
        had = np.flatnonzero(often)
        everything = np.arange(n) if pool is None else pool
        told = self._of_one(often, had, everything)
        whole = float(told.sum())
        if whole <= _NOTHING:
            return chances_of(rows)
        inside = np.zeros(n, dtype=np.bool_)
        inside[everything] = True
        seen = had[inside[had]]
        chances = chances_of(np.concatenate([rows, seen]))
        new = max(1.0 - float(chances[len(rows) :].sum()), 0.0)
        kept = chances[: len(rows)]
        mixed = (1 - self.share) * kept + self.share * new / whole * self._of_one(often, had, rows)
        return np.where(often[rows] > 0, kept, mixed).astype(np.float32)

    def _of_one(self, often: Rows, had: Rows, rows: Rows) -> Floats:
        """(r,): what is told of some items for one user, who took all (n,) so `often`, those they had being 0."""
        user = self.items[had].sum(axis=0) * self.trust
        told = np.maximum(self.items[rows] @ user, 0.0) * self._pulled(often[self.near[rows]].sum(axis=1))
        return np.where(often[rows] > 0, 0.0, told)

    def _kin(self) -> csr_matrix:
        """(n, n): row j has a 1 for each item that j is among the most alike of."""
        n, k = self.near.shape
        places = (self.near.ravel(), np.repeat(np.arange(n), k))
        return csr_matrix((np.ones(n * k, dtype=np.float32), places), shape=(n, n))

    def _told(self, taken: csr_matrix) -> Floats:
        user = (taken @ self.items) * self.trust
        return np.asarray(np.maximum(user @ self.items.T, 0.0), dtype=np.float64)

    def _pulled(self, kin: Floats | Rows) -> Floats:
        return np.asarray((1.0 + kin) ** self.pull)

    def state(self) -> State:
        """The factors as named arrays."""
        return {
            "factors.items": self.items,
            "factors.trust": self.trust,
            "factors.near": self.near,
            "factors.how": np.array([self.share, self.pull]),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The factors whose `state()` this is."""
        share, pull = state["factors.how"].tolist()
        return cls(state["factors.items"], state["factors.trust"], state["factors.near"], share, pull)


def _counts(sequences: Sequences, items: int) -> csr_matrix:
    """(u, items): how often each user took each item."""
    user = np.repeat(np.arange(len(sequences)), sequences.lengths)
    item = sequences.tokens < items
    cells = (user[item], sequences.tokens[item])
    counts = csr_matrix((np.ones(int(item.sum()), dtype=np.float32), cells), shape=(len(sequences), items))
    counts.sum_duplicates()
    return counts


def _largest(taken: csr_matrix, k: int) -> tuple[Floats, Floats]:
    """(r,) largest singular values, `k` at the most, and their items' vectors (n, r), the same each time."""
    users, items = taken.shape
    if min(users, items) > _WHOLE:
        _, strength, vectors = svds(taken, k=k, v0=np.ones(min(users, items)), rng=np.random.default_rng(0))
        return strength, vectors.T
    # where as many are asked for as there are, those of a strength of 0 are any, and another at each time
    taken = taken.astype(np.float64)
    square = (taken @ taken.T if users <= items else taken.T @ taken).toarray()
    values, sides = np.linalg.eigh(square)
    values, sides = values[-k:], sides[:, -k:]
    told = values > values[-1] * _NOTHING
    strength, sides = np.sqrt(values[told]), sides[:, told]
    return strength, taken.T @ sides / strength if users <= items else sides


def _ones(counts: csr_matrix) -> csr_matrix:
    taken = counts.copy()
    taken.data[:] = 1
    return taken
