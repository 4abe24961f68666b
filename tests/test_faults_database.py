"""The database is cut off, stalls, loses half a message or is slow: pages go on, and nothing acknowledged is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import pytest

from honeyguide.checks.journal_samples import journal_entries
from honeyguide.checks.policy import equal_states
from honeyguide.journal.protocol import id_of
from honeyguide.shop.learning import Learning
from tests.faulty_line import FaultyLine, Mood, faulty_line
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.soak import SOAK, rounds

if TYPE_CHECKING:
    from honeyguide.journal.postgres import PostgresJournal
    from tests.postgres_server import PostgresServer

FAULTS: dict[Mood, float] = {
    "slow": rounds(0.5, 30.0),
    "half": rounds(0.5, 30.0),
    "cut": rounds(1.5, 600.0),
    "stalled": rounds(3.0, 60.0),
}
RECOVERED_S = 10.0


@dataclass
class Visitor:
    """Asks for a page and tells what was done with it, again and again, and keeps what was acknowledged."""

    number: int
    url: str
    statuses: set[int] = field(default_factory=set)
    acknowledged: list[str] = field(default_factory=list)
    unseen: int = 0
    slowest_s: float = 0.0

    def visit(self, done: Flag) -> None:
        """Until it is done."""
        turn = 0
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            while not done.wait(0.05):
                turn += 1
                self._visit(client, f"{self.number}-{turn}")

    def _visit(self, client: httpx.Client, name: str) -> None:
        asked = {"user_id": f"user-{self.number}", "k": 2, "decision_id": name}
        page = self._post(client, "/v1/decide", asked)
        if page.status_code != 200:
            return
        if not page.json()["recorded"]:
            self.unseen += 1
            return
        self.acknowledged.append(name)
        told = {"decision_id": name, "item_id": page.json()["items"][0]["item_id"], "kind": "click"}
        answer = self._post(client, "/v1/feedback", told)
        if answer.status_code == 200:
            self.acknowledged.append(answer.json()["event_id"])

    def _post(self, client: httpx.Client, path: str, body: dict[str, object]) -> httpx.Response:
        start = time.monotonic()
        answer = client.post(path, json=body)
        self.slowest_s = max(self.slowest_s, time.monotonic() - start)
        self.statuses.add(answer.status_code)
        return answer


@contextmanager
def _visited(it: Served) -> Iterator[list[Visitor]]:
    done = Flag()
    visitors = [Visitor(number, str(it.client.base_url)) for number in range(4)]
    threads = [Thread(target=visitor.visit, args=(done,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        yield visitors
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _recovered_s(it: Served) -> float:
    """How long it takes until it is ready and records pages again."""
    start = time.monotonic()
    while not (it.client.get("/readyz").status_code == 200 and it.decide("user-0", k=1)["recorded"]):
        assert time.monotonic() - start < RECOVERED_S
        time.sleep(0.05)
    return time.monotonic() - start


@pytest.fixture
def line(postgres: PostgresServer) -> Iterator[FaultyLine]:
    with faulty_line(postgres.folder) as line:
        yield line


def test_a_service_outlives_what_happens_to_its_database(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    postgres: PostgresServer,
    line: FaultyLine,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    from honeyguide.journal.postgres import PostgresJournal

    folder, url = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path), postgres.url()
    PostgresJournal(url).close()  # makes the tables, for which a busy disk may need its time
    if not SOAK:
        monkeypatch.setitem(PostgresJournal.__init__.__kwdefaults__ or {}, "timeout_s", 0.5)
    with served(folder, store=line.through(url)) as it, _visited(it) as visitors:
        for mood, seconds in FAULTS.items():
            for visitor in visitors:
                visitor.slowest_s = visitor.unseen = 0
            line.mood = mood
            time.sleep(seconds)
            line.mood = "fine"
            recovered_s = _recovered_s(it)
            slowest_s = max(visitor.slowest_s for visitor in visitors)
            unseen = sum(visitor.unseen for visitor in visitors)
            record_property(
                f"{mood} for {seconds:g} s:",
                f"{unseen} pages not recorded, slowest answer {slowest_s:.2f} s, all well after {recovered_s:.2f} s",
            )
    assert set.union(*(visitor.statuses for visitor in visitors)) <= {200, 503}
    _check(it, PostgresJournal(url), [name for visitor in visitors for name in visitor.acknowledged])
    record_property("acknowledged", sum(len(visitor.acknowledged) for visitor in visitors))


def _check(it: Served, journal: PostgresJournal, acknowledged: list[str]) -> None:
    found = [id_of(entry) for entry in journal_entries(journal)]
    assert set(acknowledged) <= set(found)
    assert len(set(found)) == len(found) == journal.end()
    anew = Learning(it.shop.settings, it.shop.fitted, journal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "load_state", lambda: None)
        zero = Learning(it.shop.settings, it.shop.fitted, journal)
    assert equal_states(anew._learner.state(), zero._learner.state())
    journal.close()
