"""A newer fit takes over while the service runs; who was erased elsewhere is forgotten here, too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.artifacts import unpack_strings
from honeyguide.checks.journal import journal_entries
from honeyguide.errors import NotReady
from honeyguide.journal.protocol import id_of
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.serve.renewal import Renewal
from honeyguide.shop import releases
from honeyguide.shop.releases import POLICY
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.serve_fixture import Served, served, soon
from tests.shop_fixture import NOW


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def it(folder: Path) -> Iterator[Served]:
    with served(folder) as running:
        yield running


def _version(it: Served) -> str:
    return str(it.client.get("/v1/models").json()["model_version"]).split(".")[1]


def test_a_newer_fit_takes_over_and_no_request_is_lost(it: Served, folder: Path) -> None:
    page = it.decide("nobody", k=2, decision_id="before")
    it.feedback(page)
    done = Flag()

    def ask(seed: int) -> list[int]:
        codes = []
        while not done.is_set():
            codes.append(it.client.post("/v1/decide", json={"user_id": f"user-{seed}", "k": 2}).status_code)
        return codes

    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(ask, seed) for seed in range(3)]
        newer = fitted_anew(folder, 1)
        releases.activate(folder / "models", newer.number)
        soon(lambda: _version(it) == newer.parts[POLICY])
        done.set()
        codes = [code for one in asked for code in one.result()]
    assert set(codes) == {200}
    assert len(codes) > 10
    assert it.decide("nobody", decision_id="before") == page
    assert it.knows("nobody")  # what was learned before is known to what serves now


def test_a_fit_that_cannot_be_opened_leaves_what_serves(it: Served, folder: Path) -> None:
    version = _version(it)
    damaged = fitted_anew(folder, 1)
    releases.activate(folder / "models", damaged.number)
    (folder / "models" / POLICY / damaged.parts[POLICY] / "manifest.json").write_text("{}")
    time.sleep(1)
    assert _version(it) == version
    assert it.client.get("/readyz").status_code == 200
    assert it.decide(k=1)


def test_who_was_erased_by_another_process_is_forgotten_here(it: Served, folder: Path) -> None:
    it.feedback(it.decide("passer-by", k=1, decision_id="page"))
    with Honeyguide.open(folder, clock=lambda: NOW) as beside:
        beside.erase("passer-by")
        beside.erase("user-1")

    def forgotten() -> bool:  # and nobody is refused meanwhile
        assert it.client.get("/readyz").status_code == 200
        assert it.feedback(it.decide("user-2", k=1)).status_code == 200
        return not it.knows("passer-by") and not it.knows("user-1")

    soon(forgotten)
    assert it.decide("passer-by", k=1)


def test_what_is_old_is_dropped_while_it_serves(folder: Path) -> None:
    settings = folder / "honeyguide.toml"
    settings.write_text(settings.read_text().replace("keep_days = 0.0", "keep_days = 21.0"))
    with Honeyguide.open(folder) as before:
        for days, name in ((30, "old"), (10, "young")):
            page = before.decide("passer-by", k=1, now=NOW - timedelta(days=days), decision_id=name)
            before.feedback(name, page.item_ids[0], "purchase", now=NOW - timedelta(days=days))
        state = before.policy.state()
    with served(folder) as it:

        def dropped() -> bool:
            assert it.decide("user-2", k=1)
            with closing(SqliteJournal(folder / "journal.db")) as look:
                return "old" not in [id_of(entry) for entry in journal_entries(look)]

        soon(dropped)
        assert it.feedback(it.decide("young one", k=1)).status_code == 200
        assert it.knows("passer-by")
    assert b"old" not in [path.read_bytes() for path in folder.glob("journal.db*")]
    with Honeyguide.open(folder) as after:
        assert after.journal.locate("young")
        named = unpack_strings(state["users.names"], state["users.offsets"]).index("passer-by")
        again = after.policy.state()
        there = unpack_strings(again["users.names"], again["users.offsets"]).index("passer-by")
        assert np.array_equal(state["users.stats"][named], again["users.stats"][there])


def test_a_service_that_stops_right_after_anothers_erasure_stops_well(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(folder) as it:
        it.feedback(it.decide("passer-by", k=1))
        with Honeyguide.open(folder, clock=lambda: NOW) as beside:
            beside.erase("passer-by")
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []
    with Honeyguide.open(folder) as again:
        assert again.journal.load_state() is not None


def test_one_opening_at_a_time_and_none_toosoon() -> None:
    opened: list[int] = []

    def reopen() -> Honeyguide:
        opened.append(1)
        raise NotReady("a fit is running")

    renewal = Renewal(reopen, every_s=2)
    for now, times in ((0.0, 1), (1.0, 1), (2.5, 2)):
        renewal.begin(now)
        assert renewal.take(wait=True) is None
        assert len(opened) == times
