"""Which interest follows which: where a shopper who is here may go next, learned from where others went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.types import Floats, Rows, State

_SMOOTHING = 50.0  # steps that what is usual in the whole shop counts for
_RECENCY = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """`chances` (leaves, leaves) float64: row a says where shoppers go from interest a, its own among them.

    `base` (leaves,) is where they are in general. Rows of both sum to 1, and no entry is 0.
    """

    chances: Floats
    base: Floats

    @classmethod
    def of(cls, sequences: Sequences, leaf: Rows, leaves: int, *, smoothing: float = _SMOOTHING) -> Self:
        """From what users did one after the other; `leaf` (n,) is the interest of each item."""
        if leaves < 1 or smoothing <= 0:
            raise InvalidInput(
                f"leaves must be at least 1 and smoothing above 0, got {leaves} and {smoothing}"
            )
        item = sequences.tokens < len(leaf)
        at = leaf[sequences.tokens[item]]
        user = np.repeat(np.arange(len(sequences)), sequences.lengths)[item]
        base = np.bincount(at, minlength=leaves).astype(np.float64) + 1.0
        base /= base.sum()
        counts = np.zeros((leaves, leaves))
        same = user[1:] == user[:-1]
        np.add.at(counts, (at[:-1][same], at[1:][same]), 1)
        chances = (counts + smoothing * base) / (counts.sum(axis=1, keepdims=True) + smoothing)
        return cls(chances, base)

    def __len__(self) -> int:
        return len(self.base)

    def after(self, leaves: Rows) -> Floats:
        """(leaves,): where somebody goes whose events were in these interests, oldest first; new ones weigh more."""
        if not len(leaves):
            return self.base
        weight = _RECENCY ** np.arange(len(leaves))[::-1]
        return np.asarray(weight @ self.chances[leaves] / weight.sum())

    def to_new(self, leaves: Rows) -> Floats:
        """(leaves,): the same among interests never touched, summing to 1; all 0 where none is left."""
        found = self.after(leaves).copy()
        found[leaves] = 0.0
        return found / max(float(found.sum()), 1e-12) if found.any() else found

    def lift(self) -> NDArray[np.float64]:
        """(leaves, leaves): how many times likelier than in general an interest is after another."""
        return self.chances / self.base

    def state(self) -> State:
        """The transitions as named arrays."""
        return {"transitions.chances": self.chances, "transitions.base": self.base}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The transitions whose `state()` this is."""
        return cls(state["transitions.chances"], state["transitions.base"])
