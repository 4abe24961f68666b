"""The journal in one SQLite file: WAL, synchronous=FULL, and nothing left of who was erased.

Several processes may open the same file; writers take turns. A handle that was open while another process erased
a user or dropped what was old can neither read on nor save a state: what its reader holds may include what is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Any

import apsw

from honeyguide.errors import InvalidInput, JournalChanged, JournalError, UnknownDecision
from honeyguide.journal.codec import (
    DECISION,
    ERASED,
    EVENT,
    ITEM,
    decode,
    decode_state,
    encode,
    encode_state,
    from_us,
    kind_of,
    same_content,
    to_us,
)
from honeyguide.journal.protocol import (
    Counts,
    Entry,
    Erased,
    Erasure,
    Record,
    check_feedback,
    check_limit,
    check_offset,
    id_of,
    subject_of,
)
from honeyguide.journal.schema import connect, explained, rows, transaction
from honeyguide.types import Decision, Event, State


class SqliteJournal:
    """The journal at `path`, made where there is none; waits up to `busy_timeout_s` for other processes."""

    def __init__(self, path: Path | str, *, busy_timeout_s: float = 10.0) -> None:
        self.path = Path(path)
        self._lock = RLock()  # a transaction belongs to one thread at a time
        with explained(self.path):
            self._connection = connect(self.path, busy_timeout_s)
            self._erasures, scrubbed = self._rows("SELECT erasures, scrubbed FROM journal")[0]
            if not scrubbed:  # a crash came between an erasure and its clean-up
                self._scrub()

    def append(self, entries: Sequence[Entry]) -> int:
        """Store all of them or none; durable on return; how many were new."""
        blobs = [encode(entry) for entry in entries]
        with self._writing():
            return sum(self._insert(entry, blob) for entry, blob in zip(entries, blobs, strict=True))

    def decision(self, decision_id: str) -> Decision:
        """The decision of this id; UnknownDecision."""
        with self._guarded():
            entry = decode(self._place(decision_id)[1])
        if not isinstance(entry, Decision):
            raise JournalError(f"{self.path}: {decision_id!r} is damaged. Restore the journal from a backup")
        return entry

    def locate(self, decision_id: str) -> int:
        """The offset of the decision of this id; UnknownDecision."""
        with self._guarded():
            return self._place(decision_id)[0]

    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        """The records with an offset above `after`, in order, at most `limit` of them (None: all)."""
        check_limit(after, limit)
        which = "offset > ?" if decisions else f"offset > ? AND kind <> {DECISION}"
        query = f"SELECT offset, time_us, body FROM entries WHERE {which} ORDER BY offset LIMIT ?"
        with self._guarded():
            self._check_erasures()
            found = self._rows(query, after, -1 if limit is None else limit)
            return [
                Record(offset, Erased(from_us(time_us)) if body is None else decode(body))
                for offset, time_us, body in found
            ]

    def end(self) -> int:
        """The last offset that was given out; 0 where nothing was ever appended."""
        with self._guarded():
            return int(
                self._rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'entries'")[0][0]
            )

    def counts(self) -> Counts:
        """How many entries there are."""
        with self._guarded():
            query = "SELECT kind, count(*) FROM entries GROUP BY kind"
            found = dict(self._rows(query))
        return Counts(*(found.get(kind, 0) for kind in (DECISION, EVENT, ERASED, ITEM)))

    def save_state(self, offset: int, state: State) -> None:
        """Keep a learner's state and the offset it stands at, both or neither, in place of the last."""
        blob = encode_state(state)
        with self._writing():
            self._keep(offset, blob)

    def load_state(self) -> tuple[int, State] | None:
        """The offset and state that were saved last; None where there are none."""
        with self._guarded():
            found = self._rows("SELECT offset, state FROM snapshot")
            return (found[0][0], decode_state(found[0][1])) if found else None

    def erase(self, user_id: str, *, kept: tuple[int, State] | None = None) -> Erasure:
        """Remove everything of a user, and the saved state; `kept` takes its place. It rewrites the file.

        On return no byte of it is left in the database or its log. JournalError where another process reads on
        and keeps the log alive: erase again, which finishes the work.
        """
        blob = None if kept is None else encode_state(kept[1])
        with self._writing():
            query = "SELECT kind, count(*) FROM entries WHERE user_id = ? GROUP BY kind"
            found = dict(self._rows(query, user_id))
            changed = bool(found) or kept is not None
            if kept is not None and blob is not None:
                self._keep(kept[0], blob)
            if changed:
                self._remove(user_id, state=kept is None)
        with self._guarded():
            self._erasures += changed
            self._scrub()
        return Erasure(found.get(DECISION, 0), found.get(EVENT, 0))

    def drop(self, before: datetime, *, kept: tuple[int, State]) -> Counts:
        """Remove every entry of before that time, as far as the offset of `kept`, which stands for them.

        On return no byte of it is left, as after an erasure. The file is rewritten where there was any.
        """
        offset, blob = kept[0], encode_state(kept[1])
        with self._writing():
            which, values = "offset <= ? AND time_us < ? AND kind <> ?", (offset, to_us(before), ITEM)
            found = dict(
                self._rows(f"SELECT kind, count(*) FROM entries WHERE {which} GROUP BY kind", *values)
            )
            if found:
                self._keep(offset, blob)
                self._connection.execute(f"DELETE FROM entries WHERE {which}", values)
                self._mark()
        with self._guarded():
            self._erasures += bool(found)
            if not self._rows("SELECT scrubbed FROM journal")[0][0]:
                self._scrub()
        return Counts(found.get(DECISION, 0), found.get(EVENT, 0), found.get(ERASED, 0))

    def close(self) -> None:
        """Let go of the files."""
        with self._guarded():
            self._connection.close()

    def _insert(self, entry: Entry, blob: bytes) -> int:
        kind, name = kind_of(entry), id_of(entry)
        stored = self._rows("SELECT body FROM entries WHERE kind = ? AND id = ?", kind, name)
        if stored:
            if not same_content(stored[0][0], blob):
                raise InvalidInput(f"{name!r} is in the journal with another content: use a new id")
            return 0
        if isinstance(entry, Event) and entry.decision_id is not None:
            check_feedback(entry, self.decision(entry.decision_id))
        self._connection.execute(
            "INSERT INTO entries (kind, id, user_id, time_us, body) VALUES (?, ?, ?, ?, ?)",
            (kind, name, subject_of(entry), to_us(entry.time), blob),
        )
        return 1

    def _place(self, decision_id: str) -> tuple[int, bytes]:
        query = "SELECT offset, body FROM entries WHERE kind = ? AND id = ?"
        found = self._rows(query, DECISION, decision_id)
        if not found:
            raise UnknownDecision(
                f"there is no decision {decision_id!r} in the journal: check the decision_id"
            )
        return found[0][0], found[0][1]

    def _remove(self, user_id: str, *, state: bool = True) -> None:
        self._connection.execute(
            "UPDATE entries SET kind = ?, id = NULL, user_id = NULL, body = NULL WHERE user_id = ?",
            (ERASED, user_id),
        )
        if state:
            self._connection.execute("DELETE FROM snapshot")
        self._mark()

    def _keep(self, offset: int, blob: bytes) -> None:
        self._check_erasures()
        check_offset(offset, self.end())
        self._connection.execute(
            "REPLACE INTO snapshot (one, offset, state) VALUES (1, ?, ?)", (offset, blob)
        )

    def _mark(self) -> None:
        """Write down that something went: others are to notice, and traces of it may be left."""
        self._connection.execute("UPDATE journal SET erasures = erasures + 1, scrubbed = 0")

    def _scrub(self) -> None:
        """Rewrite the file: secure_delete alone leaves copies of cells that SQLite had moved between pages."""
        self._connection.execute("VACUUM")
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._connection.execute("UPDATE journal SET scrubbed = 1")

    def _check_erasures(self) -> None:
        if self._rows("SELECT erasures FROM journal")[0][0] != self._erasures:
            raise JournalChanged(
                f"{self.path}: another process erased a user or dropped what was old since this journal was opened. "
                "Open it again"
            )

    def _rows(self, query: str, *values: apsw.SQLiteValue) -> list[tuple[Any, ...]]:
        return rows(self._connection, query, *values)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock, explained(self.path):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._guarded(), transaction(self._connection):
            yield
