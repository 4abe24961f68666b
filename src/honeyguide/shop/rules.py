"""A shop's rules and a request's, applied to the catalogue before anything is ranked or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from honeyguide.config import Rules
from honeyguide.config.rules import valued
from honeyguide.data.catalog import Catalog
from honeyguide.data.database import damage_told, database, parquet
from honeyguide.data.item import Item
from honeyguide.data.table import to_us
from honeyguide.errors import InvalidInput, UnknownItem
from honeyguide.retrieve.diversity import Limits
from honeyguide.types import Floats, Rows

Mask = NDArray[np.bool_]
_ITEM, _CATEGORY, _BRAND = "item", "category", "brand"


@dataclass(frozen=True, slots=True, eq=False)
class Ruling:
    """What the rules come to for one request, over the n items of the catalogue.

    `allowed` (n,) may be shown; `groups` are (n,) group numbers, of which a page holds at most `most`; `boost` (n,)
    are factors of scores; `pins` are rows by place from 0.
    """

    allowed: Mask
    groups: tuple[Rows, ...]
    most: tuple[int, ...]
    boost: Floats
    pins: dict[int, int]
    diversity: float
    diversify: str

    def limits(self, rows: Rows) -> Limits:
        """The limits of a page that is made of some rows."""
        return Limits(len(rows), tuple(group[rows] for group in self.groups), self.most)

    def places(self, rows: Rows, k: int) -> dict[int, int]:
        """What is pinned to the first `k` slots, by its place among some rows, which hold it."""
        if not self.pins:
            return {}
        at = {int(row): place for place, row in enumerate(rows)}
        return {slot: at[row] for slot, row in self.pins.items() if slot < k}

    def boosted(self, scores: Floats, rows: Rows) -> Floats:
        """(r,): the scores of some rows times their factors; what is below 0 is divided, so that up stays up."""
        factor = self.boost[rows]
        return np.asarray(np.where(scores >= 0, scores * factor, scores / factor))


class RuleBook:
    """The rules of one shop, which every request may narrow."""

    def __init__(self, catalog: Catalog, items: Path, own: Rules) -> None:
        self._catalog = catalog
        self.shelf = Shelf(catalog, items)
        self._own = own
        self._gone: Mask | None = None

    def restocked(self, shelf: Shelf, gone: Mask) -> RuleBook:
        """The same rules over what is on the shelf after items were put and deleted: `gone` (n,)."""
        book = copy(self)
        book._catalog, book.shelf, book._gone = shelf.catalog, shelf, gone
        return book

    def check_there(self, rows: Rows) -> None:
        """UnknownItem where one of these items was deleted."""
        if self._gone is not None and len(gone := rows[self._gone[rows]]):
            item = self._catalog.ids[gone[0]]
            raise UnknownItem(f"item {item!r} was deleted from the shop: leave it out, or put it again")

    def ruling(self, asked: Rules | None = None) -> Ruling:
        """Both sets of rules at once: what either forbids is forbidden, and of two limits the lower one holds.

        InvalidInput where nothing is left to show, where the request names an attribute, a value or an item that is
        not known, or where it pins what may not be shown. What the shop's own rules name may have left the catalogue:
        that is passed over, but for what they include.
        """
        request = asked or Rules()
        both = (self._own, request)
        allowed = self._allowed(self._own, strict=False) & self._allowed(request, strict=True)
        if self._gone is not None:
            allowed &= ~self._gone
        if not allowed.any():
            raise InvalidInput("the rules leave no item to show: loosen include, exclude, prices or in_stock")
        limits = [limit for rules in both for limit in rules.limits]
        return Ruling(
            allowed=allowed,
            groups=tuple(self.shelf.numbers(name) for name, _ in limits),
            most=tuple(most for _, most in limits),
            boost=self._boost(both),
            pins=self._pins(request, allowed),
            diversity=max(rules.diversity for rules in both),
            diversify=request.diversify if asked else self._own.diversify,
        )

    def _allowed(self, rules: Rules, *, strict: bool) -> Mask:
        allowed = np.ones(len(self._catalog), dtype=np.bool_)
        wanted: dict[str, Mask] = {}
        for name, value in map(valued, rules.include):
            matches = self.shelf.having(name, value)
            wanted[name] = wanted[name] | matches if name in wanted else matches
        for mask in wanted.values():
            allowed &= mask
        for name, value in map(valued, rules.exclude):
            allowed &= ~self._having(name, value, strict=strict)
        for item in rules.exclude_ids:
            allowed &= ~self._having(_ITEM, item, strict=strict)
        if rules.min_price or rules.max_price:
            price = self.shelf.prices  # what has none is NaN, which no bound lets pass
            allowed &= (price >= rules.min_price) & (price <= (rules.max_price or np.inf))
        return allowed & self.shelf.available if rules.in_stock else allowed

    def _having(self, name: str, value: str, *, strict: bool) -> Mask:
        try:
            return self.shelf.having(name, value)
        except InvalidInput:
            if strict:
                raise
            return np.zeros(len(self._catalog), dtype=np.bool_)

    def _boost(self, both: tuple[Rules, Rules]) -> Floats:
        boost = np.ones(len(self._catalog))
        for rules, strict in zip(both, (False, True), strict=True):
            for name, value, factor in rules.boosted:
                boost[self._having(name, value, strict=strict)] *= factor
        return boost

    def _pins(self, request: Rules, allowed: Mask) -> dict[int, int]:
        """The request's pins, and the shop's where the request leaves them their place."""
        pins: dict[int, int] = {}
        for place, item in request.pinned:
            row = self._catalog.row(item)
            self.check_there(np.array([row]))
            if not allowed[row]:
                raise InvalidInput(f"item {item!r} is pinned and ruled out at once: drop one of the two")
            pins[place - 1] = row
        for place, item in self._own.pinned:
            for row in np.flatnonzero(self._having(_ITEM, item, strict=False) & allowed).tolist():
                if place - 1 not in pins and row not in pins.values():
                    pins[place - 1] = row
        return dict(sorted(pins.items()))


class Shelf:
    """What rules ask about items, read from the catalogue's file when it is first asked about."""

    def __init__(self, catalog: Catalog, items: Path) -> None:
        self.catalog = catalog
        self._path = items
        self._numbers: dict[str, tuple[dict[str, int], Rows]] = {}

    @cached_property
    def prices(self) -> Floats:
        """(n,): NaN where there is none."""
        return np.array(
            [np.nan if price is None else price for price in self.catalog.prices], dtype=np.float64
        )

    @cached_property
    def available(self) -> Mask:
        """(n,): all but what the catalogue says is not available."""
        with database() as db, damage_told(self._path):
            found = db.execute(
                f"SELECT coalesce(available, true) FROM {parquet(self._path)} ORDER BY item_id"
            ).fetchall()
        return np.array([one for (one,) in found], dtype=np.bool_)

    @cached_property
    def created_us(self) -> NDArray[np.int64]:
        """(n,): when each item came into the shop, in epoch microseconds; -1 where the catalogue does not say."""
        with database() as db, damage_told(self._path):
            found = db.execute(
                f"SELECT coalesce(epoch_us(created_at), -1) FROM {parquet(self._path)} ORDER BY item_id"
            ).fetchall()
        return np.array([one for (one,) in found], dtype=np.int64)

    @cached_property
    def attributes(self) -> list[dict[str, Any]]:
        """(n,): all else that the catalogue says of each item."""
        with database() as db, damage_told(self._path):
            found = db.execute(f"SELECT attributes FROM {parquet(self._path)} ORDER BY item_id").fetchall()
        return [msgspec.json.decode(text, type=dict[str, Any]) if text else {} for (text,) in found]

    def numbers(self, name: str) -> Rows:
        """(n,): a number for each value of an attribute, -1 where an item has none; InvalidInput."""
        return self._of(name)[1]

    def having(self, name: str, value: str) -> Mask:
        """(n,): which items have a value, in whatever case; a category is had by what is below it, too.

        InvalidInput names the nearest where there is no such attribute or value.
        """
        if name == _ITEM:
            return np.asarray(np.arange(len(self.catalog)) == self.catalog.row(value))
        values, numbers = self._of(name)
        wanted = value.casefold()
        if name == _CATEGORY:
            fits = [at for known, at in values.items() if _below(known, wanted)]
        else:
            fits = [values[wanted]] if wanted in values else []
        if not fits:
            near = get_close_matches(wanted, list(values)[:10_000], n=1, cutoff=0.0)
            hint = f": the nearest is {near[0]!r}" if near else ""
            raise InvalidInput(f"no item has the {name} {value!r}{hint}")
        return np.asarray(np.isin(numbers, fits), dtype=np.bool_)

    def _of(self, name: str) -> tuple[dict[str, int], Rows]:
        if name not in self._numbers:
            values: dict[str, int] = {}
            numbers = [values.setdefault(v, len(values)) if v else -1 for v in self._values(name)]
            self._numbers[name] = values, np.array(numbers, dtype=np.int64)
        return self._numbers[name]

    def _values(self, name: str) -> list[str]:
        if name == _CATEGORY:
            return [value.casefold() for value in self.catalog.categories]
        if name == _BRAND:
            return [value.casefold() for value in self.catalog.brands]
        known = {key for item in self.attributes for key in item}
        if name not in known:
            raise InvalidInput(
                f"no item has an attribute {name!r}. Known: {', '.join((_CATEGORY, _BRAND, *sorted(known)))}"
            )
        return [_said(item.get(name)) for item in self.attributes]


