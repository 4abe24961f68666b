"""Import: every row is judged, the bad ones go to quarantine with a reason, the good ones are merged and stored.

Nothing that is stored changes before everything has been read and judged; then finished files are moved into
place one by one, items before the events that speak of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from honeyguide.data.columns import KEYS, STORED, Table
from honeyguide.data.database import (
    check_stored,
    database,
    first_line,
    identifier,
    literal,
    number,
    parquet,
    replace_files,
    sync,
    write_parquet,
)
from honeyguide.data.reading import ROW, RawFile, read_raw, unreadable
from honeyguide.data.report import ImportReport, Problem, TableCount
from honeyguide.data.sources.known import layout_of, sources_named
from honeyguide.data.sources.layout import Layout
from honeyguide.data.validate import Clock, judge
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.types import Progress, check_utc, silent

__all__ = ["ImportReport", "Problem", "TableCount", "import_files"]


@dataclass(frozen=True, slots=True)
class _Input:
    """One file of the import."""

    number: int
    raw: RawFile
    layout: Layout


def import_files(
    folder: Path,
    files: Sequence[Path],
    *,
    format: str | None = None,
    now: datetime,
    to_utc: bool = False,
    timezone: str | None = None,
    progress: Progress = silent,
) -> ImportReport:
    """Read `files` into the workspace's data folder; bad rows go to `quarantine/<import id>.jsonl`.

    An event counts once however often it is imported, and what was imported last stands. InvalidFile where a
    file as a whole cannot be used; nothing stored has changed then.
    """
    if not files:
        raise InvalidInput("there is nothing to import: name at least one file")
    clock = Clock(check_utc(now, "now"), to_utc, timezone)
    sources = sources_named(format)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _scratch(folder) as scratch, database(scratch) as db:
        _check_zone(db, timezone)
        inputs: list[_Input] = []
        for index, path in enumerate(files):
            raw = read_raw(db, path, f"raw{index}", scratch)
            inputs.append(_Input(index, raw, layout_of(path, raw.columns, sources)))
            progress(index + 1, 2 * len(files) + 2)
        _make_tables(db)
        for done, entry in enumerate(inputs, start=len(files) + 1):
            _judge(db, entry, clock)
            progress(done, 2 * len(files) + 2)
        _judge_together(db, folder)
        progress(2 * len(files) + 1, 2 * len(files) + 2)
        report = _store(db, folder, scratch, inputs, clock)
        progress(2 * len(files) + 2, 2 * len(files) + 2)
    return report


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against a second import at the same time."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotReady(f"another import into {folder} is running: wait until it is through") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder on the same disk as the data; what a killed import left is removed first."""
    for left in folder.glob(".import-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as scratch:
        yield Path(scratch)


def _check_zone(db: duckdb.DuckDBPyConnection, timezone: str | None) -> None:
    if timezone is None:
        return
    try:
        db.execute(f"SELECT epoch_us(timezone({literal(timezone)}, TIMESTAMP '2020-01-01'))").fetchone()
    except duckdb.Error as error:
        raise InvalidInput(
            f"{timezone!r} is no time zone: write it like Europe/Berlin ({first_line(error)})"
        ) from None


def _make_tables(db: duckdb.DuckDBPyConnection) -> None:
    for table, columns in STORED.items():
        types = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns.items())
        db.execute(f"CREATE TABLE {table} (file INTEGER, {ROW} BIGINT, {types})")
    db.execute(f"""
        CREATE TABLE rejects
        (file INTEGER, {ROW} BIGINT, of VARCHAR, reason VARCHAR, message VARCHAR, raw JSON)""")


def _judge(db: duckdb.DuckDBPyConnection, entry: _Input, clock: Clock) -> None:
    """Sort one file's rows into its table and the rejects."""
    table, name = entry.layout.table, entry.raw.name
    columns = ", ".join(identifier(column) for column in STORED[table])
    try:
        judge(db, entry.raw, entry.layout, clock)
        db.execute(f"""
            INSERT INTO {table} SELECT {entry.number}, {ROW}, {columns} FROM judged WHERE reason IS NULL""")
        db.execute(f"""
            INSERT INTO rejects
            SELECT {entry.number}, {ROW}, '{table}', reason, message, NULL FROM judged WHERE reason IS NOT NULL""")
    except duckdb.Error as error:
        raise unreadable(entry.raw.path, error) from None
    db.execute("DROP TABLE judged")
    if entry.raw.rejects:
        db.execute(f"""
            INSERT INTO rejects
            SELECT {entry.number}, {ROW}, '{table}', reason, message, to_json(raw) FROM {name}_rejects""")


