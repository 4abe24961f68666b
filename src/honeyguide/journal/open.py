"""Which journal a place means: a URL is PostgreSQL's, anything else the path of an SQLite file."""

from __future__ import annotations

from pathlib import Path

from honeyguide.errors import MissingExtra
from honeyguide.journal.protocol import Journal
from honeyguide.journal.sqlite import SqliteJournal

SCHEMES = ("postgresql://", "postgres://")


def is_url(place: Path | str) -> bool:
    """Whether the place is a database's, not a file's."""
    return str(place).startswith(SCHEMES)


def open_journal(place: Path | str) -> Journal:
    """The journal at `place`, made where there is none; MissingExtra, JournalError."""
    if not is_url(place):
        return SqliteJournal(place)
    try:
        from honeyguide.journal.postgres import PostgresJournal
    except ImportError:
        raise MissingExtra("psycopg", "postgres") from None
    return PostgresJournal(str(place))
