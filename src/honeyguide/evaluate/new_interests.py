"""Interests that a page made a user discover: bought of, or reacted to twice, where the user had never been."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.table import EventTable
from honeyguide.types import EVENT_KINDS, Grade, Rows

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class FirstTouches:
    """When users first reacted to something of each interest, by the whole log.

    `keys` (n,) ascending are user · leaves + interest, `time_us` (n,) the time of each; `leaf` says each item's.
    """

    keys: Rows
    time_us: Rows
    leaf: Rows
    leaves: int

    @classmethod
    def of(cls, log: EventTable, users: tuple[str, ...], leaf: Rows, *, grade: Grade) -> Self:
        """Of `users`, by whose places they are asked for; events of grade 0 are no reactions."""
        leaves = int(leaf.max(initial=0)) + 1
        row_of = {name: row for row, name in enumerate(users)}
        place = np.array([row_of.get(name, -1) for name in log.users], dtype=np.int64)
        counts = np.array([grade(kind) > 0 for kind in EVENT_KINDS])
        said = (log.item >= 0) & counts[log.kind]
        said[said] = place[log.user[said]] >= 0
        key = place[log.user[said]] * leaves + leaf[log.item[said]]
        order = np.lexsort((log.time_us[said], key))
        keys, first = np.unique(key[order], return_index=True)
        return cls(keys, log.time_us[said][order][first], leaf, leaves)

    def new(self, user: int, rows: Rows, at_us: int) -> NDArray[np.bool_]:
        """(k,): which of the items at `rows` are of interests that the user had not reacted to by then."""
        if not len(self.keys):
            return np.ones(len(rows), dtype=np.bool_)
        wanted = user * self.leaves + self.leaf[rows]
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        first = np.where(self.keys[at] == wanted, self.time_us[at], _NEVER)
        return np.asarray(first > at_us)


def discovered(reactions: Iterable[tuple[int, float]], *, purchase: float) -> set[int]:
    """The interests among (interest, reward) of a page's items, new to the user, that were discovered.

    A reward of a purchase is enough, or rewards of two items.

    >>> sorted(discovered([(3, 0.2), (5, 1.0), (3, 0.2), (7, 0.2)], purchase=1.0))
    [3, 5]
    """
    found, once = set(), set[int]()
    for interest, reward in reactions:
        if reward >= purchase or interest in once:
            found.add(interest)
        once.add(interest)
    return found
