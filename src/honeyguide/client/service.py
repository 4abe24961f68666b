"""`Client`: the service's API as methods, with what they answer as frozen records."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from honeyguide.client.answers import (
    Feedback,
    Interest,
    ListedItem,
    Models,
    Page,
    Put,
    Receipt,
    Recorded,
    RefusedEvent,
    RefusedItem,
    SimilarItem,
)
from honeyguide.client.transport import Transport, decoded

if TYPE_CHECKING:
    from honeyguide.types import Event, EventKind

_MOST_EVENTS = 1_000
_MOST_ITEMS = 100  # their texts are read before they are answered


class _Interests(msgspec.Struct):
    interests: tuple[Interest, ...]


class _List(msgspec.Struct):
    items: tuple[ListedItem, ...]


class _Similar(msgspec.Struct):
    items: tuple[SimilarItem, ...]


class _Status(msgspec.Struct):
    place: int
    recorded: bool
    problem: str = ""


class _Statuses(msgspec.Struct):
    events: tuple[_Status, ...]


class _ItemStatus(msgspec.Struct):
    place: int
    put: bool
    problem: str = ""


class _ItemStatuses(msgspec.Struct):
    items: tuple[_ItemStatus, ...]


class _Deletion(msgspec.Struct):
    was_there: bool


def _new_id() -> str:
    return uuid4().hex


class Client:
    """A shop that is served elsewhere; for one thread.

    Each request carries an id that counts once, so what may have been lost (no answer, 429, 503) is asked again,
    `tries` times in all, after as long as the service asks for. ServiceError and what is under it.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 10.0,
        tries: int = 4,
        new_id: Callable[[], str] = _new_id,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(url, key, timeout_s=timeout_s, tries=tries, sleep=sleep)
        self._new_id = new_id

    def decide(
        self,
        user_id: str,
        *,
        k: int | None = None,
        surface: str = "default",
        context: Mapping[str, str] | None = None,
        candidates: Sequence[str] | None = None,
        exclude: Collection[str] = (),
        rules: Mapping[str, Any] | None = None,
        ranking: Sequence[str] | None = None,
        decision_id: str | None = None,
        now: datetime | None = None,
    ) -> Page:
        """A page, durable before it is here, unless it says otherwise; the same `decision_id` gives the same page."""
        asked = {
            "user_id": user_id,
            "surface": surface,
            "k": k,
            "context": context,
            "candidates": candidates,
            "exclude": list(exclude),
            "rules": rules,
            "ranking": ranking,
            "decision_id": self._new_id() if decision_id is None else decision_id,
            "now": now,
        }
        return decoded(self._post("/v1/decide", asked), Page)

    def feedback(
        self,
        decision_id: str,
        item_id: str,
        kind: EventKind,
        *,
        event_id: str | None = None,
        value: float | None = None,
        time: datetime | None = None,
    ) -> Feedback:
        """Tell what a user did with a shown item; without an `event_id` each kind counts once per page and item."""
        asked = {
            "decision_id": decision_id,
            "item_id": item_id,
            "kind": kind,
            "event_id": event_id,
            "value": value,
            "time": time,
        }
        return decoded(self._post("/v1/feedback", asked), Feedback)

    def record(self, events: Sequence[Event]) -> Recorded:
        """Send events of any kind, by 1,000; one that is refused takes none along."""
        refused: list[RefusedEvent] = []
        for start in range(0, len(events), _MOST_EVENTS):
            batch = [_given(msgspec.to_builtins(one)) for one in events[start : start + _MOST_EVENTS]]
            told = decoded(self._post("/v1/events:batch", {"events": batch}), _Statuses)
            refused += [
                RefusedEvent(start + one.place, one.problem) for one in told.events if not one.recorded
            ]
        return Recorded(len(events) - len(refused), tuple(refused))

    def put_items(self, items: Sequence[Mapping[str, Any]]) -> Put:
        """Put items, as the API describes them, by 100; one that is refused takes none along."""
        refused: list[RefusedItem] = []
        for start in range(0, len(items), _MOST_ITEMS):
            batch = [_given(item) for item in items[start : start + _MOST_ITEMS]]
            answer = self._transport.ask("PUT", "/v1/items", {"items": batch})
            told = decoded(answer, _ItemStatuses)
            refused += [RefusedItem(start + one.place, one.problem) for one in told.items if not one.put]
        return Put(len(items) - len(refused), tuple(refused))

    def delete_item(self, item_id: str) -> bool:
        """Take an item out of the shop; whether it was there until now."""
        answer = self._transport.ask("DELETE", f"/v1/items/{quote(item_id, safe='')}")
        return decoded(answer, _Deletion).was_there

    def interests(self, user_id: str, *, top: int = 10) -> tuple[Interest, ...]:
        """What a user is held to want, what they want most first."""
        answer = self._get(f"/v1/users/{quote(user_id, safe='')}/interests", top=top)
        return decoded(answer, _Interests).interests

    def recommend(self, user_id: str, *, k: int = 10, by: str = "reward") -> tuple[ListedItem, ...]:
        """What a user is expected to take, best first; it explores nothing and leaves no trace."""
        answer = self._get(f"/v1/users/{quote(user_id, safe='')}/recommendations", k=k, by=by)
        return decoded(answer, _List).items

    def search(
        self, query: str, *, user_id: str | None = None, k: int = 10, rules: Mapping[str, Any] | None = None
    ) -> tuple[ListedItem, ...]:
        """What a query may mean."""
        asked = {"query": query, "user_id": user_id, "k": k, "rules": rules}
        return decoded(self._post("/v1/search", asked), _List).items

    def similar(self, item_id: str, *, k: int = 10, together: bool = False) -> tuple[SimilarItem, ...]:
        """What is like an item, or what is taken together with it."""
        answer = self._get("/v1/similar", item_id=item_id, k=k, together=str(together).lower())
        return decoded(answer, _Similar).items

    def models(self) -> Models:
        """What serves: versions, policies, and how far the journal is learned from."""
        return decoded(self._get("/v1/models"), Models)

    def erase(self, user_id: str) -> Receipt:
        """Erase a user from the journal and from what was learned."""
        answer = self._transport.ask("DELETE", f"/v1/users/{quote(user_id, safe='')}")
        return decoded(answer, Receipt)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, path: str, **asked: str | int) -> bytes:
        return self._transport.ask("GET", f"{path}?{urlencode(asked)}" if asked else path)

    def _post(self, path: str, asked: Mapping[str, Any]) -> bytes:
        return self._transport.ask("POST", path, _given(asked))


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was said: the service has its own defaults for the rest."""
    return {name: value for name, value in asked.items() if value is not None}
