"""The cleaned tables as SQL relations, and how they become files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import (
    PARQUET_OPTIONS,
    check_stored,
    identifier,
    literal,
    number,
    parquet,
)
from honeyguide.errors import NotReady

CSV = "FORMAT csv, HEADER"
JSON_LINES = "FORMAT json"
PARQUET = f"FORMAT parquet, {PARQUET_OPTIONS}"
TSV_UNQUOTED = "FORMAT csv, HEADER, DELIMITER '\t', QUOTE '', ESCAPE ''"
AGREED = "consent IS DISTINCT FROM false"
"""SQL over events: what another system may learn from."""
REFUSED = "events of users who do not agree to be learned from"


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the cleaned events, the cleaned items and the users of a shop lie."""

    events: Path
    items: Path
    users: Path

    def check(self) -> None:
        """NotReady where there is nothing cleaned yet."""
        for path in (self.events, self.items):
            if not path.is_file():
                raise NotReady(f"there is no {path} yet. Run: honeyguide import, then honeyguide fit")

    @property
    def has_users(self) -> bool:
        """Whether anything is stored of users beside what they did."""
        return self.users.is_file()

    def attach(self, db: duckdb.DuckDBPyConnection) -> None:
        """The views `events`, `items` and `users`, with every canonical column; DamagedArtifact."""
        _attach(db, "events", self.events)
        _attach(db, "items", self.items)
        _attach(db, "users", self.users)


def _attach(db: duckdb.DuckDBPyConnection, table: Table, path: Path) -> None:
    """A column that came after the file was stored is NULL; so is everything where there is no file."""
    there: set[str] = set()
    rows = "WHERE false"
    if path.is_file():
        check_stored(db, path)
        rows = f"FROM {parquet(path)}"
        there = {row[0] for row in db.execute(f"DESCRIBE SELECT * {rows}").fetchall()}
    columns = ", ".join(
        identifier(column) if column in there else f"NULL::{kind} AS {identifier(column)}"
        for column, kind in STORED[table].items()
    )
    db.execute(f"CREATE VIEW {table} AS SELECT {columns} {rows}")


def copy(db: duckdb.DuckDBPyConnection, query: str, path: Path, options: str) -> int:
    """Stream what `query` gives into a file; how many rows that were."""
    return number(db, f"COPY ({query}) TO {literal(str(path.resolve()))} ({options})")


def attribute_keys(db: duckdb.DuckDBPyConnection, table: Table) -> tuple[str, ...]:
    """The keys of the JSON objects in the table's attributes, sorted."""
    keys = f"unnest(json_keys(attributes)) AS key FROM {table} WHERE json_valid(attributes)"
    return tuple(row[0] for row in db.execute(f"SELECT DISTINCT {keys} ORDER BY key").fetchall())


def attribute(key: str) -> str:
    """SQL for one attribute as text; NULL where it is not known."""
    # a JSON pointer, in which "~" and "/" are written as "~0" and "~1"
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    return f"CASE WHEN json_valid(attributes) THEN json_extract_string(attributes, {literal(pointer)}) END"
