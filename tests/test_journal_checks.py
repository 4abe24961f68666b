"""Every journal keeps every law, and each deliberately broken journal is caught by the law that it breaks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from honeyguide.checks import journal as laws
from honeyguide.checks.journal import CHECKS_JOURNAL, JournalCheck, MakeJournal
from honeyguide.checks.journal_age import (
    check_dropping_keeps_what_was_learned,
    check_what_is_dropped_leaves_nothing,
)
from honeyguide.checks.journal_at_once import check_a_batch_sent_again_meanwhile, check_appenders_at_once
from honeyguide.checks.policy import LawBroken
from honeyguide.errors import HoneyguideError, InvalidInput
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Counts, Entry, Erased, Erasure, Record, id_of
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.types import Decision, Event, State

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

Kept: TypeAlias = tuple[int, State]


def in_memory() -> MakeJournal:
    journal = MemoryJournal()
    return lambda: journal


def name_of(value: Any) -> str:
    return getattr(value, "__name__", str(value))


@pytest.mark.parametrize("check", CHECKS_JOURNAL, ids=name_of)
def test_memory_journal(check: JournalCheck) -> None:
    check(in_memory())


@pytest.mark.parametrize("check", CHECKS_JOURNAL, ids=name_of)
def test_sqlite_journal(check: JournalCheck, tmp_path: Path) -> None:
    check(lambda: SqliteJournal(tmp_path / "journal.db"))


@pytest.mark.parametrize("check", CHECKS_JOURNAL, ids=name_of)
def test_postgres_journal(check: JournalCheck, postgres: "PostgresServer") -> None:
    url = postgres.url()
    check(lambda: open_journal(url))


def test_check_journal_runs_every_law_in_a_place_of_its_own() -> None:
    laws.check_journal(in_memory)


class LosesLastAppend(MemoryJournal):
    def close(self) -> None:
        if self._records:
            entry: Any = self._records.pop().entry
            self._entries.pop((type(entry), id_of(entry)))


class AppliesDuplicatesTwice(MemoryJournal):
    def append(self, entries: Sequence[Entry]) -> int:
        super().append(entries)
        known = len(self._records)
        self._records.extend(Record(known + i + 1, entry) for i, entry in enumerate(entries[1:]))
        return len(entries)


class CountsDuplicates(MemoryJournal):
    def append(self, entries: Sequence[Entry]) -> int:
        super().append(entries)
        return len(entries)


class AcceptsOtherContent(MemoryJournal):
    def append(self, entries: Sequence[Entry]) -> int:
        try:
            return super().append(entries)
        except InvalidInput as error:
            if "another content" in str(error):
                return 0
            raise


class KeepsPartOfABatch(MemoryJournal):
    def append(self, entries: Sequence[Entry]) -> int:
        return sum(super(KeepsPartOfABatch, self).append([entry]) for entry in entries)


class ReadsBackwards(MemoryJournal):
    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        return super().read(after, limit, decisions=decisions)[::-1]


class IgnoresTheLimit(MemoryJournal):
    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        super().read(after, limit)
        return super().read(after, decisions=decisions)


class RepeatsTheLastRecord(MemoryJournal):
    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        return super().read(max(after - 1, 0), limit, decisions=decisions) if after < self.end() else []


class AlwaysReadsDecisions(MemoryJournal):
    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        return super().read(after, limit)


class HalfPropensities(MemoryJournal):
    def decision(self, decision_id: str) -> Decision:
        found = super().decision(decision_id)
        rough = found.propensities.astype(np.float16).astype(np.float64)
        return replace(found, propensities=rough)


class AcceptsOrphans(MemoryJournal):
    def _check(self, entry: Entry, new: Any) -> None:
        pass


class AcceptsAnyFeedback(MemoryJournal):
    def _check(self, entry: Entry, new: Any) -> None:
        if isinstance(entry, Event) and entry.decision_id and (Decision, entry.decision_id) not in new:
            self.decision(entry.decision_id)


class InventsDecisions(MemoryJournal):
    def decision(self, decision_id: str) -> Decision:
        try:
            return super().decision(decision_id)
        except HoneyguideError:
            return laws.sample_decision(0)


class StateWithoutOffset(MemoryJournal):
    def load_state(self) -> tuple[int, State] | None:
        stored = super().load_state()
        return None if stored is None else (self.end(), stored[1])


class KeepsTheFirstState(MemoryJournal):
    def save_state(self, offset: int, state: State) -> None:
        kept = self._state
        super().save_state(offset, state)
        self._state = kept or self._state


class StateInSinglePrecision(MemoryJournal):
    def save_state(self, offset: int, state: State) -> None:
        super().save_state(offset, {key: array.astype(np.float32) for key, array in state.items()})


class StateBeyondTheEnd(MemoryJournal):
    def save_state(self, offset: int, state: State) -> None:
        super().save_state(max(min(offset, self.end()), 0), state)


class EraseKeepsEvents(MemoryJournal):
    def erase(self, user_id: str, *, kept: Kept | None = None) -> Erasure:
        events = {place[0]: place[1] for key, place in self._entries.items() if key[0] is Event}
        receipt = super().erase(user_id, kept=kept)
        for offset, entry in events.items():
            self._records[offset - 1] = Record(offset, entry)
        return receipt


class EraseKeepsTheState(MemoryJournal):
    def erase(self, user_id: str, *, kept: Kept | None = None) -> Erasure:
        state = self._state
        receipt = super().erase(user_id, kept=kept)
        self._state = state
        return receipt


class EraseMovesOffsets(MemoryJournal):
    def erase(self, user_id: str, *, kept: Kept | None = None) -> Erasure:
        receipt = super().erase(user_id, kept=kept)
        left = [record.entry for record in self._records if not isinstance(record.entry, Erased)]
        self._records = [Record(i + 1, entry) for i, entry in enumerate(left)]
        self._entries = {(type(entry), id_of(entry)): (i + 1, entry) for i, entry in enumerate(left)}
        return receipt


class MiscountsErased(MemoryJournal):
    def erase(self, user_id: str, *, kept: Kept | None = None) -> Erasure:
        super().erase(user_id, kept=kept)
        return Erasure(0, 0)


class CountsOffsets(MemoryJournal):
    def counts(self) -> Counts:
        return Counts(self.end(), 0, 0)


class MislaysDecisions(MemoryJournal):
    def locate(self, decision_id: str) -> int:
        return super().locate(decision_id) + 1


class ShowsSomeLater(MemoryJournal):
    """As where offsets come from a sequence: who committed first may have drawn the higher number."""

    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        found, end = super().read(after, limit, decisions=decisions), self.end()
        return [record for record in found if record.offset % 4 or record.offset + 4 <= end]


class DropsBeyondItsState(MemoryJournal):
    def drop(self, before: datetime, *, kept: Kept) -> Counts:
        return super().drop(before, kept=(self.end(), kept[1]))


class DropsWithoutItsState(MemoryJournal):
    def drop(self, before: datetime, *, kept: Kept) -> Counts:
        before_that = self._state
        dropped = super().drop(before, kept=kept)
        self._state = before_that
        return dropped


class GivesDroppedOffsetsAgain(MemoryJournal):
    def drop(self, before: datetime, *, kept: Kept) -> Counts:
        dropped = super().drop(before, kept=kept)
        self._end = max((record.offset for record in self._records), default=0)
        return dropped


BROKEN: tuple[tuple[Callable[[], MemoryJournal], JournalCheck], ...] = (
    (LosesLastAppend, laws.check_acknowledged_entries_stay),
    (AppliesDuplicatesTwice, laws.check_an_id_counts_once),
    (CountsDuplicates, laws.check_an_id_counts_once),
    (AcceptsOtherContent, laws.check_another_content_is_refused),
    (KeepsPartOfABatch, laws.check_append_is_all_or_nothing),
    (ReadsBackwards, laws.check_order),
    (ReadsBackwards, laws.check_replay_is_live),
    (IgnoresTheLimit, laws.check_order),
    (RepeatsTheLastRecord, laws.check_order),
    (HalfPropensities, laws.check_what_is_read_is_what_was_appended),
    (AcceptsOrphans, laws.check_feedback_needs_its_decision),
    (AcceptsAnyFeedback, laws.check_feedback_needs_its_decision),
    (InventsDecisions, laws.check_unknown_decision),
    (MislaysDecisions, laws.check_unknown_decision),
    (StateWithoutOffset, laws.check_state_is_kept_with_its_offset),
    (StateWithoutOffset, laws.check_replay_is_live),
    (KeepsTheFirstState, laws.check_state_is_kept_with_its_offset),
    (StateInSinglePrecision, laws.check_state_is_kept_with_its_offset),
    (StateBeyondTheEnd, laws.check_state_is_kept_with_its_offset),
    (EraseKeepsEvents, laws.check_erase_leaves_nothing),
    (EraseKeepsTheState, laws.check_erase_leaves_nothing),
    (EraseMovesOffsets, laws.check_erase_leaves_nothing),
    (MiscountsErased, laws.check_erase_leaves_nothing),
    (CountsOffsets, laws.check_counts),
    (DropsBeyondItsState, check_what_is_dropped_leaves_nothing),
    (GivesDroppedOffsetsAgain, check_what_is_dropped_leaves_nothing),
    (DropsWithoutItsState, check_dropping_keeps_what_was_learned),
    (ShowsSomeLater, check_appenders_at_once),
    (CountsDuplicates, check_a_batch_sent_again_meanwhile),
)


@pytest.mark.parametrize(("broken", "check"), BROKEN, ids=name_of)
def test_each_law_can_be_broken(broken: Callable[[], MemoryJournal], check: JournalCheck) -> None:
    journal = broken()
    with pytest.raises((LawBroken, HoneyguideError)):
        check(lambda: journal)


def test_every_law_has_a_journal_that_breaks_it() -> None:
    assert {check for _, check in BROKEN} == set(CHECKS_JOURNAL)
