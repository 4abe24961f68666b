"""Shops whose log has times: what was known at a moment, and what people took after it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np

from hits import Mask
from honeyguide.cli.demo import demo_workspace
from honeyguide.config import FILE_NAME
from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import clean_once
from honeyguide.data.demo import demo_files
from honeyguide.data.ingest import import_files
from honeyguide.data.table import EventTable, load_events
from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import FIRST, READ, Sequences, gap_classes
from honeyguide.shop.workspace import Workspace
from honeyguide.types import EVENT_KINDS, Floats, Rows, Vectors, quietly
from rank_data import text_vectors

DAY_US = 24 * 3600 * 1_000_000
WEEK_US = 7 * DAY_US
TAKEN = tuple(kind for kind in READ if kind != "search")


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """What u users did with n items: `sequences`, and of each event (e,) `time_us` and what was `paid`, NaN for none.

    `first` (e,) says whether the user had never taken the item before; `departments` (n,) are numbers from 0 on.
    """

    name: str
    sequences: Sequences
    time_us: Rows
    paid: Floats
    first: Mask
    departments: Rows

    @classmethod
    def of(cls, name: str, table: EventTable, departments: Rows) -> Self:
        """All that people did with items; searches are left out."""
        items = len(departments)
        counts = np.isin(table.kind, [EVENT_KINDS.index(kind) for kind in TAKEN]) & (table.item >= 0)
        order = table.by_user[counts[table.by_user]]
        sequences = Sequences.of(table, items, TAKEN)
        paid = table.value[order].astype(np.float64)
        first = first_of_all(sequences, items)
        return cls(name, sequences, table.time_us[order], paid, first, departments)

    @property
    def items(self) -> int:
        """How many there are."""
        return len(self.departments)

    @property
    def users(self) -> Rows:
        """(e,): whose events they are."""
        return np.repeat(np.arange(len(self.sequences)), self.sequences.lengths)

    def before(self, until_us: int) -> Sequences:
        """What each user did before a moment."""
        return self.some(self.time_us < until_us)

    def firsts_before(self, until_us: int) -> Sequences:
        """What each user did for the first time before a moment."""
        return self.some((self.time_us < until_us) & self.first)

    def some(self, kept: Mask) -> Sequences:
        """Some of the events (e,) of each user, with the time from one to the next."""
        users, times = self.users[kept], self.time_us[kept]
        gaps = np.full(len(users), FIRST, dtype=np.int8)
        same = np.flatnonzero(users[1:] == users[:-1]) + 1
        gaps[same] = gap_classes(times[same] - times[same - 1])
        lengths = np.bincount(users, minlength=len(self.sequences))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Sequences(self.sequences.tokens[kept], self.sequences.kinds[kept], gaps, starts)

    def asked(self, question: Question, *, first_only: bool) -> Sequences:
        """What those who are asked did before it, or did for the first time, and how long that was ago."""
        until_us = question.until_us
        known = (self.firsts_before if first_only else self.before)(until_us).of_users(question.users)
        there = np.flatnonzero(self.time_us < until_us)
        last = np.zeros(len(self.sequences), dtype=np.int64)
        np.maximum.at(last, self.users[there], self.time_us[there])
        return replace(known, ahead=gap_classes(question.moments - last[question.users]))

    def counts(self, since_us: int, until_us: int, *, first: bool) -> Rows:
        """(n,): how often items were taken between two moments; where `first`, by users to whom they were new."""
        there = (self.time_us >= since_us) & (self.time_us < until_us) & (self.first | (not first))
        return np.bincount(self.sequences.tokens[there], minlength=self.items).astype(np.int64)

    def end(self) -> int:
        """The moment after the last event."""
        return int(self.time_us.max()) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What `users` (u,), ascending rows of a log, took next: a set for each, out of all items or out of new ones.

    What was before `until_us` is known, and so are the `moments` (u,) at which they are asked: when they took it.
    """

    name: str
    until_us: int
    users: Rows
    moments: Rows
    wanted: Sequences
    new: bool


def next_items(log: Log, until_us: int, end_us: int, *, new: bool, seed: int = 0) -> Question:
    """The first item, or the first new one, that each user with a history took from `until_us` on, before `end_us`.

    Of a basket, all of whose items have the same moment, one is drawn.
    """
    users = log.users
    after = (log.time_us >= until_us) & (log.time_us < end_us) & (log.first | (not new))
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(after & _known(log, until_us)[users]))
    rows = rows[np.lexsort((log.time_us[rows], users[rows]))]
    asked, at = np.unique(users[rows], return_index=True)
    wanted = Sequences.of_items(log.sequences.tokens[rows[at]], np.arange(len(asked) + 1))
    return Question(
        "next new item" if new else "next item", until_us, asked, log.time_us[rows[at]], wanted, new
    )


