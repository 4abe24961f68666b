"""One connection to PostgreSQL that is made anew when it was lost, and its errors in words.

What can be done again without harm is done again by itself, once: all that broke before its commit was sent. Where
the answer to a commit is lost nobody knows whether it was stored; that is an error, and the caller sends it again.

Where no new connection can be made it is tried for beside the work, and all calls fail at once until there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from honeyguide.errors import InvalidInput, JournalAway, JournalError, JournalFull
from honeyguide.journal.postgres_schema import Connection, migrate
from honeyguide.journal.reconnect import Reconnect

T = TypeVar("T")

SCHEMA = "honeyguide"
"""The schema of a shop whose URL names none."""

_TICK_S = 0.1
_RECONNECT_S = 0.5
_REMEDIES: tuple[tuple[type[psycopg.Error], str], ...] = (
    (errors.LockNotAvailable, "another process holds it: wait or end that process, then try again"),
    (errors.DiskFull, "the server's disk is full: free some space, then try again"),
    (errors.OutOfMemory, "the server is out of memory: try again, or with fewer entries at once"),
    (errors.TooManyConnections, "the server has no connection left: raise max_connections"),
    (errors.InsufficientPrivilege, "the role may not do that: let it own the schema, or create schemas"),
    (errors.ReadOnlySqlTransaction, "the server only reads, as a standby does: name the primary"),
    (errors.QueryCanceled, "the server broke it off: raise the role's statement_timeout, then try again"),
    (errors.ProgramLimitExceeded, "an entry or state is too big: keep it below 1 GB"),
    (errors.IdleInTransactionSessionTimeout, "this process stood still in the middle of it: try again"),
    (errors.UndefinedTable, "its tables are gone: restore the journal from a backup"),
    (errors.DataCorrupted, "it is damaged: restore the journal from a backup"),
    (errors.IndexCorrupted, "it is damaged: restore the journal from a backup"),
)
_ENDED = (errors.AdminShutdown, errors.CrashShutdown, errors.IdleSessionTimeout)
_AWAY = "the server does not answer: check that it runs, and the host, user, password and database, then try again"


class Link:
    """The connection to the schema that `url` names; work of several threads takes turns.

    Waits up to `timeout_s` for a connection and for locks of other processes, and twice as long for any sign of the
    server. The password is in no message and in no `repr`.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        if timeout_s <= 0:
            raise InvalidInput(f"timeout_s must be above 0, got {timeout_s}")
        self._target, self._schema = _parsed(url)
        self._target.setdefault("connect_timeout", max(2, round(timeout_s)))  # libpq takes 1 for 2
        self._timeout_s = timeout_s
        self._lock = RLock()
        self._connection: Listening | None = None
        self._away: Reconnect[Listening] | None = None
        self._closed = False
        host, port, name = (self._target.get(key, "") for key in ("host", "port", "dbname"))
        self.where = f"postgresql://{host}{port and ':'}{port}/{name}?schema={self._schema}"

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Everything that one query finds."""
        return self._twice(lambda connection: rows(connection, query, *values))

    def transaction(self, work: Callable[[Listening], T]) -> T:
        """What `work` gives; all that it writes is durable on return, or none of it is written.

        Where `work` sets `silence_s` it counts until the end of the transaction.
        """

        def whole(connection: Listening) -> T:
            usual_s = connection.silence_s
            try:
                return self._committed(connection, work)
            finally:
                connection.silence_s = usual_s

        return self._twice(whole)

    def close(self) -> None:
        """Let go of the connection; it is not made again."""
        with self._lock:
            self._closed = True
            if self._away is not None:
                self._away.stop()
            if self._connection is not None:
                self._connection.close()

    def _twice(self, work: Callable[[Listening], T]) -> T:
        with self._lock, self._explained():
            connection = self._connected()
            try:
                return work(connection)
            except psycopg.OperationalError as error:
                if not (connection.closed or isinstance(error, _ENDED)):
                    raise
                connection.close()
            return work(self._connected())  # the server was restarted, or cut off, since it was last used

    def _committed(self, connection: Listening, work: Callable[[Listening], T]) -> T:
        connection.execute("BEGIN")
        try:
            done = work(connection)
        except BaseException:
            if not connection.closed:
                connection.execute("ROLLBACK")
            raise
        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            connection.close()
            raise JournalAway(
                f"{self.where}: the connection was lost in the commit, so it is not known whether it was stored "
                f"({_said(error)}). Send the same again: an id counts once"
            ) from None
        return done

    def _connected(self) -> Listening:
        if self._closed:
            raise JournalError(f"{self.where}: it was closed: open it again")
        if self._away is not None:
            self._connection = self._away.take()
            if self._connection is None:
                raise JournalAway(f"{self.where}: {_AWAY}")
            self._away = None
        if self._connection is None:
            self._connection = self._connect()
        elif self._connection.closed:
            self._connection = self._reconnect()
        return self._connection

    def _reconnect(self) -> Listening:
        try:
            return self._connect()
        except psycopg.OperationalError:
            self._away = Reconnect(self._connect, (psycopg.Error, JournalError), every_s=_RECONNECT_S)
            raise

    def _connect(self) -> Listening:
        connection = Listening.connect(**self._target, autocommit=True, row_factory=tuple_row)
        try:
            connection.silence_s = 2 * self._timeout_s
            wait_ms = str(max(1, round(self._timeout_s * 1000)))
            for name, value in (
                ("search_path", f'"{self._schema}"'),
                ("synchronous_commit", "on"),  # an acknowledged entry survives a power cut
                (
                    "default_transaction_isolation",
                    "read committed",
                ),  # a query after a lock sees what it waited for
                ("lock_timeout", wait_ms),
                (
                    "idle_in_transaction_session_timeout",
                    wait_ms,
                ),  # a machine that died must not hold the others up
            ):
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
            migrate(connection, self._schema, self.where)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), None)
            raised = JournalFull if isinstance(error, errors.DiskFull) else JournalError
            if remedy is None:
                away = isinstance(error, psycopg.OperationalError)
                raised, remedy = (JournalAway, _AWAY) if away else (JournalError, "nothing was changed")
            said = _said(error).replace(str(self._target.get("password") or "\0"), "***")
            # without the cause: nobody has looked whether a library's own error keeps the password to itself
            raise raised(f"{self.where}: {remedy} ({type(error).__name__}: {said})") from None


class Listening(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is given up when nothing is heard of the server for `silence_s` (None: waits)."""

    silence_s: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:  # noqa: ANN401 - psycopg's own
        """What `gen` comes to; OperationalError, and the connection is closed, where it hears nothing."""
        if self.silence_s is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_heard(gen, max(1, round(self.silence_s / _TICK_S))), interval=_TICK_S)
        except _Silence:
            self.close()
            raise psycopg.OperationalError(f"nothing was heard for {self.silence_s:g} s") from None


