"""Honeyguide's own columns, in Parquet, CSV or JSON Lines."""

from __future__ import annotations

from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import identifier
from honeyguide.data.sources.layout import Layout

_REQUIRED: dict[Table, tuple[str, ...]] = {
    "events": ("time", "user_id", "kind", "item_id"),
    "touches": ("user_id", "campaign_id", "kind"),
    "messages": ("text", "intent"),
    "identities": ("anonymous_id", "user_id"),
    "items": ("item_id", "title"),
    "users": ("user_id", "attributes"),
}
"""The tables in the order in which a file is compared with them, by the columns that tell one from the others."""

_ABSENT: dict[Table, tuple[str, ...]] = {
    "identities": ("kind", "event", "received_at"),  # these are logs of something else
    "users": ("kind", "event"),
    "items": ("category_l1",),  # a path that is spread over columns
}


def _layout(table: Table) -> Layout:
    required = _REQUIRED[table]
    return Layout(
        table=table,
        required=required,
        optional=tuple(column for column in STORED[table] if column not in required),
        columns={column: identifier(column) for column in STORED[table]},
        absent=_ABSENT.get(table, ()),
    )


class Canonical:
    """The columns of every table as they are stored (`honeyguide.data.columns`); some may be left out."""

    name = "canonical"
    layouts = tuple(_layout(table) for table in _REQUIRED)
