"""A journal that lives as long as the process: for evaluation, where a crash loses nothing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime
from threading import RLock
from typing import TypeAlias

from honeyguide.errors import InvalidInput, UnknownDecision
from honeyguide.journal.codec import decode_state, encode, encode_state
from honeyguide.journal.protocol import (
    Counts,
    Entry,
    Erased,
    Erasure,
    ItemChange,
    Record,
    check_feedback,
    check_limit,
    check_offset,
    id_of,
    subject_of,
)
from honeyguide.types import Decision, Event, State

_Key: TypeAlias = tuple[type[Entry], str]


class MemoryJournal:
    """The journal's contract but for durability; entries are kept as they are, not copied."""

    def __init__(self) -> None:
        self._records: list[Record] = []  # in the order of their offsets
        self._end = 0
        self._entries: dict[_Key, tuple[int, Entry]] = {}
        self._state: tuple[int, bytes] | None = None
        self._lock = RLock()  # threads write one after another; what they read is a copy

    def append(self, entries: Sequence[Entry]) -> int:
        """Store all of them or none; how many were new."""
        with self._lock:
            return self._append(entries)

    def _append(self, entries: Sequence[Entry]) -> int:
        new: dict[_Key, tuple[int, Entry]] = {}
        for entry in entries:
            key = (type(entry), id_of(entry))
            _, known = new.get(key) or self._entries.get(key) or (0, None)
            if known is None:
                self._check(entry, new)
                new[key] = (self.end() + len(new) + 1, entry)
            elif known is not entry and encode(known) != encode(entry):
                raise InvalidInput(f"{key[1]!r} is in the journal with another content: use a new id")
        self._entries.update(new)
        self._records.extend(Record(offset, entry) for offset, entry in new.values())
        self._end += len(new)
        return len(new)

    def decision(self, decision_id: str) -> Decision:
        """The decision of this id; UnknownDecision."""
        return self._find(decision_id, self._entries)[1]

    def locate(self, decision_id: str) -> int:
        """The offset of the decision of this id; UnknownDecision."""
        return self._find(decision_id, self._entries)[0]

    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        """The records with an offset above `after`, in order, at most `limit` of them (None: all)."""
        check_limit(after, limit)
        found = self._records[bisect_right(self._records, after, key=_offset) :]
        if not decisions:
            found = [record for record in found if not isinstance(record.entry, Decision)]
        return found[:limit]

    def end(self) -> int:
        """The last offset that was given out; 0 where nothing was ever appended."""
        return self._end

    def counts(self) -> Counts:
        """How many entries there are."""
        kinds = [kind for kind, _ in self._entries]
        erased = len(self._records) - len(kinds)
        return Counts(kinds.count(Decision), kinds.count(Event), erased, kinds.count(ItemChange))

    def save_state(self, offset: int, state: State) -> None:
        """Keep a learner's state and the offset it stands at."""
        check_offset(offset, self.end())
        self._state = (offset, encode_state(state))

    def load_state(self) -> tuple[int, State] | None:
        """The offset and state that were saved last."""
        return None if self._state is None else (self._state[0], decode_state(self._state[1]))

    def erase(self, user_id: str, *, kept: tuple[int, State] | None = None) -> Erasure:
        """Remove everything of a user, and the saved state; `kept` takes its place."""
        with self._lock:
            erasure = self._erase(user_id)
            if kept is not None:
                self.save_state(*kept)
            return erasure

    def drop(self, before: datetime, *, kept: tuple[int, State]) -> Counts:
        """Remove every entry of before that time, as far as the offset of `kept`, which stands for them."""
        with self._lock:
            old = [record for record in self._records if _is_old(record, before, kept[0])]
            if old:
                self.save_state(*kept)
            self._records = [record for record in self._records if not _is_old(record, before, kept[0])]
            sorts = [type(record.entry) for record in old]
            for record in old:
                if not isinstance(record.entry, Erased):
                    del self._entries[type(record.entry), id_of(record.entry)]
            return Counts(sorts.count(Decision), sorts.count(Event), sorts.count(Erased))

    def _erase(self, user_id: str) -> Erasure:
        gone = {key: place for key, place in self._entries.items() if subject_of(place[1]) == user_id}
        for key, (offset, entry) in gone.items():
            self._records[bisect_left(self._records, offset, key=_offset)] = Record(
                offset, Erased(entry.time)
            )
            del self._entries[key]
        if gone:
            self._state = None
        decisions = sum(kind is Decision for kind, _ in gone)
        return Erasure(decisions, len(gone) - decisions)

    def close(self) -> None:
        """Nothing to let go of."""

    def _check(self, entry: Entry, new: dict[_Key, tuple[int, Entry]]) -> None:
        if isinstance(entry, Event) and entry.decision_id is not None:
            where = new if (Decision, entry.decision_id) in new else self._entries
            check_feedback(entry, self._find(entry.decision_id, where)[1])

    @staticmethod
    def _find(decision_id: str, where: dict[_Key, tuple[int, Entry]]) -> tuple[int, Decision]:
        offset, entry = where.get((Decision, decision_id), (0, None))
        if not isinstance(entry, Decision):
            raise UnknownDecision(
                f"there is no decision {decision_id!r} in the journal: check the decision_id"
            )
        return offset, entry


def _offset(record: Record) -> int:
    return record.offset


def _is_old(record: Record, before: datetime, until: int) -> bool:
    dropped = not isinstance(record.entry, ItemChange)  # no state stands for those
    return dropped and record.offset <= until and record.entry.time < before
