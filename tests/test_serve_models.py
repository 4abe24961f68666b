"""Fits are taken over and taken back while the service runs, and no request fails for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np
import pytest

from honeyguide import Honeyguide, artifacts
from honeyguide.shop import releases
from honeyguide.shop.releases import POLICY, Release
from honeyguide.types import Decision
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.serve_fixture import Served, served, soon
from tests.shop_fixture import NOW
from tests.soak import rounds


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def newer(folder: Path) -> Release:
    """A second release, which does not serve yet."""
    return fitted_anew(folder, 1)


@pytest.fixture
def it(folder: Path, newer: Release) -> Iterator[Served]:
    with served(folder) as running:
        yield running


def _serving(it: Served) -> int:
    return next(int(one["number"]) for one in _releases(it) if one["serving"])


def _releases(it: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = it.client.get("/v1/models").json()["releases"]
    return found


def test_a_release_is_activated_and_rolled_back_and_no_request_fails(
    folder: Path, newer: Release, record_property: Callable[[str, object], None]
) -> None:
    done = Flag()
    with served(folder) as it, ThreadPoolExecutor(3) as pool:
        older = _serving(it)

        def ask(seed: int) -> list[int]:
            codes = []
            while not done.is_set():
                answer = it.client.post("/v1/decide", json={"user_id": f"user-{seed}", "k": 2})
                codes += [answer.status_code, it.feedback(answer.json()).status_code]
            return codes

        asked = [pool.submit(ask, seed) for seed in range(3)]
        for _ in range(rounds(1, 50)):
            told = it.client.post(f"/v1/models/{newer.number}/activate").json()["releases"]
            assert [one["number"] for one in told if one["active"]] == [newer.number]
            soon(lambda: _serving(it) == newer.number)
            told = it.client.post("/v1/models/rollback").json()["releases"]
            assert [one["number"] for one in told if one["active"]] == [older]
            soon(lambda: _serving(it) == older)
        done.set()
        codes = [code for one in asked for code in one.result()]
    assert set(codes) == {200}
    assert len(codes) > 20
    record_property("requests during the swaps, none refused", len(codes))
    # what the service had learned by its end is, to the bit, what this release learns from the whole journal
    with Honeyguide.open(folder, clock=lambda: NOW) as opened:
        stored = opened.policy.state()
        entries = [record.entry for record in opened.journal.read()]
        versions = {entry.model_version for entry in entries if isinstance(entry, Decision)}
        opened.journal.save_state(0, {})
    assert newer.model_version in versions
    with Honeyguide.open(folder, clock=lambda: NOW) as replayed:
        again = replayed.policy.state()
    assert again.keys() == stored.keys()
    assert all(np.array_equal(again[name], stored[name]) for name in again)


def test_all_processes_take_it_over(folder: Path, newer: Release) -> None:
    with served(folder) as one, served(folder) as other:
        assert one.client.post(f"/v1/models/{newer.number}/activate").status_code == 200
        for each in (one, other):
            soon(lambda each=each: _serving(each) == newer.number)  # type: ignore[misc]


def test_what_cannot_serve_is_refused_and_what_serves_goes_on(
    it: Served, folder: Path, newer: Release
) -> None:
    before = _releases(it)
    assert [(one["number"], one["active"], one["serving"]) for one in before] == [
        (2, False, False),
        (1, True, True),
    ]
    unknown = it.client.post("/v1/models/7/activate")
    assert (unknown.status_code, "newest first: 2, 1" in unknown.json()["detail"]) == (404, True)
    assert it.client.post("/v1/models/first/activate").status_code == 404
    nothing = it.client.post("/v1/models/rollback")
    assert (nothing.status_code, "nothing to roll back to" in nothing.json()["detail"]) == (409, True)
    (folder / "models" / POLICY / newer.parts[POLICY] / artifacts.ARRAYS).write_bytes(b"damaged")
    damaged = it.client.post(f"/v1/models/{newer.number}/activate")
    assert (damaged.status_code, "is damaged" in damaged.json()["detail"]) == (409, True)
    assert _releases(it) == before
    assert it.decide(k=1)


def test_only_who_may_do_everything_may_change_what_serves(it: Served, newer: Release) -> None:
    made = {
        scope: it.keys.create(
            name=scope,
            scopes=(scope,),
            rate=0.0,
            now=datetime(2026, 1, 1, tzinfo=UTC),
            random=bytes([n] * 36),
        ).text
        for n, scope in enumerate(("read", "decide", "write", "collect", "admin"))
    }
    for path in (f"/v1/models/{newer.number}/activate", "/v1/models/rollback"):
        codes = {
            scope: it.client.post(path, headers={"x-api-key": key}).status_code for scope, key in made.items()
        }
        assert codes == {"read": 403, "decide": 403, "write": 403, "collect": 403, "admin": 200}


_FLIP = """
import sys
from pathlib import Path
from honeyguide.shop import releases
models, newer, older = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("flipping", flush=True)
while True:
    releases.activate(models, newer)
    releases.activate(models, older)
"""


@pytest.mark.slow
def test_whoever_is_killed_while_activating_leaves_one_of_the_two(folder: Path, newer: Release) -> None:
    models = folder / "models"
    older = releases.active(models)
    assert older is not None
    for wait in (0.01, 0.05, 0.13):
        command = [sys.executable, "-c", _FLIP, str(models), str(newer.number), str(older.number)]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        assert running.stdout.readline() == "flipping\n"
        time.sleep(wait)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        assert releases.active(models) in (newer, older)
        releases.activate(models, older.number)  # the lock went with the process
        with Honeyguide.open(folder, clock=lambda: NOW) as opened:
            assert opened.decide("user-1", k=2)
