"""What users did, one event after the other: what the sequence model reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.types import EVENT_KINDS, EventKind, Floats, Rows

_MINUTE_US = 60 * 1_000_000
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US
_GAPS_US = np.array(
    [
        1, _MINUTE_US, 30 * _MINUTE_US, 6 * _HOUR_US, _DAY_US, 3 * _DAY_US, 7 * _DAY_US, 14 * _DAY_US, 30 * _DAY_US,
        90 * _DAY_US,
    ]
)  # fmt: skip
READ: tuple[EventKind, ...] = ("view", "search", "click", "cart", "purchase", "rating")
"""What is read of a user; what was merely shown, or waved away, is not."""
FIRST, AT_ONCE, SOON = 0, 1, 2
GAPS = len(_GAPS_US) + 2
"""Classes of the time between two events: none before it, at once, then from within a minute to more than 90 days."""


def gap_classes(gap_us: NDArray[np.int64]) -> NDArray[np.int8]:
    """(n,): the class of each time between an event and the one before it, in microseconds.

    >>> gap_classes(np.array([0, 59_999_999, 60_000_000, 10**15])).tolist()
    [1, 2, 3, 11]
    """
    return (1 + np.searchsorted(_GAPS_US, gap_us, side="right")).astype(np.int8)


def tokens_of(table: EventTable, items: int) -> Rows:
    """(n,): what each event is about: an item, else `items` + the row of its query, else -1."""
    token = table.item.astype(np.int64)
    if table.query is None:
        return token
    return np.where((token < 0) & (table.query >= 0), items + table.query.astype(np.int64), token)


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """The events of u users in the order of time: those of user i lie at `starts[i]:starts[i + 1]`.

    `tokens` (n,) int64 are rows of what the model knows: items, then queries; `kinds` (n,) int8 positions in
    EVENT_KINDS; `gaps` (n,) int8 classes of the time since the user's event before. `ahead` (u,) int8 is the class of
    the time from a user's last event to the moment that is asked about, FIRST where that is not known.
    """

    tokens: Rows
    kinds: NDArray[np.int8]
    gaps: NDArray[np.int8]
    starts: Rows
    ahead: NDArray[np.int8] = field(default_factory=lambda: np.empty(0, dtype=np.int8))

    def __post_init__(self) -> None:
        n = len(self.tokens)
        if not len(self.ahead):
            object.__setattr__(self, "ahead", np.full(len(self.starts) - 1, FIRST, dtype=np.int8))
        if not len(self.kinds) == len(self.gaps) == n or not len(self.starts) or self.starts[-1] != n:
            raise InvalidInput(
                f"kinds and gaps need one entry for each of the {n} tokens, and starts has to end there"
            )
        if len(self.ahead) != len(self.starts) - 1:
            raise InvalidInput(f"ahead needs one entry for each of the {len(self.starts) - 1} users")

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Rows:
        """(u,): how many events each user has."""
        return np.diff(self.starts)

    @classmethod
    def of(cls, table: EventTable, items: int, kinds: tuple[EventKind, ...] = READ) -> Self:
        """The events of these kinds about one of `items` items, and searches; user i of the table is user i here.

        The token of a search is `items` + its query's row; one about an item is read as that item.
        """
        token = tokens_of(table, items)
        counts = np.isin(table.kind, [EVENT_KINDS.index(kind) for kind in kinds]) & (token >= 0)
        order = table.by_user[counts[table.by_user]]
        users, times = table.user[order], table.time_us[order]
        gaps = np.zeros(len(order), dtype=np.int8)
        same = np.flatnonzero(users[1:] == users[:-1]) + 1
        gaps[same] = gap_classes(times[same] - times[same - 1])
        lengths = np.bincount(users, minlength=len(table.users))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(token[order], table.kind[order], gaps, starts)

    @classmethod
    def of_items(cls, items: Rows, starts: Rows, kind: EventKind = "purchase") -> Self:
        """Item rows one user after the other, where no times are known: all of one kind."""
        kinds = np.full(len(items), EVENT_KINDS.index(kind), dtype=np.int8)
        gaps = np.full(len(items), SOON, dtype=np.int8)
        gaps[starts[:-1][np.diff(starts) > 0]] = FIRST
        return cls(items.astype(np.int64), kinds, gaps, starts.astype(np.int64))

    @classmethod
    def one_each(cls, items: Rows) -> Self:
        """A single item of each user."""
        return cls.of_items(items, np.arange(len(items) + 1))

    def without_last(self, events: int) -> Sequences:
        """Each user's events but the last ones; what is asked about is then the moment of the first left out."""
        return self._first(np.maximum(self.lengths - events, 0))

    def without_last_of(self, users: Rows) -> Sequences:
        """All users' events but the last one of each of these users."""
        lengths = self.lengths.copy()
        lengths[users] = np.maximum(lengths[users] - 1, 0)
        return self._first(lengths)

    def without_last_moment_of(self, users: Rows) -> Sequences:
        """All users' events but those of the last moment of each of these users: a basket whole."""
        user = np.repeat(np.arange(len(self)), self.lengths)
        begins = np.zeros(len(self), dtype=np.int64)
        moment = np.flatnonzero(self.gaps != AT_ONCE)
        np.maximum.at(begins, user[moment], moment - self.starts[:-1][user[moment]])
        lengths = self.lengths.copy()
        lengths[users] = begins[users]
        return self._first(lengths)

    def _first(self, lengths: Rows) -> Sequences:
        """So many of each user's events."""
        user = np.repeat(np.arange(len(self)), self.lengths)
        kept = np.arange(len(self.tokens)) - self.starts[:-1][user] < lengths[user]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        ahead, cut = self.ahead.copy(), np.flatnonzero(lengths < self.lengths)
        ahead[cut] = self.gaps[self.starts[cut] + lengths[cut]]
        return Sequences(self.tokens[kept], self.kinds[kept], self.gaps[kept], starts, ahead)

    def beyond(self, before: Sequences) -> Sequences:
        """What users did after what they had done `before`, the first events of each of these users."""
        user = np.repeat(np.arange(len(self)), self.lengths)
        kept = np.arange(len(self.tokens)) - self.starts[:-1][user] >= before.lengths[user]
        starts = np.concatenate([[0], np.cumsum(self.lengths - before.lengths)]).astype(np.int64)
        return Sequences(self.tokens[kept], self.kinds[kept], self.gaps[kept], starts, self.ahead)

    def from_last(self, back: int) -> Rows:
        """(u,): each user's token that many before the last one, 0 being the last; -1 where there is none."""
        at = self.starts[1:] - 1 - back
        there = at >= self.starts[:-1]
        found = np.full(len(self), -1, dtype=np.int64)
        found[there] = self.tokens[at[there]]
        return found

    def by_recency(self, items: int, recency: float) -> tuple[Rows, Rows, Floats]:
        """(t,) thrice, of the first `items` tokens: their users, the tokens, and shares that sum to 1 for each user.

        The newest event weighs 1, and each one before it `recency` times as much as the one after.
        """
        back = np.repeat(self.starts[1:], self.lengths) - 1 - np.arange(len(self.tokens))
        user = np.repeat(np.arange(len(self)), self.lengths)
        item = self.tokens < items
        user, weight = user[item], recency ** back[item].astype(np.float64)
        whole = np.bincount(user, weights=weight, minlength=len(self))
        return user, self.tokens[item], weight / whole[user]

    def ending_in_items(self, items: int) -> Sequences:
        """Each user's events up to the last one that is about an item."""
        last = np.zeros(len(self), dtype=np.int64)
        user = np.repeat(np.arange(len(self)), self.lengths)
        item = np.flatnonzero(self.tokens < items)
        np.maximum.at(last, user[item], item - self.starts[:-1][user[item]] + 1)
        return self._first(last)

    def of_users(self, users: Rows) -> Sequences:
        """The sequences of some users, in that order."""
        lengths = self.lengths[users]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.repeat(self.starts[users] - starts[:-1], lengths) + np.arange(int(starts[-1]))
        return Sequences(self.tokens[at], self.kinds[at], self.gaps[at], starts, self.ahead[users])
