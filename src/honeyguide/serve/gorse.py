"""The API of Gorse that shops call: who has to leave it changes the address, and nothing else.

A recommendation is a decision, so it is explored and logged. Feedback names no page: it belongs to the last one that
showed that item to that user, as far as this process remembers it, and is an event of its own where there is none.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated
from uuid import uuid4

from msgspec import Meta, Struct

from honeyguide.config import Rules
from honeyguide.data.sources.gorse import has_stars, kind_of
from honeyguide.errors import InvalidInput, UnknownDecision
from honeyguide.serve.endpoint import Bare, Draft, Endpoint, moment
from honeyguide.serve.structs import MOST, Count, Id
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.types import Decision, Event

SURFACE = "gorse"
_MOST_USERS = 10_000
_MOST_ITEMS = 200


class GorseFeedback(Struct, frozen=True, rename="pascal"):
    """Something a user did with an item; a type is named freely, and `Timestamp` empty is now."""

    feedback_type: Id
    user_id: Id
    item_id: Id
    timestamp: Annotated[str, Meta(max_length=64)] = ""
    value: float = 0.0
    comment: str = ""


class GorseFeedbackRequest(Bare, frozen=True):
    """A list of feedback; all of it is recorded, or none."""

    body: Annotated[tuple[GorseFeedback, ...], Meta(max_length=MOST)]


class GorseSuccess(Struct, frozen=True, rename="pascal"):
    """How many are recorded, those that were known already too."""

    row_affected: int


class GorseRecommendRequest(Struct, frozen=True):
    """A page for a user; with an `offset` it leaves out the last so many that were shown to them."""

    user_id: Id
    n: Count = 10
    offset: Annotated[int, Meta(ge=0, le=_MOST_ITEMS)] = 0
    category: str = ""


class GorseItems(Bare, frozen=True):
    """The items to show, in their order."""

    body: tuple[str, ...]


class Gorse:
    """The endpoints of one service, and which page showed what to whom last: of some users, in memory."""

    def __init__(self, *, most_users: int = _MOST_USERS, most_items: int = _MOST_ITEMS) -> None:
        self._shown: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._most_users, self._most_items = most_users, most_items

    def recommend(self, shop: Honeyguide, asked: GorseRecommendRequest) -> Draft:
        """A page that is drawn and written down."""
        before = list(self._shown.get(asked.user_id, ()))
        decision = shop.draw(
            asked.user_id,
            k=asked.n,
            surface=SURFACE,
            exclude=before[len(before) - asked.offset :] if asked.offset < len(before) else before,
            rules=Rules(include=(f"category={asked.category}",)) if asked.category else None,
            decision_id=uuid4().hex,
        )
        self._remember(decision)
        return Draft(GorseItems(decision.item_ids), (decision,))

    def feedback(self, shop: Honeyguide, asked: GorseFeedbackRequest) -> Draft:
        """All of it in one append; where the journal refuses that, each by itself."""
        events = tuple(self._event(shop, one) for one in asked.body)
        answer = GorseSuccess(len(events))

        def one_by_one() -> GorseSuccess:
            for event in events:
                _record(shop, event)
            return answer

        return Draft(answer, events, one_by_one)

    def forget(self, user_id: str) -> None:
        """Drop what was shown to a user."""
        self._shown.pop(user_id, None)

    def _event(self, shop: Honeyguide, one: GorseFeedback) -> Event:
        kind = kind_of(one.feedback_type)
        if kind is None:
            raise InvalidInput(
                f"FeedbackType {one.feedback_type!r} is not known: send read, click, cart, purchase, rating, like, "
                "dislike or impression"
            )
        now = shop.clock()
        time = moment(_parsed(one.timestamp) if one.timestamp else None, now)
        value = one.value if has_stars(one.feedback_type) and one.value else None
        page = self._shown.get(one.user_id, {}).get(one.item_id)
        if page is not None:
            try:
                return shop.reaction(page, one.item_id, kind, now=time, value=value)
            except UnknownDecision:  # it was never written down, or another process erased the user
                pass
        said = "\x1f".join((one.feedback_type, one.user_id, one.item_id, one.timestamp))
        name = f"g{sha256(said.encode()).hexdigest()[:32]}"
        return Event(name, time, one.user_id, kind, one.item_id, value=value)

    def _remember(self, decision: Decision) -> None:
        shown = self._shown.setdefault(decision.user_id, {})
        self._shown.move_to_end(decision.user_id)
        for item_id in decision.item_ids:
            shown.pop(item_id, None)
            shown[item_id] = decision.decision_id
        for item_id in list(shown)[: max(len(shown) - self._most_items, 0)]:
            del shown[item_id]
        if len(self._shown) > self._most_users:
            self._shown.popitem(last=False)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What Gorse's clients ask."""
        return (
            *(
                Endpoint(
                    name=name,
                    method=method,
                    path="/api/feedback",
                    scope="write",
                    summary="Gorse: record feedback; what is known already stays as it is.",
                    asks=GorseFeedbackRequest,
                    answers=GorseSuccess,
                    work=self.feedback,
                )
                for name, method in (("gorse_feedback", "POST"), ("gorse_feedback_put", "PUT"))
            ),
            Endpoint(
                name="gorse_recommend",
                method="GET",
                path="/api/recommend/{user_id:path}",
                scope="decide",
                summary="Gorse: a page for a user; it is written down as shown.",
                asks=GorseRecommendRequest,
                answers=GorseItems,
                work=self.recommend,
            ),
        )


def _record(shop: Honeyguide, event: Event) -> None:
    try:
        shop.record([event])
    except UnknownDecision:
        _record(shop, replace(event, decision_id=None))
    except InvalidInput:  # the id is there with other content: as in Gorse, what was there first stays
        return


def _parsed(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"Timestamp {text!r} is no time: write it as 2026-01-31T12:00:00Z") from None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
