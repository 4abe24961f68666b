"""Behaviour as labels: when a user came, and what they reacted to within the reward window after that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.labels.rewards import StarScale, rewards
from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.types import EVENT_KINDS, Grade

_DAY_US = 86_400 * 1_000_000
_LONGEST_DAYS = 1_000_000  # what is longer runs out of 64 bits of microseconds when it is added to a time
_PURCHASE = EVENT_KINDS.index("purchase")
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """One visit per user and period in which the user did something, in time order.

    `user` (v,) int32, `time_us` (v,) int64 the moment 1 us before the first event of the period, `week` (v,)
    int64 the period's number, counted from `origin_us` and negative before it.
    """

    user: NDArray[np.int32]
    time_us: NDArray[np.int64]
    week: NDArray[np.int64]
    origin_us: int

    def __len__(self) -> int:
        return len(self.user)

    def with_full_window(self, end_us: int, window_days: float) -> Visits:
        """The visits whose reward window is over at `end_us`, the end of the log."""
        return self.take(self.time_us + in_us(window_days) <= end_us)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Visits:
        """The visits that a mask or positions choose."""
        return replace(self, user=self.user[chosen], time_us=self.time_us[chosen], week=self.week[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What users reacted to after each of v visits; the reactions to visit i stand at starts[i]:starts[i + 1].

    `starts` (v + 1,) int64; per reaction `item` int32 catalogue row (ascending within a visit), `reward` float64
    in (0, 1] the best grade of its events, `time_us` int64 when that grade was first reached, and `discovery`
    bool, whether the user bought the item for the first time ever within the window.
    """

    starts: NDArray[np.int64]
    item: NDArray[np.int32]
    reward: NDArray[np.float64]
    time_us: NDArray[np.int64]
    discovery: NDArray[np.bool_]


def visits(table: EventTable, *, origin_us: int, period_days: float = 7.0) -> Visits:
    """The first event of every user in every period of `period_days`, as visits."""
    period_us = in_us(period_days)
    period = (table.time_us - origin_us) // period_us
    order = np.lexsort((table.time_us, period, table.user))
    user, week = table.user[order], period[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (week[1:] != week[:-1])
    chosen = order[first]
    chosen = chosen[np.lexsort((table.user[chosen], table.time_us[chosen]))]
    return Visits(
        user=table.user[chosen], time_us=table.time_us[chosen] - 1, week=period[chosen], origin_us=origin_us
    )


def outcomes(
    table: EventTable,
    visits: Visits,
    *,
    grade: Grade,
    window_days: float,
    history: EventTable | None = None,
    scale: StarScale | None = None,
) -> Outcomes:
    """What each visit's user reacted to in (visit, visit + window]; reactions of grade 0 are left out.

    `history` tells which purchases are not the first: earlier events, or the whole log, over the same catalogue.
    On a `scale` a rating earns its stars' share; without one the full grade, as the journal's learner has it.
    """
    window_us = in_us(window_days)
    visit, event = _pairs(table, visits, window_us)
    reward = rewards(table, grade=grade, scale=scale)[event]
    rewarded = reward > 0
    visit, event, reward = visit[rewarded], event[rewarded], reward[rewarded]
    order = np.lexsort((table.time_us[event], -reward, table.item[event], visit))
    visit, event, reward = visit[order], event[order], reward[order]
    best = np.ones(len(order), dtype=np.bool_)
    best[1:] = (visit[1:] != visit[:-1]) | (table.item[event[1:]] != table.item[event[:-1]])
    visit, event, reward = visit[best], event[best], reward[best]
    first_us = _first_purchases(table, history, table.user[event], table.item[event])
    began = visits.time_us[visit]
    return Outcomes(
        starts=np.searchsorted(visit, np.arange(len(visits) + 1)).astype(np.int64),
        item=table.item[event],
        reward=reward,
        time_us=table.time_us[event],
        discovery=(first_us > began) & (first_us <= began + window_us),
    )


def in_us(days: float) -> int:
    """A window or period in microseconds."""
    if not 0 < days < _LONGEST_DAYS:
        raise InvalidInput(f"a window or period must be above 0 days and below {_LONGEST_DAYS:,}, got {days}")
    return round(days * _DAY_US)


def _pairs(table: EventTable, visits: Visits, window_us: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All (visit, event) with the event in the visit's window, visits ascending."""
    moments = np.unique(table.time_us)
    # times as ranks keep user x time inside 64 bits
    width = len(moments) + 1
    order = table.by_user
    keys = table.user[order].astype(np.int64) * width + np.searchsorted(moments, table.time_us[order])
    base = visits.user.astype(np.int64) * width
    low = np.searchsorted(keys, base + np.searchsorted(moments, visits.time_us, side="right"))
    end = visits.time_us + window_us
    high = np.searchsorted(keys, base + np.searchsorted(moments, end, side="right"))
    counts = high - low
    visit = np.repeat(np.arange(len(visits)), counts)
    within = np.arange(len(visit)) - np.repeat(np.cumsum(counts) - counts, counts)
    return visit, order[np.repeat(low, counts) + within]


def _first_purchases(
    table: EventTable, history: EventTable | None, user: NDArray[np.int32], item: NDArray[np.int32]
) -> NDArray[np.int64]:
    """(n,): when each (user, item) was first bought, in the table or its history; the end of time if never."""
    width = 1 + max((int(t.item.max(initial=-1)) for t in (table, history) if t is not None), default=0)
    keys, times = [], []
    for log in (table, history):
        if log is None:
            continue
        row_here = {name: row for row, name in enumerate(table.users)}
        translate = np.array([row_here.get(name, -1) for name in log.users], dtype=np.int64)
        bought = (log.kind == _PURCHASE) & (log.item >= 0)
        rows = translate[log.user[bought]]
        keys.append((rows * width + log.item[bought])[rows >= 0])
        times.append(log.time_us[bought][rows >= 0])
    key, time = np.concatenate(keys), np.concatenate(times)
    order = np.lexsort((time, key))
    known, first = np.unique(key[order], return_index=True)
    wanted = user.astype(np.int64) * width + item
    at = np.searchsorted(known, wanted)
    at[at == len(known)] = 0
    if not len(known):
        return np.full(len(wanted), _NEVER, dtype=np.int64)
    return np.where(known[at] == wanted, time[order][first[at]], _NEVER)
