"""The canonical tables and their columns: what every importer fills and everything else reads."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, get_args

Table = Literal["items", "users", "identities", "events", "touches", "messages"]
TABLES: tuple[Table, ...] = get_args(Table)
"""In the order in which they are stored: items before the events that speak of them."""

EVENTS = MappingProxyType(
    {
        "event_id": "VARCHAR",
        "time": "TIMESTAMPTZ",
        "user_id": "VARCHAR",
        "anonymous_id": "VARCHAR",  # the device or cookie, where the shop knows it beside the user
        "kind": "VARCHAR",
        "item_id": "VARCHAR",
        "query": "VARCHAR",
        "value": "DOUBLE",  # what a purchase was worth in all, or how many stars a rating gives
        "currency": "VARCHAR",
        "quantity": "DOUBLE",
        "session_id": "VARCHAR",
        "decision_id": "VARCHAR",
        "position": "INTEGER",
        "propensity": "DOUBLE",  # the probability with which an impression was chosen, where it was logged
        "consent": "BOOLEAN",  # false: the user has not agreed to be learned from
        "text": "VARCHAR",  # a review's words
        "received_at": "TIMESTAMPTZ",  # when the shop got to know of it, where that was logged
    }
)
ITEMS = MappingProxyType(
    {
        "item_id": "VARCHAR",
        "title": "VARCHAR",
        "description": "VARCHAR",
        "category": "VARCHAR",  # the path from the root, joined by " > "
        "brand": "VARCHAR",
        "price": "DOUBLE",
        "currency": "VARCHAR",
        "image": "VARCHAR",
        "link": "VARCHAR",
        "available": "BOOLEAN",
        "created_at": "TIMESTAMPTZ",
        "attributes": "VARCHAR",  # everything else that is known, as one JSON object
    }
)
USERS = MappingProxyType({"user_id": "VARCHAR", "attributes": "VARCHAR"})
IDENTITIES = MappingProxyType(
    {
        "anonymous_id": "VARCHAR",
        "user_id": "VARCHAR",
        "time": "TIMESTAMPTZ",
    }  # who a device or cookie belongs to
)
TOUCHES = MappingProxyType(
    {
        "touch_id": "VARCHAR",
        "time": "TIMESTAMPTZ",
        "user_id": "VARCHAR",
        "campaign_id": "VARCHAR",
        "kind": "VARCHAR",  # see TOUCH_KINDS
        "item_id": "VARCHAR",
        "value": "DOUBLE",
        "propensity": "DOUBLE",  # the probability of having been chosen for it, where the campaign was randomised
    }
)
MESSAGES = MappingProxyType(
    {
        "message_id": "VARCHAR",
        "time": "TIMESTAMPTZ",
        "user_id": "VARCHAR",
        "text": "VARCHAR",
        "intent": "VARCHAR",
    }
)
TOUCH_KINDS = ("sent", "withheld", "visit", "click", "redeemed")
"""What a campaign did to a user and the user to it; `withheld` users are the control group."""

STORED = MappingProxyType(
    {
        "items": ITEMS,
        "users": USERS,
        "identities": IDENTITIES,
        "events": EVENTS,
        "touches": TOUCHES,
        "messages": MESSAGES,
    }
)
KEYS = MappingProxyType(
    {
        "items": "item_id",
        "users": "user_id",
        "identities": "anonymous_id",
        "events": "event_id",
        "touches": "touch_id",
        "messages": "message_id",
    }
)
IDS = (
    "event_id", "user_id", "anonymous_id", "item_id", "session_id", "decision_id", "touch_id", "campaign_id",
    "message_id",
)  # fmt: skip
