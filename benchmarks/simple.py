"""Rivals of a few lines: what all take, what a user takes anyway, what is taken where one shops, what reads alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from honeyguide.interests.sequence.histories import Sequences
from honeyguide.types import Floats, Rows, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """The same scores (n,) for everybody."""

    counts: Rows | Floats

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.counts)

    def score(self, sequences: Sequences) -> Vectors:
        """(u, n)."""
        return np.tile(self.counts.astype(np.float32), (len(sequences), 1))


@dataclass(frozen=True, slots=True, eq=False)
class Habit:
    """What a user took most often; of what was taken as often, and of all else, what others take the most."""

    counts: Rows

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.counts)

    def score(self, sequences: Sequences) -> Vectors:
        """(u, n)."""
        found = np.tile((self.counts / (self.counts.max() + 1)).astype(np.float32), (len(sequences), 1))
        np.add.at(found, (_users(sequences), sequences.tokens), 1)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class ByDepartment:
    """Popularity (n,) within departments (n,) 0 to d - 1, each weighted by its share of what the user took."""

    counts: Rows
    departments: Rows

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.counts)

    def score(self, sequences: Sequences) -> Vectors:
        """(u, n): the chance of an item, were the department drawn by the user's share and the item by all users."""
        whole = np.bincount(self.departments, weights=self.counts)
        within = self.counts / np.maximum(whole[self.departments], 1)
        share = np.zeros((len(sequences), len(whole)))
        np.add.at(share, (_users(sequences), self.departments[sequences.tokens]), 1)
        share /= np.maximum(sequences.lengths, 1)[:, None]
        return np.asarray(share[:, self.departments] * within, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Cosine:
    """Cosines of items' texts with the mean of what a user took, or with what was taken last."""

    vectors: Vectors
    last: bool = False

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.vectors)

    def score(self, sequences: Sequences) -> Vectors:
        """(u, n)."""
        # an item without a text is like nothing
        unit = self.vectors / np.maximum(np.linalg.norm(self.vectors, axis=1, keepdims=True), 1e-9)
        if self.last:
            return np.asarray(unit[sequences.from_last(0)] @ unit.T)
        mean = np.zeros((len(sequences), unit.shape[1]), dtype=np.float32)
        np.add.at(mean, _users(sequences), unit[sequences.tokens])
        return np.asarray(mean @ unit.T)


def _users(sequences: Sequences) -> Rows:
    return np.repeat(np.arange(len(sequences)), sequences.lengths)
