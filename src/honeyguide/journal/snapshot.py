"""A copy of a journal as it stood at one moment, in one SQLite file, made while others go on writing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw

from honeyguide.errors import JournalError
from honeyguide.journal.codec import ERASED, encode, encode_state, kind_of, to_us
from honeyguide.journal.open import is_url, open_journal
from honeyguide.journal.protocol import Erased, Journal, Record, id_of, subject_of
from honeyguide.journal.schema import connect, explained, rows, transaction
from honeyguide.journal.sqlite import SqliteJournal

_BATCH = 500  # records at once: about 7 MB of decisions
_WAIT_S = 10.0


def snapshot(place: Path | str, target: Path) -> None:
    """Write to `target`, a new file, what the journal at `place` holds now: entries, offsets, the saved state.

    Of a journal in a database the entries are read through the journal's protocol. JournalError where the copy is
    not sound, so that a damaged journal is not taken for a backup.
    """
    if is_url(place):
        with closing(open_journal(place)) as journal:
            _copy(journal, target)
    else:
        _copy_file(Path(place), target)
    with explained(target), closing(connect(target, _WAIT_S)) as made:
        made.execute("PRAGMA journal_mode = DELETE")  # one file, and no log beside it
    check_sound(target)


def check_sound(path: Path) -> None:
    """JournalError where SQLite finds the file at `path` damaged."""
    with explained(path), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as opened:
        said = rows(opened, "PRAGMA integrity_check(1)")[0][0]
    if said != "ok":
        raise JournalError(f"{path}: it is damaged: restore the journal from a backup ({said})")


def in_use(path: Path) -> bool:
    """Whether a process has the journal's file open."""
    with explained(path), closing(apsw.Connection(str(path))) as opened:
        opened.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            opened.execute("BEGIN EXCLUSIVE")
        except apsw.BusyError:
            return True
        opened.execute("ROLLBACK")
    return False


def _copy_file(source: Path, target: Path) -> None:
    with (
        explained(source),
        closing(connect(source, _WAIT_S)) as reading,
        closing(apsw.Connection(str(target))) as made,
    ):
        reading.execute("BEGIN")
        rows(
            reading, "SELECT count(*) FROM journal"
        )  # from here on it reads what stood then: others may append
        with made.backup("main", reading, "main") as copying:
            copying.step()
        reading.execute("COMMIT")


def _copy(journal: Journal, target: Path) -> None:
    """Entries at their own offsets, and of who was erased the times: a journal's `append` could keep neither."""
    with closing(SqliteJournal(target)):
        pass  # made, with its tables
    stored = journal.load_state()
    with explained(target), closing(connect(target, _WAIT_S)) as made, transaction(made):
        after = 0
        while records := journal.read(after, _BATCH):
            made.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", map(_row, records))
            after = records[-1].offset
        if stored is not None:
            made.execute("INSERT INTO snapshot VALUES (1, ?, ?)", (stored[0], encode_state(stored[1])))


def _row(record: Record) -> tuple[apsw.SQLiteValue, ...]:
    entry = record.entry
    if isinstance(entry, Erased):
        return record.offset, ERASED, None, None, to_us(entry.time), None
    place = (record.offset, kind_of(entry), id_of(entry), subject_of(entry))
    return *place, to_us(entry.time), encode(entry)
