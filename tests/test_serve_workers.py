"""Several processes at one port are as one service: one page an id, one rate a key, one set of figures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from honeyguide.serve.auth import Key, Keys
from honeyguide.serve.limits import Rates
from honeyguide.serve.problems import Refusal
from honeyguide.serve.shared_rates import SharedRates
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import soon


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


class Running:
    """A service of two processes, asked over a new connection each time."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url
        self.headers: dict[str, str] = {}

    def ask(self, method: str, path: str, **said: Any) -> httpx.Response:
        with httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers=self.headers) as client:
            return client.request(method, path, **said)

    def decide(self, user_id: str = "user-1", **asked: Any) -> httpx.Response:
        return self.ask("POST", "/v1/decide", json={"user_id": user_id, **asked})

    def figure(self, name: str) -> float:
        """The sum of a figure over its labels."""
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", self.ask("GET", "/metrics").text, re.MULTILINE)
        return sum(map(float, found))

    @property
    def workers(self) -> set[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return set(map(int, found.split()))


@contextmanager
def running(folder: Path, *more: str) -> Iterator[Running]:
    words = ["serve", str(folder), "--port", "0", "--workers", "2", *more]
    code = f"from honeyguide.cli.app import main; main({words!r})"
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    workers: set[int] = set()
    try:
        said = process.stdout.readline()
        (url,) = re.findall(r"(http://127\.0\.0\.1:\d+) ", said)
        it = Running(process, url)
        soon(lambda: len(it.workers) == 2)
        workers = it.workers
        yield it
    finally:
        process.kill()
        process.communicate()
    soon(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))  # they end with who watches them


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_two_workers_are_as_one(folder: Path, store: str, request: pytest.FixtureRequest) -> None:
    more = [] if store == "sqlite" else ["--store", request.getfixturevalue("postgres").url()]
    with running(folder, *more) as it, ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda turn: it.decide(k=3, decision_id=f"d-{turn // 8}").json(), range(32)))
        assert all(page == pages[turn // 8 * 8] for turn, page in enumerate(pages))
        said = {"decision_id": "d-0", "item_id": pages[0]["items"][0]["item_id"], "kind": "purchase"}
        told = list(pool.map(lambda _: it.ask("POST", "/v1/feedback", json=said).text, range(8)))
        assert len(set(told)) == 1
        soon(lambda: it.figure("honeyguide_learner_lag") == 0)
        assert it.ask("GET", "/v1/models").json()["decisions"] == 4
        # whichever is asked, the figures are those of both
        seen = [
            (it.figure("honeyguide_decisions_total"), it.figure("honeyguide_request_seconds_count"))
            for _ in range(8)
        ]
        assert {pages for pages, _ in seen} == {4.0}
        assert {requests for _, requests in seen} == {41.0}
        assert it.ask("DELETE", "/v1/users/user-1").status_code == 200

        def forgotten() -> bool:
            told = [it.ask("GET", "/v1/users/user-1/interests") for _ in range(6)]
            return not any(one["share"] for answer in told for one in answer.json()["interests"])

        soon(forgotten)


@pytest.mark.slow
def test_a_worker_that_dies_is_started_again_and_nothing_is_lost(folder: Path) -> None:
    with running(folder) as it:
        for turn in range(10):
            assert it.decide(k=2, decision_id=f"before-{turn}").status_code == 200
        killed = min(it.workers)
        os.kill(killed, signal.SIGKILL)
        soon(lambda: killed not in it.workers and len(it.workers) == 2)
        soon(lambda: it.ask("GET", "/readyz").status_code == 200)
        assert it.figure("honeyguide_decisions_total") == 10
        assert it.ask("GET", "/v1/models").json()["decisions"] == 10
        assert it.decide(k=2).status_code == 200


def _decided(it: Running, name: str) -> str | None:
    try:
        return name if it.decide(k=2, decision_id=name).status_code == 200 else None
    except httpx.TransportError:
        return None


@pytest.mark.slow
def test_both_end_when_they_are_told_to_and_what_was_answered_is_there(folder: Path) -> None:
    with running(folder) as it, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(_decided, it, f"d-{turn}") for turn in range(40)]
        soon(lambda: any(one.done() for one in asked))
        it.process.send_signal(signal.SIGTERM)
        answered = {one.result() for one in asked} - {None}
        _, errors = it.process.communicate(timeout=30)
        assert it.process.returncode == 0
        assert "Traceback" not in errors
    from tests.test_serve_process import _journalled

    assert answered <= set(_journalled(folder))
    assert answered


@pytest.mark.slow
def test_a_key_may_ask_as_often_as_it_may_whoever_answers(folder: Path) -> None:
    made = Keys(folder).create(
        name="web", scopes=("admin",), rate=4, now=datetime(2026, 1, 1, tzinfo=UTC), random=b"k" * 36
    )
    with running(folder) as it, ThreadPoolExecutor(4) as pool:
        it.headers["authorization"] = f"Bearer {made.text}"
        start = time.monotonic()
        codes = list(pool.map(lambda _: it.decide(k=1).status_code, range(40)))
        seconds = time.monotonic() - start
    assert set(codes) == {200, 429}
    assert codes.count(200) <= 4 + 4 * seconds + 1


def test_a_shop_that_cannot_be_opened_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "honeyguide.toml").touch()
    words = ["serve", str(tmp_path), "--port", "0", "--workers", "3"]
    code = f"from honeyguide.cli.app import main; main({words!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert done.stderr.count("honeyguide fit") == 1


def test_processes_share_a_keys_bucket(tmp_path: Path) -> None:
    key = Key("0f", "web", "", ("read",), 2.0, datetime(2026, 1, 1, tzinfo=UTC))
    one, other = SharedRates(tmp_path), SharedRates(tmp_path)
    one.check(key, 100.0)
    other.check(key, 100.0)
    for rates in (one, other):
        with pytest.raises(Refusal, match="2 times a second"):
            rates.check(key, 100.1)
    other.check(key, 100.6)
    Rates().check(key, 100.6)  # one that shares with nobody is full
    faster = Key("0f", "web", "", ("read",), 50.0, key.created)
    for _ in range(50):
        one.check(faster, 100.6)
    with pytest.raises(Refusal):
        other.check(faster, 100.6)
