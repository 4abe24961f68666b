"""What is known of items before anybody asks: taste vectors, interests, popularity, how often they are rebought."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows, State, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Taste:
    """How text vectors (d,) become taste vectors (t,): as seen from `centre` (d,) on the `axes` (d, t), float64."""

    centre: Floats
    axes: Floats

    @classmethod
    def of(cls, text_vectors: Vectors, weight: Floats, dims: int) -> Self:
        """The `dims` main axes of the (n, d) text vectors, weighted by `weight` (n,): by what sells."""
        x = text_vectors.astype(np.float64)
        total = max(float(weight.sum()), 1e-9)
        centre = weight @ x / total
        spread = (x * (weight / total)[:, None]).T @ x - np.outer(centre, centre)
        _, axes = np.linalg.eigh(spread)
        main = axes[:, ::-1][:, :dims]
        main = main * np.sign(
            main[np.abs(main).argmax(axis=0), np.arange(main.shape[1])]
        )  # a sign is arbitrary: fix it
        return cls(centre, main)

    def vectors(self, text_vectors: Vectors) -> Vectors:
        """(n, t) of unit norm; zero rows stay zero."""
        projected = (text_vectors.astype(np.float64) - self.centre) @ self.axes
        norm = np.linalg.norm(projected, axis=1, keepdims=True)
        unit = np.divide(projected, norm, out=np.zeros_like(projected), where=norm > 0)
        unit[~text_vectors.any(axis=1)] = 0.0
        return np.asarray(unit, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ItemFacts:
    """Facts of n items: `vectors` (n, t) float32 of unit norm or zero, `leaf` (n,) their interest.

    `top_of_leaf` (leaves,) is each interest's parent, `popularity` (n,) in 0..1 is the logarithm of how many
    users took the item, `rebought` (n,) the chance that a buyer buys it again within the reward window,
    `taken` (n,) how many events of the log took it. `taste` made the vectors; None in a shop fitted long ago.
    """

    vectors: Vectors
    leaf: Rows
    top_of_leaf: Rows
    popularity: Vectors
    rebought: Vectors
    taken: Rows
    taste: Taste | None = None

    def __post_init__(self) -> None:
        n = len(self.vectors)
        if not len(self.leaf) == len(self.popularity) == len(self.rebought) == len(self.taken) == n:
            raise InvalidInput("vectors, leaf, popularity, rebought and taken must all have one row per item")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def by_popularity(self) -> Rows:
        """(n,): all rows, the most popular first; ties go to the lower row."""
        return np.argsort(-self.popularity, kind="stable")

    def state(self) -> State:
        """The facts as named arrays."""
        return {
            "vectors": self.vectors,
            "leaf": self.leaf,
            "top_of_leaf": self.top_of_leaf,
            "popularity": self.popularity,
            "rebought": self.rebought,
            "taken": self.taken,
            **({} if self.taste is None else {"centre": self.taste.centre, "axes": self.taste.axes}),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The facts whose `state()` this is."""
        taste = Taste(state["centre"], state["axes"]) if "axes" in state else None
        return cls(**{name: state[name] for name in _STORED}, taste=taste)

    def put(self, rows: Rows, vectors: Vectors, leaf: Rows) -> ItemFacts:
        """The facts after items were put at `rows` (m,), with (m, t) vectors in interests `leaf` (m,).

        Rows behind the last are new, in order: nobody took them yet, and they are held to be as popular, and as often
        rebought, as what is taken of their interest is on average: that it was taken by nobody says something of what
        was there to be taken, and nothing of what was not. Of the others all that was counted stays.
        """
        n = len(self)
        found, leaves = (_longer(each, int(rows.max(initial=-1)) + 1) for each in (self.vectors, self.leaf))
        found[rows], leaves[rows] = vectors, leaf
        return replace(
            self,
            vectors=found,
            leaf=leaves,
            popularity=np.concatenate([self.popularity, self._usual(self.popularity)[leaves[n:]]]),
            rebought=np.concatenate([self.rebought, self._usual(self.rebought)[leaves[n:]]]),
            taken=_longer(self.taken, len(leaves)),
        )

    def _usual(self, each: Vectors) -> Vectors:
        """(leaves,): the mean over what was taken of each interest; over all that was taken where that is nothing."""
        leaves, taken = len(self.top_of_leaf), self.taken > 0
        total = np.bincount(self.leaf[taken], weights=each[taken], minlength=leaves)
        count = np.bincount(self.leaf[taken], minlength=leaves)
        mean = np.where(count > 0, total / np.maximum(count, 1), total.sum() / max(count.sum(), 1))
        return np.asarray(mean, dtype=np.float32)


_STORED = ("vectors", "leaf", "top_of_leaf", "popularity", "rebought", "taken")


def _longer(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """A copy with at least so many rows: those that it lacks are 0."""
    more = max(rows - len(array), 0)
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), dtype=array.dtype)])


def popularity(users: NDArray[np.int32], items: NDArray[np.int32], n: int) -> Vectors:
    """(n,) in 0..1: log(1 + distinct users of the item) over its maximum."""
    pairs = np.unique(np.stack([items, users]), axis=1)
    buyers = np.bincount(pairs[0], minlength=n)
    return np.asarray(np.log1p(buyers) / max(np.log1p(buyers.max(initial=0)), 1e-9), dtype=np.float32)


def rebought(
    users: NDArray[np.int32],
    items: NDArray[np.int32],
    time_us: NDArray[np.int64],
    n: int,
    *,
    window_us: int,
    smoothing: float = 5.0,
) -> Vectors:
    """(n,) in 0..1: the share of purchases followed by the same user's next one within the window.

    Shrunk towards the mean over all items with the weight of `smoothing` purchases. Purchases of the last
    window of the log are left out: nobody has seen yet whether they are repeated.
    """
    order = np.lexsort((time_us, items, users))
    user, item, time = users[order], items[order], time_us[order]
    same = np.zeros(len(order), dtype=np.bool_)
    same[:-1] = (user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (time[1:] - time[:-1] <= window_us)
    judged = time <= time.max(initial=0) - window_us
    again = np.bincount(item[judged], weights=same[judged], minlength=n)
    total = np.bincount(item[judged], minlength=n)
    mean = again.sum() / max(total.sum(), 1)
    return np.asarray((again + smoothing * mean) / (total + smoothing), dtype=np.float32)


def taste_vectors(text_vectors: Vectors, weight: Floats, dims: int) -> Vectors:
    """(n, dims): the text vectors on their `dims` main axes of variation among what sells, of unit norm.

    Principal axes of the (n, d) text vectors weighted by `weight` (n,); zero rows stay zero.
    """
    return Taste.of(text_vectors, weight, dims).vectors(text_vectors)
