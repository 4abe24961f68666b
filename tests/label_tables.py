"""Small logs and stored tables that labels are made of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import database, literal, write_parquet
from honeyguide.data.table import EventTable, from_us
from honeyguide.types import EVENT_KINDS

DAY_US = 86_400 * 1_000_000
GRADES = {"purchase": 1.0, "cart": 0.5, "rating": 0.4, "click": 0.2}
N_ITEMS = 5

Entry = tuple[int, int, int, str, float | None]
"""day, user, item (-1 for none), kind, value"""

entries = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 2),
        st.integers(-1, N_ITEMS - 1),
        st.sampled_from(EVENT_KINDS),
        st.sampled_from([None, 1.0, 2.0, 4.5, 5.0]),
    ),
    max_size=30,
)


def grade(kind: str) -> float:
    return GRADES.get(kind, 0.0)


def make_table(rows: Iterable[Entry], users: tuple[str, ...] = ("a", "b", "c")) -> EventTable:
    """The rows as a table; those of one day stay in their order."""
    ordered = sorted(rows, key=lambda row: row[0])
    return EventTable(
        users=users,
        user=np.array([row[1] for row in ordered], dtype=np.int32),
        item=np.array([row[2] for row in ordered], dtype=np.int32),
        time_us=np.array([row[0] * DAY_US for row in ordered], dtype=np.int64),
        kind=np.array([EVENT_KINDS.index(row[3]) for row in ordered], dtype=np.int8),
        value=np.array([np.nan if row[4] is None else row[4] for row in ordered], dtype=np.float32),
    )


def store(folder: Path, table: Table, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write the rows as the stored table of that name; what a row does not say is NULL, a time is a day's number."""
    source, target = folder / f"{table}.jsonl", folder / f"{table}.parquet"
    with source.open("w") as file:
        for row in rows:
            known = {key: from_us(round(v * DAY_US)).isoformat() if key == "time" and v is not None else v
                     for key, v in row.items()}  # fmt: skip
            file.write(json.dumps(known) + "\n")
    types = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in STORED[table].items())
    with database() as db:
        read = f"read_json({literal(str(source))}, format = 'newline_delimited', columns = {{{types}}})"
        write_parquet(db, f"SELECT * FROM {read}", target)
    source.unlink()
    return target
