"""Services over a database outlive its absence, and forget whom another one erased."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import served, soon

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

ASKED = {"user_id": "nobody", "k": 3}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def test_whom_one_service_erased_all_forget(folder: Path, postgres: PostgresServer) -> None:
    store = postgres.url()
    with served(folder, store=store) as one, served(folder, store=store) as other:
        other.feedback(one.decide("nobody", k=3))
        soon(lambda: len(other.shop.history("nobody").rows) == 1)
        assert one.client.delete("/v1/users/nobody").status_code == 200
        assert one.shop.journal.counts().events == 0

        def forgotten() -> bool:  # and nobody is refused meanwhile
            assert other.client.post("/v1/decide", json=ASKED | {"user_id": "user-1"}).status_code == 200
            return not other.knows("nobody")

        soon(forgotten)
        assert other.client.post("/v1/decide", json=ASKED).status_code == 200


def test_a_service_outlives_its_database(folder: Path, postgres: PostgresServer) -> None:
    with served(folder, store=postgres.url()) as it:
        page = it.decide("nobody", k=3, decision_id="before")
        postgres.crash()
        try:
            unseen = it.decide("nobody", k=3)
            refused = it.feedback(page)
        finally:
            postgres.start()
        assert not unseen["recorded"]  # a visitor is waiting: a page that teaches nothing is better than none
        assert refused.status_code == 503
        assert "postgres" not in refused.text
        soon(lambda: it.client.get("/readyz").status_code == 200)
        assert it.decide("nobody", k=3, decision_id="before") == page
        assert it.feedback(page).status_code == 200
        assert it.feedback(unseen).status_code == 404
