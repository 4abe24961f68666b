"""The journal in one SQLite file: WAL, synchronous=FULL, and nothing left of who was erased.

Several processes may open the same file; writers take turns. A handle that was open while another process erased
a user can neither read on nor save a state: what its reader holds may include what was erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import apsw

from honeyguide.errors import InvalidInput, JournalError, UnknownDecision
from honeyguide.journal.codec import (
    DECISION,
    ERASED,
    EVENT,
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

    def read(self, after: int = 0, limit: int | None = None) -> list[Record]:
        """The records with an offset above `after`, in order, at most `limit` of them (None: all)."""
        check_limit(after, limit)
        query = "SELECT offset, time_us, body FROM entries WHERE offset > ? ORDER BY offset LIMIT ?"
        with self._guarded():
            self._check_erasures()
            found = self._rows(query, after, -1 if limit is None else limit)
            return [
                Record(offset, Erased(from_us(time_us)) if body is None else decode(body))
                for offset, time_us, body in found
            ]

    def end(self) -> int:
        """The last offset; 0 where nothing was ever appended."""
        with self._guarded():
            return int(self._rows("SELECT coalesce(max(offset), 0) FROM entries")[0][0])

    def counts(self) -> Counts:
        """How many entries there are."""
        with self._guarded():
            query = "SELECT kind, count(*) FROM entries GROUP BY kind"
            found = dict(self._rows(query))
        return Counts(found.get(DECISION, 0), found.get(EVENT, 0), found.get(ERASED, 0))

    def save_state(self, offset: int, state: State) -> None:
        """Keep a learner's state and the offset it stands at, both or neither, in place of the last."""
        blob = encode_state(state)
        with self._writing():
            self._check_erasures()
            check_offset(offset, self.end())
            self._connection.execute(
                "REPLACE INTO snapshot (one, offset, state) VALUES (1, ?, ?)", (offset, blob)
            )

    def load_state(self) -> tuple[int, State] | None:
        """The offset and state that were saved last; None where there are none, as after an erasure."""
        with self._guarded():
            found = self._rows("SELECT offset, state FROM snapshot")
            return (found[0][0], decode_state(found[0][1])) if found else None

    def erase(self, user_id: str) -> Erasure:
        """Remove everything of a user, and the saved state; rewrites the file, so it takes a while.

        On return no byte of it is left in the database or its log. JournalError where another process reads on
        and keeps the log alive: erase again, which finishes the work.
        """
        with self._writing():
            query = "SELECT kind, count(*) FROM entries WHERE user_id = ? GROUP BY kind"
            found = dict(self._rows(query, user_id))
            if found:
                self._remove(user_id)
        with self._guarded():
            self._erasures += bool(found)
            self._scrub()
        return Erasure(found.get(DECISION, 0), found.get(EVENT, 0))

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
            (kind, name, entry.user_id, to_us(entry.time), blob),
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

    def _remove(self, user_id: str) -> None:
        self._connection.execute(
            "UPDATE entries SET kind = ?, id = NULL, user_id = NULL, body = NULL WHERE user_id = ?",
            (ERASED, user_id),
        )
        self._connection.execute("DELETE FROM snapshot")
        self._connection.execute("UPDATE journal SET erasures = erasures + 1, scrubbed = 0")

    def _scrub(self) -> None:
        """Rewrite the file: secure_delete alone leaves copies of cells that SQLite had moved between pages."""
        self._connection.execute("VACUUM")
        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._connection.execute("UPDATE journal SET scrubbed = 1")

    def _check_erasures(self) -> None:
        if self._rows("SELECT erasures FROM journal")[0][0] != self._erasures:
            raise JournalError(
                f"{self.path}: another process erased a user since this journal was opened. "
                "Open it again and learn from its start"
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
