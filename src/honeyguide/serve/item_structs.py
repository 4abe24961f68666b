"""What is asked and answered where items are put and deleted."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Raw, Struct

from honeyguide.serve.structs import MOST, Amount, Asked, Id, Time

ItemText: TypeAlias = Annotated[str, Meta(max_length=20_000)]


class ItemRecord(Asked, frozen=True):
    """All that is known of an item; what is left out is not known. `category` is the path from the root.

    Its levels are joined by " > ". An item that is not `available` is left out where rules ask for what is in stock.
    """

    item_id: Id
    title: ItemText = ""
    description: ItemText = ""
    category: ItemText = ""
    brand: ItemText = ""
    price: Amount | None = None
    currency: ItemText = ""
    image: ItemText = ""
    link: ItemText = ""
    available: bool | None = None
    created_at: Time | None = None
    attributes: dict[str, Any] | None = None


class ItemsRequest(Asked, frozen=True):
    """At most 1,000 items; each becomes what is said of it, whole."""

    items: Annotated[tuple[ItemRecord, ...], Meta(min_length=1, max_length=MOST)]


class RawItems(Asked, frozen=True):
    """The same with items that are still to be read: one that cannot be is refused by itself."""

    items: Annotated[tuple[Raw, ...], Meta(min_length=1, max_length=MOST)]


class ItemStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one item: its place in the request, and why it was refused where it was."""

    place: int
    put: bool
    problem: str | None = None


class ItemsAnswer(Struct, frozen=True, kw_only=True):
    """What became of the items: what was put is durable and can be shown, also where nothing about it is new."""

    put: int
    refused: int
    items: tuple[ItemStatus, ...]


class ItemRequest(Asked, frozen=True):
    """An item."""

    item_id: Id


class DeletionAnswer(Struct, frozen=True, kw_only=True):
    """That an item is deleted; `was_there` says whether it had not been before."""

    item_id: str
    was_there: bool
