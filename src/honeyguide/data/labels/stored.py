"""The stored tables that labels are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from honeyguide.data.database import stored_table
from honeyguide.errors import NotReady


def stored(db: duckdb.DuckDBPyConnection, path: Path, columns: Mapping[str, str]) -> str:
    """SELECT of all `columns` from a stored table, those it lacks as NULL; NotReady where there is no such file."""
    if not path.is_file():
        raise NotReady(f"there is no {path} yet. Import files that fill it: honeyguide import")
    return stored_table(db, path, columns)
