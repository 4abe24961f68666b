"""What is asked and answered about what serves: the models, their releases, a canary."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from honeyguide.serve.structs import Asked


class ModelsRequest(Asked, frozen=True):
    """Nothing is asked."""


class ReleaseRequest(Asked, frozen=True):
    """A release by its number."""

    number: Annotated[int, Meta(ge=1, le=1_000_000)]


class ReleaseAnswer(Struct, frozen=True, kw_only=True):
    """What one fit made: `active` is what is to serve, `serving` what serves in the process that answers."""

    number: int
    made: datetime
    model_version: str
    active: bool
    serving: bool


class CanaryRequest(Asked, frozen=True):
    """A release by its number, and the share of the users that it is to serve."""

    number: Annotated[int, Meta(ge=1, le=1_000_000)]
    share: Annotated[float, Meta(gt=0, lt=1)]


class CanaryAnswer(Struct, frozen=True, kw_only=True):
    """The last canary; `taken_back` says why it serves nobody any more, and is null as long as it serves."""

    number: int
    share: float
    since: datetime
    taken_back: str | None


class ReleasesAnswer(Struct, frozen=True, kw_only=True):
    """The releases that are kept, the newest first."""

    releases: tuple[ReleaseAnswer, ...]
    canary: CanaryAnswer | None


class ModelsAnswer(Struct, frozen=True, kw_only=True):
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
    releases: tuple[ReleaseAnswer, ...]
    canary: CanaryAnswer | None
