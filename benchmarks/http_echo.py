"""The bare minimum that a page over HTTP costs: Starlette and msgspec read a request, and answer ten items."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from honeyguide.cli.listening import bind, listen, url_of
from honeyguide.serve.structs import DecideAnswer, DecideRequest, PageItem

_READ, _TOLD = msgspec.json.Decoder(DecideRequest), msgspec.json.Encoder()
_ITEM = PageItem(
    item_id="item-1", place=1, score=0.1, propensity=0.5, explored=False, pinned=False, why="it is an echo"
)


async def answer(request: Request) -> Response:
    """Ten items, whoever asks."""
    asked = _READ.decode(await request.body())
    page = DecideAnswer(
        decision_id="an echo",
        user_id=asked.user_id,
        surface=asked.surface,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        items=(_ITEM,) * 10,
        level=0.0,
        reason="nothing is decided",
        policy="echo",
        policy_version="echo",
        model_version="echo",
    )
    return Response(_TOLD.encode(page), media_type="application/json")


def main() -> None:
    """Serve until told to end; the first line says where."""
    with bind("127.0.0.1", 0) as bound:
        app = Starlette(routes=[Route("/v1/decide", answer, methods=["POST"])])
        listen(app, bound, lambda: print(json.dumps({"url": url_of(bound)}), flush=True))


if __name__ == "__main__":
    main()
