"""Which items a decision is made among: the user's own, their interests', the popular ones, and new ground."""

from __future__ import annotations

from copy import copy
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from honeyguide.interests.items import ItemFacts
from honeyguide.interests.users import MILLI, WEEK_US, History, ShopperModel
from honeyguide.retrieve.diversity import Limits
from honeyguide.retrieve.exact import ExactRetriever
from honeyguide.types import Rows

OWN, INTERESTS, POPULAR, SIMILAR = 0.5, 0.25, 0.1, 0.1
"""Shares of the candidates; what is left goes to interests that the user has not touched yet."""
NEXT = 0.1
"""What is likely next by the sequence model, where it is to be seen, in the place of half of what is similar and of a
fifth of what lies in the user's interests."""
PUT = 0.1
"""What was put after the fit, where there is any: nobody took it yet, so no other way leads to it.

The shares above are then of the rest."""
_POOL = (
    5_000  # similar items are looked for among this many of the most popular: the tail is reached by interest
)


class CandidateSource:
    """Candidates for a user, from everything that is known before the policy is asked."""

    def __init__(self, model: ShopperModel, *, size: int) -> None:
        self.model = model
        self.items: ItemFacts = model.items
        self.size = min(size, len(self.items))
        ranked = self.items.by_popularity
        self._popular = ranked
        self._pool = ranked[:_POOL]
        self._retriever = ExactRetriever(self.items.vectors[self._pool])
        by_leaf = ranked[np.argsort(self.items.leaf[ranked], kind="stable")]
        starts = np.searchsorted(self.items.leaf[by_leaf], np.arange(len(self.items.top_of_leaf) + 1))
        self._shelves = [by_leaf[a:b] for a, b in pairwise(starts)]
        self._shelf_pull = np.array([self.items.popularity[shelf[:20]].sum() for shelf in self._shelves])
        self._asked = size
        self._put = np.empty(0, dtype=np.int64)

    def restocked(self, model: ShopperModel, put: Rows) -> CandidateSource:
        """The same for a shop in which the items at `put` (m,) stand behind the fitted ones, and may be shown."""
        source = copy(self)
        source.model, source.items = model, model.items
        source.size = min(self._asked, len(model.items))
        source._put = put
        return source

    def rows(
        self,
        history: History,
        now_us: int,
        rng: np.random.Generator,
        *,
        allowed: NDArray[np.bool_] | None = None,
        limits: Limits | None = None,
        first: Rows | None = None,
        risen: Rows | None = None,
    ) -> Rows:
        """(min(size, allowed),) distinct rows; `allowed` (n,) leaves out what may not be shown.

        The rows of `first` are among them; `risen` are those that were put and are liked, the most liked first.
        `limits` are over all n items: there are then no more candidates of a
        group than a page may hold, so that whatever is drawn keeps to them.
        """
        basket = _Basket(len(self.items), self.size, allowed, limits)
        if first is not None:
            basket.add(first, 1.0)
        rest = 1.0
        if len(self._put):
            basket.add(self._arrived(history, rng, risen), PUT)
            rest -= PUT
        basket.add(self._own(history, now_us), OWN * rest)
        following = NEXT if self.model.sees_next else 0.0
        basket.add(self._next(history, basket.taken, now_us), following * rest)
        basket.add(self._interests(history), (INTERESTS - following / 2) * rest)
        basket.add(self._popular[: 4 * self.size], POPULAR * rest)
        basket.add(self._similar(history, basket.taken), (SIMILAR - following / 2) * rest)
        basket.add(self._new_ground(history, rng), 1.0)
        if basket.room:  # a small or heavily filtered shop: anything that may be shown
            basket.add(self._popular, 1.0)
            basket.add(self._put, 1.0)
        return basket.rows()

    def _arrived(self, history: History, rng: np.random.Generator, risen: Rows | None) -> Rows:
        """What was put: at most half by what is liked, the rest drawn, rather of the user's interests."""
        pull = self.model.interest_weight(history) + 1 / len(self._shelves)
        # drawn without replacement, in proportion to the pull
        drawn = np.argsort(-(np.log(pull)[self.items.leaf[self._put]] + rng.gumbel(size=len(self._put))))
        if risen is None:
            return self._put[drawn]
        liked = risen[: round(PUT * self.size / 2)]
        return np.concatenate([liked, np.setdiff1d(self._put[drawn], liked, assume_unique=True)])

    def _own(self, history: History, now_us: int) -> Rows:
        weeks = np.maximum(now_us - history.last_us, 0) / WEEK_US
        pull = np.log1p(history.weight / MILLI) * np.exp(-weeks / 12.0)
        return history.rows[np.argsort(-pull, kind="stable")]

    def _next(self, history: History, taken: NDArray[np.bool_], now_us: int) -> Rows:
        if not self.model.sees_next:
            return np.empty(0, dtype=np.int64)
        free = self._pool[~taken[self._pool]]
        likely = self.model.likely(history, free, now_us)
        return free[np.argsort(-likely, kind="stable")[: self.size]]

    def _interests(self, history: History) -> Rows:
        share = self.model.interest_weight(history)
        leaves = np.argsort(-share, kind="stable")[:8]
        leaves = leaves[share[leaves] > 0]
        return _interleave([self._shelves[leaf][: self.size] for leaf in leaves])

    def _similar(self, history: History, taken: NDArray[np.bool_]) -> Rows:
        taste = self.model.vector(history)
        if not taste.any():
            return np.empty(0, dtype=np.int64)
        found, _ = self._retriever.search(taste, self.size, allowed=~taken[self._pool])
        return self._pool[found]

    def _new_ground(self, history: History, rng: np.random.Generator) -> Rows:
        pull = np.where(self.model.interest_weight(history) > 0, 0.0, self._shelf_pull)
        if not pull.any():
            pull = self._shelf_pull + 1e-9
        count = min(8, int((pull > 0).sum()))
        # drawn without replacement, in proportion to the pull: the largest of log pull + Gumbel noise
        with np.errstate(divide="ignore"):
            leaves = np.argsort(-(np.log(pull) + rng.gumbel(size=len(pull))))[:count]
        return _interleave([self._shelves[leaf][: self.size] for leaf in leaves])


