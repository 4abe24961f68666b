"""What is asked of the service and what it answers: the structs that requests are read by and OpenAPI is made of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Raw, Struct

from honeyguide.config import Rules
from honeyguide.types import EventKind

MOST = 1_000
"""Events of a batch, items of a list, candidates of a page: no more of any at once."""

Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00]+$")]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]
Time: TypeAlias = Annotated[datetime, Meta(tz=True, description="ISO 8601 with an offset, such as ...Z.")]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=MOST)]
Items: TypeAlias = Annotated[tuple[Id, ...], Meta(min_length=1, max_length=MOST)]
FewerItems: TypeAlias = Annotated[tuple[Id, ...], Meta(max_length=MOST)]
Texts: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=100)]
Amount: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]


class Asked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request; what it does not know is an error."""


class Filters(Asked, frozen=True):
    """What may be shown and where, as in [rules] of the shop's settings: it narrows them, and never widens them."""

    include: Texts = ()
    exclude: Texts = ()
    exclude_ids: FewerItems = ()
    min_price: Amount = 0.0
    max_price: Amount = 0.0
    in_stock: bool = False
    most: Texts = ()
    boosts: Texts = ()
    pins: Texts = ()
    diversity: Annotated[float, Meta(ge=0, le=1)] = 0.0
    diversify: Name = "dpp"

    def rules(self) -> Rules:
        """The same as rules of a request; InvalidSettings."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__struct_fields__}
        return Rules(**values)


class DoingNow(Asked, frozen=True):
    """What the visitor is doing: the item that is looked at, what was searched for. It is not recorded."""

    item_id: Id | None = None
    query: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class DecideRequest(Asked, frozen=True):
    """A page for a user; the same `decision_id` again gives the same page again."""

    user_id: Id
    surface: Name = "default"
    k: Count | None = None
    context: DoingNow | None = None
    candidates: Items | None = None
    exclude: FewerItems = ()
    rules: Filters | None = None
    ranking: Items | None = None
    decision_id: Id | None = None
    now: Time | None = None


class PageItem(Struct, frozen=True, kw_only=True):
    """An item of a page: what it is expected to earn, and how likely it was to stand there."""

    item_id: str
    place: int
    score: float
    propensity: float
    explored: bool
    pinned: bool
    why: str


class DecideAnswer(Struct, frozen=True, kw_only=True):
    """A page as it stands in the journal; `level` is how much was explored, and `reason` says why.

    Where the journal could not be written it is answered with `recorded` false: show it, and send no feedback to it.
    """

    decision_id: str
    user_id: str
    surface: str
    time: datetime
    items: tuple[PageItem, ...]
    level: float
    reason: str
    policy: str
    policy_version: str
    model_version: str
    recorded: bool = True


class FeedbackRequest(Asked, frozen=True):
    """What a user did with an item that a page showed; it counts once per `event_id`."""

    decision_id: Id
    item_id: Id
    kind: EventKind
    event_id: Id | None = None
    value: float | None = None
    time: Time | None = None


class FeedbackAnswer(Struct, frozen=True, kw_only=True):
    """The feedback as it was recorded first."""

    event_id: str
    decision_id: str
    user_id: str
    item_id: str
    kind: EventKind
    value: float | None
    time: datetime


class EventRequest(Asked, frozen=True):
    """Something a user did; with a `decision_id` it is feedback on that page."""

    event_id: Id
    time: Time
    user_id: Id
    kind: EventKind
    item_id: Id | None = None
    query: Annotated[str, Meta(max_length=500)] | None = None
    value: float | None = None
    session_id: Id | None = None
    decision_id: Id | None = None
    position: Annotated[int, Meta(ge=0, le=100_000)] | None = None


class EventsRequest(Asked, frozen=True):
    """At most 1,000 events; each counts once per `event_id`."""

    events: Annotated[tuple[EventRequest, ...], Meta(min_length=1, max_length=MOST)]


class RawEvents(Asked, frozen=True):
    """The same with events that are still to be read: one that cannot be is refused by itself."""

    events: Annotated[tuple[Raw, ...], Meta(min_length=1, max_length=MOST)]


class CollectedEvent(Asked, frozen=True):
    """What a browser saw a visitor do; what is paid for or rated is the shop's own servers' to tell."""

    event_id: Id
    time: Time
    user_id: Id
    kind: Literal["view", "search", "click", "cart", "dismiss", "impression"]
    item_id: Id | None = None
    query: Annotated[str, Meta(max_length=500)] | None = None
    decision_id: Id | None = None
    position: Annotated[int, Meta(ge=0, le=100_000)] | None = None


class CollectRequest(Asked, frozen=True):
    """At most 1,000 events out of a browser; a time ahead of the server's is read as now."""

    events: Annotated[tuple[CollectedEvent, ...], Meta(min_length=1, max_length=MOST)]


class EventStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event: its place in the batch, and why it was refused where it was."""

    place: int
    recorded: bool
    problem: str | None = None


class EventsAnswer(Struct, frozen=True, kw_only=True):
    """What became of a batch: what is recorded is durable, also where it was known already."""

    recorded: int
    refused: int
    events: tuple[EventStatus, ...]


class UserRequest(Asked, frozen=True):
    """A user."""

    user_id: Id


class InterestsRequest(Asked, frozen=True):
    """A user, and how many of their interests are wanted."""

    user_id: Id
    top: Count = 10


class Interest(Struct, frozen=True, kw_only=True):
    """What a user is held to want: the expected reward of its typical items with a 95 % interval, and why."""

    name: str
    within: str
    mean: float
    low: float
    high: float
    share: float
    next: float
    surely: float
    evidence: tuple[str, ...]


class InterestsAnswer(Struct, frozen=True, kw_only=True):
    """A user's interests, what they want most first."""

    user_id: str
    interests: tuple[Interest, ...]


class RecommendationsRequest(Asked, frozen=True):
    """A list for a user by what it earns, or by `next`, `click`, `cart` or `purchase`; it explores nothing."""

    user_id: Id
    k: Count = 10
    by: Name = "reward"


class SearchRequest(Asked, frozen=True):
    """What is looked for, and by whom: what they want comes first."""

    query: Annotated[str, Meta(min_length=1, max_length=500)]
    user_id: Id | None = None
    k: Count = 10
    rules: Filters | None = None


class ListItem(Struct, frozen=True, kw_only=True):
    """An item of a list, with its score and why it is there."""

    item_id: str
    score: float
    why: str
    pinned: bool


class ListAnswer(Struct, frozen=True, kw_only=True):
    """Items, the best first; nothing is written down."""

    items: tuple[ListItem, ...]


class SimilarRequest(Asked, frozen=True):
    """What is like an item, or what goes along with it."""

    item_id: Id
    k: Count = 10
    together: bool = False


class SimilarItem(Struct, frozen=True, kw_only=True):
    """An item that is like another one or goes along with it, with the numbers that say so."""

    item_id: str
    score: float
    text: float
    baskets: int
    support: float
    confidence: float
    lift: float
    why: str


class SimilarAnswer(Struct, frozen=True, kw_only=True):
    """The items that are most like one."""

    item_id: str
    items: tuple[SimilarItem, ...]


class ErasureAnswer(Struct, frozen=True, kw_only=True):
    """The receipt for an erased user; it names nobody."""

    decisions: int
    events: int
    model_version: str
    kept: str


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
