"""Reads files into typed tables and judges every row; nothing is stored yet.

Tables are read in their order (items before the events that speak of them), so that whether an item is known is
seen while the events stream past. What only shows when all files are read comes last: ids that are there twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import duckdb
import msgspec
import numpy as np

from honeyguide.data.columns import KEYS, STORED, TABLES, Table
from honeyguide.data.database import check_stored, first_line, identifier, literal, number, parquet
from honeyguide.data.lines import pick_lines
from honeyguide.data.reading import ROW, RawFile, open_raw, scrubbed, unreadable
from honeyguide.data.scrub import Reject, not_text, shown
from honeyguide.data.sift import filled, is_plain, needed, sift
from honeyguide.data.sniff import BOM, read_head
from honeyguide.data.sources.known import layout_of
from honeyguide.data.sources.layout import Layout, Source
from honeyguide.data.unpack import unpack
from honeyguide.data.validate import CONTENT_IDS, Clock, content_id, judge, times_of, unknown_item_message
from honeyguide.errors import InvalidInput
from honeyguide.types import Progress

_SORTABLE = 50_000_000  # 200 MB of hashes
_SAYABLE = 50_000  # more values than this are not written into SQL one by one
T = TypeVar("T")
KNOWN = "item_id IN (SELECT item_id FROM known)"
"""SQL that is true of an item that is in the catalogue."""


REJECTS = f"""
    CREATE TABLE rejects (file INTEGER, {ROW} BIGINT, of VARCHAR, reason VARCHAR, message VARCHAR, raw JSON);
    CREATE TABLE unread (file INTEGER, {ROW} BIGINT)"""
"""What was put aside, and the rows among it that were never typed."""


@dataclass(frozen=True, slots=True)
class Input:
    """One file of an import and what it is."""

    number: int
    raw: RawFile
    layout: Layout


@dataclass(frozen=True, slots=True)
class Sifted:
    """The rows that one file holds of one table, in the relation `name`."""

    input: int
    name: str
    layout: Layout
    columns: tuple[str, ...]
    """The canonical columns that the relation has."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that was read: `good` rows stand in the sifted relations where `ok`, bad ones in `rejects`."""

    inputs: tuple[Input, ...]
    sifted: tuple[Sifted, ...]
    passed_over: Mapping[int, int]
    """How many rows of a file are none of its table's, by the input's number."""

    def of(self, table: Table, *, derived: bool | None = None) -> list[Sifted]:
        """What there is of one table; only what is (or is not) said by the way where `derived` says so."""
        return [
            part
            for part in self.sifted
            if part.layout.table == table and derived in (None, part.layout.derived)
        ]


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
        _reject_repeated(db, found, table)
    for entry in inputs:
        _reject_scrubbed(db, entry)
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
        _reject_unreadable(db, entry, entry.layout.table, _empty_rows(entry, ""))


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
    return any(_problem(line, keys) == _UNREAD for _, line in pick_lines(entry.raw.file, rows))


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
        _reject_unreadable(db, entry, layout.table, _empty_rows(entry, name))
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
               {_as_json(part, entry)}
        FROM {name} WHERE ok AND item_id IN (FROM unknown)""")
    db.execute(f"UPDATE {name} SET ok = false WHERE ok AND item_id IN (FROM unknown)")


def _as_json(part: Sifted, entry: Input) -> str:
    """SQL for a good row as quarantine shows it, where its line is not fetched from the file."""
    if entry.raw.kind == "jsonl" and not is_plain(part.layout):
        return "NULL::JSON"
    times = times_of(part.layout.table)
    shown = {
        c: f"make_timestamptz({identifier(c)})::VARCHAR" if c in times else identifier(c)
        for c in part.columns
    }
    return f"to_json({{{', '.join(f'{literal(column)}: {value}' for column, value in shown.items())}}})"


def _reject_unreadable(db: duckdb.DuckDBPyConnection, entry: Input, table: Table, empty: str) -> None:
    """DuckDB reads a line that is no JSON object as a row of NULLs: look at these lines themselves."""
    rows = [row for (row,) in db.execute(f"{empty} ORDER BY 1").fetchall()]
    if not rows:
        return
    keys = set(entry.raw.names.values())
    holes = {reject.row for reject in entry.raw.rejects}
    broken = []
    for row, line in pick_lines(entry.raw.file, rows):
        if row not in holes and (problem := _problem(line, keys)):
            broken.append(Reject(row, *problem, shown(line)))
    insert_rejects(db, entry.number, table, broken)


_UNREAD = ("malformed_row", "the line holds half a surrogate pair or a number out of range")


def _problem(line: bytes, keys: set[str]) -> tuple[str, str] | None:
    """What is wrong with a line of which nothing was read: it may be an object without any of the keys."""
    if problem := not_text(line):
        return problem
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return "malformed_row", "the line is no JSON object"
    if any(found.get(key) is not None for key in keys):
        return _UNREAD
    return None


def insert_rejects(db: duckdb.DuckDBPyConnection, file: int, table: Table, rejects: Sequence[Reject]) -> None:
    """Add rows that were never typed to the relation `rejects`."""
    for some in _batched(rejects, 1000):
        rows = ", ".join(
            f"({file}, {r.row}, '{table}', '{r.reason}', {literal(r.message)}, to_json({literal(_plain(r.raw))}))"
            for r in some
        )
        db.execute(f"INSERT INTO rejects VALUES {rows}")
        db.execute(f"INSERT INTO unread VALUES {', '.join(f'({file}, {r.row})' for r in some)}")


def _batched(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _plain(text: str) -> str:
    """`text` as SQL can say it."""
    return text.replace("\x00", "\ufffd")


def _reject_scrubbed(db: duckdb.DuckDBPyConnection, entry: Input) -> None:
    """Add the rows that the scrubber took out of a CSV file, and count them into the numbers of those after them."""
    if entry.raw.kind != "csv" or not entry.raw.rejects:
        return  # scrubbed JSON Lines keep a hole where a row was
    # a row comes after as many of the missing ones as had fewer good rows before them
    before = [(reject.row - place - 1, place + 1) for place, reject in enumerate(entry.raw.rejects)]
    db.execute("CREATE OR REPLACE TABLE gaps (good BIGINT, missing BIGINT)")
    for some in _batched(before, 1000):
        db.execute(f"INSERT INTO gaps VALUES {', '.join(map(str, some))}")
    db.execute(f"""
        UPDATE rejects SET {ROW} = {ROW} + shift.missing
        FROM (SELECT r.{ROW} AS at, gaps.missing FROM
              (SELECT DISTINCT {ROW} FROM rejects WHERE file = {entry.number}) r
              ASOF JOIN gaps ON r.{ROW} > gaps.good) shift
        WHERE rejects.file = {entry.number} AND rejects.{ROW} = shift.at""")
    insert_rejects(db, entry.number, entry.layout.table, entry.raw.rejects)


def _reject_repeated(db: duckdb.DuckDBPyConnection, found: Gathered, table: Table) -> None:
    """Put aside rows with an id that was there before; equal hashes first, as comparing all ids would cost more."""
    parts = found.of(table, derived=False)
    if not parts:
        return
    key = KEYS[table]
    if not _find_twice(
        db, " UNION ALL ".join(f"SELECT {_hash(key)} AS h FROM {part.name} WHERE ok" for part in parts)
    ):
        return
    rows = " UNION ALL ".join(
        f"SELECT {part.input} AS file, {place} AS part, rowid AS place, coalesce(row, rowid + 1) AS {ROW}, "
        f"{key} AS id, {_as_json(part, found.inputs[part.input])} AS raw "
        f"FROM {part.name} WHERE ok AND {_hash(key)} IN (SELECT h FROM twice)"
        for place, part in enumerate(parts)
    )
    db.execute(f"""
        CREATE OR REPLACE TABLE repeated AS SELECT * FROM
        (SELECT *, row_number() OVER (PARTITION BY id ORDER BY file, {ROW}, part, place) AS again FROM ({rows}))
        WHERE again > 1""")
    db.execute(f"""
        INSERT INTO rejects SELECT file, {ROW}, '{table}', 'duplicate_{key}',
            '{key} \'\'' || id || '\'\' was there before in this import: the first one is kept', raw FROM repeated""")
    for place, part in enumerate(parts):
        db.execute(f"""
            UPDATE {part.name} SET ok = false WHERE rowid IN (SELECT place FROM repeated WHERE part = {place})""")


def _find_twice(db: duckdb.DuckDBPyConnection, hashes: str) -> bool:
    """Make the relation `twice` of the hashes that are there more than once; whether there are any.

    Half of DuckDB's hash does: that two ids share it says only that they have to be compared. numpy sorts integers
    twice as fast as DuckDB groups them; what is too long for it is left to DuckDB.
    """
    db.execute("CREATE OR REPLACE TABLE twice (h UINTEGER)")
    if number(db, f"SELECT count(*) FROM ({hashes})") <= _SORTABLE:
        found = db.execute(hashes).fetchnumpy()["h"]
        found.sort()
        twice = np.unique(found[1:][found[1:] == found[:-1]])
        if len(twice) <= _SAYABLE:
            for some in _batched(twice.tolist(), 1000):
                db.execute(f"INSERT INTO twice VALUES {', '.join(f'({h})' for h in some)}")
            return len(twice) > 0
    db.execute(f"INSERT INTO twice SELECT h FROM ({hashes}) GROUP BY h HAVING count(*) > 1")
    return number(db, "SELECT count(*) FROM twice") > 0


def _hash(key: str) -> str:
    return f"(hash({key}) >> 32)::UINTEGER"
