"""Opening the shop anew beside the one that serves: a newer fit takes over between two requests, and none is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Thread

from honeyguide.errors import DamagedArtifact, HoneyguideError, JournalChanged
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

    def begin(self, now: float, *, keep: timedelta | None = None) -> bool:
        """Open the shop anew, unless that is under way or was just tried: whether it is begun; `now` in seconds.

        The shop that is opened drops what is older than `keep`, while the other one goes on deciding.
        """
        if self._thread is not None or (self._begun is not None and now - self._begun < self._every_s):
            return False
        self._begun = now
        self._thread = Thread(target=self._run, args=(keep,), name="honeyguide-renewal", daemon=True)
        self._thread.start()
        return True

    def take(self, *, wait: bool = False) -> Honeyguide | None:
        """The shop that was opened, once; None where there is none yet."""
        if self._thread is None or (self._thread.is_alive() and not wait):
            return None
        self._thread.join()
        self._thread, opened, self._opened = None, self._opened, None
        return opened

    def _run(self, keep: timedelta | None) -> None:
        try:
            opened = self._reopen()
            if keep is not None:
                _forget(opened, keep)
            self._opened = opened
        except HoneyguideError as error:  # a fit goes on, or a file is damaged: what serves goes on serving
            facts = {"error": type(error).__name__}
            if isinstance(error, DamagedArtifact):  # it names a file and what to do, and nobody
                facts["said"] = str(error)
            _log.error("the shop cannot be opened anew", extra={"facts": facts})


def _forget(opened: Honeyguide, keep: timedelta) -> None:
    try:
        dropped = opened.forget(keep)
    except JournalChanged:  # another process was first: what takes over is opened anew again
        return
    except HoneyguideError:
        opened.journal.close()
        raise
    facts = {"decisions": dropped.decisions, "events": dropped.events}
    _log.info("dropped what is old", extra={"facts": facts})
