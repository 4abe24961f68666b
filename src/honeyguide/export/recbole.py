"""RecBole's atomic files: NAME.inter, NAME.item and NAME.user in a folder NAME.

Tab-separated with typed headers and without quotes, so a tab or a line break inside a text becomes a space, and a
double quote, which RecBole's reader would take for the start of a quoted field, a single one. A `token_seq` is split
at spaces: titles are read word by word, and of a category path each name is one token. An id cannot be rewritten
without taking two for one: rows with such an id are left out.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from honeyguide.data.database import database, identifier, number
from honeyguide.export.exporter import ExportReport, FileCount, Needs, Source, left_out
from honeyguide.export.tables import AGREED, REFUSED, TSV_UNQUOTED, attribute, attribute_keys, copy
from honeyguide.types import Progress


class Recbole:
    """What users did with items, the items, and the users where anything is known of them."""

    name = "recbole"
    needs: Needs = "events"
    folder = True

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        """The files are named after the folder, as RecBole asks."""
        queries = {"item": _ITEMS, "inter": _INTERACTIONS}
        with database(target.parent) as db:
            source.tables.attach(db)
            if source.tables.has_users:
                queries["user"] = _users(db)
            files = []
            for done, (suffix, query) in enumerate(queries.items(), start=1):
                file = f"{target.name}.{suffix}"
                files.append(FileCount(file, copy(db, query, target / file, TSV_UNQUOTED)))
                progress(done, len(queries))
            missing = left_out(
                (_count(db, "item_id IS NULL"), "events about no item (searches)"),
                (_count(db, f"NOT ({AGREED}) AND item_id IS NOT NULL"), REFUSED),
                (_count(db, f"{_USABLE} AND NOT ({_PLAIN_IDS})"), _ODD.format("events")),
                (
                    number(db, f"SELECT count(*) FROM items WHERE NOT ({_plain('item_id')})"),
                    _ODD.format("items"),
                ),
            )
        return ExportReport(self.name, target, tuple(files), missing)


def _plain(column: str) -> str:
    """SQL: an id that survives a file without quotes."""
    return f"""NOT regexp_matches({column}, '[\t\n\r"]')"""


def _text(column: str) -> str:
    return f"""trim(replace(regexp_replace({column}, '[\t\n\r]+', ' ', 'g'), '"', ''''))"""


def _path(column: str) -> str:
    """SQL: every name of a path one token."""
    names = (
        f"list_transform(string_split({_text(column)}, ' > '), lambda name: replace(trim(name), ' ', '_'))"
    )
    return f"array_to_string({names}, ' ')"


def _users(db: duckdb.DuckDBPyConnection) -> str:
    columns = ['user_id AS "user_id:token"']
    taken = {"user_id"}
    for key in attribute_keys(db, "users"):
        name = "_".join(key.replace(":", " ").split())
        if name and name.lower() not in taken:
            taken.add(name.lower())
            columns.append(f"{_text(attribute(key))} AS {identifier(name.replace(chr(34), '') + ':token')}")
    return f"SELECT {', '.join(columns)} FROM users WHERE {_plain('user_id')}"


def _count(db: duckdb.DuckDBPyConnection, where: str) -> int:
    return number(db, f"SELECT count(*) FROM events WHERE {where}")


_ODD = "{} with an id that holds a tab, a line break or a double quote"
_USABLE = f"item_id IS NOT NULL AND {AGREED}"
_PLAIN_IDS = " AND ".join(
    _plain(f"coalesce({column}, '')") for column in ("user_id", "item_id", "session_id")
)
_INTERACTIONS = f"""
    SELECT user_id AS "user_id:token", item_id AS "item_id:token", epoch_us("time") / 1e6 AS "timestamp:float",
           kind AS "kind:token", value AS "value:float", session_id AS "session_id:token"
    FROM events WHERE {_USABLE} AND {_PLAIN_IDS}"""
_ITEMS = f"""
    SELECT item_id AS "item_id:token", {_text("title")} AS "title:token_seq",
           {_path("category")} AS "category:token_seq", {_text("brand")} AS "brand:token", price AS "price:float",
           {_text("description")} AS "description:token_seq"
    FROM items WHERE {_plain("item_id")}"""
