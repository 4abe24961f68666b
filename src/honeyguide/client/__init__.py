"""A client of the HTTP service: `from honeyguide.client import Client`."""

from honeyguide.client.answers import (
    Feedback,
    Interest,
    ListedItem,
    Models,
    Page,
    PageItem,
    Put,
    Receipt,
    Recorded,
    RefusedEvent,
    RefusedItem,
    SimilarItem,
)
from honeyguide.client.service import Client

__all__ = [
    "Client",
    "Feedback",
    "Interest",
    "ListedItem",
    "Models",
    "Page",
    "PageItem",
    "Put",
    "Receipt",
    "Recorded",
    "RefusedEvent",
    "RefusedItem",
    "SimilarItem",
]
