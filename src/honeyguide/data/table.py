"""Events as columns: what training and evaluation compute on."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from honeyguide.data.catalog import Catalog
from honeyguide.data.columns import EVENTS
from honeyguide.data.database import (
    database,
    identifier,
    literal,
    replace_files,
    stored_table,
    write_parquet,
)
from honeyguide.errors import InvalidInput, NotReady, UnknownUser
from honeyguide.types import EVENT_KINDS, Event, Rows, check_utc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class EventTable:
    """Events in time order, those of one moment by their id.

    `users` are the user ids; `user` (n,) int32 rows into them, `item` (n,) int32 catalogue rows with -1 for none,
    `time_us` (n,) int64 epoch microseconds, `kind` (n,) int8 positions in EVENT_KINDS, `value` (n,) float32
    with NaN for none. `query` (n,) int32 rows into `queries`, the distinct searches, with -1 for none; None is none
    anywhere.
    """

    users: tuple[str, ...]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time_us: NDArray[np.int64]
    kind: NDArray[np.int8]
    value: NDArray[np.float32]
    query: NDArray[np.int32] | None = None
    queries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.user), len(self.item), len(self.time_us), len(self.kind), len(self.value)}
        if self.query is not None:
            lengths.add(len(self.query))
        if len(lengths) != 1:
            raise InvalidInput(f"all columns need one length, got {sorted(lengths)}")
        if (np.diff(self.time_us) < 0).any():
            raise InvalidInput("events must be in time order: sort them by time first")

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def version(self) -> str:
        """Equal content has an equal version."""
        digest = hashlib.sha256("\x00".join(self.users).encode())
        for column in (self.user, self.item, self.time_us, self.kind, self.value):
            digest.update(np.ascontiguousarray(column).data)
        if self.query is not None and self.queries:
            digest.update("\x00".join(self.queries).encode("utf-8", "surrogatepass"))
            digest.update(np.ascontiguousarray(self.query).data)
        return digest.hexdigest()[:12]

    @cached_property
    def by_user(self) -> Rows:
        """(n,): positions sorted by user, each user's in time order."""
        return np.argsort(self.user, kind="stable")

    @cached_property
    def starts(self) -> Rows:
        """(users + 1,): where each user's events begin in `by_user`."""
        counts = np.bincount(self.user, minlength=len(self.users))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def events_of(self, user: int) -> Rows:
        """The positions of one user's events, in time order."""
        if not 0 <= user < len(self.users):
            raise UnknownUser(f"user row must be in 0..{len(self.users) - 1}, got {user}")
        return self.by_user[self.starts[user] : self.starts[user + 1]]

    def between(self, since: datetime | None = None, until: datetime | None = None) -> EventTable:
        """The events at or after `since` and before `until`; user rows keep their meaning."""
        low = 0 if since is None else int(np.searchsorted(self.time_us, to_us(since), side="left"))
        high = len(self) if until is None else int(np.searchsorted(self.time_us, to_us(until), side="left"))
        return self.take(slice(low, max(low, high)))

    def take(self, chosen: slice | NDArray[np.bool_]) -> EventTable:
        """Some of the events, in the same order; user rows keep their meaning."""
        return replace(
            self,
            user=self.user[chosen],
            item=self.item[chosen],
            time_us=self.time_us[chosen],
            kind=self.kind[chosen],
            value=self.value[chosen],
            query=None if self.query is None else self.query[chosen],
        )


def begin_log(folder: Path) -> None:
    """Store a log of no events in `folder` where there is none."""
    path = folder / "events.parquet"
    if path.exists():
        return
    nothing = ", ".join(f"NULL::{kind} AS {identifier(column)}" for column, kind in EVENTS.items())
    with tempfile.TemporaryDirectory(prefix=".log-", dir=folder) as name, database() as db:
        write_parquet(db, f"SELECT {nothing} WHERE false", Path(name) / path.name)
        replace_files([(Path(name) / path.name, path)])


