"""kill -9 at every point that matters, under 32 clients: nothing acknowledged is lost, and nothing counts twice."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from threading import Thread
from typing import Any

import pytest

from honeyguide import Honeyguide
from honeyguide.checks.journal_samples import journal_entries
from honeyguide.checks.policy import equal_states
from honeyguide.journal.protocol import id_of
from honeyguide.shop.learning import Learning
from tests.crashing import POINTS
from tests.fitted import copy_of, fitted_shop
from tests.soak import rounds

ROOT = Path(__file__).parent.parent
CLIENTS = 32
READY_S = 5.0


@dataclass
class Visitor:
    """One client: it asks for a page, tells what was done with it, and asks again what was not answered."""

    number: int
    turn: int = 0
    page: dict[str, Any] | None = None
    acknowledged: list[str] = field(default_factory=list)

    def visit(self, port: int) -> None:
        """Until the service is gone."""
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while True:
                self._step(line)
        except (OSError, http.client.HTTPException):
            line.close()

    def _step(self, line: http.client.HTTPConnection) -> None:
        if self.page is None:
            name = f"d-{self.number}-{self.turn}"
            page = _post(line, "/v1/decide", {"user_id": f"user-{self.number}", "k": 2, "decision_id": name})
            self.acknowledged.append(name)
            self.page = page
        item_id, name = self.page["items"][0]["item_id"], self.page["decision_id"]
        told = {"decision_id": name, "item_id": item_id, "kind": "click"}
        self.acknowledged.append(_post(line, "/v1/feedback", told)["event_id"])
        self.page, self.turn = None, self.turn + 1


def _post(line: http.client.HTTPConnection, path: str, body: dict[str, object]) -> dict[str, Any]:
    line.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = line.getresponse()
    said: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, said
    return said


class Services:
    """Services that kill themselves, one after the other, forked from one process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.crashing"]
        self._parent = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, folder: Path, point: str, count: int) -> tuple[int, int | None]:
        """Its process and port; no port where it died as it opened the journal."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{point}\t{count}\t{folder}\n")
        self._parent.stdin.flush()
        pid = int(self._said().removeprefix("pid "))
        port = re.search(r"http://127\.0\.0\.1:(\d+) ", said := self._said())
        if port is None:
            assert said == "ended -9"
        return pid, None if port is None else int(port[1])

    @property
    def pid(self) -> int:
        """The process that they are forked from."""
        return self._parent.pid

    def ended(self) -> None:
        """It was killed, by itself."""
        assert self._said() == "ended -9"

    def close(self) -> None:
        """End the process that they are forked from."""
        self._parent.communicate()

    def _said(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().strip()


def _visit(visitors: list[Visitor], port: int) -> None:
    """All at once, until the service is gone."""
    threads = [Thread(target=visitor.visit, args=(port,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _cpu_s(pid: int) -> float:
    """The processor's time that a process took so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _check(folder: Path, acknowledged: set[str]) -> int:
    """What the killed one left; how many entries that are."""
    with Honeyguide.open(folder) as shop:
        found = [id_of(entry) for entry in journal_entries(shop.journal)]
        assert acknowledged <= set(found)
        assert len(set(found)) == len(found)
        live = shop._learning._learner.state()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shop.journal, "load_state", lambda: None)
            anew = Learning(shop.settings, shop.fitted, shop.journal)
        assert equal_states(live, anew._learner.state())  # every effect once
    return len(found)


@dataclass
class Kills:
    """Rounds of kill -9 on one shop, and what was seen."""

    folder: Path
    visitors: list[Visitor]
    rng: Random
    opened_s: list[float] = field(default_factory=list)
    started_s: list[float] = field(default_factory=list)
    started_cpu_s: list[float] = field(default_factory=list)
    at_opening: int = 0

    def many(self, first: int, count: int) -> None:
        """So many, the first of which is started from nothing, to see how long that takes."""
        begun, services = time.monotonic(), Services()
        for turn in range(first, first + count):
            asked = time.monotonic()
            pid, port = services.start(self.folder, POINTS[turn * 3 % len(POINTS)], self.rng.randint(2, 12))
            if port is None:
                self.at_opening += 1
                continue
            if turn == first:
                self.started_s.append(time.monotonic() - begun)
                self.started_cpu_s.append(_cpu_s(services.pid) + _cpu_s(pid))
            self.opened_s.append(time.monotonic() - asked)
            _visit(self.visitors, port)
            services.ended()
        services.close()

    def check(self) -> int:
        """What is there of what was acknowledged; how many entries that are."""
        return _check(self.folder, {name for visitor in self.visitors for name in visitor.acknowledged})


@pytest.mark.slow
def test_a_service_that_is_killed_at_any_point_loses_nothing_and_does_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    kills = Kills(folder, [Visitor(number) for number in range(CLIENTS)], Random(7))
    count, found = rounds(5, 200), 0
    for first in range(0, count, 10):
        kills.many(first, min(10, count))
        found = kills.check()
    assert max(kills.started_cpu_s) <= READY_S
    record_property("kills", f"{count}, {kills.at_opening} of them as it opened the journal")
    record_property("points", ", ".join(POINTS))
    record_property("acknowledged", sum(len(visitor.acknowledged) for visitor in kills.visitors))
    record_property("entries found", found)
    record_property("lost, there twice, learned twice", 0)
    for name, seen in (
        ("seconds from start to ready", kills.started_s),
        ("of the processor", kills.started_cpu_s),
        ("seconds to open the shop and be ready", kills.opened_s),
    ):
        record_property(f"{name}, median and most", f"{median(seen):.2f} {max(seen):.2f}")
