"""The stock: what was put into a shop and deleted from it since it was fitted, a pure fold of the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

import numpy as np

from honeyguide.data.item import Item
from honeyguide.data.table import to_us
from honeyguide.errors import NotReady
from honeyguide.journal.protocol import ItemChange
from honeyguide.shop.models import Fitted
from honeyguide.types import Vectors


class Stock:
    """The changes of items after a fit, each item's last one."""

    def __init__(self) -> None:
        self.puts: dict[str, ItemChange] = {}
        """By id, in the order in which each item was put first."""
        self.came_us: dict[str, int] = {}
        """When each was put first, in epoch microseconds."""
        self.deleted: set[str] = set()
        self.changes = 0
        """How many were folded: who has seen as many has seen this stock."""

    def fold(self, change: ItemChange) -> None:
        """Take in one change; the last one of an item stands."""
        self.changes += 1
        if change.item is None:
            self.deleted.add(change.item_id)
            return
        self.deleted.discard(change.item_id)
        self.came_us.setdefault(change.item_id, to_us(change.time))
        self.puts[change.item_id] = change

    def holds(self, item: Item) -> bool:
        """Whether to put this item would change nothing."""
        put = self.puts.get(item.item_id)
        return put is not None and put.item == item and item.item_id not in self.deleted


@dataclass(frozen=True, slots=True, eq=False)
class ReadTexts:
    """Texts' vectors (d,) by the text, as the encoder of this version has them; "" where there is no encoder."""

    encoder: str
    vectors: Mapping[str, Vectors]


def read_texts(fitted: Fitted, items: Sequence[Item]) -> ReadTexts:
    """Read what the fit did not: texts of new items, and those that were changed."""
    texts = list(dict.fromkeys(item.text for item in items if not is_read(fitted, item)))
    try:
        finding = fitted.finding
        vectors = finding.reader.encode(texts) if texts else np.empty((0, 0), dtype=np.float32)
        return ReadTexts(finding.read_by, dict(zip(texts, vectors, strict=True)))
    except NotReady:  # the shop was fitted before texts were kept: what categories say has to do
        return ReadTexts("", {})


def is_read(fitted: Fitted, item: Item) -> bool:
    """Whether the fit has read the very text of this item."""
    catalog = fitted.catalog
    return item.item_id in catalog and catalog.texts[catalog.row(item.item_id)] == item.text


def changes_of(stock: Stock, items: Sequence[Item], read: ReadTexts, now: datetime) -> tuple[ItemChange, ...]:
    """What has to be written down for items to be put; nothing of those that are there just so."""
    found: dict[str, ItemChange] = {}
    for item in items:
        found.pop(item.item_id, None)  # of two of one id the last one stands
        if not stock.holds(item):
            vector = read.vectors.get(item.text)
            encoder = "" if vector is None else read.encoder
            found[item.item_id] = ItemChange(uuid4().hex, now, item.item_id, item, encoder, vector)
    return tuple(found.values())


def deletions_of(
    stock: Stock, fitted: Fitted, item_ids: Sequence[str], now: datetime
) -> tuple[ItemChange, ...]:
    """What has to be written down for items to be deleted; nothing of those that are; UnknownItem."""
    for item_id in item_ids:
        if item_id not in stock.deleted:
            fitted.catalog.row(item_id)
    gone = (item_id for item_id in dict.fromkeys(item_ids) if item_id not in stock.deleted)
    return tuple(ItemChange(uuid4().hex, now, item_id) for item_id in gone)


def read_by(fitted: Fitted, change: ItemChange) -> ItemChange:
    """The change with the vector that this shop's encoder gives its text, where another one has read it or none."""
    if change.item is None or is_read(fitted, change.item):
        return change
    try:
        known = change.vector is not None and change.encoder == fitted.finding.read_by
    except NotReady:  # what another encoder says means nothing here
        known = False
    if known:
        return change
    read = read_texts(fitted, [change.item])
    return replace(change, encoder=read.encoder, vector=read.vectors.get(change.item.text))
