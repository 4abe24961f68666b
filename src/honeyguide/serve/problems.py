"""Every error as application/problem+json (RFC 9457): what a caller can mend is told, what only we can is not."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from honeyguide.errors import (
    HoneyguideError,
    InvalidFile,
    InvalidInput,
    JournalError,
    JournalFull,
    NoArtifact,
    NotReady,
    NoWorkspace,
    UnknownDecision,
    UnknownItem,
    UnknownRelease,
    UnknownUser,
)
from honeyguide.serve.structs import Problem

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its name at the end of `type`, its status, and its title."""

    name: str
    status: int
    title: str


NO_JSON = Kind("no-json", 400, "The request cannot be read")
NO_KEY = Kind("no-key", 401, "An API key is needed")
NO_SCOPE = Kind("no-scope", 403, "The API key does not allow this")
NO_ROUTE = Kind("no-route", 404, "There is nothing here")
UNKNOWN = Kind("unknown-id", 404, "No such item, user, decision or release")
WRONG_METHOD = Kind("wrong-method", 405, "The method is not known here")
TOO_SLOW = Kind("too-slow", 408, "The request took too long to arrive")
CONFLICT = Kind("conflict", 409, "The id stands for something else")
NOT_READY = Kind("not-ready", 409, "The shop lacks what this needs")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
NO_JSON_TYPE = Kind("no-json-type", 415, "The request is not declared as JSON")
INVALID = Kind("invalid", 422, "A value was refused")
TOO_MANY = Kind("too-many", 429, "Too many requests with this key")
BROKEN = Kind("broken", 500, "Something went wrong here")
BUSY = Kind("busy", 503, "Too many requests are waiting")
NO_JOURNAL = Kind("no-journal", 503, "The journal cannot be written")
NO_ROOM = Kind("no-room", 507, "The journal's disk is full")

KINDS = (
    NO_JSON,
    NO_KEY,
    NO_SCOPE,
    NO_ROUTE,
    UNKNOWN,
    WRONG_METHOD,
    TOO_SLOW,
    CONFLICT,
    NOT_READY,
    TOO_LARGE,
    NO_JSON_TYPE,
    INVALID,
    TOO_MANY,
    BROKEN,
    BUSY,
    NO_JOURNAL,
    NO_ROOM,
)
_LOGGED = "It was logged; nothing was recorded that was not acknowledged"
_RETRY = {NO_JOURNAL: "1", NO_ROOM: "10"}


class Refusal(HoneyguideError):
    """A request that is refused before or instead of being served."""

    def __init__(self, kind: Kind, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = headers or {}


def kind_of(error: Exception) -> Kind:
    """What kind of problem an error is; whatever is not known is BROKEN."""
    match error:
        case Refusal():
            return error.kind
        case UnknownItem() | UnknownUser() | UnknownDecision() | UnknownRelease():
            return UNKNOWN
        case InvalidFile() | NoWorkspace() | NoArtifact():
            return BROKEN
        case InvalidInput() | msgspec.ValidationError():
            return INVALID
        case msgspec.DecodeError() | RecursionError() | UnicodeDecodeError():
            return NO_JSON
        case NotReady():
            return NOT_READY
        case JournalFull():
            return NO_ROOM
        case JournalError():
            return NO_JOURNAL
    return BROKEN


def problem_of(error: Exception) -> Problem:
    """The problem as it is sent; of what only the operator can mend no detail is told."""
    kind = kind_of(error)
    told = kind not in (BROKEN, NO_JOURNAL, NO_ROOM) or isinstance(error, Refusal)
    detail = (str(error) if told else _LOGGED) or kind.title
    return Problem(
        type=f"/docs#{kind.name}",
        title=kind.title,
        status=kind.status,
        # what a message quotes may be no valid text, which JSON in UTF-8 cannot hold
        detail=detail.encode("utf-8", "backslashreplace").decode(),
    )


def headers_of(error: Exception) -> dict[str, str]:
    """The headers that go with a problem: when to try again."""
    if isinstance(error, Refusal):
        return error.headers
    retry = _RETRY.get(kind_of(error))
    return {} if retry is None else {"retry-after": retry}
