"""What a language model reads of a shop: its catalogue, searches, reviews, and behaviour told as text.

Texts stream out of the stored tables and are never all in memory; a text that was told before is not told again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from honeyguide.data.columns import EVENTS
from honeyguide.data.database import database, literal, parquet, stored_table
from honeyguide.data.table import EventTable, to_us
from honeyguide.types import Rows

_TOLD = {
    "view": "viewed",
    "search": "searched",
    "click": "clicked",
    "cart": "put into the cart",
    "purchase": "bought",
    "rating": "rated",
    "dismiss": "dismissed",
}
_BATCH = 2000
_EVENTS_A_TEXT = 12
_TITLE_CHARS = 80
_PARTS = 1 << 16


def query_texts(events: Path, *, until: datetime | None = None) -> Iterator[str]:
    """Every distinct search."""
    return _texts(
        f"SELECT DISTINCT query FROM ({{}}) WHERE query <> '' AND {_before(until)} ORDER BY 1", events
    )


def review_texts(events: Path, *, until: datetime | None = None) -> Iterator[str]:
    """Every distinct review."""
    return _texts(
        f'SELECT DISTINCT "text" FROM ({{}}) WHERE "text" <> \'\' AND {_before(until)} ORDER BY 1', events
    )


def behaviour_texts(
    events: Path, items: Path, *, until: datetime | None = None, gap_minutes: int = 30
) -> Iterator[str]:
    """What users did, a visit a text: "viewed a red shoe; searched laces; bought a red shoe".

    A visit ends where its user pauses for `gap_minutes`, or after a dozen events; what was only shown is not told.
    """
    told = " ".join(f"WHEN {literal(kind)} THEN {literal(words)}" for kind, words in _TOLD.items())
    kinds = ", ".join(map(literal, _TOLD))
    gap_us = gap_minutes * 60_000_000
    query = f"""
        SELECT string_agg(said, '; ' ORDER BY time_us, event_id) FROM (
            SELECT *, (row_number() OVER (PARTITION BY user_id, visit ORDER BY time_us, event_id) - 1)
                      // {_EVENTS_A_TEXT} AS part FROM (
                SELECT *, sum(new) OVER (PARTITION BY user_id ORDER BY time_us, event_id) AS visit FROM (
                    SELECT user_id, event_id, epoch_us("time") AS time_us,
                           (CASE kind {told} END) || ' ' || coalesce(query, left(title, {_TITLE_CHARS})) AS said,
                           coalesce(epoch_us("time") - lag(epoch_us("time")) OVER w > {gap_us}, false)::INTEGER AS new
                    FROM ({{}}) LEFT JOIN (SELECT item_id, coalesce(title, category) AS title FROM {parquet(items)})
                         USING (item_id)
                    WHERE kind IN ({kinds}) AND {_before(until)}
                    WINDOW w AS (PARTITION BY user_id ORDER BY "time", event_id))
                WHERE said IS NOT NULL))
        GROUP BY user_id, visit, part HAVING count(*) > 1 ORDER BY user_id, visit, part"""
    return _texts(query, events)


def distinct(texts: Iterable[str]) -> Iterator[str]:
    """Each text once, however its letters are cased and its words spaced; 8 bytes of memory a text."""
    seen: set[bytes] = set()
    for text in texts:
        key = _hash(text)
        if text and key not in seen:
            seen.add(key)
            yield text


def is_held_out(text: str, share: float) -> bool:
    """Whether a text belongs to the `share` that is not learned from; the same at every fit."""
    return int.from_bytes(_hash(text)[:2], "big") < share * _PARTS


@dataclass(frozen=True, slots=True, eq=False)
class ItemPairs:
    """p pairs of catalogue rows that one user took one after the other: `first` and `second`, (p,) int64."""

    first: Rows
    second: Rows

    def __len__(self) -> int:
        return len(self.first)

    def among(self, allowed: Rows, items: int) -> ItemPairs:
        """The pairs whose two items are both allowed, of `items` in all."""
        mask = np.zeros(items, dtype=np.bool_)
        mask[allowed] = True
        kept = mask[self.first] & mask[self.second]
        return ItemPairs(self.first[kept], self.second[kept])


def item_pairs(table: EventTable, *, within: int = 1) -> ItemPairs:
    """Each item with those that its user took up to `within` events later, in time order; never with itself."""
    has_item = table.item[table.by_user] >= 0
    order = table.by_user[has_item]
    user, item = table.user[order], table.item[order].astype(np.int64)
    first, second = [], []
    for distance in range(1, within + 1):
        same = (user[distance:] == user[:-distance]) & (item[distance:] != item[:-distance])
        first.append(item[:-distance][same])
        second.append(item[distance:][same])
    none = np.zeros(0, dtype=np.int64)
    return ItemPairs(np.concatenate([none, *first]), np.concatenate([none, *second]))


def _before(until: datetime | None) -> str:
    return "true" if until is None else f'"time" < make_timestamptz({to_us(until)})'


def _texts(query: str, events: Path) -> Iterator[str]:
    with database() as db:
        found = db.execute(query.format(stored_table(db, events, EVENTS)))
        while rows := found.fetchmany(_BATCH):
            for (text,) in rows:
                yield text


def _hash(text: str) -> bytes:
    plain = " ".join(text.casefold().split())
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest()
