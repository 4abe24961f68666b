"""The journal in a PostgreSQL database: for several servers, each with a connection of its own.

Whoever appends holds the one row of `journal` until the commit, and counts its `last` up. So offsets have no gaps and
rise in the order of the commits, and who reads on from an offset misses nothing. A sequence would not do: of two
transactions the one that drew the lower number may commit later, and a reader who is past it never sees it.

A connection that was lost is made anew by the next call. A handle that was open while another process erased a user
or dropped what was old can neither read on nor save a state: what its reader holds may include what is gone.

An erasure rewrites the table, so its files hold no trace of the user. The server's write-ahead log does until it is
overwritten, and so do archives, replicas and backups: docs/journal.md says how to see to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

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
from honeyguide.journal.postgres_link import Link, Listening, rows
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
from honeyguide.types import Decision, Event, State


class PostgresJournal:
    """The journal at `url`, postgresql://USER@HOST/DATABASE?schema=SHOP, made where there is none.

    Each shop has a schema of its own, `honeyguide` where none is named. Waits up to `timeout_s` for the server and
    for other processes. JournalError where it does not answer; a later call connects again.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._link = Link(url, timeout_s=timeout_s)
        self._erasures = self._erased_so_far()

    def append(self, entries: Sequence[Entry]) -> int:
        """Store all of them or none; durable on return; how many were new.

        JournalError where the connection was lost in the commit, too: then append the same again, ids count once.
        """
        # before the transaction, which keeps the others waiting
        keyed = [(_digest(kind_of(entry), id_of(entry)), entry, encode(entry)) for entry in entries]
        return self._link.transaction(lambda connection: _append(connection, keyed)) if keyed else 0

    def decision(self, decision_id: str) -> Decision:
        """The decision of this id; UnknownDecision."""
        return _as_decision(self._place(decision_id)[1], self._link.where)

    def locate(self, decision_id: str) -> int:
        """The offset of the decision of this id; UnknownDecision."""
        return self._place(decision_id)[0]

    def read(self, after: int = 0, limit: int | None = None, *, decisions: bool = True) -> list[Record]:
        """The records with an offset above `after`, in order, at most `limit` of them (None: all)."""
        check_limit(after, limit)
        which = '"offset" > %s' if decisions else f'"offset" > %s AND kind <> {DECISION}'
        query = f'SELECT "offset", time_us, body FROM entries WHERE {which} ORDER BY "offset" LIMIT %s'
        found = self._link.rows(query, after, limit)
        self._check_erasures(self._erased_so_far())  # after reading: what it read was not erased then
        return [
            Record(offset, Erased(from_us(time_us)) if body is None else decode(body))
            for offset, time_us, body in found
        ]

    def end(self) -> int:
        """The last offset that was given out; 0 where nothing was ever appended."""
        return int(self._link.rows("SELECT last FROM journal")[0][0])

    def counts(self) -> Counts:
        """How many entries there are."""
        found = self._link.transaction(_count)
        return Counts(*(found.get(kind, 0) for kind in (DECISION, EVENT, ERASED, ITEM)))

    def save_state(self, offset: int, state: State) -> None:
        """Keep a learner's state and the offset it stands at, both or neither, in place of the last."""
        blob = encode_state(state)

        def save(connection: Listening) -> None:
            # such a lock lets appends go on, and holds off an erasure
            last, erasures = rows(connection, "SELECT last, erasures FROM journal FOR KEY SHARE")[0]
            self._check_erasures(erasures)
            check_offset(offset, last)
            _keep(connection, offset, blob)

        self._link.transaction(save)

    def load_state(self) -> tuple[int, State] | None:
        """The offset and state that were saved last; None where there are none."""
        found = self._link.rows('SELECT "offset", state FROM snapshot')
        return (found[0][0], decode_state(found[0][1])) if found else None

    def erase(self, user_id: str, *, kept: tuple[int, State] | None = None) -> Erasure:
        """Remove everything of a user, and the saved state; `kept` takes its place. It rewrites the table.

        On return no byte of it is left in the database's tables; the write-ahead log keeps it for a while.
        """
        gone = (
            "UPDATE entries SET kind = %s, key = NULL, user_key = NULL, body = NULL WHERE user_key = %s",
            (ERASED, _digest(0, user_id)),
        )
        found = self._remove("user_key = %s", (_digest(0, user_id),), gone, kept, anyway=kept is not None)
        return Erasure(found.get(DECISION, 0), found.get(EVENT, 0))

    def drop(self, before: datetime, *, kept: tuple[int, State]) -> Counts:
        """Remove every entry of before that time, as far as the offset of `kept`, which stands for them.

        On return no byte of it is left in the database's tables, as after an erasure.
        """
        old, values = '"offset" <= %s AND time_us < %s AND kind <> %s', (kept[0], to_us(before), ITEM)
        found = self._remove(old, values, (f"DELETE FROM entries WHERE {old}", values), kept)
        return Counts(found.get(DECISION, 0), found.get(EVENT, 0), found.get(ERASED, 0))

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    def _place(self, decision_id: str) -> tuple[int, bytes]:
        query = 'SELECT "offset", body FROM entries WHERE key = %s'
        found = self._link.rows(query, _digest(DECISION, decision_id))
        if not found:
            raise _unknown(decision_id)
        return found[0][0], found[0][1]

    def _remove(
        self,
        which: str,
        values: tuple[object, ...],
        gone: tuple[str, tuple[object, ...]],
        kept: tuple[int, State] | None,
        *,
        anyway: bool = False,
    ) -> dict[int, int]:
        """What of each kind `which` finds, after `gone` was done to it, where there was any or `anyway`."""
        blob = None if kept is None else encode_state(kept[1])

        def remove(connection: Listening) -> dict[int, int]:
            last, erasures = rows(connection, "SELECT last, erasures FROM journal FOR UPDATE")[0]
            connection.silence_s = None  # a large table takes its time
            query = f"SELECT kind, count(*) FROM entries WHERE {which} GROUP BY kind"
            found = dict(rows(connection, query, *values))
            if found or anyway:
                _rewrite(connection, *gone)
            if kept is not None and blob is not None and (found or anyway):
                self._check_erasures(erasures)
                check_offset(kept[0], last)
                _keep(connection, kept[0], blob)
            return found

        found = self._link.transaction(remove)
        self._erasures += bool(found) or anyway
        return found

    def _erased_so_far(self) -> int:
        return int(self._link.rows("SELECT erasures FROM journal")[0][0])

    def _check_erasures(self, erasures: int) -> None:
        if erasures != self._erasures:
            raise JournalChanged(
                f"{self._link.where}: another process erased a user or dropped what was old since this journal was "
                "opened. Open it again"
            )


