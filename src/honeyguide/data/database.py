"""DuckDB as a batch engine: in memory, spilling to a scratch folder; Parquet is what lasts.

Values go into SQL as quoted literals: DuckDB loads pandas as soon as a query carries parameters.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from honeyguide.artifacts import sync
from honeyguide.errors import DamagedArtifact, InvalidInput

PARQUET_OPTIONS = "COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1000"
"""Of 5 M events, one thread: written in 1.8 s, 140 MB, read in 0.50 s; as DuckDB does by itself (snappy, version 1)
2.9 s, 266 MB, 0.68 s; zstd level 1 in version 1 2.7 s, 156 MB, 0.64 s. Short dictionaries cost no room in a log."""


@contextmanager
def database(scratch: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database in UTC that spills what does not fit in memory to `scratch`."""
    with tempfile.TemporaryDirectory(prefix=".duckdb-", dir=scratch) as spill, duckdb.connect() as db:
        try:
            db.execute(f"SET temp_directory = {literal(spill)}")
            db.execute("SET TimeZone = 'UTC'")
            db.execute("SET enable_progress_bar = false")
            db.execute(f"SET memory_limit = '{max(800, 160 * (os.cpu_count() or 1))}MB'")
            yield db
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # how DuckDB says that Ctrl-C was pressed during a query
                raise KeyboardInterrupt from None
            raise


def literal(text: str) -> str:
    """`text` as an SQL string; InvalidInput where it is no text that could be stored."""
    if "\x00" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise InvalidInput(f"{text[:64]!r} holds a NUL or half a surrogate pair: remove it")
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def file_literal(path: Path) -> str:
    """`path` as an SQL string that names this one file, whatever wildcards its name may hold."""
    return literal("".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path.resolve())))


def parquet(path: Path) -> str:
    """`path` as a table in a FROM clause."""
    return f"read_parquet({file_literal(path)})"


def stored_table(db: duckdb.DuckDBPyConnection, path: Path, columns: Mapping[str, str]) -> str:
    """SELECT of all `columns` (name to type) from a Parquet file of ours, those it lacks as NULL; DamagedArtifact.

    A log holds no columns that nothing has a value for, and an old one none that came later.
    """
    check_stored(db, path)
    there = columns_at(db, path)
    parts = (
        name if column in there else f"NULL::{kind} AS {name}"
        for column, kind, name in ((column, kind, identifier(column)) for column, kind in columns.items())
    )
    return f"SELECT {', '.join(parts)} FROM {parquet(path)}"


def columns_at(db: duckdb.DuckDBPyConnection, path: Path) -> set[str]:
    """The columns that a Parquet file has; none where there is no file."""
    if not path.exists():
        return set()
    return {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {parquet(path)}").fetchall()}


def number(db: duckdb.DuckDBPyConnection, query: str) -> int:
    """The one whole number that `query` gives."""
    row = db.execute(query).fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def check_stored(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """DamagedArtifact where a Parquet file of ours cannot be read."""
    with damage_told(path):
        db.execute(f"SELECT count(*) FROM {parquet(path)}").fetchone()


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """DamagedArtifact in place of what DuckDB raises where a Parquet file of ours cannot be read."""
    try:
        yield
    except (duckdb.Error, UnicodeDecodeError) as error:
        reason = first_line(error)
        raise DamagedArtifact(
            f"{path}: cannot be read: {reason}. Restore it from a backup, or remove it and import again"
        ) from None


def write_parquet(db: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write what `query` gives to `path` and make it durable; `path` should be a temporary name."""
    target = literal(str(path.resolve()))
    db.execute(f"COPY ({query}) TO {target} (FORMAT parquet, {PARQUET_OPTIONS})")
    sync(path)


def replace_files(moves: list[tuple[Path, Path]]) -> None:
    """Move each finished temporary file over its final name, in order; each move is all or nothing."""
    for temporary, final in moves:
        os.replace(temporary, final)
        sync(final.parent)


def first_line(error: Exception) -> str:
    """What an error of DuckDB says in its first line, without the class in front."""
    text = str(error).strip().split("\n", 1)[0]
    return text.partition(": ")[2][:300] or text[:300] or type(error).__name__
