"""Files in a shop's own columns: the user says which canonical column each of them is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from honeyguide.data.columns import EVENTS, ITEMS, STORED, TABLES, Table
from honeyguide.data.database import identifier, literal
from honeyguide.data.reading import ROW
from honeyguide.data.sources.known import sources_named
from honeyguide.data.sources.layout import Layout, Source
from honeyguide.data.validate import REQUIRED
from honeyguide.errors import InvalidInput

_PAIR = re.compile(r"""\s*(\w+)\s*=\s*('(?:[^']|'')*'|"(?:[^"]|"")*"|[^\s,'"][^,]*?)\s*(,|$)""")
_SEARCHED: tuple[Table, ...] = ("events", "touches", "messages", "identities", "items", "users")
_LIKE_THIS = "item_id=Article,kind='view',user_id=_row"


@dataclass(frozen=True, slots=True)
class Mapped:
    """The format of files whose columns the user has named."""

    layouts: tuple[Layout, ...]
    name: str = "mapped"


def chosen(format: str | None, columns: str | None, table: str | None) -> Sequence[Source]:
    """The format that `columns` describes, the one called `format`, or all known ones where neither is given."""
    if columns is None:
        if table is not None:
            raise InvalidInput(
                f"--table {table} says what --columns describes: give --columns too, or leave it out"
            )
        return sources_named(format)
    if format is not None:
        raise InvalidInput(f"--format {format} and --columns exclude each other: leave one of them out")
    return (mapped(columns, table),)


def mapped(columns: str, table: str | None = None) -> Mapped:
    """The format of `columns`: pairs like `item_id=Article, kind='view'` of a canonical column and what fills it.

    That is a column of the file, a constant in single quotes, or `_row`, the row's number. A column of the file in
    double quotes may hold a comma. Events may name columns of items too: they then tell of the item by the way.
    """
    given = _pairs(columns)
    found = _table(given, table)
    sql, used = {}, []
    for column, value in given.items():
        sql[column], name = _read(value)
        used += [name] if name else []
    if not used:
        raise InvalidInput(f"{columns!r} names no column of the file: write it like {_LIKE_THIS}")
    items = {column: how for column, how in sql.items() if column in ITEMS}
    by_the_way = Layout("items", tuple(used), items, derived=True)
    layout = Layout(
        table=found,
        required=tuple(dict.fromkeys(used)),
        columns={column: how for column, how in sql.items() if column in STORED[found]},
        rest="attributes" in STORED[found] and "attributes" not in given,
        also=(by_the_way,) if not given.keys() <= STORED[found].keys() else (),
    )
    return Mapped((layout,))


def _pairs(columns: str) -> dict[str, str]:
    """What fills each canonical column, as it was written."""
    given: dict[str, str] = {}
    at = 0
    while at < len(columns):
        pair = _PAIR.match(columns, at)
        if pair is None or (pair[3] and pair.end() == len(columns)):
            raise InvalidInput(
                f"cannot read the columns from {columns[at:][:64]!r} on: write them like {_LIKE_THIS}"
            )
        name = pair[1].lower()
        _check_known(name)
        if name in given:
            raise InvalidInput(
                f"{name!r} is given twice, as {given[name]} and {pair[2]}: leave one of them out"
            )
        given[name] = pair[2]
        at = pair.end()
    return given


def _check_known(name: str) -> None:
    known = sorted({column for table in TABLES for column in STORED[table]})
    if name in known:
        return
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}?" if close else f"Choose from {', '.join(known)}"
    raise InvalidInput(f"there is no column {name!r} to fill. {hint}")


def _read(value: str) -> tuple[str, str | None]:
    """A value as SQL, and the column of the file that it is, if it is one."""
    if value.startswith("'"):
        return literal(value[1:-1].replace("''", "'")), None
    if value == ROW:
        return ROW, None
    name = " ".join((value[1:-1].replace('""', '"') if value.startswith('"') else value).split()).lower()
    return identifier(name), name


def _table(given: Mapping[str, str], named: str | None) -> Table:
    """The table whose columns these are, and of which the fewest are missing; InvalidInput where any is."""
    tables = [table for table in _SEARCHED if named in (None, table)]
    if not tables:
        raise InvalidInput(f"{named!r} is no table: choose one of {', '.join(TABLES)}")
    fitting = [table for table in tables if given.keys() <= _columns(table)]
    if not fitting:
        all_of = f"{named} have not" if named else "no table has"
        raise InvalidInput(
            f"{all_of} all of the columns {', '.join(given)}: import the file once for each table"
        )
    found = min(fitting, key=lambda table: len(_missing(table, given)))
    if missing := _missing(found, given):
        raise InvalidInput(
            f"{found} need {' and '.join(missing)} too: name a column of the file, or a constant in single quotes "
            "such as time='2026-11-23T10:00:00Z'"
        )
    return found


def _columns(table: Table) -> set[str]:
    return {*EVENTS, *ITEMS} if table == "events" else set(STORED[table])


def _missing(table: Table, given: Mapping[str, str]) -> list[str]:
    needed = [*REQUIRED[table], *(["item_id"] if not given.keys() <= STORED[table].keys() else [])]
    devices = table == "events" and "anonymous_id" in given
    return [column for column in needed if column not in given and not (column == "user_id" and devices)]
