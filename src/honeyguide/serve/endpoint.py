"""What an endpoint is: where it is, who may use it, what it reads and answers, and what it does with a shop."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from msgspec import Struct, structs

from honeyguide.errors import InvalidInput
from honeyguide.journal.protocol import Entry
from honeyguide.shop.honeyguide import Honeyguide

Scope: TypeAlias = Literal["read", "decide", "write", "collect", "admin"]

LARGEST = 1_000_000
"""Bytes of a body, of most requests."""
AHEAD = timedelta(minutes=5)
"""How far a caller's clock may be ahead: a time beyond would close the reward windows of everybody's pages."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer that may be given once `entries` are durable.

    Where the journal refuses them `otherwise` says what the answer is then; where there is no room for them, or its
    server is away, `unrecorded` does.
    """

    answer: Struct | None
    entries: tuple[Entry, ...] = ()
    otherwise: Callable[[], Struct | None] | None = None
    unrecorded: Callable[[], Struct] | None = None


class Bare(Struct, frozen=True):
    """A request or an answer that stands in JSON as its only field, where others are objects of their fields."""

    body: Any


Work: TypeAlias = Callable[[Honeyguide, Any], Draft]
"""Serves one request, on the one thread that holds the shop."""


def no_key(asked: Struct) -> str | None:
    """Most requests may stand beside any other."""
    return None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route of the API.

    What it asks comes from the path and, where it has one, from the body (`asks`, read by `reads` where they differ),
    else from the query; a body has at most `largest` bytes. Without `answers` the answer is empty. What takes long is
    done before, on another thread: `work` gets what `prepare` made of what was asked. Requests of one `key` are
    served one after the other; what is `alone` shares its turn with no other, and what is `aside`, for it touches no
    more than files, takes none.
    """

    name: str
    method: str
    path: str
    scope: Scope
    summary: str
    asks: type[Struct]
    answers: type[Struct] | None
    work: Work
    status: int = 200
    reads: type[Struct] | None = None
    key: Callable[[Any], str | None] = no_key
    alone: bool = False
    prepare: Callable[[Honeyguide, Any], Struct] | None = None
    largest: int = LARGEST
    aside: bool = False

    @property
    def has_body(self) -> bool:
        """Whether it reads a body: what it asks does not all stand in the path."""
        fields = {field.encode_name for field in structs.fields(self.asks)}
        return self.method in ("POST", "PUT") and not fields <= set(self.in_path)

    @property
    def in_path(self) -> tuple[str, ...]:
        """The names of what stands in the path."""
        return tuple(re.findall(r"{(\w+)", self.path))

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it."""
        return re.sub(r":\w+}", "}", self.path)


def moment(asked: datetime | None, now: datetime) -> datetime:
    """The time that a request names, in UTC, or now; InvalidInput where it lies ahead."""
    if asked is None:
        return now
    try:
        time = asked.astimezone(UTC)
    except OverflowError:  # a day before year 1 cannot be moved to UTC
        raise InvalidInput(f"there is no time {asked.isoformat()} in UTC: check the year") from None
    if time > now + AHEAD:
        raise InvalidInput(
            f"time {time.isoformat()} lies more than {AHEAD.seconds // 60} minutes ahead of {now.isoformat()}: "
            "set the clock that it comes from"
        )
    return time
