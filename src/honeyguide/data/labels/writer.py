"""Arrays as Parquet files: rows of numbers become the shop's own ids on the way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
from numpy.typing import NDArray

from honeyguide.data.database import identifier, literal, write_parquet
from honeyguide.data.labels.parts import PARTS


def named(names: Sequence[str], column: str) -> str:
    """SQL for the name at the position that a column of numbers gives."""
    return f"[{', '.join(map(literal, names))}][{column} + 1]"


PART = f"{named(PARTS, 'given.part')} AS part"
"""SQL for the name of a row's part."""


class Writer:
    """Writes files into a folder, out of a database that spills what does not fit in memory."""

    def __init__(self, db: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.db = db
        self.folder = folder
        self.files: list[Path] = []

    def strings(self, name: str, values: Iterable[str]) -> None:
        """The table `name` of strings by their `row`."""
        # by way of a file: strings handed over in memory make DuckDB load pandas
        spool = self.folder / f"{name}.jsonl"
        with spool.open("wb") as file:
            for row, value in enumerate(values):
                file.write(msgspec.json.encode({"row": row, "value": value}) + b"\n")
        self.db.execute(f"""
            CREATE OR REPLACE TABLE {identifier(name)} AS FROM read_json({literal(str(spool.resolve()))},
                format = 'newline_delimited', columns = {{'row': 'BIGINT', 'value': 'VARCHAR'}})""")
        spool.unlink()

    def give(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """The relation `given` of these numbers, until the next ones come; NaN is NULL."""
        self.db.register("given", dict(columns))

    def write(self, file: str, query: str) -> None:
        """What `query` gives as a finished file, where it gives anything."""
        path = self.folder / file
        write_parquet(self.db, query, path)
        self.files.append(path)
