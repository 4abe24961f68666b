"""Logs made by hand for the tests of cleaning: rows as keyword arguments, written as the import would store them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from honeyguide.config import Clean
from honeyguide.data.clean import CleaningReport, RuleCount, clean
from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import database, literal, parquet

NOW = datetime(2024, 6, 1, tzinfo=UTC)
START = datetime(2024, 5, 1, 10, tzinfo=UTC)
OFF = Clean(
    drop_without_consent=False,
    clock_skew_s=0,
    drop_future=False,
    merge_identities=False,
    normalise_queries=False,
    drop_duplicates=False,
    duplicate_window_s=0,
    bot_events_per_day=0,
    bot_items_per_day=0,
    bot_dwell_s=0,
    bot_entropy_bits=0,
    cancel_refunds=False,
    drop_worthless=False,
    max_value=0,
    price_ratio=0,
    quantity_ratio=0,
    clean_texts=False,
    boilerplate_share=0,
    drop_textless=False,
    before_created_days=0,
    session_gap_minutes=0,
)
"""Every rule that can be switched off."""

Row = dict[str, Any]


def at(seconds: float) -> str:
    """A moment on the first day, as text."""
    return (START + timedelta(seconds=seconds)).isoformat()


def event(event_id: str, seconds: float = 0.0, **facts: Any) -> Row:
    """A view of item i1 by user u, but for what `facts` say."""
    return {
        "event_id": event_id,
        "time": at(seconds),
        "user_id": "u",
        "kind": "view",
        "item_id": "i1",
        **facts,
    }


def bought(event_id: str, seconds: float, value: float | None, **facts: Any) -> Row:
    """A purchase."""
    return event(event_id, seconds, kind="purchase", value=value, **facts)


def item(item_id: str, **facts: Any) -> Row:
    """An item with a title of its own."""
    return {"item_id": item_id, "title": f"Thing {item_id}", **facts}


ITEMS = (item("i1"), item("i2"), item("i3"))


def write(folder: Path, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store the rows of a canonical table as Parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{table}.jsonl"
    source.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows))
    types = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in STORED[table].items())
    with database(folder) as db:
        db.execute(f"""COPY (FROM read_json({literal(str(source))}, format = 'newline_delimited',
            columns = {{{types}}})) TO {literal(str(folder / f"{table}.parquet"))} (FORMAT parquet)""")
    source.unlink()


def shop(
    folder: Path, events: Iterable[Row], items: Iterable[Row] = ITEMS, identities: Iterable[Row] = ()
) -> Path:
    """A data folder with these tables."""
    write(folder, "events", events)
    write(folder, "items", items)
    told = list(identities)
    if told:
        write(folder, "identities", told)
    return folder


def kept(folder: Path, table: Table = "events") -> dict[str, Row]:
    """The cleaned rows by their ids, without the columns that are NULL."""
    key = "event_id" if table == "events" else "item_id"
    with database() as db:
        found = db.execute(
            f"SELECT to_json(t) FROM {parquet(folder / 'clean' / f'{table}.parquet')} AS t"
        ).fetchall()
    rows = [
        {name: value for name, value in json.loads(text).items() if value is not None} for (text,) in found
    ]
    return {row[key]: row for row in rows}


def cleaned(folder: Path, settings: Clean) -> tuple[CleaningReport, dict[str, Row]]:
    """Clean a folder: the report, and the events that are left."""
    report = clean(folder, settings, now=NOW)
    return report, kept(folder)


def rows_of(report: CleaningReport) -> dict[str, int]:
    """How many rows each rule met, for those that met any."""
    return {rule.rule: rule.rows for rule in report.rules if rule.rows}


def rule(report: CleaningReport, name: str) -> RuleCount:
    """What one rule did."""
    return next(count for count in report.rules if count.rule == name)
