"""Folders of research data: `items.parquet` (item_id, a text), `sequences.parquet` (user_id, position, item_id)."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np

from honeyguide.types import Rows


def item_texts(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(ids, texts) of the items, by id: their text, else their title, else their phrase."""
    with duckdb.connect() as db:
        names = [row[0] for row in db.execute(f"DESCRIBE FROM '{folder}/items.parquet'").fetchall()]
        text = next(name for name in ("text", "title", "phrase") if name in names)
        found = db.execute(
            f"SELECT item_id::VARCHAR, coalesce({text}, '') FROM '{folder}/items.parquet' ORDER BY item_id"
        ).fetchall()
    return tuple(item for item, _ in found), tuple(text for _, text in found)


def user_acts(folder: Path, ids: tuple[str, ...]) -> tuple[Rows, Rows]:
    """(users, items), both (n,): who took which row of `ids`, user by user in the order of time."""
    with duckdb.connect() as db:
        acts = db.execute(
            f"SELECT user_id, item_id::VARCHAR FROM '{folder}/sequences.parquet' ORDER BY user_id, position"
        ).fetchall()
    row_of = {item: row for row, item in enumerate(ids)}
    users = np.unique([user for user, _ in acts], return_inverse=True)[1].astype(np.int64)
    return users, np.array([row_of[item] for _, item in acts], dtype=np.int64)
