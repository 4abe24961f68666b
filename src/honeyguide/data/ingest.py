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
from datetime import datetime
from pathlib import Path

import duckdb
import msgspec

from honeyguide.artifacts import sync
from honeyguide.data.columns import KEYS, STORED, TABLES, Table
from honeyguide.data.database import (
    columns_at,
    database,
    identifier,
    literal,
    number,
    parquet,
    replace_files,
    stored_table,
    write_parquet,
)
from honeyguide.data.gather import gather
from honeyguide.data.gathered import Gathered, Input
from honeyguide.data.lines import pick_lines
from honeyguide.data.reading import ROW
from honeyguide.data.report import ImportReport, Problem, TableCount
from honeyguide.data.scrub import shown
from honeyguide.data.sources.mapped import chosen
from honeyguide.data.validate import Clock
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.types import Progress, check_utc, silent

__all__ = ["ImportReport", "Problem", "TableCount", "import_files"]


def import_files(
    folder: Path,
    files: Sequence[Path],
    *,
    format: str | None = None,
    columns: str | None = None,
    table: str | None = None,
    now: datetime,
    to_utc: bool = False,
    timezone: str | None = None,
    progress: Progress = silent,
) -> ImportReport:
    """Read `files` into the workspace's data folder; bad rows go to `quarantine/<import id>.jsonl`.

    An event counts once however often it is imported, and what was imported last stands. InvalidFile where a
    file as a whole cannot be used; nothing stored has changed then. `columns` says which column is what in files of
    a shop's own (`honeyguide.data.sources.mapped`), `table` what they hold.
    """
    if not files:
        raise InvalidInput("there is nothing to import: name at least one file")
    clock = Clock(check_utc(now, "now"), to_utc, timezone)
    sources = chosen(format, columns, table)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder), scratch_in(folder) as scratch, database(scratch) as db:
        found = gather(db, files, sources, clock, scratch, stored=folder, progress=progress)
        return _store(db, folder, scratch, found, clock)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
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
def scratch_in(folder: Path) -> Iterator[Path]:
    """A folder on the same disk as the data; what a killed import left is removed first."""
    for left in folder.glob(".import-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as scratch:
        yield Path(scratch)


def _store(
    db: duckdb.DuckDBPyConnection, folder: Path, scratch: Path, found: Gathered, clock: Clock
) -> ImportReport:
    """Write what is kept and what is put aside, and say what was done."""
    import_id = _import_id(folder, found.inputs, clock.now)
    moves: list[tuple[Path, Path]] = []
    quarantine = None
    if number(db, "SELECT count(*) FROM rejects"):
        quarantine = folder / "quarantine" / f"{import_id}.jsonl"
        quarantine.parent.mkdir(exist_ok=True)
        _write_quarantine(db, scratch / "quarantine.jsonl", found.inputs)
        moves.append((scratch / "quarantine.jsonl", quarantine))
    counts: dict[Table, TableCount] = {}
    for table in TABLES:
        counts[table], merged = _merge(db, folder, scratch, found, table)
        moves += [(merged, folder / f"{table}.parquet")] if merged else []
    report = ImportReport(
        import_id=import_id,
        tables=counts,
        problems=problems(db, found.inputs),
        quarantine=str(quarantine) if quarantine else None,
        notes=notes(found, clock),
    )
    replace_files(moves)
    return report


def _merge(
    db: duckdb.DuckDBPyConnection, folder: Path, scratch: Path, found: Gathered, table: Table
) -> tuple[TableCount, Path | None]:
    """The stored rows and the kept ones together, in a temporary file; None where nothing changes."""
    final, merged, key = folder / f"{table}.parquet", scratch / f"{table}.parquet", KEYS[table]
    stored = stored_table(db, final, STORED[table]) if final.exists() else ""
    _make_derived(db, found, table, stored)
    parts = [*found.of(table, derived=False)]
    kept = number(db, "SELECT count(*) FROM derived")
    kept += sum(number(db, f"SELECT count(*) FROM {part.name} WHERE ok") for part in parts)
    aside = number(db, f"SELECT count(*) FROM rejects WHERE of = '{table}'")
    before = number(db, f"SELECT count(*) FROM ({stored})") if stored else 0
    if not kept:
        return TableCount(aside, 0, aside, 0, before), None
    names = _written(table, found, columns_at(db, final))
    sources = [(part.columns, f"{part.name} WHERE ok") for part in parts]
    sources += [(tuple(STORED[table]), "derived")] if found.of(table, derived=True) else []
    fresh = " UNION ALL ".join(
        f"{_as_stored(table, names, there)} FROM {source}" for there, source in sources
    )
    ids = " UNION ALL ".join(
        [*(f"SELECT {key} FROM {part.name} WHERE ok" for part in parts), f"SELECT {key} FROM derived"]
    )
    kept_names = ", ".join(map(identifier, names))
    staying = f"SELECT {kept_names} FROM ({stored}) WHERE {key} NOT IN ({ids})" if stored else ""
    query = (
        f"{staying} UNION ALL {fresh}"
        if staying and number(db, f"SELECT count(*) FROM ({staying})")
        else fresh
    )
    # events stay in the order in which they came: sorting millions would take longer than all the rest
    write_parquet(db, query if table == "events" else f"SELECT * FROM ({query}) ORDER BY {key}", merged)
    after = number(db, f"SELECT count(*) FROM {parquet(merged)}")
    return TableCount(kept + aside, kept, aside, after - before, after), merged


def _make_derived(db: duckdb.DuckDBPyConnection, found: Gathered, table: Table, stored: str) -> None:
    """The relation `derived`: what rows say by the way about ids that nothing else describes, one row each.

    Of every column the last value that was given stands, but of an event the first time: to tell of it again later
    is not to see it again.
    """
    db.execute("DROP TABLE IF EXISTS derived")
    key = KEYS[table]
    parts = found.of(table, derived=True)
    types = ", ".join(f"NULL::{_sifted_type(kind)} AS {identifier(c)}" for c, kind in STORED[table].items())
    if not parts:
        db.execute(f"CREATE TABLE derived AS SELECT {types} WHERE false")
        return
    rows = " UNION ALL BY NAME ".join(
        [f"SELECT NULL::INTEGER AS file, NULL::BIGINT AS place, {types} WHERE false"]
        + [
            f"SELECT {part.input} AS file, rowid AS place, {', '.join(map(identifier, part.columns))} "
            f"FROM {part.name} WHERE ok"
            for part in parts
        ]
    )
    described = [f"SELECT {key} FROM {part.name} WHERE ok" for part in found.of(table, derived=False)]
    described += [f"SELECT {key} FROM ({stored})"] if stored else []
    free = f"WHERE {key} NOT IN ({' UNION ALL '.join(described)})" if described else ""
    last = ", ".join(f"{_of_all(table, c)} AS {identifier(c)}" for c in STORED[table] if c != key)
    columns = f"{key}, {last}" if last else key
    db.execute(f"CREATE TABLE derived AS SELECT {columns} FROM ({rows}) {free} GROUP BY {key}")


def _of_all(table: Table, column: str) -> str:
    """SQL for the value that stands of all that were given of one id."""
    if (table, column) == ("events", "time"):
        return 'min("time")'
    return f"arg_max({identifier(column)}, (file, place))"


def _sifted_type(kind: str) -> str:
    return "BIGINT" if kind == "TIMESTAMPTZ" else kind


def _written(table: Table, found: Gathered, stored: set[str]) -> list[str]:
    """The columns to store: of a log only those that have values, which saves a sixth of the time to write it."""
    there = stored.union(*(part.columns for part in found.of(table)))
    return [column for column in STORED[table] if table != "events" or column in there]


def _as_stored(table: Table, names: Sequence[str], there: Sequence[str]) -> str:
    """SELECT with these columns as they are stored, out of a relation that has those that are `there`."""
    columns = []
    for column in names:
        name, kind = identifier(column), STORED[table][column]
        value = name if column in there else f"NULL::{kind}"
        columns.append(f"make_timestamptz({name})" if value == name and kind == "TIMESTAMPTZ" else value)
    return f"SELECT {', '.join(f'{v} AS {identifier(c)}' for v, c in zip(columns, names, strict=True))}"


def _write_quarantine(db: duckdb.DuckDBPyConnection, path: Path, inputs: Sequence[Input]) -> None:
    """Every row that was put aside with what it said, by file and row."""
    for entry in inputs:
        if entry.raw.kind == "jsonl":
            _show_lines(db, entry, path.with_name(f"shown{entry.number}.jsonl"))
    names = " ".join(f"WHEN {entry.number} THEN {literal(str(entry.raw.path))}" for entry in inputs)
    db.execute(f"""
        COPY (SELECT CASE file {names} END AS file, {ROW} AS "row", reason, message, raw
              FROM (SELECT * FROM rejects ORDER BY file, {ROW}, reason, message))
        TO {literal(str(path.resolve()))} (FORMAT json)""")
    sync(path)


def _show_lines(db: duckdb.DuckDBPyConnection, entry: Input, scratch: Path) -> None:
    """Give rejects of a JSON Lines file the line that they stand in."""
    query = f"SELECT DISTINCT {ROW} FROM rejects WHERE file = {entry.number} AND raw IS NULL ORDER BY 1"
    rows = [row for (row,) in db.execute(query).fetchall()]
    if not rows:
        return
    with scratch.open("wb") as file:
        for row, line in pick_lines(entry.raw.file, rows):
            file.write(msgspec.json.encode({"row": row, "raw": shown(line)}) + b"\n")
    db.execute(f"""
        UPDATE rejects SET raw = to_json(lines.raw) FROM read_json({literal(str(scratch.resolve()))},
            format = 'newline_delimited', columns = {{'row': 'BIGINT', 'raw': 'VARCHAR'}}) AS lines
        WHERE rejects.file = {entry.number} AND rejects.raw IS NULL AND rejects.{ROW} = lines."row" """)


def problems(db: duckdb.DuckDBPyConnection, inputs: Sequence[Input]) -> tuple[Problem, ...]:
    """What is wrong with the rows that were put aside, the most frequent reason first."""
    found = db.execute(f"""
        SELECT reason, count(*) AS n, min_by({{'file': file, 'row': {ROW}, 'message': message}}, (file, {ROW}))
        FROM rejects GROUP BY reason ORDER BY n DESC, reason""").fetchall()
    return tuple(
        Problem(reason, rows, str(inputs[first["file"]].raw.path), first["row"], first["message"])
        for reason, rows, first in found
    )


def notes(found: Gathered, clock: Clock) -> tuple[str, ...]:
    """What was assumed of the files, in words."""
    said = []
    for entry in found.inputs:
        name, layout = entry.raw.path.name, entry.layout
        if layout.zone:
            said.append(f"{name}: times without a zone are taken as {clock.timezone or layout.zone}")
        if layout.note:
            said.append(f"{name}: {layout.note}")
        if passed_over := found.passed_over.get(entry.number):
            said.append(f"{name}: {passed_over:,} rows tell nothing of {layout.table} and were passed over")
    return tuple(said)


def _import_id(folder: Path, inputs: Sequence[Input], now: datetime) -> str:
    """When it was and a hash of which files, so that two imports of one moment do not share a quarantine."""
    names = "\x00".join(str(entry.raw.path.resolve()) for entry in inputs)
    stem = f"{now:%Y%m%dT%H%M%SZ}-{hashlib.sha256(names.encode('utf-8', 'replace')).hexdigest()[:8]}"
    taken = sum(1 for _ in (folder / "quarantine").glob(f"{stem}*.jsonl"))
    return f"{stem}-{taken + 1}" if taken else stem