def load_events(
    path: Path, catalog: Catalog, *, since: datetime | None = None, until: datetime | None = None
) -> EventTable:
    """The stored events at or after `since` and before `until`; `users` are those who did something then.

    UnknownItem where an event's item is not in the catalogue.
    """
    _check_there(path)
    with database() as db:
        db.execute(f"""
            CREATE TABLE chosen AS
            SELECT event_id, user_id, item_id, epoch_us(time) AS time_us, kind, value, nullif(query, '') AS query
            FROM ({stored_table(db, path, EVENTS)}) WHERE {_between(since, until)}""")
        users = number_distinct(db, "user_id", "people")
        items = number_distinct(db, "item_id", "items")
        queries = number_distinct(db, "query", "searches")
        kinds = ", ".join(literal(kind) for kind in EVENT_KINDS)
        columns = db.execute(f"""
            SELECT people.row::INTEGER AS user, coalesce(items.row, -1)::INTEGER AS item, time_us,
                   (list_position([{kinds}], kind) - 1)::TINYINT AS kind,
                   coalesce(value, 'nan'::DOUBLE)::FLOAT AS value, coalesce(searches.row, -1)::INTEGER AS query
            FROM chosen JOIN people USING (user_id) LEFT JOIN items USING (item_id)
                        LEFT JOIN searches USING (query)
            ORDER BY time_us, event_id""").fetchnumpy()
    columns = {name: plain(column) for name, column in columns.items()}
    rows = np.append(catalog.rows(items), -1).astype(np.int32)  # the last one answers for -1, no item
    return EventTable(users=users, queries=queries, **{**columns, "item": rows[columns["item"]]})


def user_events(
    path: Path, user_id: str, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Event]:
    """One user's stored events as full records, in time order; none for a user never seen."""
    _check_there(path)
    with database() as db:
        rows = db.execute(f"""
            SELECT event_id, epoch_us(time), user_id, kind, item_id, query, value, session_id, decision_id, position
            FROM ({stored_table(db, path, EVENTS)}) WHERE user_id = {literal(user_id)} AND {_between(since, until)}
            ORDER BY time, event_id""").fetchall()
    for event_id, time_us, *rest in rows:
        yield Event(event_id, from_us(time_us), *rest)


def to_us(time: datetime) -> int:
    """An aware UTC moment as epoch microseconds, exactly."""
    return (check_utc(time) - _EPOCH) // timedelta(microseconds=1)


def from_us(time_us: int) -> datetime:
    """Epoch microseconds as an aware UTC moment, exactly."""
    return _EPOCH + timedelta(microseconds=time_us)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise NotReady(f"there is no {path} yet. Run: honeyguide import, then honeyguide fit")


def _between(since: datetime | None, until: datetime | None) -> str:
    bounds = ["true"]
    if since is not None:
        bounds.append(f"time >= make_timestamptz({to_us(since)})")
    if until is not None:
        bounds.append(f"time < make_timestamptz({to_us(until)})")
    return " AND ".join(bounds)


def number_distinct(
    db: duckdb.DuckDBPyConnection, column: str, name: str, *, of: str = "chosen"
) -> tuple[str, ...]:
    """Make the relation `name` of the distinct values of a column with their `row` in the tuple returned."""
    db.execute(f"""
        CREATE TABLE {name} AS SELECT {column}, row_number() OVER (ORDER BY {column}) - 1 AS row
        FROM (SELECT DISTINCT {column} FROM {of} WHERE {column} IS NOT NULL)""")
    return tuple(value for (value,) in db.execute(f"SELECT {column} FROM {name} ORDER BY row").fetchall())


def plain(column: NDArray[Any]) -> NDArray[Any]:
    """A column as DuckDB gives it as a plain array: it comes masked even where nothing is missing."""
    return np.ascontiguousarray(column.filled() if isinstance(column, np.ma.MaskedArray) else column)
