"""Who comes when too many are inside is told so at the door: that costs little, so that those inside are served."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from honeyguide.serve.problems import BUSY, MEDIA_TYPE, Refusal, problem_of

_ASKS = ("/v1/", "/api/", "/personalizer/")  # what asks the shop; how the service does is always told
RETRY_S = "1"
_OF_WAIT = 0.25  # of the time that one may wait: how long those that are answered together may take


def busy() -> Refusal:
    """What is told to who comes when too many wait."""
    return Refusal(BUSY, "too many requests are waiting: try again", headers={"retry-after": RETRY_S})


class Pace:
    """How long those who wait are expected to: by what requests took lately, less and less of what took longer ago.

    `most_s` is what may be expected; `few` of them are let in however slow it goes.
    """

    def __init__(self, most_s: float, *, few: int = 4) -> None:
        self._most_s = most_s
        self._few = few
        self._each_s = self._own_s = 0.0

    def served(self, many: int, seconds: float, own: float) -> None:
        """So many requests took so long together, `own` seconds of it each by itself and the rest all at once."""
        share = min(many / 50, 0.5)
        self._each_s += share * (seconds / many - self._each_s)
        self._own_s += share * (own / many - self._own_s)

    def together(self, most: int) -> int:
        """How many of at most `most` to answer together: those that are done soon do not wait long for the others."""
        return most if not self._own_s else max(1, min(most, int(_OF_WAIT * self._most_s / self._own_s)))

    def full(self, ahead: int) -> bool:
        """Whether one more would wait too long behind so many."""
        return ahead >= self._few and ahead * self._each_s > self._most_s


class Door:
    """Answers 503 before anything is read or looked up while the shop is `full`; `turned` is told of each."""

    def __init__(self, app: ASGIApp, full: Callable[[], bool], turned: Callable[[], None]) -> None:
        self._app = app
        self._full = full
        self._turned = turned
        refusal = busy()
        body = msgspec.json.encode(problem_of(refusal))
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **refusal.headers}
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._start: Message = {"type": "http.response.start", "status": BUSY.status, "headers": named}
        self._body: Message = {"type": "http.response.body", "body": body}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or turn away."""
        if scope["type"] == "http" and scope["path"].startswith(_ASKS) and self._full():
            self._turned()
            await send(self._start)
            await send(self._body)
            return
        await self._app(scope, receive, send)
