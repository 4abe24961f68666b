"""Looking a shop over: nothing is changed, and what cannot be looked at says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

from honeyguide.config import Settings
from honeyguide.errors import HoneyguideError, InvalidSettings
from honeyguide.journal.open import is_url, open_journal
from honeyguide.shop.doctor.check import Check, broken, fine
from honeyguide.shop.doctor.folder import locks, permissions, space
from honeyguide.shop.doctor.journal import clock, database, integrity, replayed
from honeyguide.shop.doctor.parts import fit_together, hashes
from honeyguide.shop.models import Fitted
from honeyguide.shop.workspace import Workspace


def examine(workspace: Workspace, *, now: datetime, store: Path | str | None = None) -> tuple[Check, ...]:
    """Everything that was looked at, in order; `store` is where the journal is, if not where the settings say."""
    return tuple(_examined(workspace, now, store))


def _examined(workspace: Workspace, now: datetime, store: Path | str | None) -> Iterator[Check]:
    try:
        settings = workspace.settings
    except InvalidSettings as error:
        yield broken("settings", str(error), "Mend that line: nothing else was looked at")
        return
    yield fine("settings", "every key is known, and every value is one that it may have")
    yield permissions(workspace)
    yield space(workspace)
    yield locks(workspace)
    if not workspace.models.is_dir():
        return  # the check of permissions has said so
    yield hashes(workspace)
    together, fitted = fit_together(workspace, settings)
    yield together
    yield from _of_journal(workspace, settings, fitted, store or workspace.store, now)


def _of_journal(
    workspace: Workspace, settings: Settings, fitted: Fitted | None, place: Path | str, now: datetime
) -> Iterator[Check]:
    if not is_url(place) and not Path(place).exists():
        yield fine("journal", "nothing was recorded yet")
        yield clock(now, None)
        return
    try:
        with closing(open_journal(place)) as journal:
            sound, latest = integrity(place, journal)
            yield sound
            yield clock(now, latest)
            if fitted is not None and sound.state == "ok":
                yield replayed(settings, fitted, journal)
        if is_url(place):
            from honeyguide.journal.postgres_facts import durability

            yield from database(durability(str(place)))
    except HoneyguideError as error:
        yield broken("journal", str(error), "Mend that: nothing can be recorded")
