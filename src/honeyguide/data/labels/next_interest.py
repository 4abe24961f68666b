"""What a user wants next: after each visit the class of the item they reacted to first, and whether it is new."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.labels.rewards import StarScale, rewards
from honeyguide.data.labels.visits import Visits, in_us
from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.types import Grade


@dataclass(frozen=True, slots=True, eq=False)
class NextInterests:
    """One entry for each of v visits; -1 (and False) where nothing followed within the window.

    `label` (v,) int32 the class, `item` (v,) int32 the item's catalogue row, `event` (v,) int64 the event's position
    in the table, `new` (v,) bool whether the user had never reacted to an item of that class until the visit.
    """

    label: NDArray[np.int32]
    item: NDArray[np.int32]
    event: NDArray[np.int64]
    new: NDArray[np.bool_]


def next_interests(
    table: EventTable,
    visits: Visits,
    class_of: NDArray[np.int32],
    *,
    grade: Grade,
    window_days: float,
    scale: StarScale | None = None,
) -> NextInterests:
    """The class of the first item that each visit's user reacted to in (visit, visit + window].

    `class_of` (items,) is any labelling of the catalogue: a level of `item_classes`, or a taxonomy's interests;
    reactions to items of class -1 are passed over. Of several at one moment (a basket) the best graded counts, then
    the first in the table. The table has to hold the users' whole past, or what is old seems new.
    """
    if len(class_of) <= table.item.max(initial=-1):
        raise InvalidInput(f"class_of needs a class for every item: {len(class_of)} are too few")
    window_us = in_us(window_days)
    reward = rewards(table, grade=grade, scale=scale)
    event = np.flatnonzero(reward > 0)
    event = event[class_of[table.item[event]] >= 0]
    event = event[np.lexsort((event, -reward[event], table.time_us[event], table.user[event]))]
    following = _following(table, event, visits)
    found = following >= 0
    found[found] = table.time_us[following[found]] <= visits.time_us[found] + window_us
    following[~found] = -1
    item = np.full(len(visits), -1, dtype=np.int32)
    item[found] = table.item[following[found]]
    label = np.full(len(visits), -1, dtype=np.int32)
    label[found] = class_of[item[found]]
    new = np.zeros(len(visits), dtype=np.bool_)
    new[found] = _since(table, event, class_of, following[found]) > visits.time_us[found]
    return NextInterests(label, item, following, new)


def _following(table: EventTable, event: NDArray[np.int64], visits: Visits) -> NDArray[np.int64]:
    """(v,): each visit's user's first of these events, sorted by user and time, after it; -1 where there is none."""
    moments = np.unique(np.concatenate([table.time_us, visits.time_us]))
    # times as ranks keep user x time inside 64 bits
    width = len(moments) + 1
    place = table.user[event].astype(np.int64) * width + np.searchsorted(moments, table.time_us[event])
    wanted = visits.user.astype(np.int64) * width + np.searchsorted(moments, visits.time_us)
    following = np.append(event, -1)[np.searchsorted(place, wanted, side="right")]
    mine = following >= 0
    mine[mine] = table.user[following[mine]] == visits.user[mine]
    following[~mine] = -1
    return following


def _since(
    table: EventTable, event: NDArray[np.int64], class_of: NDArray[np.int32], asked: NDArray[np.int64]
) -> NDArray[np.int64]:
    """When the user of each event asked about first had one of its class, among events sorted by user and time."""
    width = int(class_of.max(initial=-1)) + 1
    key, first = np.unique(
        table.user[event].astype(np.int64) * width + class_of[table.item[event]], return_index=True
    )
    wanted = table.user[asked].astype(np.int64) * width + class_of[table.item[asked]]
    return np.asarray(table.time_us[event[first[np.searchsorted(key, wanted)]]])
