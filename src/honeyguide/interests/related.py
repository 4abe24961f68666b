"""What is taken together: pairs of items that share baskets more often than chance lets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.interests.users import DAY_US
from honeyguide.types import EVENT_KINDS, EventKind, Floats, Progress, Rows, State, silent

KEPT = 50
"""Neighbours that are stored for an item, at the most."""
_BOUGHT: tuple[EventKind, ...] = ("cart", "purchase")
_TOUCHED: tuple[EventKind, ...] = ("view", "click", "rating")
_WIDEST = (
    100  # items of a basket that count: a pantry filled once must not make as many pairs as a whole shop
)
_CELLS = 5_000_000  # pairs that are held at once, about 300 MB
_HALF = 5.0  # a pair in so many baskets counts half as much as one in any number of them
EVIDENCE = 10.83
"""From this G2 on, two items are held to go together: chance alone reaches it once in a thousand pairs."""
_LEAST = 2  # baskets that a pair has to share: what was seen once is chance


@dataclass(frozen=True, slots=True, eq=False)
class Related:
    """Which items shared baskets: those of row i lie at `starts[i]:starts[i + 1]`, at most KEPT of each sort.

    `rows` (m,) int64 are neighbours and `count` (m,) int64 the baskets they share with the item; `taken` (n,) int64
    are the baskets of each item and `baskets` how many there are in all. `popular` (n,) float64 is how often an item
    was taken, old events fading; `first_us` (n,) int64 when it was first taken, -1 where it never was.
    """

    starts: Rows
    rows: Rows
    count: Rows
    taken: Rows
    baskets: int
    popular: Floats
    first_us: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.taken)
        if not len(self.starts) - 1 == len(self.popular) == len(self.first_us) == n:
            raise InvalidInput("starts, popular and first_us need one entry for each item that is counted")
        if not len(self.rows) == len(self.count) == self.starts[-1]:
            raise InvalidInput("rows and count need one entry for each pair, and starts has to end there")

    @classmethod
    def of(
        cls, table: EventTable, sorts: Rows, *, half_life_days: float, progress: Progress = silent
    ) -> Self:
        """What the events of a table say of a catalogue's items; `sorts` (n,) are what `sorts_of` says of it."""
        items = len(sorts)
        baskets = baskets_of(table, items)
        taken = np.asarray(baskets.sum(axis=0)).ravel().astype(np.int64)
        found = [_kept(part, taken, baskets.shape[0], sorts) for part in _shared(baskets, taken, progress)]
        first, second, count = (
            np.concatenate([part[at] for part in found] or [np.empty(0, dtype=np.int64)]) for at in range(3)
        )
        starts = np.searchsorted(first, np.arange(items + 1)).astype(np.int64)
        popular, first_us = _lately(table, items, half_life_days)
        return cls(starts, second, count, taken, baskets.shape[0], popular, first_us)

    def neighbours(self, row: int) -> tuple[Rows, Pairs]:
        """(m,) rows that share baskets with an item, and in how many they do."""
        part = slice(*self.starts[row : row + 2])
        rows = self.rows[part]
        own = np.full(len(rows), self.taken[row])
        return rows, Pairs(self.count[part], own, self.taken[rows], self.baskets)

    def longer(self, first_us: Rows) -> Related:
        """With items behind the last that nobody took yet, which came at `first_us` (m,)."""
        more = len(first_us)
        return replace(
            self,
            starts=np.concatenate([self.starts, np.full(more, self.starts[-1])]),
            taken=np.concatenate([self.taken, np.zeros(more, dtype=np.int64)]),
            popular=np.concatenate([self.popular, np.zeros(more)]),
            first_us=np.concatenate([self.first_us, first_us]),
        )

    def state(self) -> State:
        """It all as named arrays."""
        arrays = {name: getattr(self, name) for name in self.__slots__ if name != "baskets"}
        return {**arrays, "baskets": np.array([self.baskets])}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """That whose `state()` this is."""
        arrays: dict[str, Any] = {**state, "baskets": int(state["baskets"][0])}
        return cls(**arrays)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Counts of m pairs: baskets `both` (m,) are in, `first` (m,) and `second` (m,) alone or not, of `total`."""

    both: Rows
    first: Rows
    second: Rows
    total: int

    @property
    def support(self) -> Floats:
        """(m,) in 0..1: the share of all baskets that hold both."""
        return self.both / max(self.total, 1)

    @property
    def confidence(self) -> Floats:
        """(m,) in 0..1: the share of the first one's baskets that hold the second."""
        return self.both / np.maximum(self.first, 1)

    @property
    def lift(self) -> Floats:
        """(m,): how many times as often as by chance."""
        return self.confidence / np.maximum(self.second / max(self.total, 1), 1e-300)

    @property
    def surprise(self) -> Floats:
        """(m,): Dunning's G2, the evidence that the two belong together; below 0 where they avoid each other."""
        both, first, second = (x.astype(np.float64) for x in (self.both, self.first, self.second))
        cells = [both, first - both, second - both, self.total - first - second + both]
        margins = [first * second, first * (self.total - second)]
        margins += [(self.total - first) * second, (self.total - first) * (self.total - second)]
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = [
                np.where(cell > 0, cell * np.log(cell * self.total / margin), 0.0)
                for cell, margin in zip(cells, margins, strict=True)
            ]
        g2 = 2 * np.maximum(np.sum(terms, axis=0), 0.0)
        return np.asarray(np.where(both * self.total >= first * second, g2, -g2))

    @property
    def alike(self) -> Floats:
        """(m,) in 0..1: the cosine of the two items' baskets, shrunk where few are shared."""
        cosine = self.both / np.sqrt(np.maximum(self.first * self.second, 1))
        return np.asarray(cosine * self.both / (self.both + _HALF))


