"""Items over HTTP: put and deleted while the service runs, each told what became of it, and shown at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from honeyguide import Honeyguide, Item
from honeyguide.client import Client
from honeyguide.errors import NotFound
from honeyguide.serve.auth import Keys
from honeyguide.serve.endpoint import Scope
from honeyguide.shop.stock import ReadTexts
from tests.fitted import copy_of, fitted_shop
from tests.postgres_server import running_server
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW

COFFEE = {
    "item_id": "new-coffee",
    "title": "coffee beans dark",
    "category": "Shop > coffee beans",
    "price": 7.5,
}


@pytest.fixture
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def service(folder: Path) -> Iterator[Served]:
    with served(folder) as it:
        yield it


def put(service: Served, *items: Any) -> dict[str, Any]:
    answer = service.client.put("/v1/items", json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_an_item_is_shown_at_once_and_never_after_it_was_deleted(service: Served) -> None:
    assert put(service, COFFEE) == {"put": 1, "refused": 0, "items": [{"place": 0, "put": True}]}
    page = service.decide(candidates=["new-coffee"], k=1)
    assert page["items"][0]["item_id"] == "new-coffee"
    assert page["items"][0]["propensity"] == 1.0
    assert service.client.delete("/v1/items/new-coffee").json() == {
        "item_id": "new-coffee",
        "was_there": True,
    }
    assert service.client.delete("/v1/items/new-coffee").json()["was_there"] is False
    refused = service.client.post("/v1/decide", json={"user_id": "user-1", "candidates": ["new-coffee"]})
    assert refused.status_code == 404
    assert "'new-coffee' was deleted" in refused.json()["detail"]
    assert service.feedback(page).status_code == 200
    assert service.client.delete("/v1/items/nobody-has-this").status_code == 404
    assert put(service, COFFEE)["put"] == 1
    assert service.decide(candidates=["new-coffee"], k=1)["items"][0]["item_id"] == "new-coffee"


def test_bad_items_are_told_and_take_no_good_one_along(service: Served) -> None:
    bad = [
        {"item_id": ""},
        {"item_id": "x", "price": -1},
        {"item_id": "x", "price": "cheap"},
        {"title": "without an id"},
        {"item_id": "x", "colour": "red"},
        {"item_id": "x", "created_at": "2026-01-01T00:00:00"},
        {"item_id": "x", "title": "NUL \x00"},
        "no object",
        17,
    ]
    told = put(service, *bad, COFFEE)
    assert [one["put"] for one in told["items"]] == [False] * len(bad) + [True]
    assert all(one["problem"] for one in told["items"][:-1])
    assert (told["put"], told["refused"]) == (1, len(bad))
    assert service.decide(candidates=["new-coffee"], k=1)["items"]
    bodies: list[dict[str, Any]] = [{"items": []}, {"items": [COFFEE] * 1_001}, {}, {"items": COFFEE}]
    for body in bodies:
        assert service.client.put("/v1/items", json=body).status_code == 422


def test_what_is_put_and_what_is_asked_of_a_thousand(service: Served) -> None:
    many = [
        COFFEE | {"item_id": f"new-{number}", "title": f"coffee beans {number % 40}"}
        for number in range(1_000)
    ]
    assert put(service, *many)["put"] == 1_000
    entries = service.shop.journal.end()
    assert put(service, *many)["put"] == 1_000
    assert service.shop.journal.end() == entries
    assert service.decide(candidates=["new-999"], k=1)["items"][0]["item_id"] == "new-999"
    assert any(item["item_id"].startswith("new-") for item in service.decide(k=30)["items"])
    said = service.client.get("/metrics").text
    assert 'honeyguide_item_changes_total{change="put"} 1000.0' in said


def test_pages_go_on_while_the_texts_of_items_are_read(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()
    read_texts = Honeyguide.read_texts

    def slow(shop: Honeyguide, items: Sequence[Item]) -> ReadTexts:
        begun.set()
        assert go_on.wait(20)
        return read_texts(shop, items)

    monkeypatch.setattr(Honeyguide, "read_texts", slow)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(put, service, COFFEE)
        try:
            assert begun.wait(20)
            assert len(service.decide(k=3)["items"]) == 3
            assert not told.done()
        finally:
            go_on.set()
        assert told.result()["put"] == 1


def test_only_a_key_that_may_write_puts_and_deletes(service: Served, folder: Path) -> None:
    scopes: tuple[Scope, ...] = ("read", "write")
    made = [
        Keys(folder).create(name=one, scopes=(one,), rate=0, now=NOW, random=one.encode() * 9)
        for one in scopes
    ]
    for key, status in zip(made, (403, 200), strict=True):
        headers = {"authorization": f"Bearer {key.text}"}
        answer = service.client.put("/v1/items", json={"items": [COFFEE]}, headers=headers)
        assert answer.status_code == status
        assert service.client.delete("/v1/items/new-coffee", headers=headers).status_code == status


def test_the_client_puts_and_deletes(service: Served) -> None:
    with Client(str(service.client.base_url)) as client:
        told = client.put_items([COFFEE, {"item_id": ""}, COFFEE | {"item_id": "a/b c"}])
        assert told.put == 2
        assert [one.place for one in told.refused] == [1]
        assert client.decide("user-1", k=1, candidates=["a/b c"]).item_ids == ("a/b c",)
        assert client.delete_item("a/b c")
        assert not client.delete_item("a/b c")
        with pytest.raises(NotFound, match="nobody"):
            client.delete_item("nobody-has-this")


def test_two_services_on_one_postgresql_follow_each_other(folder: Path) -> None:
    with running_server() as postgres:
        url = postgres.url()
        with served(folder, store=url) as one, served(folder, store=url) as other:
            put(one, COFFEE)
            other.client.get("/v1/models")  # reads on in the journal
            assert other.decide(candidates=["new-coffee"], k=1)["items"][0]["item_id"] == "new-coffee"
            other.client.delete("/v1/items/new-coffee")
            one.client.get("/v1/models")
            asked = {"user_id": "user-1", "candidates": ["new-coffee"]}
            assert one.client.post("/v1/decide", json=asked).status_code == 404
