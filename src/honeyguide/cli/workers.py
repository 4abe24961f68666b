"""Several copies of this process at one port: forked, watched, started again where one dies, and ended together.

The process that watches loads nothing that begins threads, which a fork would not take along: a copy opens the shop.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from threading import Thread

from honeyguide.cli.listening import log

_ENDING = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = (*_ENDING, signal.SIGCHLD)
_LOOK_S = 0.2
_PAUSE_S = 1.0  # before one is started again: what dies at once is not to take the machine
_PATIENCE_S = 30.0  # for those that are told to end, which answer for up to 20 s


class Workers:
    """`count` copies of this process; `ended` is told the process id of one that is no more."""

    def __init__(self, count: int, ended: Callable[[int], None]) -> None:
        self._count = count
        self._ended = ended
        self._made = 0
        self._children: set[int] = set()
        self._due: list[float] = []
        self._serving = 0
        self._told_at: float | None = None
        self._alive = os.pipe()  # its end is the end of this process, however that comes
        self._ready = os.pipe()
        os.set_blocking(self._ready[0], False)

    def run(self) -> int | None:
        """In each copy: the how manieth it is, from 0. In this process: None, when all ended as they were told.

        SystemExit with the code of the first copy where that ends before it serves.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._due = [time.monotonic()]  # the first alone: what is wrong is then said once
        while self._children or self._told_at is None:
            if self._starts_another():
                self._become_a_copy(mask)
                return self._made
            found = signal.sigtimedwait(_SIGNALS, _LOOK_S)
            if found is not None and found.si_signo in _ENDING:
                self._end()
            self._listen()
            self._reap()
            if self._told_at is not None and time.monotonic() - self._told_at > _PATIENCE_S:
                self._tell(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return None

    def _starts_another(self) -> bool:
        """Whether this is a copy that was made just now."""
        if self._told_at is not None or not self._due or self._due[0] > time.monotonic():
            return False
        self._due.pop(0)
        child = os.fork()
        if not child:
            return True
        self._children.add(child)
        self._made += 1
        return False

    def serves(self) -> None:
        """What a copy calls once it serves."""
        os.write(self._ready[1], b".")

    def _become_a_copy(self, mask: set[int | signal.Signals]) -> None:
        os.close(self._alive[1])
        Thread(target=_end_with, args=(self._alive[0],), name="honeyguide-parent", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _listen(self) -> None:
        """Take note of copies that serve now."""
        try:
            more = len(os.read(self._ready[0], 1024))
        except BlockingIOError:
            return
        before, self._serving = self._serving, self._serving + more
        if not before:
            self._due += [time.monotonic()] * (self._count - 1)

    def _reap(self) -> None:
        for child in tuple(self._children):
            found, status = os.waitpid(child, os.WNOHANG)
            if not found:
                continue
            self._children.discard(child)
            self._ended(child)
            code = os.waitstatus_to_exitcode(status)
            if not self._serving and self._told_at is None:
                raise SystemExit(code if code > 0 else 1)
            if self._told_at is None:
                log.error("a worker ended", extra={"facts": {"pid": child, "code": code}})
                self._due.append(time.monotonic() + _PAUSE_S)

    def _end(self) -> None:
        if self._told_at is None:
            self._told_at = time.monotonic()
            self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for child in self._children:
            os.kill(child, number)


def _end_with(pipe: int) -> None:
    """End this process when the other end of the pipe is gone."""
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
