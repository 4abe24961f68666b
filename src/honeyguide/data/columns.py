"""The canonical columns of events and items, and how they are stored."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

Table = Literal["events", "items"]

EVENTS = MappingProxyType(
    {
        "event_id": "VARCHAR",
        "time": "TIMESTAMPTZ",
        "user_id": "VARCHAR",
        "kind": "VARCHAR",
        "item_id": "VARCHAR",
        "query": "VARCHAR",
        "value": "DOUBLE",
        "session_id": "VARCHAR",
        "decision_id": "VARCHAR",
        "position": "INTEGER",
    }
)
ITEMS = MappingProxyType(
    {
        "item_id": "VARCHAR",
        "title": "VARCHAR",
        "description": "VARCHAR",
        "category": "VARCHAR",
        "brand": "VARCHAR",
        "price": "DOUBLE",
        "currency": "VARCHAR",
        "created_at": "TIMESTAMPTZ",
    }
)
STORED = MappingProxyType({"events": EVENTS, "items": ITEMS})
KEYS = MappingProxyType({"events": "event_id", "items": "item_id"})
IDS = ("event_id", "user_id", "item_id", "session_id", "decision_id")
