"""What loads the service counts from when a request was due, so that a server which stalls is seen to stall."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Lock, Thread

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from http_load import Target, as_often_as_it_can, at_a_rate
    from serve import good
finally:
    sys.path.remove(str(BENCHMARKS))


@contextmanager
def _stalling(*, after: int, seconds: float, status: int = 200) -> Iterator[Target]:
    """A server that answers at once, but for one time when it does nothing at all for a while."""
    served, alone = count(1), Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            with alone:
                if next(served) == after:
                    time.sleep(seconds)
            self.send_response(status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Target(server.server_address[1], "/", lambda number: b"%d" % number)
        server.shutdown()
        thread.join()


def test_all_who_were_due_while_it_stalled_waited() -> None:
    with _stalling(after=20, seconds=0.5) as target:
        load = at_a_rate(target, 100, 1.0, connections=4)
    assert len(load.seconds) == 100
    # those of half a second out of one were late, though only four were under way at once
    assert 30 <= (load.seconds > 0.1).sum() <= 90
    assert load.at(0.99) > 300


def test_each_connection_asks_again_when_it_is_answered() -> None:
    with _stalling(after=0, seconds=0) as target:
        load = as_often_as_it_can(target, 0.3, connections=2)
    assert load.rate == pytest.approx(len(load.seconds) / load.took)
    assert len(load.seconds) > 5


def test_an_answer_that_is_none_is_no_figure() -> None:
    with _stalling(after=0, seconds=0, status=503) as target:
        load = as_often_as_it_can(target, 0.1, connections=1)
    assert load.rate == 0
    with pytest.raises(SystemExit, match="503"):
        good(load)
