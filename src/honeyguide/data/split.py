"""Splits: what came before trains, what came after tests, and nothing is in both.

Labels look ahead by their window. A part's labels must not reach into the next part: leave out the visits whose
window is not over just before the moment that ends their part, `found.with_full_window(to_us(moment) - 1, days)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.table import EventTable, from_us
from honeyguide.errors import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Every event of `before` is earlier than the moment, every event of `after` is not."""

    before: EventTable
    after: EventTable


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Three tables that have every event once between them; user rows mean the same in all."""

    train: EventTable
    validation: EventTable
    test: EventTable


def split_at(table: EventTable, moment: datetime) -> Split:
    """The events before `moment` and those from it on; user rows mean the same in both."""
    return Split(before=table.between(until=moment), after=table.between(since=moment))


def split_in_three(table: EventTable, validation_from: datetime, test_from: datetime) -> Parts:
    """Training up to the first moment, validation from it to the second, and the rest to test on."""
    if not validation_from < test_from:
        raise InvalidInput(
            f"validation has to begin before the test, got {validation_from.isoformat()} "
            f"and {test_from.isoformat()}"
        )
    return Parts(
        train=table.between(until=validation_from),
        validation=table.between(since=validation_from, until=test_from),
        test=table.between(since=test_from),
    )


def moments_by_share(
    table: EventTable, *, validation: float = 0.1, test: float = 0.1
) -> tuple[datetime, datetime]:
    """The moments that leave these shares of the time that the log spans to validation and to test, the newest."""
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise InvalidInput(
            f"the shares of validation and test must be above 0 and leave some for training, "
            f"got {validation} and {test}"
        )
    if not len(table):
        raise InvalidInput("there are no events to split: import a log first")
    first, last = int(table.time_us[0]), int(table.time_us[-1])
    validation_us, test_us = moments_between(first, last, validation=validation, test=test)
    return from_us(validation_us), from_us(test_us)


def moments_between(first_us: int, last_us: int, *, validation: float, test: float) -> tuple[int, int]:
    """The moments that leave these shares of the time from the first to the last moment, both included."""
    end_us = last_us + 1
    test_us = end_us - max(round((end_us - first_us) * test), 1)
    return test_us - max(round((end_us - first_us) * validation), 1), test_us


def leave_one_out(table: EventTable, *, counts: NDArray[np.bool_] | None = None) -> Parts:
    """Of every user the last event that counts tests, the one before it validates, and what came earlier trains.

    `counts` (n,) says which events may be held out: by default those about an item. The others go where their time
    puts them. A user with fewer than three that count stays in training. Users are cut at different moments: what
    one did after another's test is in training, as in the tables that are published with this split.
    """
    part = one_left_out(table, counts=counts)
    return Parts(*(table.take(part == number) for number in range(3)))


def one_left_out(table: EventTable, *, counts: NDArray[np.bool_] | None = None) -> NDArray[np.int8]:
    """(n,): the part that each event goes to when one is left out: 0 trains, 1 validates, 2 tests."""
    counted = (table.item >= 0) if counts is None else counts
    if len(counted) != len(table):
        raise InvalidInput(f"counts needs one entry per event: {len(table)}, got {len(counted)}")
    order = table.by_user
    done = np.concatenate([[0], np.cumsum(counted[order])])
    ends = done[table.starts[1:]]
    user = table.user[order]
    to_come = ends[user] - done[1:]
    enough = np.diff(done[table.starts]) >= 3
    part = np.zeros(len(table), dtype=np.int8)
    part[order] = np.where(enough[user], np.clip(2 - to_come, 0, 2), 0)
    return part
