"""What the service answers, as frozen records; what a newer service says beyond them is left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PageItem:
    """An item of a page: what it is expected to earn, and how likely it was to stand there."""

    item_id: str
    place: int
    score: float
    propensity: float
    explored: bool
    pinned: bool
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it stands in the journal; `level` is how much was explored, and `reason` says why.

    Where the journal could not be written `recorded` is false: show the page, and send no feedback to it.
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

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items in their order."""
        return tuple(item.item_id for item in self.items)


@dataclass(frozen=True, slots=True)
class Feedback:
    """Feedback as it was recorded first."""

    event_id: str
    decision_id: str
    user_id: str
    item_id: str
    kind: str
    value: float | None
    time: datetime


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that was not recorded: its place among those that were sent, and why."""

    place: int
    problem: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of events: how many are durable, also those that were known already, and which were refused."""

    recorded: int
    refused: tuple[RefusedEvent, ...]


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item that was not put: its place among those that were sent, and why."""

    place: int
    problem: str


@dataclass(frozen=True, slots=True)
class Put:
    """What became of items: how many are in the shop as they were sent, and which were refused."""

    put: int
    refused: tuple[RefusedItem, ...]


@dataclass(frozen=True, slots=True)
class Interest:
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


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An item of a list, with its score and why it is there."""

    item_id: str
    score: float
    why: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class SimilarItem:
    """An item that is like another one or goes along with it, with the numbers that say so."""

    item_id: str
    score: float
    text: float
    baskets: int
    support: float
    confidence: float
    lift: float
    why: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt for an erased user; it names nobody."""

    decisions: int
    events: int
    model_version: str
    kept: str


@dataclass(frozen=True, slots=True)
class Release:
    """What one fit made: `active` is what is to serve, `serving` what serves in the process that answered."""

    number: int
    made: datetime
    model_version: str
    active: bool
    serving: bool


@dataclass(frozen=True, slots=True)
class Canary:
    """A release that serves a share of the users; `taken_back` says why it does no more."""

    number: int
    share: float
    since: datetime
    taken_back: str | None


@dataclass(frozen=True, slots=True)
class Models:
    """What serves: the fitted versions, the policies, how far the journal is learned from, and what is kept."""

    shop: str
    model_version: str
    catalog_version: str
    policies: tuple[str, ...]
    items: int
    users: int
    fitted_until: datetime
    decisions: int
    events: int
    behind: int
    releases: tuple[Release, ...]
    canary: Canary | None
