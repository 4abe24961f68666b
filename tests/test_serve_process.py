"""The service as a process: it says where it is, ends when told to, and loses nothing when it is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from honeyguide import Honeyguide
from honeyguide.cli.app import main
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.types import Decision
from tests.fitted import copy_of, fitted_shop
from tests.serve_process import serving


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def _decided(client: httpx.Client, name: str) -> str | None:
    """The id of a page where it was answered."""
    try:
        answer = client.post("/v1/decide", json={"user_id": f"person {name}", "k": 2, "decision_id": name})
    except httpx.TransportError:
        return None
    return name if answer.status_code == 200 else None


def _journalled(folder: Path) -> list[str]:
    journal = SqliteJournal(folder / "journal.db")
    found = [record.entry.decision_id for record in journal.read() if isinstance(record.entry, Decision)]
    journal.close()
    return found


def test_it_answers_what_was_asked_and_ends_when_it_is_told_to(folder: Path) -> None:
    with serving(folder) as (running, client), ThreadPoolExecutor(8) as pool:
        assert client.get("/readyz").status_code == 200
        asked = [pool.submit(_decided, client, f"d-{turn}") for turn in range(40)]
        while not any(one.done() for one in asked):
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        answered = {one.result() for one in asked} - {None}
        _, errors = running.communicate(timeout=20)
        assert running.returncode == 0
    assert answered
    assert answered <= set(_journalled(folder))
    # each line of the log is an object, and none names a person
    lines = [json.loads(line) for line in errors.splitlines()]
    assert {line["event"] for line in lines} == {"request"}
    assert {line["route"] for line in lines} == {"/v1/decide"}
    assert "person" not in errors
    with Honeyguide.open(folder) as again:
        stored = again.journal.load_state()
        assert stored is not None
        assert stored[0] == again.journal.end()  # what was learned was stored at the end


@pytest.mark.slow
def test_nothing_that_was_answered_is_lost_when_it_is_killed(folder: Path) -> None:
    answered: set[str] = set()
    for turn in range(3):
        with serving(folder) as (running, client), ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(_decided, client, f"d-{turn}-{number}") for number in range(400)]
            while sum(one.done() for one in asked) < 20:
                time.sleep(0.005)
            os.kill(running.pid, signal.SIGKILL)
            for one in asked:
                one.cancel()
            answered |= {name for one in asked if not one.cancelled() and (name := one.result())}
    found = _journalled(folder)
    assert len(answered) >= 60
    assert answered <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.slow
def test_items_that_were_put_are_there_after_it_is_killed(folder: Path) -> None:
    def put(client: httpx.Client, number: int) -> int | None:
        items = [{"item_id": f"put-{number}-{place}", "title": f"coffee beans {place}"} for place in range(5)]
        try:
            answer = client.put("/v1/items", json={"items": items})
        except httpx.TransportError:
            return None
        return number if answer.status_code == 200 else None

    with serving(folder) as (running, client), ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(put, client, number) for number in range(100)]
        while sum(one.done() for one in asked) < 8:
            time.sleep(0.005)
        os.kill(running.pid, signal.SIGKILL)
        for one in asked:
            one.cancel()
        answered = {one.result() for one in asked if not one.cancelled()} - {None}
    assert len(answered) >= 8
    with Honeyguide.open(folder) as again:
        wanted = [f"put-{number}-{place}" for number in answered for place in range(5)]
        page = again.decide("user-1", k=5, candidates=wanted)
        assert set(page.candidates.item_ids) == set(wanted)
        assert len([one for one in again.fitted.catalog.ids if one.startswith("put-")]) % 5 == 0


def test_a_port_that_is_taken_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit, match="3"):
        main(["serve", str(folder), "--port", str(taken.getsockname()[1])])
    assert "Choose another --host or --port" in capsys.readouterr().err
