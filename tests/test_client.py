"""What is asked through the client has one effect, however often an answer is lost on its way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import msgspec
import pytest

from honeyguide import client as public
from honeyguide.client import Client, Page, answers
from honeyguide.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    Rejected,
    ServiceError,
    Unavailable,
)
from honeyguide.serve import release_structs, structs
from honeyguide.types import Event
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW


@pytest.fixture
def it(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Served]:
    with served(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)) as running:
        yield running


@contextmanager
def _behind(it: Served, fates: list[int | str]) -> Iterator[tuple[Client, list[float]]]:
    """A client of a careless proxy, and how long it waited: each request meets one fate, then all is well.

    A number is answered in the service's place; "lost" is served, and its answer thrown away; "shut" is not served.
    """
    waited: list[float] = []

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fate = fates.pop(0) if fates else "fine"
            if fate == "shut":
                self.close_connection = True
                return
            if isinstance(fate, int):
                self._say(fate, b"not JSON", {"retry-after": "3"} if fate == 429 else {})
                return
            headers = {"content-type": "application/json"} if body else {}
            answer = it.client.request(self.command, self.path, content=body or None, headers=headers)
            if fate == "lost":
                self.close_connection = True
                return
            self._say(answer.status_code, answer.content, {})

        def _say(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _pass

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with Client(f"http://127.0.0.1:{proxy.server_port}", sleep=waited.append) as client:
                yield client, waited
        finally:
            proxy.shutdown()
            thread.join()


def _address(it: Served) -> str:
    return str(it.client.base_url)


def test_a_page_and_what_came_of_it(it: Served) -> None:
    with Client(_address(it)) as client:
        page = client.decide("user-1", k=3, exclude=["sku-1"], rules={"most": ["category=2"]})
        assert page.item_ids == it.shop.journal.decision(page.decision_id).item_ids
        assert page.time == NOW
        assert client.decide("user-1", decision_id=page.decision_id) == page
        told = client.feedback(page.decision_id, page.item_ids[0], "purchase", value=9.5)
        assert (told.kind, told.value, told.user_id) == ("purchase", 9.5, "user-1")
        with pytest.raises(FrozenInstanceError):
            page.level = 0.0  # type: ignore[misc]


def test_everything_else_that_the_service_knows(it: Served) -> None:
    with Client(_address(it)) as client:
        assert client.interests("user-1", top=2)[0].share > 0
        assert len(client.recommend("user-1", k=4)) == 4
        assert client.search("dog food", user_id="user-1", k=2)[0].why
        assert client.similar("sku-1", k=3, together=True)[0].baskets > 0
        assert client.models().items == len(it.shop.fitted.catalog)
        odd = "a/b?c d%é"
        event = Event("e", NOW, odd, "view", "sku-1")
        assert client.record([event]).recorded == 1
        assert client.erase(odd).events == 1


def test_events_go_by_the_thousand_and_the_refused_are_named_by_their_place(it: Served) -> None:
    late = NOW + timedelta(days=1)
    events = [
        Event(f"e-{n}", late if n in (7, 1500) else NOW, "user-1", "view", "sku-1", position=n)
        for n in range(1700)
    ]
    with Client(_address(it)) as client:
        for _ in range(2):
            told = client.record(events)
            assert (told.recorded, [one.place for one in told.refused]) == (1698, [7, 1500])
        assert "ahead" in told.refused[1].problem
        assert client.record([]).recorded == 0
    assert it.shop.journal.counts().events == 1698


def test_an_answer_that_was_lost_leaves_one_page_and_one_event(it: Served) -> None:
    with _behind(it, ["lost", "shut", 503, "fine", "lost", 429]) as (client, waited):
        page = client.decide("user-1", k=2)
        client.feedback(page.decision_id, page.item_ids[0], "click")
        assert waited == [0.1, 0.2, 0.4, 0.1, 3.0]
    assert (it.shop.journal.counts().decisions, it.shop.journal.counts().events) == (1, 1)
    assert page.item_ids == it.shop.journal.decision(page.decision_id).item_ids


def test_who_is_told_no_does_not_ask_again_and_who_is_never_answered_gives_up(it: Served) -> None:
    with _behind(it, [418]) as (client, waited):
        with pytest.raises(ServiceError, match="status 418") as caught:
            client.models()
        assert (type(caught.value), caught.value.status) == (ServiceError, 418)
        assert waited == []
    with _behind(it, ["shut"] * 4) as (client, waited):
        with pytest.raises(Unavailable, match="did not answer"):
            client.models()
        assert waited == [0.1, 0.2, 0.4]
        assert client.models().events == 0  # a later question is a new one


def test_problems_become_errors_that_say_what_the_service_said(it: Served) -> None:
    with Client(_address(it)) as client:
        page = client.decide("user-1", k=1)
        cases: list[tuple[type[ServiceError], int, str, Any]] = [
            (NotFound, 404, "unknown-id", lambda: client.similar("sku-999")),
            (Conflict, 409, "conflict", lambda: client.decide("user-2", decision_id=page.decision_id)),
            (Rejected, 422, "invalid", lambda: client.decide("user-1", k=0)),
            (Rejected, 413, "too-large", lambda: client.decide("user-1", exclude=["x" * 2_000_000])),
        ]
        for kind, status, problem, ask in cases:
            with pytest.raises(kind) as caught:
                ask()
            assert (caught.value.status, caught.value.problem) == (status, problem)
            assert str(caught.value)
    made = it.keys.create(name="", scopes=("read",), rate=0.0, now=NOW, random=bytes(36))
    with Client(_address(it), key=made.text) as client, pytest.raises(NotAllowed, match="'decide'"):
        client.decide("user-1")
    with Client(_address(it), key=made.text) as client:
        assert client.models().decisions == 1
    with Client(_address(it)) as client, pytest.raises(NotAllowed, match="Bearer") as caught:
        client.models()
    assert made.text not in repr(vars(caught.value))


def test_where_nothing_listens_the_address_is_told() -> None:
    with Client("http://127.0.0.1:9", tries=2, sleep=lambda s: None) as client:
        with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9 did not answer"):
            client.decide("user-1")
    for url in ("127.0.0.1:8080", "ftp://shop", ""):
        with pytest.raises(InvalidInput, match="http://HOST:PORT"):
            Client(url)


@pytest.mark.parametrize("kind", [getattr(public, name) for name in public.__all__ if name != "Client"])
def test_what_is_answered_is_what_the_service_declares(kind: type) -> None:
    names = {"Page": "DecideAnswer", "Feedback": "FeedbackAnswer", "Receipt": "ErasureAnswer"}
    names |= {"Models": "ModelsAnswer", "ListedItem": "ListItem"}
    names |= {"Release": "ReleaseAnswer", "Canary": "CanaryAnswer"}
    summaries = (answers.Recorded, answers.RefusedEvent, answers.Put, answers.RefusedItem)
    if kind in summaries:  # of what is told of each event, or item
        return
    name = names.get(kind.__name__, kind.__name__)
    declared = getattr(release_structs if hasattr(release_structs, name) else structs, name)
    assert [one.name for one in fields(kind)] == [one.name for one in msgspec.structs.fields(declared)]


def test_the_example_of_the_page_runs(it: Served) -> None:
    page = (Path(__file__).parent.parent / "docs" / "serve.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block.replace("http://127.0.0.1:8080", _address(it)), "serve.md", "exec"), names)
    assert len(names["wanted"]) == 3
    assert it.shop.journal.counts().events == 1


def test_a_newer_service_may_say_more(it: Served) -> None:
    with Client(_address(it)) as client:
        told = httpx.get(_address(it) + "/v1/models", trust_env=False).json()
        page = client.decide("user-1", k=1)
    more = msgspec.json.encode({**msgspec.to_builtins(page), "newer": told})
    assert msgspec.json.decode(more, type=Page) == page
