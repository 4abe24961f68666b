"""The journal: whether it can be read to its end, what was learned is its replay, and nothing lies in the future."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from honeyguide.config import Settings
from honeyguide.errors import HoneyguideError, JournalError
from honeyguide.journal.open import is_url
from honeyguide.journal.protocol import Counts, Entry, Erasure, Journal, Record
from honeyguide.journal.snapshot import check_sound
from honeyguide.shop.doctor.check import Check, broken, fine, warning
from honeyguide.shop.learning import Learning
from honeyguide.shop.models import Fitted
from honeyguide.types import Decision, Event, State

_BATCH = 500  # records at once: about 7 MB of decisions
_AHEAD = timedelta(minutes=5)
_BACKUP = "Run: honeyguide restore BACKUP, with the latest backup"


def integrity(place: Path | str, journal: Journal) -> tuple[Check, datetime | None]:
    """Whether every entry can be read and its checksum holds, and feedback is on pages that there are.

    And the latest time in it; None where there is none, or it cannot be read.
    """
    latest: datetime | None = None
    entries = after = 0
    pages: set[str] = set()
    orphans = 0
    try:
        if not is_url(place):
            check_sound(Path(place))
        while records := journal.read(after, _BATCH):
            for record in records:
                if record.offset <= after:
                    return broken("journal", f"offset {record.offset} comes after {after}", _BACKUP), None
                after, entries = record.offset, entries + 1
                latest = record.entry.time if latest is None else max(latest, record.entry.time)
                if isinstance(record.entry, Decision):
                    pages.add(record.entry.decision_id)
                elif isinstance(record.entry, Event) and record.entry.decision_id is not None:
                    orphans += record.entry.decision_id not in pages
    except JournalError as error:
        return broken("journal", str(error), _BACKUP), None
    if orphans and not dropped(journal):
        return broken(
            "journal", f"{orphans} pieces of feedback are on pages that are not in it", _BACKUP
        ), None
    return fine("journal", f"{entries:,} entries can be read, and their checksums hold"), latest


def dropped(journal: Journal) -> bool:
    """Whether entries were dropped for their age: offsets have no gaps otherwise, who is erased leaves a time."""
    counts = journal.counts()
    return counts.decisions + counts.events + counts.items + counts.erased < journal.end()


def clock(now: datetime, latest: datetime | None) -> Check:
    """Whether this machine's clock can be right: no entry is of a time to come."""
    if now < datetime(2026, 1, 1, tzinfo=UTC):
        return broken(
            "clock", f"it is {now:%Y-%m-%d} here", "Set the clock (NTP), before anything is recorded"
        )
    if latest is not None and latest > now + _AHEAD:
        said = f"the journal's latest entry is of {latest:%Y-%m-%d %H:%M}, here it is {now:%Y-%m-%d %H:%M}"
        remedy = (
            "Set the clock (NTP), here or where that entry came from: reward windows close by the latest time"
        )
        return broken("clock", said, remedy)
    return fine("clock", f"{now:%Y-%m-%d %H:%M} UTC, no entry is of a time to come")


def replayed(settings: Settings, fitted: Fitted, journal: Journal) -> Check:
    """Whether the state that was saved is, to the bit, what the journal teaches up to where it stands."""
    name, remedy = "what was learned", "Report this. To learn anew from the journal, run: honeyguide fit"
    try:
        stored = journal.load_state()
        if stored is None:
            return fine(name, "no state was saved: the next start learns from the journal")
        offset, state = stored
        if dropped(journal):
            return fine(name, f"the state saved at entry {offset:,} stands for entries that were dropped")
        until = _Until(journal, offset)
        Learning(settings, fitted, until).save()
    except HoneyguideError as error:
        return broken(name, str(error), remedy)
    again = until.saved
    if not _same_stamp(state, again):
        return fine(name, "the saved state is of another fit or other settings, and will not be used")
    if state.keys() != again.keys() or not all(np.array_equal(state[key], again[key]) for key in state):
        return broken(name, f"the state saved at entry {offset:,} is not the journal's replay", remedy)
    return fine(name, f"the state saved at entry {offset:,} is the journal's replay, to the bit")


def database(settings: dict[str, str]) -> Sequence[Check]:
    """Whether PostgreSQL is set up so that what it acknowledges lasts, and what is erased goes."""
    name, found = "PostgreSQL", []
    for key in ("fsync", "full_page_writes"):
        if settings.get(key) != "on":
            remedy = f"Set {key} = on in postgresql.conf: a power cut can destroy the journal"
            found.append(broken(name, f"{key} is {settings.get(key)}", remedy))
    commit = settings.get("synchronous_commit", "")
    if commit in ("off", "local"):
        remedy = "Set synchronous_commit = on for the role: acknowledged entries may be lost"
        found.append(
            (broken if commit == "off" else warning)(name, f"synchronous_commit is {commit}", remedy)
        )
    if settings.get("wal_recycle") == "on":
        remedy = "Set wal_recycle = off, or see docs/journal.md, where erased users have to be gone at once"
        said = "wal_recycle is on: old log files keep what was erased until they are written over"
        found.append(warning(name, said, remedy))
    return found or [fine(name, "what it acknowledges lasts (fsync, full_page_writes, synchronous_commit)")]


def _same_stamp(one: State, other: State) -> bool:
    return np.array_equal(one.get("shop.fitted_as", np.empty(0)), other.get("shop.fitted_as", np.empty(0)))


class _Until:
    """A journal up to an offset, with no state saved, that only takes down what is to be saved."""

    def __init__(self, journal: Journal, offset: int) -> None:
        self._journal = journal
        self._offset = offset
        self.saved: State = {}

    def append(self, entries: Sequence[Entry]) -> int:
        """Nothing is written here."""
        raise JournalError("this journal is only looked at")

    def decision(self, decision_id: str) -> Decision:
        """As the journal has it."""
        return self._journal.decision(decision_id)

    def locate(self, decision_id: str) -> int:
        """As the journal has it."""
        return self._journal.locate(decision_id)

    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        """What comes no later than the offset."""
        found = self._journal.read(after, limit, decisions=decisions)
        return [record for record in found if record.offset <= self._offset]

    def end(self) -> int:
        """The offset."""
        return self._offset

    def counts(self) -> Counts:
        """As the journal has it."""
        return self._journal.counts()

    def save_state(self, offset: int, state: State) -> None:
        """Take it down."""
        self.saved = state

    def load_state(self) -> tuple[int, State] | None:
        """None: all is learned from the start."""
        return None

    def erase(self, user_id: str, *, kept: tuple[int, State] | None = None) -> Erasure:
        """Nothing is written here."""
        raise JournalError("this journal is only looked at")

    def drop(self, before: datetime, *, kept: tuple[int, State]) -> Counts:
        """Nothing is written here."""
        raise JournalError("this journal is only looked at")

    def close(self) -> None:
        """It is the caller's."""
