"""What heads see of a user and an item at a moment: what policies see, more of how it plays together, and prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from honeyguide.interests.users import BEHAVIOUR, MILLI, History, ShopperModel
from honeyguide.types import Floats, Rows, State, Vectors

_SEEN = tuple(name for name in BEHAVIOUR if name != "bias")
_MADE = ("log weight", "root rate", "log rebought", "log rate", "log recency")
_PAIRS = (
    ("popularity", "popularity"),
    ("recency", "recency"),
    ("due", "due"),
    ("rate", "due"),
    ("rate", "popularity"),
    ("log weight", "recency"),
    ("log weight", "due"),
    ("log weight", "rebought"),
    ("recency", "due"),
    ("recency", "rebought"),
    ("interest share", "popularity"),
    ("interest share", "rate"),
)
_PRICE = ("dearer than its interest", "dearer than they pay", "far from what they pay", "out of their range")
SIGNS = (*_SEEN, *_MADE, *(" x ".join(pair) for pair in _PAIRS), *_PRICE)
"""The signs of user and item together; the item's own taste components come after them."""
FOLLOWS = ("next", "new x next")
"""What the sequence model says, where there is one: how likely the item comes next, and that of items never taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """`log` (n,) the logarithms of the items' prices, and `usual` (n,) the median in each item's interest.

    Both are NaN where no price is known.
    """

    log: Floats
    usual: Floats

    @classmethod
    def of(cls, prices: Sequence[float | None], leaf: Rows) -> Self:
        """The prices (n,) of items in interests `leaf` (n,).

        >>> Prices.of([1.0, None, 4.0], np.array([0, 0, 0])).usual.round(3).tolist()
        [0.693, nan, 0.693]
        """
        log = np.array([np.log(price) if price is not None and price > 0 else np.nan for price in prices])
        usual = np.full(len(log), np.nan)
        there = np.flatnonzero(np.isfinite(log))
        order = there[np.argsort(leaf[there], kind="stable")]
        for shelf in np.split(order, np.flatnonzero(np.diff(leaf[order])) + 1):
            if len(shelf):
                usual[shelf] = np.median(log[shelf])
        return cls(log, usual)

    def put(self, rows: Rows, prices: Sequence[float | None], leaf: Rows) -> Prices:
        """After items were put at `rows` (m,) with these prices; `leaf` (n,) are the interests of all then.

        What is usual in an interest stays as it was, so that a put moves no other item.
        """
        more = np.full(max(len(leaf) - len(self.log), 0), np.nan)
        log, usual = np.concatenate([self.log, more]), np.concatenate([self.usual, more])
        there = np.flatnonzero(np.isfinite(self.usual))
        of_leaf = np.full(int(leaf.max(initial=-1)) + 1, np.nan)
        of_leaf[leaf[there]] = self.usual[there]
        log[rows] = Prices.of(prices, leaf[rows]).log
        usual[rows] = np.where(np.isfinite(log[rows]), of_leaf[leaf[rows]], np.nan)
        return Prices(log, usual)

    def signs(self, history: History, rows: Rows) -> Floats:
        """(r, 4): what the prices say of items `rows` (r,); 0 where one is not known."""
        found = np.zeros((len(rows), len(_PRICE)))
        log = self.log[rows]
        found[:, 0] = log - self.usual[rows]
        paid = self.log[history.rows]
        known = np.isfinite(paid)
        if known.any():
            weight = np.log1p(history.weight[known] / MILLI)
            found[:, 1] = log - np.average(paid[known], weights=weight)
            found[:, 2] = np.abs(found[:, 1])
            found[:, 3] = np.where(np.isfinite(log), (log < paid[known].min()) | (log > paid[known].max()), 0)
        return np.nan_to_num(found)

    def state(self) -> State:
        """The prices as named arrays."""
        return {"prices.log": self.log, "prices.usual": self.usual}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The prices whose `state()` this is."""
        return cls(state["prices.log"], state["prices.usual"])


def signs_of(model: ShopperModel, prices: Prices, history: History, rows: Rows, now_us: int) -> Vectors:
    """(r, SIGNS + taste) float32: what heads see of a user and of items `rows` (r,)."""
    features = model.features(history, rows, now_us)
    column = {name: features[:, at].astype(np.float64) for at, name in enumerate(BEHAVIOUR)}
    known = column["known"]
    column["log weight"] = np.log1p(column["weight"])
    column["root rate"] = np.sqrt(np.maximum(column["rate"], 0))
    column["log rebought"] = np.log(column["rebought"] + 1e-3)
    column["log rate"] = np.log(column["rate"] + 1e-2) * known
    column["log recency"] = np.log(column["recency"] + 1e-2) * known
    taste = features[:, len(BEHAVIOUR) : len(BEHAVIOUR) + model.items.vectors.shape[1]]
    return np.column_stack(
        [
            *(column[name] for name in (*_SEEN, *_MADE)),
            *(column[one] * column[other] for one, other in _PAIRS),
            prices.signs(history, rows),
            taste,
        ]
    ).astype(np.float32)


def follows_of(model: ShopperModel, history: History, rows: Rows, now_us: int) -> Vectors:
    """(r, 2): FOLLOWS of items `rows` (r,); 0 where there is no sequence model."""
    likely = model.likely(history, rows, now_us)
    return np.column_stack([likely, np.where(np.isin(rows, history.rows), 0.0, likely)]).astype(np.float32)
