"""Heads: how likely a user who is here now does something with an item within the reward window.

A head is a logistic regression over signs of the user and the item, its chances calibrated on users that it did not
learn from. What the sequence model says is weighed apart, on events that no model has learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit

from honeyguide.interests.heads_signs import FOLLOWS, SIGNS, Prices, follows_of, signs_of
from honeyguide.interests.users import History, ShopperModel
from honeyguide.types import EventKind, Floats, Rows, State, Vectors

HEAD_KINDS: tuple[EventKind, ...] = ("click", "cart", "purchase")
"""What there may be a head for."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Log-odds: `bias`, plus `weights` (d,) of the signs, plus `follow` (2,) of what the sequence model says."""

    bias: float
    weights: Floats
    follow: Floats

    def log_odds(self, signs: Vectors, follows: Vectors) -> Floats:
        """(r,): of rows with signs (r, d) and FOLLOWS (r, 2)."""
        return np.asarray(self.bias + signs @ self.weights + follows @ self.follow, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """The heads of a shop by the kind of event, and the prices that they see."""

    of: Mapping[EventKind, Head]
    prices: Prices

    def chances(
        self, kind: EventKind, model: ShopperModel, history: History, rows: Rows, now_us: int
    ) -> Floats:
        """(r,) in 0..1: the chances that the user does that with items `rows` (r,); KeyError without a head."""
        head = self.of[kind]
        follows = np.zeros((len(rows), len(FOLLOWS)), dtype=np.float32)
        if head.follow.any():
            follows = follows_of(model, history, rows, now_us)
        signs = signs_of(model, self.prices, history, rows, now_us)
        return np.asarray(expit(head.log_odds(signs, follows)), dtype=np.float64)

    def state(self) -> tuple[State, dict[str, Any]]:
        """The heads as named arrays and JSON."""
        arrays = self.prices.state()
        for kind, head in self.of.items():
            arrays[f"{kind}.weights"] = np.concatenate([[head.bias], head.follow, head.weights])
        return arrays, {"kinds": list(self.of), "signs": list(SIGNS)}

    @classmethod
    def from_state(cls, arrays: State, meta: dict[str, Any]) -> Self:
        """The heads whose `state()` this is, of a version that saw the same signs."""
        found: dict[EventKind, Head] = {}
        for kind in meta["kinds"]:
            whole = arrays[f"{kind}.weights"]
            first = 1 + len(FOLLOWS)
            found[kind] = Head(float(whole[0]), whole[first:], whole[1:first])
        return cls(found, Prices.from_state(arrays))
