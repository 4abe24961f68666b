"""Connecting beside the work: a server that is away keeps nobody waiting for it twice."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Generic, Protocol, TypeVar


class Closing(Protocol):
    """What is to be let go of."""

    def close(self) -> None:
        """Let go."""
        ...


C = TypeVar("C", bound=Closing)


class Reconnect(Generic[C]):
    """Connects on a thread of its own, again `every_s` after `connect` raised one of `errors`, until it has."""

    def __init__(
        self, connect: Callable[[], C], errors: tuple[type[Exception], ...], *, every_s: float
    ) -> None:
        self._connect, self._errors, self._every_s = connect, errors, every_s
        self._stopped = Event()
        self._lock = Lock()
        self._made: C | None = None
        Thread(target=self._run, name="honeyguide-reconnect", daemon=True).start()

    def take(self) -> C | None:
        """The connection; None where there is none yet."""
        with self._lock:
            made, self._made = self._made, None
            return made

    def stop(self) -> None:
        """End it; what was not taken is closed, also what is being made yet."""
        with self._lock:
            self._stopped.set()
            if self._made is not None:
                self._made.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                made = self._connect()
            except self._errors:
                self._stopped.wait(self._every_s)
                continue
            with self._lock:
                if self._stopped.is_set():
                    made.close()
                self._made = made
            return
