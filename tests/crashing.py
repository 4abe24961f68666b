"""`honeyguide serve` that kills itself with SIGKILL when it comes to a named point for the so-many-th time.

    python -m tests.crashing

Each line of its input, `POINT COUNT FOLDER` with tabs between, has it fork such a service, which spares starting
Python each time. It says which process that is, then the service says where it serves, and in the end how it ended.
A point is a step of the service (`STEPS`) or of the disk below its journal (`DISK`); nothing is flushed, no handler
runs. It saves what it learned, and copies its log back, far more often than a service of a shop does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from honeyguide.cli.app import main
from honeyguide.cli.listening import listen
from honeyguide.journal import sqlite
from honeyguide.serve.app import create_app
from honeyguide.serve.worker import Worker
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.shop.learning import Learning
from tests.faulty_disk import faulty_disk

STEPS = ("drafted", "stored", "committed", "learned", "saving", "saved")
DISK = ("wal write", "wal sync", "database write", "database sync")
POINTS = (*STEPS, *DISK)
NEEDED = (listen, create_app)  # what a service imports as it starts: here once for all of them


class Crash:
    """Counts how often `point` was come to."""

    def __init__(self, point: str, count: int) -> None:
        self._point, self._left = point, count

    def reach(self, point: str) -> None:
        """Die here, if it is here."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(
        self, owner: object, name: str, *, before: str | None = None, after: str | None = None
    ) -> None:
        """Points before and after a method."""
        inner: Callable[..., Any] = getattr(owner, name)

        def outer(*args: object, **options: object) -> object:
            if before:
                self.reach(before)
            done = inner(*args, **options)
            if after:
                self.reach(after)
            return done

        setattr(owner, name, outer)


def run(folder: str, point: str, count: int) -> None:
    """Serve until then."""
    crash = Crash(point, count)
    crash.around(Honeyguide, "record", before="drafted", after="learned")
    crash.around(sqlite.SqliteJournal, "_insert", after="stored")
    crash.around(sqlite.SqliteJournal, "append", after="committed")
    crash.around(sqlite, "check_offset", after="saving")
    crash.around(Learning, "save", after="saved")
    options = Worker.__init__.__kwdefaults__ or {}
    options |= {"look_s": 0.02, "save_s": 0.2}
    with faulty_disk(pages=20) as disk:
        disk.seen = crash.reach
        main(["serve", folder, "--port", "0", "--wait-ms", "60000"])


def main_loop() -> None:
    """A service for each line of the input."""
    for line in sys.stdin:
        point, count, folder = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            run(folder, point, int(count))
            os._exit(1)  # it was to die before
        sys.stdout.write(f"pid {child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"ended {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main_loop()