def next_baskets(log: Log, until_us: int, end_us: int) -> Question:
    """What each user with a history took for the first time ever in the first basket from `until_us` on.

    A basket is what has the same moment. Who took nothing new in it is not asked.
    """
    users = log.users
    after = np.flatnonzero((log.time_us >= until_us) & (log.time_us < end_us) & _known(log, until_us)[users])
    moment = np.full(len(log.sequences), np.iinfo(np.int64).max)
    np.minimum.at(moment, users[after], log.time_us[after])
    rows = after[(log.time_us[after] == moment[users[after]]) & log.first[after]]
    asked, counts = np.unique(users[rows], return_counts=True)
    wanted = Sequences.of_items(log.sequences.tokens[rows], np.concatenate([[0], np.cumsum(counts)]))
    return Question("new in the next basket", until_us, asked, moment[asked], wanted, True)


def first_of_all(sequences: Sequences, items: int) -> Mask:
    """(e,): whether the user had never taken the item before."""
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)
    found = np.zeros(len(sequences.tokens), dtype=np.bool_)
    found[np.unique(users * items + sequences.tokens, return_index=True)[1]] = True
    return found


def _known(log: Log, until_us: int) -> Mask:
    return np.asarray(log.before(until_us).lengths > 0)


@dataclass(frozen=True, slots=True, eq=False)
class TimedShop:
    """A log and the moment that parts it, and what is known of its items: texts' vectors (n, d) and prices."""

    log: Log
    until_us: int
    vectors: Vectors
    prices: tuple[float | None, ...]


def read_timed(
    folder: Path, model: str, *, until_us: int | None, weeks: int, least: int = 0, users: int | None = None
) -> TimedShop:
    """A fitted shop's clean tables; where there is no shop, the demo's data are imported there first.

    The moment is `until_us`, or else so many weeks before the last event. With `least` only items that were taken so
    often before it are left, in the catalogue and in the log; with `users` only the first ones, for a short look.
    """
    workspace = _workspace(folder)
    catalog = Catalog.read(workspace.items)
    table = load_events(workspace.events, catalog)
    if until_us is None:
        until_us = int(table.time_us[-1]) + 1 - weeks * WEEK_US
    if users is not None:
        table = table.take(table.user < users)
    rows = taken_before(table, until_us, len(catalog), least)
    table = of_items(table, rows, len(catalog))
    names = [catalog.categories[row].split(" > ")[0] for row in rows]
    departments = np.unique(names, return_inverse=True)[1].astype(np.int64)
    vectors = text_vectors(model, [catalog.texts[row] for row in rows])
    prices = tuple(catalog.prices[row] for row in rows)
    return TimedShop(Log.of(workspace.settings.name, table, departments), until_us, vectors, prices)


def taken_before(table: EventTable, until_us: int, items: int, least: int) -> Rows:
    """The items, of so many, that were taken at least so often before a moment."""
    known = table.item[(table.time_us < until_us) & (table.item >= 0)]
    found = np.flatnonzero(np.bincount(known, minlength=items) >= least)
    if not len(found):
        raise InvalidInput(
            f"no item was taken {least} times before the day: ask for fewer, or for a later day"
        )
    return found


def of_items(table: EventTable, rows: Rows, items: int) -> EventTable:
    """The events about these items, ascending rows of `items`, numbered anew from 0 on."""
    place = np.full(items + 1, -1, dtype=np.int32)  # the last one answers for -1, no item
    place[rows] = np.arange(len(rows))
    item = place[table.item]
    return replace(table, item=item).take(item >= 0)


def _workspace(folder: Path) -> Workspace:
    if (folder / FILE_NAME).exists():
        return Workspace.at(folder)
    workspace = demo_workspace(folder)
    now = datetime.fromtimestamp(time.time(), UTC)
    import_files(workspace.data, demo_files(), format="completejourney", now=now)
    clean_once(workspace.data, workspace.settings.clean, now=now, stage=quietly)
    return workspace


def moment(text: str) -> int:
    """A day such as 2017-12-04, in UTC, in epoch microseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000
