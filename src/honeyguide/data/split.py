"""A split in time: what came before trains, what came after tests, and nothing is in both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from honeyguide.data.table import EventTable


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Every event of `before` is earlier than the moment, every event of `after` is not."""

    before: EventTable
    after: EventTable


def split_at(table: EventTable, moment: datetime) -> Split:
    """The events before `moment` and those from it on; user rows mean the same in both."""
    return Split(before=table.between(until=moment), after=table.between(since=moment))
