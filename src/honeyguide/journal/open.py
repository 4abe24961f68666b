"""Which journal a place means: a URL is PostgreSQL's, anything else the path of an SQLite file."""

from __future__ import annotations

from pathlib import Path

from honeyguide.errors import InvalidInput, MissingExtra
from honeyguide.journal.protocol import Journal
from honeyguide.journal.sqlite import SqliteJournal

SCHEMES = ("postgresql", "postgres")


def is_url(place: Path | str) -> bool:
    """Whether the place is a database's, not a file's."""
    return isinstance(place, str) and "://" in place


def open_journal(place: Path | str) -> Journal:
    """The journal at `place`, made where there is none; InvalidInput, MissingExtra, JournalError."""
    if not is_url(place):
        return SqliteJournal(place)
    scheme = str(place).partition("://")[0]
    if scheme not in SCHEMES:
        raise InvalidInput(
            f"there is no journal behind {scheme}://: take postgresql://, or the path of a file"
        )
    try:
        from honeyguide.journal.postgres import PostgresJournal
    except ImportError:
        raise MissingExtra("psycopg", "postgres") from None
    return PostgresJournal(str(place))
