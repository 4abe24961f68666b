"""The tables of a journal in PostgreSQL, and their numbered migrations."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from honeyguide.errors import JournalError

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

LOCK = 0x484F4E59  # "HONY": the first half of the advisory lock under which a schema is made or migrated

MIGRATIONS = (
    """
    CREATE TABLE entries (
        "offset" bigint PRIMARY KEY,  -- never used twice
        kind smallint NOT NULL,       -- as in the codec
        key bytea UNIQUE,             -- digest of kind and id; NULL, like the user and the body, where it was erased
        user_key bytea,               -- digest of the user's id
        time_us bigint NOT NULL,
        body bytea
    );
    CREATE INDEX entries_by_user ON entries (user_key);
    CREATE TABLE snapshot (one boolean PRIMARY KEY CHECK (one), "offset" bigint NOT NULL, state bytea NOT NULL);
    CREATE TABLE journal (last bigint NOT NULL, erasures bigint NOT NULL);
    INSERT INTO journal VALUES (0, 0);

    -- the planner's statistics are samples of what they are about, and would outlive an erasure
    ALTER TABLE entries ALTER key SET STATISTICS 0, ALTER user_key SET STATISTICS 0, ALTER body SET STATISTICS 0;
    ALTER TABLE snapshot ALTER state SET STATISTICS 0;
    -- as in the codec, nothing is compressed
    ALTER TABLE entries ALTER body SET STORAGE EXTERNAL;
    ALTER TABLE snapshot ALTER state SET STORAGE EXTERNAL;
    """,
)
"""MIGRATIONS[v] takes a schema from version v to v + 1."""


def migrate(connection: Connection, schema: str, where: str) -> None:
    """Bring the schema to the present version, or make it; processes that start at once take turns."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK, schema))
        version, tables = _found(connection, schema)
        if version is None and tables:
            raise JournalError(f"{where}: the schema holds another program's tables. Choose another schema")
        if version is not None and version > len(MIGRATIONS):
            raise JournalError(
                f"{where}: version {version} is newer than this Honeyguide knows ({len(MIGRATIONS)}). Upgrade it"
            )
        if version == len(MIGRATIONS):
            return
        if version is None:
            # asked first: IF NOT EXISTS needs the right to make schemas even where this one is there
            if not connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).rowcount:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            connection.execute("CREATE TABLE schema_version (version integer NOT NULL)")
            connection.execute("INSERT INTO schema_version VALUES (0)")
        for script in MIGRATIONS[version or 0 :]:
            connection.execute(sql.SQL(script))
        connection.execute("UPDATE schema_version SET version = %s", (len(MIGRATIONS),))


def _found(connection: Connection, schema: str) -> tuple[int | None, int]:
    """The schema's version, None where it has none, and how many tables it holds."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
    tables = {name for (name,) in connection.execute(query, (schema,))}
    if "schema_version" not in tables:
        return None, len(tables)
    found = connection.execute("SELECT version FROM schema_version").fetchone()
    return (None if found is None else int(found[0])), len(tables)
