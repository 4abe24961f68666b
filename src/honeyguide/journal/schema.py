"""Opening the journal's file: settings, numbered migrations, and SQLite's errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from honeyguide.errors import InvalidInput, JournalError, JournalFull

APPLICATION_ID = 0x484F4E59  # "HONY": a file of another program is not taken for a journal

MIGRATIONS = (
    """
    CREATE TABLE entries (
        offset INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
        kind INTEGER NOT NULL,                     -- as in the codec
        id TEXT,                                   -- NULL, like the user and the body, where it was erased
        user_id TEXT,
        time_us INTEGER NOT NULL,
        body BLOB
    );
    CREATE UNIQUE INDEX entries_by_id ON entries (kind, id);
    CREATE INDEX entries_by_user ON entries (user_id);
    CREATE TABLE snapshot (one INTEGER PRIMARY KEY CHECK (one = 1), offset INTEGER NOT NULL, state BLOB NOT NULL);
    CREATE TABLE journal (erasures INTEGER NOT NULL, scrubbed INTEGER NOT NULL);
    INSERT INTO journal VALUES (0, 1);
    """,
)
"""MIGRATIONS[v] takes a file from user_version v to v + 1."""

_REMEDIES: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.BusyError, "another process is writing to it: wait or end that process, then try again"),
    (apsw.LockedError, "another process holds it: wait or end that process, then try again"),
    (apsw.FullError, "the disk is full: free some space, then try again"),
    (apsw.NotADBError, "it is not a journal: move it away, or restore the journal from a backup"),
    (apsw.CorruptError, "it is damaged: restore the journal from a backup"),
    (apsw.CantOpenError, "it cannot be opened: check that its folder is there and can be written to"),
    (apsw.ReadOnlyError, "it cannot be written to: check the permissions of the file and its folder"),
    (apsw.IOError, "the disk failed: check the disk and its free space, then open the journal again"),
    (apsw.TooBigError, "an entry or state is too big: keep it below 1 GB"),
    (apsw.ConnectionClosedError, "it was closed: open it again"),
)


def connect(path: Path, busy_timeout_s: float) -> apsw.Connection:
    """A connection to the journal at `path`, migrated to the present schema."""
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(round(busy_timeout_s * 1000))
        _refuse_strangers(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged entry survives a power cut
        connection.execute("PRAGMA secure_delete = ON")
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """JournalError with a remedy in place of whatever SQLite raises."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{error.object!a} is not valid Unicode text: send a valid id") from None
    except apsw.Error as error:
        remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), "nothing was changed")
        kind = JournalFull if isinstance(error, apsw.FullError) else JournalError
        raise kind(f"{path}: {remedy} ({type(error).__name__}: {error})") from error


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """All that is written inside, or none of it; other writers wait."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself where the disk failed
            connection.execute("ROLLBACK")
        raise


def rows(connection: apsw.Connection, query: str, *values: apsw.SQLiteValue) -> list[tuple[Any, ...]]:
    """Everything a query finds; nothing stays open that would hold the log."""
    return connection.execute(query, values).fetchall()


def _refuse_strangers(connection: apsw.Connection, path: Path) -> None:
    # one statement, so that it sees one moment of a file that another process is just making
    query = "SELECT application_id, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id"
    application, tables = rows(connection, query)[0]
    if tables and application != APPLICATION_ID:
        raise JournalError(f"{path}: this is another program's SQLite file. Choose another path")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    with transaction(connection):
        version = rows(connection, "PRAGMA user_version")[0][0]
        if version > len(MIGRATIONS):
            raise JournalError(
                f"{path}: schema {version} is newer than this Honeyguide knows ({len(MIGRATIONS)}). Upgrade it"
            )
        for script in MIGRATIONS[version:]:
            connection.execute(script)
        if version < len(MIGRATIONS):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
