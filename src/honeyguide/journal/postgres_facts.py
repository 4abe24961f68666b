"""What a PostgreSQL server is set up to promise."""

from __future__ import annotations

from contextlib import closing

from honeyguide.journal.postgres_link import Link

_NAMES = ("fsync", "full_page_writes", "synchronous_commit", "wal_recycle", "server_version")


def durability(url: str, *, timeout_s: float = 10.0) -> dict[str, str]:
    """The settings that say whether what is acknowledged lasts, as they are for this role; JournalError."""
    with closing(Link(url, timeout_s=timeout_s)) as link:
        found = link.rows("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", list(_NAMES))
    return {str(name): str(setting) for name, setting in found}
