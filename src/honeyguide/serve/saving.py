"""When a service stores what it has learned: a start after a crash learns the rest from the journal once more."""

from __future__ import annotations

_MUCH = 1_000  # entries: learning them again takes about half a second
_AT_MOST = 1 / 50  # of the time goes into storing


class Saving:
    """Every `every_s`, and sooner where a start would have much to learn again, as long as that takes little time."""

    def __init__(self, every_s: float, now: float) -> None:
        self._every_s = every_s
        self._saved = self._again = now

    def due(self, unsaved: int, now: float) -> bool:
        """Whether to store now, where so many entries were learned since the last time."""
        if not unsaved:
            return False
        return now - self._saved >= self._every_s or (unsaved >= _MUCH and now >= self._again)

    def done(self, begun: float, now: float) -> None:
        """It was stored between those times."""
        self._saved, self._again = now, now + (now - begun) / _AT_MOST
