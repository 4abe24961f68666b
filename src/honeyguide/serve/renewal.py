"""Opening the shop anew beside the one that serves: a newer fit takes over between two requests, and none is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread

from honeyguide.errors import HoneyguideError
from honeyguide.shop.honeyguide import Honeyguide

_log = logging.getLogger("honeyguide.serve")


class Renewal:
    """Opens shops by `reopen`, on a thread of its own, at most one at once and one in `every_s` seconds."""

    def __init__(self, reopen: Callable[[], Honeyguide], *, every_s: float = 2.0) -> None:
        self._reopen = reopen
        self._every_s = every_s
        self._begun: float | None = None
        self._thread: Thread | None = None
        self._opened: Honeyguide | None = None

    def begin(self, now: float) -> None:
        """Open the shop anew, unless that is under way or was just tried; `now` in seconds."""
        if self._thread is not None or (self._begun is not None and now - self._begun < self._every_s):
            return
        self._begun = now
        self._thread = Thread(target=self._run, name="honeyguide-renewal", daemon=True)
        self._thread.start()

    def take(self, *, wait: bool = False) -> Honeyguide | None:
        """The shop that was opened, once; None where there is none yet."""
        if self._thread is None or (self._thread.is_alive() and not wait):
            return None
        self._thread.join()
        self._thread, opened, self._opened = None, self._opened, None
        return opened

    def _run(self) -> None:
        try:
            self._opened = self._reopen()
        except HoneyguideError as error:  # a fit goes on, or a file is damaged: what serves goes on serving
            _log.error("the shop cannot be opened anew", extra={"facts": {"error": type(error).__name__}})
