"""A tenant is a shop: its keys open no other, and nothing that is asked of another shop tells anything of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from honeyguide.serve.app import endpoints
from honeyguide.serve.auth import Keys
from tests.fitted import copy_of, fitted_shop
from tests.postgres_server import PostgresServer
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW
from tests.test_serve_openapi import BODIES

SECRET = "only-of-a"


def _key(folder: Path, seed: int) -> str:
    made = Keys(folder).create(name="all", scopes=("admin",), rate=0, now=NOW, random=bytes([seed]) * 36)
    return made.text


@pytest.fixture(params=["sqlite", "postgres"])
def tenants(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Iterator[tuple[Served, Served]]:
    """Two shops with keys of their own; their journals are files, or schemas of one database."""
    fitted = fitted_shop(tmp_path_factory.getbasetemp())
    folders = [copy_of(fitted, tmp_path / name) for name in ("a", "b")]
    stores: list[str | None] = [None, None]
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        stores = [server.url(), server.url()]
    with served(folders[0], store=stores[0]) as a, served(folders[1], store=stores[1]) as b:
        for seed, (one, folder) in enumerate(zip((a, b), folders, strict=True)):
            one.client.headers["authorization"] = f"Bearer {_key(folder, seed)}"
        yield a, b


def _ask_everything(of: Served, user_id: str, page: str) -> list[tuple[int, str]]:
    """Every endpoint, asked about this user and this page."""
    answers = []
    for endpoint in endpoints():
        body: Any = BODIES.get(endpoint.name)
        text = json.dumps(body).replace('"user-1"', f'"{user_id}"').replace('"u"', f'"{user_id}"')
        text = text.replace('"page"', f'"{page}"').replace('"event"', f'"{page}"')
        path = (
            endpoint.template.replace("{user_id}", user_id)
            .replace("{eventId}", page)
            .replace("{number}", "1")
        )
        params = {"item_id": "sku-1"} if endpoint.name == "similar" else {}
        content = None if body is None else text.encode()
        headers = {"content-type": "application/json"}
        answer = of.client.request(endpoint.method, path, content=content, params=params, headers=headers)
        answers.append((answer.status_code, answer.text))
    answers += [(200, of.client.get(path).text) for path in ("/metrics", "/openapi.json", "/docs", "/readyz")]
    return answers


def test_a_key_opens_its_own_shop_alone(tenants: tuple[Served, Served]) -> None:
    a, b = tenants
    b.client.headers["authorization"] = a.client.headers["authorization"]
    for endpoint in endpoints():
        path = endpoint.template.replace("{user_id}", "u").replace("{eventId}", "e").replace("{number}", "1")
        assert b.client.request(endpoint.method, path).status_code == 401
    assert b.client.get("/metrics").status_code == 401
    assert a.client.get("/v1/models").status_code == 200


def test_nothing_that_one_shop_knows_reaches_another(tenants: tuple[Served, Served]) -> None:
    a, b = tenants
    page = a.decide(SECRET, k=2, decision_id=f"{SECRET}-page")
    assert a.feedback(page, event_id=f"{SECRET}-event").status_code == 200
    before = a.shop.journal.counts()
    # a user of that name, and a page of that id, are others' at another shop
    gone = b.feedback(page)
    assert (gone.status_code, gone.json()["type"]) == (404, "/docs#unknown-id")
    assert not b.knows(SECRET)
    assert a.knows(SECRET)
    # what is asked of it about its own users names nobody of the first
    for _, text in _ask_everything(b, "user-2", "own-page"):
        assert SECRET not in text
    own = b.decide(SECRET, k=2, decision_id=f"{SECRET}-page")
    assert len(own["items"]) == 2
    # and what is done there leaves no trace here, an erasure neither
    assert b.client.delete(f"/v1/users/{SECRET}").json()["decisions"] == 1
    assert a.shop.journal.counts() == before
    assert a.decide(SECRET, k=2, decision_id=f"{SECRET}-page") == page
    assert a.knows(SECRET)
