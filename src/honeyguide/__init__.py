"""Honeyguide: decides by itself, per request, how much to explore and how much to exploit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from honeyguide.data.item import Item as Item
    from honeyguide.shop.honeyguide import Honeyguide as Honeyguide

__all__ = ["Honeyguide", "Item"]


def __getattr__(name: str) -> object:
    # lazy: `honeyguide --help` and the ground floor need neither DuckDB nor the models
    if name == "Honeyguide":
        from honeyguide.shop.honeyguide import Honeyguide

        return Honeyguide
    if name == "Item":
        from honeyguide.data.item import Item

        return Item
    raise AttributeError(f"module 'honeyguide' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
