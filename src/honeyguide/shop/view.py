"""A shop as it is seen now: what was fitted, and what was put and deleted since, ready to be asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from honeyguide.config import Settings
from honeyguide.data.item import Item
from honeyguide.interests.items import ItemFacts
from honeyguide.interests.users import ShopperModel
from honeyguide.journal.protocol import ItemChange
from honeyguide.shop.beliefs import Beliefs
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.explain import Explainer
from honeyguide.shop.finding import Finding, StockedFinding
from honeyguide.shop.models import Fitted
from honeyguide.shop.recommend import WIDE
from honeyguide.shop.related import Neighbours
from honeyguide.shop.rules import RuleBook, StockedShelf
from honeyguide.shop.search import Search
from honeyguide.shop.stock import Stock, is_read
from honeyguide.types import Rows, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """All that a shop answers with, of one moment; `put` (m,) are the rows that the fit did not know.

    `changes` is how much of the stock is in it.
    """

    settings: Settings
    fitted: Fitted
    model: ShopperModel
    source: CandidateSource
    wide: CandidateSource
    explainer: Explainer
    beliefs: Beliefs
    neighbours: Neighbours
    search: Search
    book: RuleBook
    put: Rows
    changes: int = 0

    @classmethod
    def of(cls, settings: Settings, fitted: Fitted) -> View:
        """The shop as it was fitted."""
        model = fitted.shopper_model(settings)
        return cls(
            settings,
            fitted,
            model,
            source=CandidateSource(model, size=settings.explore.candidates),
            wide=CandidateSource(model, size=WIDE * settings.explore.candidates),
            explainer=Explainer(model, fitted.taxonomy),
            beliefs=Beliefs(model, fitted),
            neighbours=Neighbours(fitted.catalog, fitted.finding),
            search=Search(fitted.catalog, fitted.finding),
            book=RuleBook(fitted.catalog, fitted.finding.items, settings.rules),
            put=np.empty(0, dtype=np.int64),
        )

    def stocked(self, stock: Stock) -> View:
        """The same shop, as it was fitted, after these changes of its items.

        Items that were known stay in their rows; new ones stand behind all, in the order in which they came, so what
        is kept by row stays what it is. What is slow to make is not made again.
        """
        puts = {name: put.item for name, put in stock.puts.items() if put.item is not None}
        items = list(puts.values())
        catalog = self.fitted.catalog.put(items)
        rows = catalog.rows(list(puts))
        came_us = np.array([stock.came_us[name] for name in puts], dtype=np.int64)
        read = [put for put in stock.puts.values() if put.item and not is_read(self.fitted, put.item)]
        fitted = _put(self.fitted, items, rows, read, came_us)
        fitted = replace(fitted, catalog=catalog)
        model = fitted.shopper_model(self.settings)
        gone = np.zeros(len(catalog), dtype=np.bool_)
        gone[[catalog.row(name) for name in stock.deleted if name in catalog]] = True
        put = np.arange(len(self.fitted.catalog), len(catalog))
        shelf = StockedShelf(self.book.shelf, catalog, rows, items, came_us)
        return View(
            self.settings,
            fitted,
            model,
            source=self.source.restocked(model, put[~gone[put]]),
            wide=self.wide.restocked(model, put[~gone[put]]),
            explainer=Explainer(model, fitted.taxonomy),
            beliefs=Beliefs(model, fitted),
            neighbours=Neighbours(catalog, fitted.finding),
            search=self.search.restocked(catalog, fitted.finding, np.sort(rows)),
            book=self.book.restocked(shelf, gone),
            put=put,
            changes=stock.changes,
        )


def _put(
    fitted: Fitted, items: Sequence[Item], rows: Rows, read: Sequence[ItemChange], came_us: Rows
) -> Fitted:
    """The fitted shop with the facts of what was put.

    What an item's text says (its vectors, its interest) changes with its text. What was counted (popularity, what is
    taken along, what comes next) stays as it was fitted; of new items it is nothing.
    """
    known = len(fitted.catalog)
    at = {item.item_id: row for item, row in zip(items, rows.tolist(), strict=True)}
    read = sorted(read, key=lambda put: at[put.item_id])
    read_rows = np.array([at[put.item_id] for put in read], dtype=np.int64)
    vectors = np.zeros((len(read), len(fitted.taxonomy.centre)), dtype=np.float32)
    for place, put in enumerate(read):
        if put.vector is not None:
            vectors[place] = put.vector
    facts = _facts(fitted, read, read_rows, vectors)
    finding: Finding = fitted.finding
    if len(read):
        finding = StockedFinding(
            finding, read_rows, vectors, came_us[rows >= known][np.argsort(rows[rows >= known])]
        )
    heads = fitted.heads
    if heads is not None:
        prices = heads.prices.put(rows, [item.price for item in items], facts.leaf)
        heads = replace(heads, prices=prices)
    return replace(fitted, items=facts, finding=finding, heads=heads)


def _facts(fitted: Fitted, read: Sequence[ItemChange], rows: Rows, vectors: Vectors) -> ItemFacts:
    facts = fitted.items
    taste = np.zeros((len(rows), facts.vectors.shape[1]), dtype=np.float32)
    if facts.taste is not None:
        taste = facts.taste.vectors(vectors)
    leaf = fitted.taxonomy.assign(vectors)
    silent = np.flatnonzero(~vectors.any(axis=1))
    if len(silent):
        usual = _leaf_by_category(fitted)
        for place in silent.tolist():
            item = read[place].item
            leaf[place] = usual(item.category if item else "")
    return facts.put(rows, taste, leaf)


def _leaf_by_category(fitted: Fitted) -> Callable[[str], int]:
    """The interest in which most items of a category are, or of what it lies below; else of all."""
    counts: dict[str, Counter[int]] = {}
    for category, leaf in zip(fitted.catalog.categories, fitted.items.leaf.tolist(), strict=True):
        for path in _paths(category):
            counts.setdefault(path, Counter())[leaf] += 1

    def leaf_of(category: str) -> int:
        known = (counts[path] for path in _paths(category) if path in counts)
        return next((found.most_common(1)[0][0] for found in known), 0)

    return leaf_of


def _paths(category: str) -> list[str]:
    """A category, then what it lies below, then "", which all lie below."""
    levels = category.split(" > ") if category else []
    return [" > ".join(levels[:depth]) for depth in range(len(levels), -1, -1)]