class _Basket:
    """Collects distinct rows up to a size."""

    def __init__(
        self, n: int, size: int, allowed: NDArray[np.bool_] | None, limits: Limits | None = None
    ) -> None:
        self._limits = limits
        self.taken = np.zeros(n, dtype=np.bool_) if allowed is None else ~allowed
        self.size = min(size, int((~self.taken).sum()))
        self._parts: list[Rows] = []
        self._count = 0

    def add(self, rows: Rows, share: float) -> None:
        """Take the first rows that are still free, at most this share of the basket."""
        fresh = rows[~self.taken[rows]]
        fresh = self._within(fresh, min(round(share * self.size), self.room))
        self.taken[fresh] = True
        self._parts.append(fresh)
        self._count += len(fresh)

    def _within(self, rows: Rows, most: int) -> Rows:
        return within(self._limits, rows, most)

    @property
    def room(self) -> int:
        """How many rows still fit."""
        return self.size - self._count

    def rows(self) -> Rows:
        """What was taken, in the order it was taken."""
        return np.concatenate(self._parts)


def within(limits: Limits | None, rows: Rows, most: int) -> Rows:
    """The first `most` of some rows that the limits leave free; what is taken counts."""
    if limits is None:
        return rows[:most]
    found: list[int] = []
    for row in rows[limits.free[rows]].tolist():
        if len(found) == most:
            break
        if limits.free[row]:
            limits.take(row)
            found.append(row)
    return np.array(found, dtype=np.int64)


def _interleave(shelves: list[Rows]) -> Rows:
    """The first of each shelf, then the second of each, and so on."""
    if not shelves:
        return np.empty(0, dtype=np.int64)
    depth = np.concatenate([np.arange(len(shelf)) for shelf in shelves])
    return np.concatenate(shelves)[np.argsort(depth, kind="stable")]
