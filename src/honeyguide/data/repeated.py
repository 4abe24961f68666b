"""Ids that are there more than once, which only shows when all files are read."""

from __future__ import annotations

import duckdb
import numpy as np

from honeyguide.data.aside import as_json, batched
from honeyguide.data.columns import KEYS, Table
from honeyguide.data.database import number
from honeyguide.data.gathered import Gathered
from honeyguide.data.reading import ROW

_SORTABLE = 50_000_000  # 200 MB of hashes
_SAYABLE = 50_000  # more values than this are not written into SQL one by one


def reject_repeated(db: duckdb.DuckDBPyConnection, found: Gathered, table: Table) -> None:
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
        f"{key} AS id, {as_json(part, found.inputs[part.input])} AS raw "
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
            for some in batched(twice.tolist(), 1000):
                db.execute(f"INSERT INTO twice VALUES {', '.join(f'({h})' for h in some)}")
            return len(twice) > 0
    db.execute(f"INSERT INTO twice SELECT h FROM ({hashes}) GROUP BY h HAVING count(*) > 1")
    return number(db, "SELECT count(*) FROM twice") > 0


def _hash(key: str) -> str:
    return f"(hash({key}) >> 32)::UINTEGER"
