"""What was taken along with what, remembered pair by pair: what a network of some ten thousand weights cannot hold.

A user's next item is sought among what others took near the items of this user; as far as those say little, the
network's guess counts. That is how language models back off from word pairs (Dirichlet smoothing: MacKay & Peto
1995), with the network in the place of the word frequencies; on small shops either finds what the other misses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.types import Floats, Rows, State, Vectors

_WITHIN = 12  # events of a user between two items that count as taken along
_FADING = 0.8
_AT_ONCE = 4  # distances that are counted together
_UNHEARD = 1e-7  # an item so long ago that it weighs less than this says nothing
_KEPT = 300  # pairs of an item, the most frequent ones


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Counts of n items taken along with each other: `counts` (n, n), and `totals` (n,) of all pairs of an item.

    Of a user's items the newest weighs 1 and each one before it `recency` times as much as the one after;
    `backoff` is how many pairs the network's guess counts for. At 0 items are asked alone, where any was paired.
    """

    counts: csr_matrix
    totals: Floats
    backoff: float = 30.0
    recency: float = 0.85
    _kept: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not (self.backoff >= 0 and 0 < self.recency <= 1):
            raise InvalidInput(
                f"backoff must be at least 0 and recency in 0..1, above 0, got {self.backoff} and {self.recency}"
            )

        object.__setattr__(self, "_kept", np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel())

    @classmethod
    def of(
        cls,
        sequences: Sequences,
        items: int,
        *,
        within: int = _WITHIN,
        fading: float = _FADING,
        backward: float = 1.0,
        kept: int = _KEPT,
    ) -> Self:
        """The pairs that a user took within so many events of each other, of the `items` first tokens.

        A pair side by side counts 1, and `fading` times less with each event in between; what was taken before an
        item counts `backward` times as much as what was taken after it.
        """
        return cls.both_ways(followed(sequences, items, within=within, fading=fading), backward, kept=kept)

    @classmethod
    def both_ways(cls, after: csr_matrix, backward: float, *, kept: int = _KEPT) -> Self:
        """Out of counts (n, n) of what was taken after each item, by `followed`."""
        counts = csr_matrix(after + backward * after.T)
        totals = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        return cls(_largest(counts, kept), totals)

    def mix(self, sequences: Sequences, guessed: Vectors) -> Vectors:
        """(u, n): the chance of each item to be next, out of the network's, `guessed` (u, n), whose rows sum to 1."""
        asking, left = self._asking(sequences)
        remembered = np.asarray((asking @ self.counts).toarray(), dtype=np.float32)
        return remembered + left[:, None].astype(np.float32) * guessed

    def mix_some(self, sequence: Sequences, rows: Rows, guessed: Vectors) -> Vectors:
        """(r,): the same for a single user and some `rows` (r,), of which the network's guesses are given (r,)."""
        asking, left = self._asking(sequence)
        lengths = np.diff(self.counts.indptr)[asking.indices]
        ends = np.cumsum(lengths)
        at = np.repeat(self.counts.indptr[asking.indices] - ends + lengths, lengths) + np.arange(
            lengths.sum()
        )
        pairs = np.repeat(asking.data, lengths) * self.counts.data[at]
        found = np.bincount(self.counts.indices[at], weights=pairs, minlength=len(self.totals))
        return np.asarray(found[rows] + left[0] * guessed, dtype=np.float32)

    def _asking(self, sequences: Sequences) -> tuple[csr_matrix, Floats]:
        """(u, n) how much a pair of each item counts, and (u,) what is left to the network."""
        n, users = len(self.totals), len(sequences)
        row, token, weight = sequences.by_recency(n, self.recency)
        heard = weight > _UNHEARD
        row, token, weight = row[heard], token[heard], weight[heard]
        told = self.totals[token] + self.backoff
        share = np.divide(self._kept[token], told, out=np.zeros(len(token)), where=told > 0)
        each = np.divide(weight, told, out=np.zeros(len(token)), where=told > 0)
        asking = csr_matrix((each.astype(np.float32), (row, token)), shape=(users, n))
        told_by_items = np.bincount(row, weights=weight * share, minlength=users)
        return asking, 1.0 - told_by_items.astype(np.float64)

    def state(self) -> State:
        """The memory as named arrays."""
        return {
            "memory.columns": self.counts.indices.astype(np.int32),
            "memory.counts": self.counts.data,
            "memory.starts": self.counts.indptr.astype(np.int64),
            "memory.totals": self.totals,
            "memory.how": np.array([self.backoff, self.recency]),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The memory whose `state()` this is."""
        n = len(state["memory.totals"])
        parts = (state["memory.counts"], state["memory.columns"], state["memory.starts"])
        backoff, recency = state["memory.how"].tolist()
        return cls(csr_matrix(parts, shape=(n, n)), state["memory.totals"], backoff, recency)


def followed(
    sequences: Sequences, items: int, *, within: int = _WITHIN, fading: float = _FADING
) -> csr_matrix:
    """(items, items): how often each item was taken after each, within so many events of a user."""
    item = sequences.tokens < items
    tokens = sequences.tokens[item]
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)[item]
    found = csr_matrix((items, items), dtype=np.float32)
    furthest = min(within, int(sequences.lengths.max(initial=0)) - 1)
    for begin in range(1, furthest + 1, _AT_ONCE):
        firsts, seconds, weights = [], [], []
        for distance in range(begin, min(begin + _AT_ONCE, furthest + 1)):
            first, second = tokens[:-distance], tokens[distance:]
            along = (users[distance:] == users[:-distance]) & (first != second)
            firsts.append(first[along])
            seconds.append(second[along])
            weights.append(np.full(int(along.sum()), fading ** (distance - 1), dtype=np.float32))
        cells = (np.concatenate(firsts), np.concatenate(seconds))
        found = found + csr_matrix((np.concatenate(weights), cells), shape=(items, items))
    return csr_matrix(found)


def _largest(counts: csr_matrix, kept: int) -> csr_matrix:
    """The `kept` largest entries of each row."""
    lengths = np.diff(counts.indptr)
    if not (lengths > kept).any():
        return counts
    row = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((counts.indices, -counts.data, row))
    place = np.arange(len(order)) - counts.indptr[:-1][row[order]]
    chosen = np.sort(order[place < kept])
    starts = np.concatenate([[0], np.cumsum(np.minimum(lengths, kept))])
    return csr_matrix((counts.data[chosen], counts.indices[chosen], starts), shape=counts.shape)
