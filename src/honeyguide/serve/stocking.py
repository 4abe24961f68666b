"""`PUT /v1/items` and `DELETE /v1/items/{id}`: what the shop holds, changed while it serves."""

from __future__ import annotations

from datetime import UTC

import msgspec
from msgspec import Struct

from honeyguide.data.item import Item
from honeyguide.errors import InvalidInput
from honeyguide.serve.endpoint import Draft, Endpoint
from honeyguide.serve.item_structs import (
    DeletionAnswer,
    ItemRecord,
    ItemRequest,
    ItemsAnswer,
    ItemsRequest,
    ItemStatus,
    RawItems,
)
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.shop.stock import ReadTexts

LARGEST = 4_000_000
"""Bytes of a body: 1,000 items of 4 kB."""
_ITEM = msgspec.json.Decoder(ItemRecord)


class _Read(Struct, frozen=True):
    """Items or why they are none, and what the language model reads of them."""

    items: tuple[Item | str, ...]
    texts: ReadTexts


def prepare(shop: Honeyguide, asked: RawItems) -> _Read:
    """Read the items and their texts, which takes long: beside the thread that holds the shop."""
    items = tuple(_item_of(raw) for raw in asked.items)
    return _Read(items, shop.read_texts([item for item in items if isinstance(item, Item)]))


def put(shop: Honeyguide, read: _Read) -> Draft:
    """All items that can be put, in one append."""
    good = [item for item in read.items if isinstance(item, Item)]
    statuses = tuple(
        ItemStatus(place=place, put=True)
        if isinstance(item, Item)
        else ItemStatus(place=place, put=False, problem=item)
        for place, item in enumerate(read.items)
    )
    answer = ItemsAnswer(put=len(good), refused=len(statuses) - len(good), items=statuses)
    return Draft(answer, shop.arrivals(good, read.texts))


def delete(shop: Honeyguide, asked: ItemRequest) -> Draft:
    """Take an item out of the shop."""
    changes = shop.departures([asked.item_id])
    return Draft(DeletionAnswer(item_id=asked.item_id, was_there=bool(changes)), changes)


def _item_of(raw: msgspec.Raw) -> Item | str:
    try:
        values = msgspec.structs.asdict(_ITEM.decode(raw))
        attributes, created = values.pop("attributes"), values.pop("created_at")
        return Item(
            **values,
            created_at=None if created is None else created.astimezone(UTC),
            attributes=msgspec.json.encode(attributes, order="sorted").decode() if attributes else "",
        )
    except (InvalidInput, msgspec.DecodeError, RecursionError, UnicodeError, OverflowError) as error:
        return str(error)


def _one_by_one(asked: Struct) -> str:
    """What one request changes the next has to know."""
    return "items"


ENDPOINTS = (
    Endpoint(
        name="put_items",
        method="PUT",
        path="/v1/items",
        scope="write",
        summary="Put up to 1,000 items into the shop; each is told whether it was, and can be shown at once.",
        asks=ItemsRequest,
        answers=ItemsAnswer,
        work=put,
        reads=RawItems,
        prepare=prepare,
        largest=LARGEST,
        key=_one_by_one,
    ),
    Endpoint(
        name="delete_item",
        method="DELETE",
        path="/v1/items/{item_id:path}",
        scope="write",
        summary="Take an item out of the shop: no page or list holds it from now on.",
        asks=ItemRequest,
        answers=DeletionAnswer,
        work=delete,
        key=_one_by_one,
    ),
)
