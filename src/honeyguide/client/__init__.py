"""A client of the HTTP service: `from honeyguide.client import Client`."""

from honeyguide.client.answers import (
    Canary,
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
    Release,
    SimilarItem,
)
from honeyguide.client.service import Client

__all__ = [
    "Canary",
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
    "Release",
    "SimilarItem",
]
