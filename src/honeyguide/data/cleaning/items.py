"""The catalogue: what is not recommendable, and items that say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from honeyguide.data.cleaning.log import EXAMPLES, Log, stored_columns
from honeyguide.data.cleaning.report import Evidence, MendedText, RuleCount
from honeyguide.data.columns import ITEMS
from honeyguide.data.database import literal, number, parquet

_SHOWN_CHARS = 200


def load_items(log: Log, path: Path) -> int:
    """The table `items` as it is stored; how many there are."""
    log.db.execute(f"CREATE TABLE items AS SELECT {stored_columns(log.db, path, ITEMS)} FROM {parquet(path)}")
    return number(log.db, "SELECT count(*) FROM items")


def excluded_category(log: Log, categories: Sequence[str]) -> RuleCount:
    """Drop items whose first category is one of these, in whatever case."""
    names = ", ".join(literal(" ".join(name.split()).lower()) for name in categories)
    condition = f"lower(trim(split_part(category, ' > ', 1))) IN ({names})"
    return _drop(log, "excluded_category", condition, "not recommendable: " + ", ".join(categories))


def without_text(log: Log) -> RuleCount:
    """Drop items of which nothing is known that could be read."""
    condition = "trim(concat_ws('', title, category, description)) = ''"
    return _drop(log, "item_without_text", condition, "nothing is known that could be read about it")


def _drop(log: Log, rule: str, condition: str, reason: str) -> RuleCount:
    log.db.execute(
        f"CREATE OR REPLACE TABLE out AS SELECT item_id, coalesce(title, '') AS title FROM items WHERE {condition}"
    )
    log.db.execute("DELETE FROM items WHERE item_id IN (SELECT item_id FROM out)")
    shown = log.db.execute(f"SELECT item_id, title FROM out ORDER BY item_id LIMIT {EXAMPLES}").fetchall()
    texts = tuple(MendedText(item_id, title[:_SHOWN_CHARS], "") for item_id, title in shown)
    rows = number(log.db, "SELECT count(*) FROM out")
    return RuleCount(rule, rows, reason, table="items", evidence=Evidence(texts=texts))
