"""A real server over a copy of the small shop: uvicorn in a thread, on a free port of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import uvicorn

from honeyguide import Honeyguide
from honeyguide.cli.listening import config_of
from honeyguide.serve.app import create_app
from honeyguide.serve.auth import Keys
from honeyguide.serve.tracing import Tracing
from tests.shop_fixture import NOW


def soon(happened: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait for what is to happen by itself."""
    start = time.monotonic()
    while not happened():
        assert time.monotonic() - start < within_s
        time.sleep(0.02)


@dataclass(frozen=True)
class Served:
    """A shop that is being served, as it was at first, and a client of it."""

    shop: Honeyguide
    client: httpx.Client
    keys: Keys

    def decide(self, user_id: str = "user-1", **asked: Any) -> dict[str, Any]:
        """A page."""
        answer = self.client.post("/v1/decide", json={"user_id": user_id, **asked})
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    def knows(self, user_id: str) -> bool:
        """Whether the user is known to have taken anything."""
        interests = self.client.get(f"/v1/users/{user_id}/interests").json()["interests"]
        return any(one["share"] > 0 for one in interests)

    def feedback(
        self, page: dict[str, Any], place: int = 0, kind: str = "purchase", **asked: Any
    ) -> httpx.Response:
        """Feedback on an item of a page."""
        item_id = page["items"][place]["item_id"]
        body = {"decision_id": page["decision_id"], "item_id": item_id, "kind": kind, **asked}
        return self.client.post("/v1/feedback", json=body)


@contextmanager
def served(
    folder: Path,
    *,
    store: str | None = None,
    most_waiting: int = 128,
    most_wait_s: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
    tracing: Tracing | None = None,
) -> Iterator[Served]:
    """The shop in this folder, served until the end of the block."""
    shop, keys = Honeyguide.open(folder, store=store, clock=lambda: NOW), Keys(folder)
    app = create_app(
        shop,
        keys=keys,
        most_waiting=most_waiting,
        most_wait_s=most_wait_s,
        clock=clock,
        reopen=lambda: Honeyguide.open(folder, store=store, clock=lambda: NOW),
        tracing=tracing,
    )
    config = config_of(app)
    config.host, config.port = "127.0.0.1", 0
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield Served(shop, client, keys)
    finally:
        server.should_exit = True
        thread.join()