def baskets_of(table: EventTable, items: int) -> csr_array:
    """(baskets, items) of 0 and 1: what one user bought on one day (UTC), or looked at where nobody buys.

    Baskets of a single item count too: they say that it is taken alone.
    """
    kinds = _BOUGHT if np.isin(table.kind, _numbers(_BOUGHT)).any() else _TOUCHED
    taken = np.isin(table.kind, _numbers(kinds)) & (table.item >= 0)
    day = table.time_us[taken] // DAY_US
    user, item = table.user[taken].astype(np.int64), table.item[taken].astype(np.int64)
    _, basket = np.unique(np.stack([user, day]), axis=1, return_inverse=True)
    basket = basket.ravel()
    cells, at = np.unique(basket * max(items, 1) + item, return_index=True)
    cells = cells[np.lexsort((at, cells // max(items, 1)))]  # the first ones of a basket come first
    basket, item = cells // max(items, 1), cells % max(items, 1)
    place = np.arange(len(cells)) - np.searchsorted(basket, basket)
    basket, item = basket[place < _WIDEST], item[place < _WIDEST]
    shape = (int(basket.max(initial=-1)) + 1, items)
    return coo_array((np.ones(len(item), dtype=np.float32), (basket, item)), shape=shape).tocsr()


def sorts_of(catalog: Catalog) -> Rows:
    """(n,): a number for each item's category, or for its text where it has none: equal ones do for each other."""
    names = [
        category or f"\0{text}" for category, text in zip(catalog.categories, catalog.texts, strict=True)
    ]
    _, sorts = np.unique(np.array(names, dtype=object), return_inverse=True)
    return np.asarray(sorts, dtype=np.int64)


def basket_weight(taken: int) -> float:
    """What baskets weigh beside the text of an item that was taken so often: nothing for a new one, half at the most.

    >>> [basket_weight(taken) for taken in (0, 10, 990)]
    [0.0, 0.25, 0.495]
    """
    return 0.5 * taken / (taken + 10.0)


def _numbers(kinds: tuple[EventKind, ...]) -> list[int]:
    return [EVENT_KINDS.index(kind) for kind in kinds]


_Part = tuple[Rows, Rows, Rows]


def _shared(baskets: csr_array, taken: Rows, progress: Progress) -> Iterator[_Part]:
    """(first, second, baskets of both), part by part: those of a part's items with all others."""
    n = len(taken)
    of_item = baskets.T.tocsr()
    size = np.asarray(baskets.sum(axis=1)).ravel()
    # a pair for each item of each basket of an item, at the most: what bounds the memory of a part
    cost = np.cumsum(of_item @ size)
    done = 0
    while done < n:
        spent = cost[done - 1] if done else 0.0
        end = max(int(np.searchsorted(cost, spent + _CELLS, side="right")), done + 1)
        part = (of_item[done:end] @ baskets).tocoo()
        first, second = part.coords
        yield first.astype(np.int64) + done, second.astype(np.int64), np.rint(part.data).astype(np.int64)
        done = end
        progress(done, n)


def _kept(part: _Part, taken: Rows, total: int, sorts: Rows) -> _Part:
    """The pairs worth storing, in the order of the first: those that go along best, and those most alike."""
    first, second, both = part
    some = (both >= _LEAST) & (first != second)
    first, second, both = first[some], second[some], both[some]
    pairs = Pairs(both, taken[first], taken[second], total)
    # of other sorts first, as they are shown: those of its own must not crowd them out
    along = np.where(sorts[first] != sorts[second], pairs.surprise, -1 / np.maximum(pairs.surprise, 1e-9))
    keep = (_best(first, along) | _best(first, pairs.alike)) & (pairs.surprise > 0)
    order = np.lexsort((second[keep], first[keep]))
    return first[keep][order], second[keep][order], both[keep][order]


def _best(first: Rows, score: Floats) -> NDArray[np.bool_]:
    """(m,): which pairs are among the KEPT // 2 best of their first item."""
    order = np.lexsort((-score, first))
    place = np.arange(len(order)) - np.searchsorted(first[order], first[order])
    keep = np.zeros(len(order), dtype=np.bool_)
    keep[order[place < KEPT // 2]] = True
    return keep


def _lately(table: EventTable, items: int, half_life_days: float) -> tuple[Floats, NDArray[np.int64]]:
    """(n,) events of each item, old ones counting less, and (n,) the time of its first, -1 for none.

    All fade alike from then on, so the order of items stays what it is until something is taken.
    """
    about = (table.item >= 0) & ~np.isin(table.kind, _numbers(("impression", "dismiss")))
    item, time = table.item[about], table.time_us[about]
    age = (time.max(initial=0) - time) / (half_life_days * DAY_US)
    popular = np.bincount(item, weights=np.exp2(-age), minlength=items).astype(np.float64)
    first = np.full(items, np.iinfo(np.int64).max)
    np.minimum.at(first, item, time)
    first[first == np.iinfo(np.int64).max] = -1
    return popular, first