class StockedShelf(Shelf):
    """The same of a shop whose items at `rows` (m,) were put after the fit; `came_us` (m,) is when each was first."""

    def __init__(
        self, base: Shelf, catalog: Catalog, rows: Rows, items: Sequence[Item], came_us: Rows
    ) -> None:
        super().__init__(catalog, base._path)
        self._base = base
        self._rows, self._items, self._came_us = rows, items, came_us

    @cached_property
    def available(self) -> Mask:
        """(n,): all but what the shop says is not available."""
        found = self._longer(self._base.available, True)
        found[self._rows] = [item.available is not False for item in self._items]
        return found

    @cached_property
    def created_us(self) -> NDArray[np.int64]:
        """(n,): when each item came into the shop; where the shop does not say of a new one, when it was put."""
        found = self._longer(self._base.created_us, -1)
        for row, item, came_us in zip(self._rows.tolist(), self._items, self._came_us.tolist(), strict=True):
            if item.created_at is not None:
                found[row] = to_us(item.created_at)
            elif row >= len(self._base.catalog):
                found[row] = came_us
        return found

    @cached_property
    def attributes(self) -> list[dict[str, Any]]:
        """(n,): all else that the shop says of each item."""
        found = self._base.attributes + [{}] * (len(self.catalog) - len(self._base.catalog))
        for row, item in zip(self._rows.tolist(), self._items, strict=True):
            found[row] = item.attribute_values()
        return found

    def _longer(self, known: NDArray[Any], value: int) -> NDArray[Any]:
        more = np.full(len(self.catalog) - len(known), value, dtype=known.dtype)
        return np.concatenate([known, more])


def _below(path: str, wanted: str) -> bool:
    """Whether a category is the wanted one or lies below it; a single level may be named alone."""
    return path == wanted or path.startswith(f"{wanted} > ") or wanted in path.split(" > ")


def _said(value: object) -> str:
    if value is None:
        return ""
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode()).casefold()
