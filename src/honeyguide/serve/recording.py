"""`POST /v1/feedback` and `POST /v1/events:batch`: what users did, counted once, learned from at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from honeyguide.errors import InvalidInput
from honeyguide.journal.protocol import check_feedback
from honeyguide.serve.endpoint import Draft, Endpoint, moment
from honeyguide.serve.structs import (
    CollectedEvent,
    CollectRequest,
    EventRequest,
    EventsAnswer,
    EventsRequest,
    EventStatus,
    FeedbackAnswer,
    FeedbackRequest,
    RawEvents,
)
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.types import Event

_EVENT = msgspec.json.Decoder(EventRequest)
_COLLECTED = msgspec.json.Decoder(CollectedEvent)


def feedback(shop: Honeyguide, asked: FeedbackRequest) -> Draft:
    """Feedback as it was recorded first, or new feedback."""
    ids = (asked.decision_id, asked.item_id, asked.kind)
    now = moment(asked.time, shop.clock())
    event = shop.reaction(*ids, now=now, event_id=asked.event_id, value=asked.value)
    # another process may have recorded the same meanwhile: what it recorded is then the answer
    return Draft(
        _told(event),
        (event,),
        lambda: _told(shop.feedback(*ids, now=now, event_id=asked.event_id, value=asked.value)),
    )


def _told(event: Event) -> FeedbackAnswer:
    return FeedbackAnswer(
        event_id=event.event_id,
        decision_id=str(event.decision_id),
        user_id=event.user_id,
        item_id=str(event.item_id),
        kind=event.kind,
        value=event.value,
        time=event.time,
    )


def events(shop: Honeyguide, asked: RawEvents) -> Draft:
    """All events that can be recorded in one append; where the journal refuses that, each by itself."""
    return _batch(shop, [_read(shop, raw, _told_event) for raw in asked.events])


def collect(shop: Honeyguide, asked: RawEvents) -> Draft:
    """The same for events out of browsers, whose clocks nobody sets."""
    return _batch(shop, [_read(shop, raw, _collected) for raw in asked.events])


def _batch(shop: Honeyguide, read: list[Event | str]) -> Draft:
    good = tuple(event for event in read if isinstance(event, Event))
    return Draft(_answer(read), good, lambda: _answer([_recorded(shop, event) for event in read]))


def _told_event(raw: msgspec.Raw, now: datetime) -> Event:
    asked = _EVENT.decode(raw)
    return Event(**msgspec.structs.asdict(asked) | {"time": moment(asked.time, now)})


def _collected(raw: msgspec.Raw, now: datetime) -> Event:
    asked = _COLLECTED.decode(raw)
    return Event(**msgspec.structs.asdict(asked) | {"time": moment(min(asked.time, now), now)})


def _read(
    shop: Honeyguide, raw: msgspec.Raw, event_of: Callable[[msgspec.Raw, datetime], Event]
) -> Event | str:
    """The event, or why it is none."""
    try:
        event = event_of(raw, shop.clock())
        if event.decision_id is not None:
            check_feedback(event, shop.journal.decision(event.decision_id))
    except (InvalidInput, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return str(error)
    return event


def _recorded(shop: Honeyguide, event: Event | str) -> Event | str:
    if isinstance(event, Event):
        try:
            shop.record([event])
        except InvalidInput as error:
            return str(error)
    return event


def _answer(read: list[Event | str]) -> EventsAnswer:
    statuses = [
        EventStatus(place=place, recorded=True)
        if isinstance(event, Event)
        else EventStatus(place=place, recorded=False, problem=event)
        for place, event in enumerate(read)
    ]
    recorded = sum(status.recorded for status in statuses)
    return EventsAnswer(recorded=recorded, refused=len(statuses) - recorded, events=tuple(statuses))


ENDPOINTS = (
    Endpoint(
        name="feedback",
        method="POST",
        path="/v1/feedback",
        scope="write",
        summary="Tell what a user did with a shown item.",
        asks=FeedbackRequest,
        answers=FeedbackAnswer,
        work=feedback,
        # the id that counts once where none is given is made of these
        key=lambda asked: f"event {asked.event_id or (asked.decision_id, asked.item_id, asked.kind)}",
    ),
    Endpoint(
        name="events",
        method="POST",
        path="/v1/events:batch",
        scope="write",
        summary="Record up to 1,000 events; each is told whether it was recorded.",
        asks=EventsRequest,
        answers=EventsAnswer,
        work=events,
        reads=RawEvents,
    ),
    Endpoint(
        name="collect",
        method="POST",
        path="/v1/collect",
        scope="collect",
        summary="Record what a browser saw a visitor do; honeyguide.js sends it.",
        asks=CollectRequest,
        answers=EventsAnswer,
        work=collect,
        reads=RawEvents,
    ),
)
