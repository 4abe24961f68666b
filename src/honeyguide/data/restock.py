"""What was put and deleted while a shop served goes into the imported catalogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from honeyguide.data.columns import ITEMS
from honeyguide.data.database import (
    database,
    identifier,
    literal,
    number,
    replace_files,
    stored_table,
    write_parquet,
)
from honeyguide.data.ingest import alone, scratch_in
from honeyguide.data.item import Item
from honeyguide.data.table import to_us

_TABLE = "items.parquet"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def restock(folder: Path, puts: Mapping[str, tuple[Item, datetime]], deleted: Collection[str]) -> int:
    """Put items, with when each was put first, and leave out the deleted; how many items there are then.

    Of a known item without a `created_at` of its own the one that is stored stays; a new one came when it was put.
    Events that speak of what is deleted stay where they are: cleaning leaves them out, and a later put brings them
    back. DamagedArtifact, NotReady where an import is going on.
    """
    final = folder / _TABLE
    with alone(folder), scratch_in(folder) as scratch, database(scratch) as db:
        stored = stored_table(db, final, ITEMS)
        lines = scratch / "put.jsonl"
        lines.write_bytes(b"\n".join(msgspec.json.encode(_row(item, came)) for item, came in puts.values()))
        kinds = {name: "BIGINT" if kind == "TIMESTAMPTZ" else kind for name, kind in ITEMS.items()}
        columns = ", ".join(
            f"{literal(name)}: {literal(kind)}" for name, kind in {**kinds, "came": "BIGINT"}.items()
        )
        db.execute(f"""
            CREATE TABLE put AS SELECT * FROM read_json({literal(str(lines.resolve()))},
                format = 'newline_delimited', columns = {{{columns}}})""")
        db.execute("CREATE TABLE gone (item_id VARCHAR)")
        if deleted:
            db.executemany("INSERT INTO gone VALUES (?)", [[item_id] for item_id in deleted])
        values = ", ".join(
            "coalesce(make_timestamptz(put.created_at), was.created_at, "
            "CASE WHEN was.item_id IS NULL THEN make_timestamptz(put.came) END) AS created_at"
            if name == "created_at"
            else f"put.{identifier(name)}"
            for name in ITEMS
        )
        query = f"""
            SELECT * FROM ({stored}) WHERE item_id NOT IN (SELECT item_id FROM put UNION ALL SELECT item_id FROM gone)
            UNION ALL
            SELECT {values} FROM put LEFT JOIN ({stored}) AS was ON put.item_id = was.item_id
            WHERE put.item_id NOT IN (SELECT item_id FROM gone)"""
        write_parquet(db, f"SELECT * FROM ({query}) ORDER BY item_id", scratch / _TABLE)
        items = number(db, f"SELECT count(*) FROM ({query})")
        replace_files([(scratch / _TABLE, final)])
    return items


def _row(item: Item, came: datetime) -> dict[str, object]:
    values = {name: None if (value := getattr(item, name)) == "" else value for name in ITEMS}
    created = None if item.created_at is None else to_us(item.created_at)
    return {**values, "created_at": created, "came": to_us(came)}


def stored_items(folder: Path) -> list[Item]:
    """The imported items of a data folder, by id; none where there are none. DamagedArtifact."""
    path = folder / _TABLE
    if not path.is_file():
        return []
    columns = [_read_as(name) for name in ITEMS]
    with database() as db:
        found = db.execute(
            f"SELECT {', '.join(columns)} FROM ({stored_table(db, path, ITEMS)}) ORDER BY item_id"
        ).fetchall()
    return [_item(dict(zip(ITEMS, row, strict=True))) for row in found]


def _item(values: dict[str, Any]) -> Item:
    created_us = values.pop("created_at")
    created = None if created_us is None else _EPOCH + timedelta(microseconds=created_us)
    return Item(**values, created_at=created)


def _read_as(name: str) -> str:
    if name == "created_at":
        return "epoch_us(created_at)"
    return f"coalesce({identifier(name)}, '')" if ITEMS[name] == "VARCHAR" else identifier(name)
