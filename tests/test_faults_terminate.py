"""SIGTERM while many ask: every page written down was answered, and every page that was answered is there."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event as Flag

import httpx
import pytest

from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.types import Decision
from tests.fitted import copy_of, fitted_shop
from tests.soak import rounds

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from serve import SERVE, server
finally:
    sys.path.remove(str(BENCHMARKS))

CLIENTS = 16


def _ask(port: int, who: str, given: list[str], over: Flag) -> None:
    """Ask for page after page until the service is gone; the ids of those that are answered are `given`."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        for number in count():
            if over.is_set():
                return
            name = f"{who}-{number}"
            try:
                answer = client.post("/v1/decide", json={"user_id": who, "k": 2, "decision_id": name})
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                given.append(name)


def _written(folder: Path) -> list[str]:
    journal = SqliteJournal(folder / "journal.db")
    found = [record.entry.decision_id for record in journal.read() if isinstance(record.entry, Decision)]
    journal.close()
    return found


def test_who_was_let_in_is_answered_before_it_ends(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    many, given = rounds(1, 20), list[str]()
    for turn in range(many):
        over = Flag()
        with (
            server("-c", SERVE, "serve", str(folder), "--port", "0", "--json", "--wait-ms", "60000") as own,
            ThreadPoolExecutor(CLIENTS) as pool,
        ):
            for number in range(CLIENTS):
                pool.submit(_ask, own.port, f"t{turn}-c{number}", given, over)
            enough, late = len(given) + CLIENTS + turn, time.monotonic() + 30
            while len(given) < enough and time.monotonic() < late:
                time.sleep(0.01)
            os.kill(own.pid, signal.SIGTERM)
            pool.shutdown()
            over.set()
    written = _written(folder)
    record_property(
        "SIGTERM", f"{many} times under {CLIENTS} clients: {len(given):,} pages answered, none lost"
    )
    assert len(given) >= CLIENTS * many
    assert len(written) == len(set(written))
    assert set(written) == set(given)