def _append(connection: Listening, keyed: Sequence[tuple[bytes, Entry, bytes]]) -> int:
    last = int(rows(connection, "SELECT last FROM journal FOR NO KEY UPDATE")[0][0])
    shown = {
        _digest(DECISION, entry.decision_id)
        for _, entry, _ in keyed
        if isinstance(entry, Event) and entry.decision_id is not None
    }
    query = "SELECT key, body FROM entries WHERE key = ANY(%s)"
    known: dict[bytes, bytes] = dict(rows(connection, query, list(shown.union(key for key, _, _ in keyed))))
    new: list[tuple[object, ...]] = []
    for key, entry, blob in keyed:
        if key in known:
            if not same_content(known[key], blob):
                raise InvalidInput(f"{id_of(entry)!r} is in the journal with another content: use a new id")
            continue
        if isinstance(entry, Event) and entry.decision_id is not None:
            check_feedback(entry, _shown(entry.decision_id, known))
        known[key] = blob
        user = subject_of(entry)
        user_key = None if user is None else _digest(0, user)
        new.append((last + len(new) + 1, kind_of(entry), key, user_key, to_us(entry.time), blob))
    if new:
        _insert(connection, new)
    return len(new)


def _insert(connection: Listening, new: Sequence[tuple[object, ...]]) -> None:
    columns = [list(column) for column in zip(*new, strict=True)]
    connection.execute(
        "INSERT INTO entries SELECT * FROM unnest"
        "(%b::bigint[], %b::smallint[], %b::bytea[], %b::bytea[], %b::bigint[], %b::bytea[])",
        columns,
    )
    connection.execute("UPDATE journal SET last = %s", (new[-1][0],))


def _count(connection: Listening) -> dict[int, int]:
    connection.silence_s = None  # it is counted for as long as it takes
    return dict(rows(connection, "SELECT kind, count(*) FROM entries GROUP BY kind"))


def _keep(connection: Listening, offset: int, blob: bytes) -> None:
    connection.execute(
        'INSERT INTO snapshot VALUES (true, %s, %s) ON CONFLICT (one) DO UPDATE SET "offset" = '
        "excluded.offset, state = excluded.state",
        (offset, blob),
    )


def _rewrite(connection: Listening, gone: str, values: tuple[object, ...]) -> None:
    """Do what `gone` says to the entries, and leave nothing of what it took, nor the saved state."""
    connection.execute("LOCK TABLE entries IN ACCESS EXCLUSIVE MODE")
    connection.execute(gone.encode(), values)
    # rewrites the table and its indexes from the rows that count. VACUUM FULL cannot be part of a
    # transaction, and copies along what any older transaction in the database could still see
    connection.execute("ALTER TABLE entries ALTER time_us TYPE bigint USING time_us + 0")
    connection.execute("TRUNCATE snapshot")
    connection.execute("UPDATE journal SET erasures = erasures + 1")


def _digest(kind: int, name: str) -> bytes:
    """32 bytes that stand for an id (for a user's, kind 0), whatever its length, characters, and the collation."""
    try:
        return sha256(bytes([kind]) + name.encode()).digest()
    except UnicodeEncodeError:
        raise InvalidInput(f"{name!a} is not valid Unicode text: send a valid id") from None


def _shown(decision_id: str, known: dict[bytes, bytes]) -> Decision:
    blob = known.get(_digest(DECISION, decision_id))
    if blob is None:
        raise _unknown(decision_id)
    return _as_decision(blob, "an entry")


def _as_decision(blob: bytes, where: str) -> Decision:
    entry = decode(blob)
    if not isinstance(entry, Decision):
        raise JournalError(f"{where}: a decision is damaged. Restore the journal from a backup")
    return entry


def _unknown(decision_id: str) -> UnknownDecision:
    return UnknownDecision(f"there is no decision {decision_id!r} in the journal: check the decision_id")
