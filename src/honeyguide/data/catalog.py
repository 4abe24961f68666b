"""The catalogue: all items in memory, by row and by id."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from honeyguide.data.database import damage_told, database, parquet
from honeyguide.data.item import Item
from honeyguide.data.text import item_text
from honeyguide.errors import DamagedArtifact, InvalidInput, NotReady, UnknownItem
from honeyguide.types import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """The items, sorted by id: row i of every tuple belongs to `ids[i]`. What `put` added stands behind them.

    `texts` is what the language model reads, `categories` the path joined by " > "; what is not known is "" in
    text columns and None among the prices.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    categories: tuple[str, ...]
    titles: tuple[str, ...]
    brands: tuple[str, ...]
    prices: tuple[float | None, ...]
    version: str = field(init=False)
    """Equal content has an equal version, in whatever order it was read."""
    _rows: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns = self._columns()
        if any(len(column) != len(self.ids) for column in columns):
            raise InvalidInput(f"a catalogue needs one entry per item, got {[len(c) for c in columns]}")
        for before, after in zip(self.ids, self.ids[1:], strict=False):
            if before >= after:
                raise InvalidInput(f"item ids must be sorted and unique, got {after!r} after {before!r}")
        content = hashlib.sha256(msgspec.json.encode(columns)).hexdigest()
        object.__setattr__(self, "version", content[:12])
        object.__setattr__(self, "_rows", {item_id: row for row, item_id in enumerate(self.ids)})

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._rows

    def _columns(self) -> tuple[tuple[Any, ...], ...]:
        return (self.ids, self.texts, self.categories, self.titles, self.brands, self.prices)

    def put(self, items: Sequence[Item]) -> Catalog:
        """The catalogue after these items were put: known ones where they stand, new ones behind all, in this order.

        So no row moves, and its version is another one's. Nothing that was read before is read again.
        """
        rows, ids = self._rows.copy(), list(self.ids)
        columns: list[list[Any]] = [list(column) for column in self._columns()[1:]]
        for item in items:
            if (row := rows.setdefault(item.item_id, len(ids))) == len(ids):
                ids.append(item.item_id)
                for column in columns:
                    column.append("")
            told = (item.text, item.category, item.title, item.brand, item.price)
            for column, value in zip(columns, told, strict=True):
                column[row] = value
        found = object.__new__(Catalog)
        version = hashlib.sha256(msgspec.json.encode((self.version, items))).hexdigest()[:12]
        made = (tuple(ids), *map(tuple, columns), version, rows)
        for name, part in zip(Catalog.__slots__, made, strict=True):
            object.__setattr__(found, name, part)
        return found

    def row(self, item_id: str) -> int:
        """The row of an item; UnknownItem names the nearest known id."""
        try:
            return self._rows[item_id]
        except KeyError:
            raise UnknownItem(self._unknown(item_id)) from None

    def rows(self, ids: Sequence[str]) -> Rows:
        """(n,) int64: the rows of several items, in that order; UnknownItem."""
        if isinstance(ids, str):
            raise InvalidInput(f"rows() takes a sequence of item ids, got the bare string {ids!r}")
        return np.array([self.row(item_id) for item_id in ids], dtype=np.int64)

    def _unknown(self, item_id: str) -> str:
        shown = item_id[:64]
        if not self.ids:
            return f"unknown item {shown!r}: the catalogue is empty. Import the items first"
        # only the neighbours in the order of ids are compared: a bad id must not cost a scan of the catalogue
        at = bisect_left(self.ids, item_id)
        near = self.ids[max(at - 50, 0) : at + 50]
        close = get_close_matches(shown, near, n=1, cutoff=0.0)
        return (
            f"unknown item {shown!r}: the nearest known id is {(close or near)[0]!r}. Import the item first"
        )

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        *,
        titles: Sequence[str],
        categories: Sequence[str] | None = None,
        brands: Sequence[str] | None = None,
        descriptions: Sequence[str] | None = None,
        prices: Sequence[float | None] | None = None,
    ) -> Self:
        """A catalogue from columns in any order; the texts are composed from them."""
        n = len(ids)
        blank = [""] * n
        columns = (titles, categories or blank, brands or blank, descriptions or blank, prices or [None] * n)
        try:
            rows = sorted(zip(ids, *columns, strict=True), key=lambda row: row[0])
        except ValueError:
            raise InvalidInput("a catalogue needs one entry per item in every column") from None
        compose = cache(item_text)  # many items differ in nothing that is read
        return cls(
            ids=tuple(row[0] for row in rows),
            texts=tuple(compose(row[1], row[2], row[3], row[4]) for row in rows),
            categories=tuple(row[2] for row in rows),
            titles=tuple(row[1] for row in rows),
            brands=tuple(row[3] for row in rows),
            prices=tuple(row[5] for row in rows),
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """The catalogue stored in an items.parquet; NotReady where there is none."""
        if not path.is_file():
            raise NotReady(f"there is no {path} yet. Run: honeyguide import, then honeyguide fit")
        with database() as db, damage_told(path):
            text = ", ".join(
                f"coalesce({column}::VARCHAR, '')" for column in ("title", "category", "brand", "description")
            )
            found = db.execute(
                f"SELECT item_id, {text}, price::DOUBLE FROM {parquet(path)} ORDER BY item_id"
            ).fetchall()
        ids, titles, categories, brands, descriptions, prices = (
            zip(*found, strict=True) if found else ((),) * 6
        )
        try:
            return cls.of(
                ids,
                titles=titles,
                categories=categories,
                brands=brands,
                descriptions=descriptions,
                prices=prices,
            )
        except InvalidInput as error:
            raise DamagedArtifact(
                f"{path}: {error}. Restore it from a backup, or remove it and import again"
            ) from None
