"""The journal's disk is full: pages go on and say that they are not recorded, and all is well once there is room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from honeyguide.checks.journal_samples import journal_entries, sample_decision
from honeyguide.errors import JournalFull
from honeyguide.journal.protocol import id_of
from honeyguide.journal.sqlite import SqliteJournal
from tests.faulty_disk import FaultyDisk, faulty_disk
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.soak import rounds


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with faulty_disk(pages=5) as disk:
        yield disk


@pytest.fixture
def it(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, disk: FaultyDisk) -> Iterator[Served]:
    with served(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)) as running:
        yield running


def _events(it: Served, name: str) -> httpx.Response:
    """More than a log of five pages has room for."""
    event = {"time": "2026-05-01T10:00:00Z", "user_id": "u", "kind": "view", "item_id": "sku-1"}
    events = [event | {"event_id": f"{name}-{number}"} for number in range(900)]
    return it.client.post("/v1/events:batch", json={"events": events})


def test_pages_go_on_while_the_disk_is_full_and_nothing_is_told_as_recorded_that_is_not(
    it: Served, disk: FaultyDisk, record_property: Callable[[str, object], None]
) -> None:
    recorded, unseen = [], []
    for turn in range(rounds(3, 50)):
        page = it.decide(f"user-{turn}", k=2, decision_id=f"before-{turn}")
        assert page["recorded"]
        recorded.append(page["decision_id"])
        disk.full = True
        # the log still has room for what it has held before, and no more
        pages = 0
        lost: list[dict[str, Any]] = []
        while len(lost) < 10:
            pages += 1
            assert pages < 1000
            one = it.decide(f"user-{turn}", k=2, decision_id=f"full-{turn}-{pages}")
            recorded += [one["decision_id"]] if one["recorded"] else []
            lost += [] if one["recorded"] else [one]
        unseen += [one["decision_id"] for one in lost]
        refused = next(no for n in range(9) if (no := _events(it, f"{turn}-{n}")).status_code != 200)
        assert (refused.status_code, refused.headers["retry-after"]) == (507, "10")
        assert refused.json()["type"] == "/docs#no-room"
        assert it.feedback(page).status_code in (200, 507)  # it may fit into what the log has
        assert it.decide(f"user-{turn}", k=2, decision_id=f"before-{turn}") == page
        assert it.client.get(f"/v1/users/user-{turn}/recommendations").status_code == 200
        assert it.client.get("/readyz").status_code == 200
        disk.full = False
        assert it.feedback(page).status_code == 200
        assert it.feedback(lost[0]).status_code == 404
        assert _events(it, f"{turn}-8").status_code == 200
    held = {id_of(entry) for entry in journal_entries(it.shop.journal)}
    assert set(recorded) <= held
    assert held.isdisjoint(unseen)
    start = time.monotonic()
    while f"honeyguide_unrecorded_decisions {float(len(unseen))}" not in it.client.get("/metrics").text:
        assert time.monotonic() - start < 30
        time.sleep(0.1)
    record_property("times full", rounds(3, 50))
    record_property("pages answered and told as not recorded", len(unseen))
    record_property("told as recorded and not there", len(set(recorded) - held))


def test_a_journal_whose_disk_is_full_says_so_and_goes_on_by_itself(tmp_path: Path, disk: FaultyDisk) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.append([sample_decision(0)])
    disk.full = True
    more = [sample_decision(number) for number in range(1, 200)]
    with pytest.raises(JournalFull, match="free some space"):
        journal.append(more)
    assert journal.end() == 1
    assert journal.decision("decision-0").user_id == "ann"
    disk.full = False
    assert journal.append(more) == len(more)
    journal.close()
