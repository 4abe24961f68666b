"""Reads files into typed tables and judges every row; nothing is stored yet.

Tables are read in their order (items before the events that speak of them), so that whether an item is known is
seen while the events stream past. What only shows when all files are read comes last: ids that are there twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from honeyguide.data.aside import (
    REJECTS,
    UNREAD,
    as_json,
    insert_rejects,
    problem_of,
    reject_scrubbed,
    reject_unreadable,
)
from honeyguide.data.columns import KEYS, STORED, TABLES
from honeyguide.data.database import check_stored, first_line, identifier, literal, number, parquet
from honeyguide.data.gathered import Gathered, Input, Sifted
from honeyguide.data.lines import pick_lines
from honeyguide.data.reading import ROW, open_raw, scrubbed, unreadable
from honeyguide.data.repeated import reject_repeated
from honeyguide.data.sift import filled, is_plain, needed, sift
from honeyguide.data.sniff import BOM, read_head
from honeyguide.data.sources.known import layout_of
from honeyguide.data.sources.layout import Layout, Source
from honeyguide.data.unpack import unpack
from honeyguide.data.validate import CONTENT_IDS, Clock, content_id, judge, unknown_item_message
from honeyguide.errors import InvalidInput
from honeyguide.types import Progress

KNOWN = "item_id IN (SELECT item_id FROM known)"
"""SQL that is true of an item that is in the catalogue."""


def gather(
    db: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    sources: Sequence[Source],
    clock: Clock,
    scratch: Path,
    *,
    stored: Path | None,
    progress: Progress,
) -> Gathered:
    """Read `files` and judge every row; `stored` is the data folder whose items count as known.

    InvalidFile where a file as a whole cannot be used.
    """
    check_zone(db, clock.timezone)
    db.execute("CREATE TABLE known (item_id VARCHAR)")
    db.execute(REJECTS)
    _know_stored(db, stored)
    inputs = []
    for place, path in enumerate(files):
        inputs.append(_open(db, place, path, sources, scratch))
    work = [
        (entry, layout)
        for table in TABLES
        for entry in inputs
        for layout in (entry.layout, *entry.layout.also)
        if layout.table == table
    ]
    sifted: list[Sifted] = []
    for done, (entry, layout) in enumerate(work):
        progress(done, len(work) + 2)
        current = inputs[entry.number]
        name = f"sifted{done}"
        inputs[entry.number] = _sift(db, current, layout, name, clock, scratch)
        columns = tuple(filled(entry.raw, layout))
        sifted.append(Sifted(entry.number, name, layout, columns))
        _judge_doubtful(db, inputs[entry.number], layout, name, clock)
        if layout.table == "events":
            _reject_unknown_items(db, sifted[-1], inputs[entry.number])
        if layout.table == "items":
            db.execute(f"INSERT INTO known SELECT item_id FROM {name} WHERE ok")
    passed_over = {entry.number: _passed_over(db, entry) for entry in inputs if entry.layout.where}
    found = Gathered(tuple(inputs), tuple(sifted), passed_over)
    for table in TABLES:
        reject_repeated(db, found, table)
    for entry in inputs:
        reject_scrubbed(db, entry)
    progress(len(work), len(work) + 2)
    return found


def check_zone(db: duckdb.DuckDBPyConnection, timezone: str | None) -> None:
    """InvalidInput where there is no such time zone."""
    if timezone is None:
        return
    try:
        db.execute(f"SELECT epoch_us(timezone({literal(timezone)}, TIMESTAMP '2020-01-01'))").fetchone()
    except duckdb.Error as error:
        raise InvalidInput(
            f"{timezone!r} is no time zone: write it like Europe/Berlin ({first_line(error)})"
        ) from None


def _know_stored(db: duckdb.DuckDBPyConnection, stored: Path | None) -> None:
    if stored is not None and (path := stored / "items.parquet").exists():
        check_stored(db, path)
        db.execute(f"INSERT INTO known SELECT item_id FROM {parquet(path)}")


def _open(
    db: duckdb.DuckDBPyConnection, place: int, path: Path, sources: Sequence[Source], scratch: Path
) -> Input:
    folder = scratch / f"file{place}"
    folder.mkdir()
    raw = open_raw(db, path, unpack(path, folder))
    layout = layout_of(path, list(raw.columns), sources)
    if raw.header is not None and not layout.quoted:
        raw = replace(raw, header=replace(raw.header, quoted=False))
    entry = Input(place, raw, layout)
    # DuckDB takes a byte order mark for a part of the first line
    if raw.may_be_deep or (raw.kind == "jsonl" and read_head(raw.file, path).startswith(BOM)):
        return _scrub(db, entry, folder)
    return entry


def _sift(
    db: duckdb.DuckDBPyConnection, entry: Input, layout: Layout, name: str, clock: Clock, scratch: Path
) -> Input:
    """Sift one table out of one file, scrubbed first where DuckDB refuses it as it stands."""
    try:
        _stream(db, entry, layout, name, clock)
        if not _lost_lines(db, entry, layout, name):
            return entry
        db.execute(f"DROP VIEW IF EXISTS loaded{entry.number}")
        for table in ("rejects", "unread"):
            db.execute(f"DELETE FROM {table} WHERE file = {entry.number}")
    except duckdb.Error as error:
        if entry.raw.kind == "parquet" or entry.raw.looked_at:
            raise unreadable(entry.raw.path, error) from None
    # one bad row makes DuckDB refuse the file: look at every line, and keep the good ones
    mended = _scrub(db, entry, scratch / f"file{entry.number}")
    try:
        _stream(db, mended, layout, name, clock)
    except duckdb.Error as error:
        raise unreadable(entry.raw.path, error) from None
    return mended


def _scrub(db: duckdb.DuckDBPyConnection, entry: Input, scratch: Path) -> Input:
    raw = scrubbed(entry.raw, scratch)
    if raw.kind == "jsonl":
        insert_rejects(db, entry.number, entry.layout.table, raw.rejects)
    return replace(entry, raw=raw)


def _stream(db: duckdb.DuckDBPyConnection, entry: Input, layout: Layout, name: str, clock: Clock) -> None:
    loaded = None
    if not is_plain(layout) or layout is not entry.layout:
        loaded = f"loaded{entry.number}"
        _load(db, entry, loaded)
    db.execute(f"DROP TABLE IF EXISTS {name}")
    sift(db, entry.raw, layout, name, clock, loaded=loaded)


def _load(db: duckdb.DuckDBPyConnection, entry: Input, loaded: str) -> None:
    """Load a file whose rows are more, or fewer, than the rows of the table; once for all of its tables."""
    exists = number(db, f"SELECT count(*) FROM duckdb_views() WHERE view_name = '{loaded}'")
    if exists:
        return
    columns = needed(entry.raw, entry.layout)
    db.execute(f"CREATE OR REPLACE TABLE {loaded}_rows AS {entry.raw.relation(columns)}")
    db.execute(f"CREATE VIEW {loaded} AS SELECT *, rowid + 1 AS {ROW} FROM {loaded}_rows")
    if entry.raw.kind == "jsonl":
        reject_unreadable(db, entry, entry.layout.table, _empty_rows(entry, ""))


def _empty_rows(entry: Input, name: str) -> str:
    """SQL for the numbers of the rows that were read as nothing: of those loaded, or of the sifted table `name`."""
    if is_plain(entry.layout):
        nothing = "coalesce(json_merge_patch('{}', texts[-1])::VARCHAR = '{}', true)"
        return f"SELECT rowid + 1 AS {ROW} FROM {name} WHERE NOT ok AND {nothing}"
    columns = needed(entry.raw, entry.layout)
    nothing = " AND ".join(f"{identifier(column)} IS NULL" for column in columns)
    return f"SELECT {ROW} FROM loaded{entry.number} WHERE {nothing}"


def _lost_lines(db: duckdb.DuckDBPyConnection, entry: Input, layout: Layout, name: str) -> bool:
    """Whether good lines were read as nothing: DuckDB loses the line behind one that ends too early."""
    if entry.raw.kind != "jsonl" or entry.raw.looked_at or layout is not entry.layout:
        return False
    empty = _empty_rows(entry, name)
    doubtful = f"SELECT {ROW} FROM ({empty}) WHERE {ROW} - 1 IN ({empty}) ORDER BY 1"
    rows = [row for (row,) in db.execute(doubtful).fetchall()]
    keys = set(entry.raw.names.values())
    return any(problem_of(line, keys) == UNREAD for _, line in pick_lines(entry.raw.file, rows))


def _passed_over(db: duckdb.DuckDBPyConnection, entry: Input) -> int:
    rejected = f"SELECT {ROW} FROM rejects WHERE file = {entry.number}"
    return number(
        db,
        f"""
        SELECT count(*) FROM loaded{entry.number}
        WHERE NOT coalesce({entry.layout.where}, false) AND {ROW} NOT IN ({rejected})""",
    )


def _judge_doubtful(
    db: duckdb.DuckDBPyConnection, entry: Input, layout: Layout, name: str, clock: Clock
) -> None:
    """Have the last word on the rows that are not plainly good: `ok` after all, or among the rejects."""
    if not number(db, f"SELECT count(*) FROM {name} WHERE NOT ok"):
        return
    if entry.raw.kind == "jsonl" and is_plain(layout):
        reject_unreadable(db, entry, layout.table, _empty_rows(entry, name))
    table, columns = layout.table, filled(entry.raw, layout)
    texts = ", ".join(
        f"texts[{columns.index(c) + 1}] AS {identifier(c)}"
        if c in columns
        else f"NULL::VARCHAR AS {identifier(c)}"
        for c in STORED[table]
    )
    aside = f"SELECT {ROW} FROM unread WHERE file = {entry.number}"
    judged_rows = f"""
        SELECT rowid AS place, {texts} FROM {name} WHERE NOT ok AND coalesce(row, rowid + 1) NOT IN ({aside})"""
    try:
        judge(db, table, judged_rows, clock, zone=layout.zone, known=KNOWN)
    except duckdb.Error as error:
        raise unreadable(entry.raw.path, error) from None
    stored = {column: f"judged.{identifier(column)}" for column in columns}
    key = KEYS[table]
    if table in CONTENT_IDS:
        stored[key] = f"coalesce({stored[key]}, {content_id(table, stored)})"
    values = ", ".join(f"{identifier(column)} = {value}" for column, value in stored.items())
    db.execute(f"""
        UPDATE {name} SET {values}, ok = true FROM judged
        WHERE {name}.rowid = judged.place AND judged.reason IS NULL""")
    if not layout.derived:
        # what is wrong with a row is told once, however many things of one table it tells of
        told = f"SELECT {ROW} FROM rejects WHERE file = {entry.number} AND of = '{table}'"
        db.execute(f"""
            INSERT INTO rejects
            SELECT {entry.number}, coalesce(s.row, s.rowid + 1), '{table}', judged.reason, judged.message, s.texts[-1]
            FROM judged JOIN {name} s ON s.rowid = judged.place
            WHERE judged.reason IS NOT NULL AND coalesce(s.row, s.rowid + 1) NOT IN ({told})""")
    db.execute("DROP TABLE judged")


def _reject_unknown_items(db: duckdb.DuckDBPyConnection, part: Sifted, entry: Input) -> None:
    """Put aside the events whose item is in no catalogue; comparing the distinct items first costs far less."""
    name = part.name
    db.execute(f"""
        CREATE OR REPLACE TABLE unknown AS SELECT * FROM (SELECT DISTINCT item_id FROM {name} WHERE ok)
        WHERE item_id IS NOT NULL AND NOT ({KNOWN})""")
    if not number(db, "SELECT count(*) FROM unknown"):
        return
    db.execute(f"""
        INSERT INTO rejects
        SELECT {part.input}, coalesce(row, rowid + 1), 'events', 'unknown_item', {unknown_item_message()},
               {as_json(part, entry)}
        FROM {name} WHERE ok AND item_id IN (FROM unknown)""")
    db.execute(f"UPDATE {name} SET ok = false WHERE ok AND item_id IN (FROM unknown)")
