"""Honeyguide's own columns, in Parquet, CSV or JSON Lines."""

from __future__ import annotations

from honeyguide.data.columns import EVENTS, ITEMS
from honeyguide.data.database import identifier
from honeyguide.data.sources.layout import Layout

_EVENT_COLUMNS = ("time", "user_id", "kind", "item_id")
_ITEM_COLUMNS = ("item_id", "title")


class Canonical:
    """`events`: time, user_id, kind, item_id and what else there is; `items`: item_id, title and what else."""

    name = "canonical"
    layouts = (
        Layout(
            table="events",
            required=_EVENT_COLUMNS,
            optional=tuple(column for column in EVENTS if column not in _EVENT_COLUMNS),
            columns={column: identifier(column) for column in EVENTS},
        ),
        Layout(
            table="items",
            required=_ITEM_COLUMNS,
            optional=tuple(column for column in ITEMS if column not in _ITEM_COLUMNS),
            columns={column: identifier(column) for column in ITEMS},
        ),
    )