def _judge_together(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """What only shows when all files are read: ids that come twice, and events of items that nobody knows."""
    _reject_repeated(db, "items")
    known = "SELECT item_id FROM items"
    stored = folder / "items.parquet"
    if stored.exists():
        check_stored(db, stored)
        known += f" UNION ALL SELECT item_id FROM {parquet(stored)}"
    said = "'item ''' || item_id || ''' is in no catalogue: import the item, then import this file again'"
    _reject(db, "events", "unknown_item", said, f"item_id IS NOT NULL AND item_id NOT IN ({known})")
    _reject_repeated(db, "events")


def _reject_repeated(db: duckdb.DuckDBPyConnection, table: Table) -> None:
    key = KEYS[table]
    again = f"row_number() OVER (PARTITION BY {key} ORDER BY file, {ROW}) > 1"
    later = f"rowid IN (SELECT rowid FROM (SELECT rowid, {again} AS again FROM {table}) WHERE again)"
    said = f"'{key} ''' || {key} || ''' was there before in this import: the first one is kept'"
    _reject(db, table, f"duplicate_{key}", said, later)


def _reject(db: duckdb.DuckDBPyConnection, table: Table, reason: str, said: str, condition: str) -> None:
    db.execute(f"CREATE TABLE bad AS SELECT rowid AS place, * FROM {table} WHERE {condition}")
    db.execute(f"INSERT INTO rejects SELECT file, {ROW}, '{table}', '{reason}', {said}, NULL FROM bad")
    db.execute(f"DELETE FROM {table} WHERE rowid IN (SELECT place FROM bad)")
    db.execute("DROP TABLE bad")


def _store(
    db: duckdb.DuckDBPyConnection, folder: Path, scratch: Path, inputs: Sequence[_Input], clock: Clock
) -> ImportReport:
    """Write what is kept and what is put aside, and say what was done."""
    import_id = _import_id(folder, inputs, clock.now)
    moves: list[tuple[Path, Path]] = []
    quarantine = None
    if number(db, "SELECT count(*) FROM rejects"):
        quarantine = folder / "quarantine" / f"{import_id}.jsonl"
        quarantine.parent.mkdir(exist_ok=True)
        _write_quarantine(db, scratch / "quarantine.jsonl", inputs)
        moves.append((scratch / "quarantine.jsonl", quarantine))
    counts = {}
    for table in ("items", "events"):
        counts[table], merged = _merge(db, folder, scratch, table)
        moves += [(merged, folder / f"{table}.parquet")] if merged else []
    problems = _problems(db, inputs)
    replace_files(moves)
    return ImportReport(
        import_id=import_id,
        events=counts["events"],
        items=counts["items"],
        problems=problems,
        quarantine=str(quarantine) if quarantine else None,
        notes=_notes(inputs, clock),
    )


def _merge(
    db: duckdb.DuckDBPyConnection, folder: Path, scratch: Path, table: Table
) -> tuple[TableCount, Path | None]:
    """The stored rows and the kept ones together, in a temporary file; None where nothing changes."""
    final, merged, key = folder / f"{table}.parquet", scratch / f"{table}.parquet", KEYS[table]
    kept = number(db, f"SELECT count(*) FROM {table}")
    aside = number(db, f"SELECT count(*) FROM rejects WHERE of = '{table}'")
    before = 0
    columns = ", ".join(identifier(column) for column in STORED[table])
    query = f"SELECT {columns} FROM {table}"
    if final.exists():
        check_stored(db, final)
        before = number(db, f"SELECT count(*) FROM {parquet(final)}")
        query += f""" UNION ALL SELECT {columns} FROM {parquet(final)}
                      WHERE {key} NOT IN (SELECT {key} FROM {table})"""
    if not kept:
        return TableCount(aside, 0, aside, 0, before), None
    order = '"time", event_id' if table == "events" else "item_id"
    write_parquet(db, f"{query} ORDER BY {order}", merged)
    stored = number(db, f"SELECT count(*) FROM {parquet(merged)}")
    return TableCount(kept + aside, kept, aside, stored - before, stored), merged


def _write_quarantine(db: duckdb.DuckDBPyConnection, path: Path, inputs: Sequence[_Input]) -> None:
    """Every row that was put aside with what it said, by file and row."""
    parts = []
    for entry in inputs:
        file = literal(str(entry.raw.path))
        parts.append(f"""
            SELECT r.file AS place, r.{ROW}, {file} AS name, r.reason, r.message,
                   coalesce(r.raw, o.raw) AS raw
            FROM (SELECT * FROM rejects WHERE file = {entry.number}) r
            LEFT JOIN (SELECT {ROW}, {entry.raw.raw} AS raw FROM {entry.raw.name}
                       WHERE {ROW} IN (SELECT {ROW} FROM rejects WHERE file = {entry.number})) o USING ({ROW})""")
    rows = " UNION ALL ".join(parts)
    db.execute(f"""
        COPY (SELECT name AS file, {ROW} AS "row", reason, message, raw FROM ({rows}) ORDER BY place, {ROW}, reason)
        TO {literal(str(path.resolve()))} (FORMAT json)""")
    sync(path)


def _problems(db: duckdb.DuckDBPyConnection, inputs: Sequence[_Input]) -> tuple[Problem, ...]:
    found = db.execute(f"""
        SELECT reason, count(*) AS n, min_by({{'file': file, 'row': {ROW}, 'message': message}}, (file, {ROW}))
        FROM rejects GROUP BY reason ORDER BY n DESC, reason""").fetchall()
    return tuple(
        Problem(reason, rows, str(inputs[first["file"]].raw.path), first["row"], first["message"])
        for reason, rows, first in found
    )


def _notes(inputs: Sequence[_Input], clock: Clock) -> tuple[str, ...]:
    return tuple(
        f"{entry.raw.path.name}: its times carry no zone; they are taken as {clock.timezone or entry.layout.zone}"
        for entry in inputs
        if entry.layout.zone
    )


def _import_id(folder: Path, inputs: Sequence[_Input], now: datetime) -> str:
    """When it was and a hash of which files, so that two imports of one moment do not share a quarantine."""
    names = "\x00".join(str(entry.raw.path.resolve()) for entry in inputs)
    stem = f"{now:%Y%m%dT%H%M%SZ}-{hashlib.sha256(names.encode('utf-8', 'replace')).hexdigest()[:8]}"
    taken = sum(1 for _ in (folder / "quarantine").glob(f"{stem}*.jsonl"))
    return f"{stem}-{taken + 1}" if taken else stem
