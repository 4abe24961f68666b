"""How often a key may ask (a token bucket), and how large and how slow a request may be."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote_to_bytes

from starlette.requests import ClientDisconnect, Request

from honeyguide.serve.auth import Key
from honeyguide.serve.endpoint import LARGEST as LARGEST
from honeyguide.serve.problems import NO_JSON, NO_JSON_TYPE, TOO_LARGE, TOO_MANY, TOO_SLOW, Refusal


@dataclass(slots=True)
class Bucket:
    """Tokens that fill up at `rate` a second, to one second's worth or one token."""

    rate: float
    tokens: float
    at: float

    @classmethod
    def full(cls, rate: float, now: float) -> Self:
        """A bucket that nothing was taken from yet."""
        return cls(rate, max(rate, 1.0), now)

    def take(self, now: float) -> float:
        """Take a token at `now`, in seconds; for how many seconds there is none, 0 where it was taken."""
        self.tokens = min(max(self.rate, 1.0), self.tokens + max(now - self.at, 0.0) * self.rate)
        self.at = max(now, self.at)
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


class Rates:
    """A bucket per key."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def check(self, key: Key | None, now: float) -> None:
        """Refusal where this key asked too often."""
        if key is None or not key.rate:
            return
        wait = self.take(key, now)
        if wait:
            after = str(max(math.ceil(wait), 1))
            raise Refusal(
                TOO_MANY, f"this key may ask {key.rate:g} times a second", headers={"retry-after": after}
            )

    def take(self, key: Key, now: float) -> float:
        """Take a token; for how many seconds there is none, 0 where it was taken."""
        bucket = self._buckets.get(key.key_id)
        if bucket is None or bucket.rate != key.rate:
            bucket = self._buckets[key.key_id] = Bucket.full(key.rate, now)
        return bucket.take(now)


def check_text(request: Request) -> None:
    """Refusal where path or query are no UTF-8: an id must not turn into another one."""
    for part in (request.scope.get("raw_path", b""), request.scope["query_string"]):
        if b"%" in part:
            try:
                unquote_to_bytes(part).decode()
            except UnicodeDecodeError:
                raise Refusal(NO_JSON, "path and query must be UTF-8, percent-encoded") from None


async def body_of(request: Request, *, largest: int = LARGEST, seconds: float = 10.0) -> bytes:
    """The whole body; Refusal where it is not declared as JSON, too large, or does not come."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != "application/json":  # what a form of another site cannot send
        raise Refusal(NO_JSON_TYPE, f"send content-type: application/json, got {declared[:64]!r}")
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > largest:
        raise _too_large(largest)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > largest:
                    raise _too_large(largest)
                parts.append(part)
    except TimeoutError:
        raise Refusal(TOO_SLOW, f"the body did not arrive within {seconds:g} s") from None
    except ClientDisconnect:
        raise Refusal(NO_JSON, "the body did not arrive as a whole") from None
    return b"".join(parts)


def _too_large(largest: int) -> Refusal:
    return Refusal(TOO_LARGE, f"a body holds at most {largest:,} bytes", headers={"connection": "close"})