class _Silence(Exception):
    """So many ticks passed without a sign."""


def _heard(gen: Generator[Any, Any, T], ticks: int) -> Generator[Any, Any, T]:
    """The same generator, which raises _Silence when it was woken so many times in a row for nothing."""
    silent = 0
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            silent = 0 if ready else silent + 1
            if silent > ticks:
                raise _Silence
            wanted = gen.send(ready)
    except StopIteration as end:
        found: T = end.value
        return found


def rows(connection: Connection, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Everything a query finds; bytes come as they are, not as text."""
    return connection.execute(query.encode(), values, binary=True).fetchall()


def _said(error: psycopg.Error) -> str:
    """What is wrong, without details, which quote the data."""
    return error.diag.message_primary or str(error).partition("\n")[0]


def _parsed(url: str) -> tuple[dict[str, Any], str]:
    """What libpq is told, and the schema; the URL is quoted in no error, for it may hold a password."""
    unreadable = InvalidInput(
        "the journal's URL cannot be read: write postgresql://USER@HOST:PORT/DATABASE?schema=NAME, with what is "
        "special in a password percent-encoded (a / as %2F), or without it, in ~/.pgpass or PGPASSWORD"
    )
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        schema = options.pop("schema", SCHEMA)
        target = conninfo_to_dict(urlunsplit(parts._replace(query=urlencode(options, quote_via=quote))))
    except (ValueError, psycopg.Error):
        raise unreadable from None
    plain = "".join(str(target.get(key, "")) for key in ("host", "dbname", "user"))
    if "@" in plain or not re.fullmatch(r"[\d,]*", str(target.get("port", ""))):
        raise unreadable
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", schema):
        raise InvalidInput(f"schema must be small letters, digits and _ (not pg_...), got {schema!r}")
    return target, schema
