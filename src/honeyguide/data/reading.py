"""Any Parquet, CSV or JSON Lines file as one relation of VARCHAR columns with row numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec

from honeyguide.data.database import file_literal, first_line, identifier, literal
from honeyguide.data.scrub import HOLE, SHOWN, Reject, scrub_csv, scrub_jsonl
from honeyguide.data.sniff import MAX_LINE, RESERVED, Header, file_kind, read_header, unique_names
from honeyguide.errors import InvalidFile

ROW = "_row"
"""The column with a row's number in its file: from 1, without the header and without blank lines."""

_MAX_KEYS = 1000
_LINES = (
    "auto_detect = false, header = false, delim = '', quote = '', escape = '', "
    f"max_line_size = {MAX_LINE + 10}, columns = {{'line': 'VARCHAR'}}"
)


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file as the relation `name`: ROW and `columns`, all VARCHAR; `raw` is SQL for a row as JSON."""

    path: Path
    name: str
    columns: tuple[str, ...]
    raw: str
    rejects: int
    """Rows that could not be read at all; they stand in the relation `{name}_rejects`."""


def read_raw(db: duckdb.DuckDBPyConnection, path: Path, name: str, scratch: Path) -> RawFile:
    """Open `path` as the relation `name`; InvalidFile where it cannot be read as a whole."""
    reader = {"parquet": _read_parquet, "csv": _read_csv, "jsonl": _read_jsonl}[file_kind(path)]
    try:
        return reader(db, path, name, scratch)
    except duckdb.Error as error:
        raise unreadable(path, error) from None
    except OSError as error:
        raise InvalidFile(path, f"cannot be read: {error.strerror}", "Check the disk it is on") from None


def unreadable(path: Path, error: duckdb.Error) -> InvalidFile:
    """The InvalidFile that says what DuckDB says of a file."""
    return InvalidFile(path, f"cannot be read: {first_line(error)}", "Export it again")


def _read_parquet(db: duckdb.DuckDBPyConnection, path: Path, name: str, scratch: Path) -> RawFile:
    source = f"read_parquet({file_literal(path)}, file_row_number = true)"
    found = [row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    found.remove("file_row_number")
    columns = unique_names(path, found)
    texts = [
        f"{identifier(old)}::VARCHAR AS {identifier(new)}" for old, new in zip(found, columns, strict=True)
    ]
    fields = ", ".join([f"file_row_number + 1 AS {ROW}", *texts])
    db.execute(f"CREATE VIEW {name} AS SELECT {fields} FROM {source}")
    return RawFile(path, name, columns, _as_object(columns), 0)


def _read_csv(db: duckdb.DuckDBPyConnection, path: Path, name: str, scratch: Path) -> RawFile:
    header = read_header(path)
    rejects = 0
    try:
        if header.lines > 1:
            raise duckdb.InvalidInputException("blank lines before the header")
        _load_csv(db, path, name, header)
    except duckdb.Error:
        # one bad row makes DuckDB refuse the file: look at every line, and keep the good ones
        scrubbed = scratch / f"{name}.jsonl"
        with scrubbed.open("wb") as good:
            rejects = _store_rejects(db, scrub_csv(path, header, good), name, scratch)
        _load_scrubbed_csv(db, scrubbed, name, header)
    return RawFile(path, name, header.columns, _as_object(header.columns), rejects)


def _load_csv(db: duckdb.DuckDBPyConnection, path: Path, name: str, header: Header) -> None:
    types = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in header.columns)
    options = (
        "auto_detect = false, header = true, quote = '\"', escape = '\"', strict_mode = true, "
        f"delim = {literal(header.delimiter)}, max_line_size = {MAX_LINE}, columns = {{{types}}}"
    )
    db.execute(f"CREATE TABLE {name}_rows AS SELECT * FROM read_csv({file_literal(path)}, {options})")
    db.execute(f"CREATE VIEW {name} AS SELECT rowid + 1 AS {ROW}, * FROM {name}_rows")


def _load_scrubbed_csv(db: duckdb.DuckDBPyConnection, path: Path, name: str, header: Header) -> None:
    # a row of MAX_LINE bytes may grow sixfold when its control characters are escaped
    options = _LINES.replace(str(MAX_LINE + 10), str(7 * MAX_LINE))
    fields = [
        f"json_extract_string(line, '/{position}') AS {identifier(column)}"
        for position, column in enumerate(header.columns, start=1)
    ]
    texts = ", ".join([f"json_extract_string(line, '/0')::BIGINT AS {ROW}", *fields])
    db.execute(f"CREATE TABLE {name} AS SELECT {texts} FROM read_csv({file_literal(path)}, {options})")


def _read_jsonl(db: duckdb.DuckDBPyConnection, path: Path, name: str, scratch: Path) -> RawFile:
    rejects = 0
    try:
        _load_lines(db, path, name)
    except duckdb.Error:
        scrubbed = scratch / f"{name}.jsonl"
        with scrubbed.open("wb") as good:
            rejects = _store_rejects(db, scrub_jsonl(path, good), name, scratch)
        _load_lines(db, scrubbed, name)
    rejects += _reject_broken(db, name)
    keys = db.execute(f"""
        SELECT key FROM (SELECT unnest(json_keys(line)) AS key FROM {name}_lines)
        GROUP BY key ORDER BY count(*) DESC, key LIMIT {_MAX_KEYS}""").fetchall()
    by_name = {" ".join(key.split()).lower(): key for (key,) in reversed(keys) if "\x00" not in key}
    for reserved in RESERVED:
        by_name.pop(reserved, None)
    pointers = {
        column: literal("/" + key.replace("~", "~0").replace("/", "~1")) for column, key in by_name.items()
    }
    texts = [f"json_extract_string(line, {at}) AS {identifier(column)}" for column, at in pointers.items()]
    db.execute(f"CREATE VIEW {name} AS SELECT {', '.join([ROW, *texts, 'line AS _line'])} FROM {name}_lines")
    return RawFile(path, name, tuple(by_name), f"to_json(left(_line, {SHOWN}))", rejects)


def _load_lines(db: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    db.execute(
        f"CREATE OR REPLACE TABLE {name}_all AS SELECT * FROM read_csv({file_literal(path)}, {_LINES})"
    )
    db.execute(f"""
        CREATE TABLE {name}_lines AS SELECT row_number() OVER (ORDER BY rowid) AS {ROW}, line
        FROM {name}_all WHERE trim(line, ' \t\r') <> ''""")
    db.execute(f"DROP TABLE {name}_all")


def _reject_broken(db: duckdb.DuckDBPyConnection, name: str) -> int:
    """Move the lines that hold no JSON object to the rejects; how many."""
    is_object = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
    _make_rejects(db, name)
    db.execute(f"""
        INSERT INTO {name}_rejects SELECT {ROW}, 'malformed_row', 'the line is no JSON object', left(line, {SHOWN})
        FROM {name}_lines WHERE NOT {is_object} AND line <> {literal(HOLE.decode())}""")
    broken = db.execute(f"""
        SELECT count(*) FROM {name}_lines WHERE NOT {is_object} AND line <> {literal(HOLE.decode())}""").fetchone()
    db.execute(f"DELETE FROM {name}_lines WHERE NOT {is_object}")
    return int(broken[0]) if broken else 0


def _make_rejects(db: duckdb.DuckDBPyConnection, name: str) -> None:
    db.execute(f"""
        CREATE TABLE IF NOT EXISTS {name}_rejects
        ({ROW} BIGINT, reason VARCHAR, message VARCHAR, raw VARCHAR)""")


def _store_rejects(db: duckdb.DuckDBPyConnection, rejects: Iterable[Reject], name: str, scratch: Path) -> int:
    """Put what a scrubber yields into the relation `{name}_rejects`; how many."""
    path = scratch / f"{name}-rejects.jsonl"
    count = 0
    with path.open("wb") as file:
        for reject in rejects:
            count += 1
            file.write(msgspec.json.encode([reject.row, reject.reason, reject.message, reject.raw]) + b"\n")
    _make_rejects(db, name)
    fields = ", ".join(f"json_extract_string(line, '/{position}')" for position in range(1, 4))
    db.execute(f"""
        INSERT INTO {name}_rejects SELECT json_extract_string(line, '/0')::BIGINT, {fields}
        FROM read_csv({file_literal(path)}, {_LINES})""")
    return count


def _as_object(columns: tuple[str, ...]) -> str:
    fields = ", ".join(f"{literal(column)}: left({identifier(column)}, {SHOWN})" for column in columns)
    return f"to_json({{{fields}}})"
