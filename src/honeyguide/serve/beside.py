"""The canary in a service: opened beside the shop that serves, asked for its users, watched, and taken back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct

from honeyguide.errors import HoneyguideError, NotReady, UnknownDecision
from honeyguide.evaluate.guard import Finding, Guard
from honeyguide.serve.endpoint import Draft
from honeyguide.serve.renewal import Renewal
from honeyguide.shop import canary as canaries
from honeyguide.shop import releases
from honeyguide.shop.canary import Canary
from honeyguide.shop.honeyguide import Honeyguide
from honeyguide.shop.models import load_fitted

_log = logging.getLogger("honeyguide.serve")
_JUDGED_S = 5.0
_MOST_FAILURES = 3  # of the canary, each answered by the shop beside it
_BATCH = 500  # records read at once: about 7 MB of decisions


@dataclass(slots=True)
class _Serving:
    canary: Canary
    shop: Honeyguide
    guard: Guard
    finding: Finding = field(default_factory=lambda: Finding(0))
    failures: int = 0


class Beside:
    """What serves beside the worker's shop; all of it but the opening runs on the worker's thread."""

    def __init__(self, stable: Callable[[], Honeyguide]) -> None:
        self._stable = stable
        self._renewal = Renewal(self._open)
        self._serving: _Serving | None = None
        self._judged: float | None = None

    @property
    def share(self) -> float:
        """The share of the users that a canary serves here now."""
        serving = self._serving
        return 0.0 if serving is None else serving.canary.share

    @property
    def finding(self) -> Finding:
        """What is known of the canary that serves."""
        serving = self._serving
        return Finding(0) if serving is None else serving.finding

    def draft(self, work: Callable[[Honeyguide], Draft], asked: Struct, *, alone: bool) -> Draft:
        """What comes of the work with the shop that serves the user who is named, or with the stable one, `alone`."""
        stable, serving = self._stable(), self._serving
        user_id = None if serving is None or alone else _user_of(stable, asked)
        if serving is None or user_id is None:
            return work(stable)
        split = serving.canary.split
        chosen = serving.shop if split.arm_of(user_id) else stable
        try:
            chosen.under = split
            return work(chosen)
        except Exception as error:
            if chosen is stable or isinstance(error, HoneyguideError):
                raise
            self._failed(serving, error)
        finally:
            chosen.under = None
        return work(stable)  # nobody is to suffer for a canary

    def catch_up(self) -> None:
        """Let the canary learn what was written down; without one that cannot, the shop goes on alone."""
        if self._serving is not None:
            try:
                self._serving.shop.catch_up()
            except HoneyguideError:
                self.drop()

    def drop(self) -> None:
        """Let go of the canary; where it is still to serve, the next look opens it anew."""
        self._serving = None

    def look(self, now: float) -> None:
        """Open the canary that is to serve, let go of one that is not, judge the one that does; `now` in seconds.

        A canary that cannot be looked at serves nobody until it can: the shop goes on alone.
        """
        try:
            self._look(now)
        except HoneyguideError as error:
            if self._serving is not None:
                _log.error("the canary cannot be looked at", extra={"facts": {"error": type(error).__name__}})
            self.drop()

    def _look(self, now: float) -> None:
        self.catch_up()
        stable = self._stable()
        wanted = canaries.serving(stable.fitted.finding.models)
        if self._serving is not None and self._serving.canary != wanted:
            self.drop()
        opened = self._renewal.take()
        if opened is not None and wanted is not None and opened.journal is stable.journal:
            self._begin(wanted, opened)
        if wanted is not None and self._serving is None:
            self._renewal.begin(now)
        if self._serving is not None and (self._judged is None or now - self._judged >= _JUDGED_S):
            self._judged = now
            self._judge(self._serving)

    def stop(self) -> None:
        """Wait for an opening that is under way."""
        self._renewal.take(wait=True)

    def _open(self) -> Honeyguide:
        stable = self._stable()
        models = stable.fitted.finding.models
        wanted = canaries.serving(models)
        if wanted is None:
            raise NotReady("the canary was ended meanwhile")
        release = releases.get(models, wanted.number)
        fitted = load_fitted(models, stable.fitted.finding.items, release)
        return Honeyguide(stable.settings, fitted, stable.journal, clock=stable.clock)

    def _begin(self, wanted: Canary, opened: Honeyguide) -> None:
        release = opened.fitted.release
        if release is None or release.number != wanted.number:
            return
        opened.catch_up()
        settings = opened.settings
        guard = Guard(
            wanted.split,
            grade=settings.labels.grade,
            hours=settings.models.canary_hours,
            most=settings.models.canary_most,
        )
        guard.offset = opened.fitted.journal_offset  # a canary began after it was fitted
        self._serving, self._judged = _Serving(wanted, opened, guard), None
        facts = {"release": wanted.number, "share": wanted.share}
        _log.info("canary serves", extra={"facts": facts})

    def _judge(self, serving: _Serving) -> None:
        guard, journal = serving.guard, serving.shop.journal
        while records := journal.read(guard.offset, _BATCH):
            for record in records:
                guard.fold(record)
        serving.finding = found = guard.finding(serving.shop.clock())
        if found.harmful and found.difference is not None:
            self._take_back(
                serving,
                f"{found.users:,} users: it earns {-found.difference.high:.3g} less a user at the least "
                f"({found.difference.mean:+.3g})",
            )

    def _failed(self, serving: _Serving, error: Exception) -> None:
        serving.failures += 1
        _log.error("the canary failed", extra={"facts": {"error": type(error).__name__}})
        if serving.failures >= _MOST_FAILURES:
            self._take_back(serving, f"it failed {serving.failures} times, last with {type(error).__name__}")

    def _take_back(self, serving: _Serving, why: str) -> None:
        canaries.take_back(serving.shop.fitted.finding.models, serving.canary, why)
        _log.warning("canary taken back", extra={"facts": {"release": serving.canary.number, "why": why}})
        self.drop()


def _user_of(shop: Honeyguide, asked: Struct) -> str | None:
    """Whom a request is about; None where it names nobody."""
    user_id = getattr(asked, "user_id", None)
    if user_id is None and isinstance(name := getattr(asked, "decision_id", None), str):
        try:
            user_id = shop.journal.decision(name).user_id
        except UnknownDecision:
            return None
    return user_id if isinstance(user_id, str) else None
