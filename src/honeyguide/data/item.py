"""One item as a shop tells of it: a row of the canonical table, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from honeyguide.data.text import item_text
from honeyguide.errors import InvalidInput
from honeyguide.types import check_utc

_LONGEST_ID, _LONGEST = 256, 20_000
_MAX_FLOAT32 = 3.4e38  # as in the import


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of an item; "" or None is not known. `category` is the path from the root, joined by " > ".

    `attributes` is one JSON object as text. InvalidInput names the item and the value.
    """

    item_id: str
    title: str = ""
    description: str = ""
    category: str = ""
    brand: str = ""
    price: float | None = None
    currency: str = ""
    image: str = ""
    link: str = ""
    available: bool | None = None
    created_at: datetime | None = None
    attributes: str = ""
    text: str = field(init=False, compare=False, repr=False)
    """What the language model reads of it, as of an imported item."""

    def __post_init__(self) -> None:
        if not self.item_id or len(self.item_id) > _LONGEST_ID:
            raise InvalidInput(
                f"item_id must have 1 to {_LONGEST_ID} characters, got {self.item_id[:64]!r} of {len(self.item_id)}"
            )
        for name in self.__slots__:
            value = getattr(self, name, None)
            if isinstance(value, str):
                self._check_text(name, value)
        if self.price is not None and not (math.isfinite(self.price) and 0 <= self.price <= _MAX_FLOAT32):
            raise InvalidInput(
                f"item {self.item_id!r}: price must be between 0 and {_MAX_FLOAT32}, got {self.price}"
            )
        if self.created_at is not None:
            check_utc(self.created_at, "created_at")
        self.attribute_values()
        told = item_text(self.title, self.category, self.brand, self.description)
        object.__setattr__(self, "text", told)

    def attribute_values(self) -> dict[str, Any]:
        """The attributes by name; InvalidInput where they are no JSON object."""
        if not self.attributes:
            return {}
        try:
            return msgspec.json.decode(self.attributes, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidInput(
                f"item {self.item_id!r}: attributes must be one JSON object: {error}"
            ) from None

    def _check_text(self, name: str, value: str) -> None:
        if len(value) > _LONGEST:
            raise InvalidInput(
                f"item {self.item_id!r}: {name} has {len(value)} characters: at most {_LONGEST}"
            )
        if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidInput(
                f"item {self.item_id!a}: {name} holds a NUL or half a surrogate pair: remove it"
            )
