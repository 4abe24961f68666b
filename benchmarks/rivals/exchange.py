"""The files that cross between Honeyguide and a rival: what a rival learns from, and what it answers.

Both sides import this module, each with its own Python, so it needs nothing but numpy and DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Columns = dict[str, npt.NDArray[Any]]

NOTHING = -1


class Malformed(ValueError):
    """A file that crossed is not what both sides agreed on."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Who acted on what, in order: three arrays of one length, sorted by user and by position within the user."""

    users: Rows
    items: Rows
    positions: Rows

    def histories(self) -> Histories:
        """Each user's items in order, repeats kept."""
        users, starts = np.unique(self.users, return_index=True)
        return Histories(users, np.append(starts, len(self.users)).astype(np.int64), self.items)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Sorted users; the items of user number i are items[starts[i]:starts[i + 1]]."""

    users: Rows
    starts: Rows
    items: Rows

    def __iter__(self) -> Iterator[Rows]:
        """The items of one user after the other."""
        for start, end in zip(self.starts[:-1], self.starts[1:], strict=True):
            yield self.items[start:end]

    def events(self) -> Events:
        """The same as events."""
        lengths = np.diff(self.starts)
        positions = np.arange(len(self.items)) - np.repeat(self.starts[:-1], lengths)
        return Events(np.repeat(self.users, lengths), self.items, positions)

    def of(self, users: Rows) -> Histories:
        """These users' histories, sorted by user; one who has none gets an empty one."""
        wanted = np.unique(users)
        known = dict(zip(self.users.tolist(), self, strict=True))
        found = [known.get(user, np.empty(0, np.int64)) for user in wanted.tolist()]
        starts = np.cumsum([0, *(len(items) for items in found)], dtype=np.int64)
        return Histories(wanted, starts, np.concatenate([np.empty(0, np.int64), *found]))


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The best items per user, best first: users (u,), items (u, k) with NOTHING (-1) where there were fewer."""

    users: Rows
    items: Rows
    scores: Floats


def write_events(path: Path, events: Events) -> None:
    """Columns user int64, item int64, position int32."""
    columns: Columns = {
        "user": events.users,
        "item": events.items,
        "position": events.positions.astype(np.int32),
    }
    _write(path, columns, '"user", position')


def read_events(path: Path) -> Events:
    """Sorted by user and position; raises Malformed where an item or a user is negative."""
    found = _read(path, 'SELECT "user"::BIGINT AS u, item::BIGINT AS i, position::BIGINT AS p', "u, p")
    events = Events(found["u"], found["i"], found["p"])
    if len(events.items) and min(events.items.min(), events.users.min()) < 0:
        raise Malformed(f"{path} has negative users or items: they are numbers from 0 on")
    return events


def write_users(path: Path, users: Rows) -> None:
    """One column, user int64."""
    _write(path, {"user": users}, '"user"')


def read_users(path: Path) -> Rows:
    """Sorted and distinct."""
    return np.unique(_read(path, 'SELECT "user"::BIGINT AS u', "u")["u"])


def write_targets(path: Path, users: Rows, items: Rows) -> None:
    """Columns user and item: the one item that was held out of each user's history."""
    _write(path, {"user": users, "item": items}, '"user"')


def read_targets(path: Path) -> tuple[Rows, Rows]:
    """(users, items), sorted by user; raises Malformed where a user has two."""
    found = _read(path, 'SELECT "user"::BIGINT AS u, item::BIGINT AS i', "u, i")
    if len(np.unique(found["u"])) < len(found["u"]):
        raise Malformed(f"{path} holds a user twice: one item is held out per user")
    return found["u"], found["i"]


def write_answer(path: Path, answer: Answer) -> None:
    """Columns user, rank (from 1), item, score; users without an answer have no row."""
    row, column = np.nonzero(answer.items != NOTHING)
    columns: Columns = {
        "user": answer.users[row],
        "rank": (column + 1).astype(np.int32),
        "item": answer.items[row, column],
        "score": answer.scores[row, column],
    }
    _write(path, columns, '"user", "rank"')


def read_answer(path: Path, asked: Rows, k: int) -> Answer:
    """One row per asked user, in the order asked; raises Malformed where ranks, items or scores are not in order."""
    found = _read(
        path, 'SELECT "user"::BIGINT AS u, "rank"::BIGINT AS r, item::BIGINT AS i, score::FLOAT AS s', "u, r"
    )
    order = np.argsort(asked)
    at = np.minimum(np.searchsorted(asked, found["u"], sorter=order), max(len(asked) - 1, 0))
    rows = order[at] if len(asked) else at
    if len(found["u"]) and not (len(asked) and np.array_equal(asked[rows], found["u"])):
        raise Malformed(f"{path} answers users who were not asked for")
    answer = Answer(
        asked, np.full((len(asked), k), NOTHING, np.int64), np.full((len(asked), k), -np.inf, np.float32)
    )
    _check_order(path, found, k)
    answer.items[rows, found["r"] - 1] = found["i"]
    answer.scores[rows, found["r"] - 1] = found["s"]
    return answer


def _check_order(path: Path, found: dict[str, Any], k: int) -> None:
    users, ranks, items, scores = (found[name] for name in "uris")
    first = np.append(True, users[1:] != users[:-1])[: len(users)]
    expected = np.where(first, 1, np.append(0, ranks[:-1])[: len(ranks)] + 1)
    if not np.array_equal(ranks, expected) or (len(ranks) and ranks.max() > k):
        raise Malformed(f"{path}: the ranks of each user are not 1, 2, 3 up to {k} at most")
    if not np.isfinite(scores).all() or (scores[1:] > scores[:-1])[~first[1:]].any():
        raise Malformed(f"{path}: a worse rank has a better score, or a score is not finite")
    if len(np.unique(np.stack([users, items]), axis=1).T) < len(users):
        raise Malformed(f"{path} gives one user the same item twice")


def _write(path: Path, columns: Columns, order: str) -> None:
    with duckdb.connect() as db:
        db.register("given", columns)
        db.execute(f"COPY (SELECT * FROM given ORDER BY {order}) TO '{_quoted(path)}' (FORMAT parquet)")


def _read(path: Path, select: str, order: str) -> dict[str, Any]:
    query = f"{select} FROM read_parquet('{_quoted(path)}') ORDER BY {order}"
    with duckdb.connect() as db:
        try:
            found = db.execute(query).fetchnumpy()
        except duckdb.Error as error:
            raise Malformed(f"{path} cannot be read as agreed: {error}") from error
    if any(np.ma.is_masked(column) for column in found.values()):
        raise Malformed(f"{path} has empty cells")
    return found


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("'", "''")
