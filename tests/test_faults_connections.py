"""Who opens connections and does not use them well takes nothing from the others."""

from __future__ import annotations

import re
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from honeyguide.cli import connections
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.soak import rounds

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from serve import SERVE, server
finally:
    sys.path.remove(str(BENCHMARKS))

_REST = 64  # descriptors that the test's own process needs beside the connections


@pytest.fixture
def it(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Served]:
    with served(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)) as running:
        yield running


def _open(it: Served, sent: bytes = b"") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", it.client.base_url.port or 80), timeout=20)
    one.sendall(sent)
    return one


def _sent_until_ended(one: socket.socket, part: bytes, *, most: int, pause: float = 0.0) -> bool:
    """Whether the other side ends the connection before so many parts were sent."""
    try:
        for _ in range(most):
            one.sendall(part)
            time.sleep(pause)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def _ended(one: socket.socket, *, within: float) -> bytes:
    """What was said before the other side closed the connection, within so many seconds."""
    one.settimeout(within)
    said = b""
    try:
        while part := one.recv(65536):
            said += part
    except ConnectionResetError:
        pass
    return said


@pytest.mark.parametrize(
    "sent",
    [b"", b"P", b"POST /v1/decide HTTP/1.1\r\nhost: 127.0.0.1\r\n"],
    ids=["silent", "a letter", "half"],
)
def test_a_head_that_does_not_come_is_not_waited_for(
    it: Served, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.3)
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    start = time.monotonic()
    with _open(it, sent) as one:
        assert _ended(one, within=10) == b""
    assert time.monotonic() - start < 8
    assert it.decide(k=1)


def test_a_head_that_comes_letter_by_letter_is_not_waited_for_either(
    it: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    start = time.monotonic()
    with _open(it, b"GET /v1/models HTTP/1.1\r\n") as one:
        assert _sent_until_ended(one, b"x", most=500, pause=0.02)
        assert time.monotonic() - start < 8
    assert it.decide(k=1)


def test_a_head_without_end_is_refused(it: Served) -> None:
    with _open(it, b"GET / HTTP/1.1\r\n") as one:
        assert _sent_until_ended(one, b"x-more: " + b"x" * 1000 + b"\r\n", most=30_000)
    assert it.decide(k=1)


def test_an_answer_that_is_not_read_is_not_kept(it: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_S", 0.5)
    monkeypatch.setattr(connections, "MOST_AHEAD", 10**9)
    with _open(it) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(60)
        # it asks for pages and reads none, until nothing more can be sent; then the connection is ended
        assert _sent_until_ended(one, b"GET /docs HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * 50, most=30_000)
        assert it.decide(k=1)


def test_who_asks_without_end_and_waits_for_no_answer_is_not_listened_to(it: Served) -> None:
    body = b'{"user_id": "user-1", "k": 1}'
    head = b"POST /v1/decide HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    asked = head + b"content-length: %d\r\n\r\n%s" % (len(body), body)
    with _open(it) as one:
        assert _sent_until_ended(one, asked * 50, most=1_000)
    assert it.decide(k=1)


def test_who_asks_some_ahead_is_answered_in_order(it: Served) -> None:
    ahead = 20
    with _open(it, b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n" * (ahead - 1)) as one:
        one.sendall(b"GET /nowhere HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        said = _ended(one, within=20)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", said)
    assert statuses == [b"200"] * (ahead - 1) + [b"404"]


def test_bodies_that_come_slowly_hold_up_nobody(it: Served) -> None:
    head = b"POST /v1/decide HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    with ExitStack() as stack:
        slow = [
            stack.enter_context(_open(it, head + b"content-length: 60\r\n\r\n{"))
            for _ in range(rounds(200, 2000))
        ]
        times = []
        for _ in range(20):
            for one in slow[:50]:
                one.sendall(b" ")
            start = time.monotonic()
            it.decide(k=1)
            times.append(time.monotonic() - start)
    assert sorted(times)[10] < 1.0


def test_idle_connections_leave_room_for_pages(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = before[1] if before[1] != resource.RLIM_INFINITY else 2**20
    many = min(rounds(1_000, 10_000), most - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], many + 200), before[1]))
    try:
        with server("-c", SERVE, "serve", str(folder), "--port", "0", "--json") as own, ExitStack() as idle:
            _seconds(own.port)
            bare = _resident(own.pid)
            for _ in range(many):
                idle.enter_context(socket.create_connection(("127.0.0.1", own.port), timeout=20))
            slowest = max(_seconds(own.port) for _ in range(10))
            each = (_resident(own.pid) - bare) / many
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    said = f"{many:,}, {each / 1024:.1f} kB of memory each, slowest of 10 pages {slowest * 1000:.0f} ms"
    record_property("idle connections", said)
    assert slowest < 5
    assert each < 64 * 1024


def _seconds(port: int) -> float:
    """How long a page takes."""
    start = time.monotonic()
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/decide", json={"user_id": "u", "k": 1}, timeout=30, trust_env=False
    )
    assert answer.status_code == 200
    return time.monotonic() - start


def _resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
