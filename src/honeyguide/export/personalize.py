"""The data sets of AWS Personalize: interactions, items and users as CSV, each with its schema in Avro's JSON.

What was shown stands in IMPRESSION beside what the user then did, joined by `|`; an impression by itself is no
interaction there. Times are whole seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec

from honeyguide.data.database import database, identifier, number
from honeyguide.export.exporter import ExportReport, FileCount, LeftOut, Needs, Source, left_out
from honeyguide.export.tables import AGREED, CSV, REFUSED, attribute, attribute_keys, copy
from honeyguide.types import Progress

MIN_INTERACTIONS = 1_000
MIN_USERS = 25
"""Users with at least two interactions, of which Personalize wants at least this many."""
MAX_USER_FIELDS = 25
_MAX_TEXT_CHARS = 20_000
_MAX_CATEGORY_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class _Field:
    """A column: the SQL that fills it, its type in the schema, and what Personalize is to read it as."""

    name: str
    sql: str
    type: str = "string"
    required: bool = False
    read_as: str | None = None

    def in_schema(self) -> dict[str, object]:
        """The column as the schema has it."""
        said: dict[str, object] = {
            "name": self.name,
            "type": self.type if self.required else ["null", self.type],
        }
        return {**said, self.read_as: True} if self.read_as else said


@dataclass(frozen=True, slots=True)
class _Dataset:
    """One data set: its name in the schema, its columns, and the relation they are taken from."""

    name: str
    fields: tuple[_Field, ...]
    relation: str

    def write(self, db: duckdb.DuckDBPyConnection, target: Path) -> tuple[FileCount, FileCount]:
        """The CSV file and its schema."""
        stem = self.name.lower()
        columns = ", ".join(f"{field.sql} AS {identifier(field.name)}" for field in self.fields)
        rows = copy(db, f"SELECT {columns} {self.relation}", target / f"{stem}.csv", CSV)
        schema = {
            "type": "record",
            "name": self.name,
            "namespace": "com.amazonaws.personalize.schema",
            "fields": [field.in_schema() for field in self.fields],
            "version": "1.0",
        }
        text = msgspec.json.format(msgspec.json.encode(schema), indent=1)
        (target / f"{stem}.schema.json").write_bytes(text + b"\n")
        return FileCount(f"{stem}.csv", rows), FileCount(f"{stem}.schema.json", len(self.fields))


class Personalize:
    """Interactions and items, and the users where anything is known of them."""

    name = "personalize"
    needs: Needs = "events"
    folder = True

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        """Notes say where Personalize would refuse the data: too few interactions or users."""
        with database(target.parent) as db:
            source.tables.attach(db)
            datasets = [_INTERACTIONS, _items(db)]
            notes = _minimums(db)
            keys = attribute_keys(db, "users")
            if keys:
                datasets.append(_users(keys[:MAX_USER_FIELDS]))
            if len(keys) > MAX_USER_FIELDS:
                notes.append(
                    f"of the users' {len(keys)} attributes the first {MAX_USER_FIELDS} are there, the most allowed"
                )
            files: list[FileCount] = []
            for done, dataset in enumerate(datasets, start=1):
                files += dataset.write(db, target)
                progress(done, len(datasets))
            missing = _left_out(db)
        return ExportReport(self.name, target, tuple(files), missing, tuple(notes))


def _line(column: str, limit: int) -> str:
    """SQL for a text in one line and within the limit."""
    return rf"left(regexp_replace({column}, '[\r\n]+', ' ', 'g'), {limit})"


_ACTED = "item_id IS NOT NULL AND kind <> 'impression'"
_TAKEN = f"{_ACTED} AND {AGREED}"
_SHOWN = """
    (SELECT decision_id, string_agg(item_id, '|' ORDER BY position, event_id) AS shown FROM events
     WHERE kind = 'impression' AND decision_id IS NOT NULL AND NOT contains(item_id, '|')
     GROUP BY decision_id)"""
_INTERACTIONS = _Dataset(
    "Interactions",
    (
        _Field("USER_ID", "user_id", required=True),
        _Field("ITEM_ID", "item_id", required=True),
        _Field("TIMESTAMP", 'epoch_us("time") // 1000000', "long", required=True),
        _Field("EVENT_TYPE", "kind", required=True),
        _Field("EVENT_VALUE", "value", "float"),
        _Field("IMPRESSION", "shown"),
        _Field("RECOMMENDATION_ID", "decision_id"),
    ),
    f"FROM (SELECT * FROM events WHERE {_TAKEN}) LEFT JOIN {_SHOWN} USING (decision_id)",
)


def _items(db: duckdb.DuckDBPyConnection) -> _Dataset:
    path = "string_split(category, ' > ')"
    fields = [_Field("ITEM_ID", "item_id", required=True)]
    if not number(db, "SELECT count(*) FROM items WHERE created_at IS NULL"):  # it may not be empty there
        fields.append(_Field("CREATION_TIMESTAMP", "epoch_us(created_at) // 1000000", "long", required=True))
    levels = (
        f"{path}[1]",
        f"{path}[2]",
        f"array_to_string({path}[3:], ' > ')",
    )  # the third holds what is below too
    fields += [
        _Field(f"CATEGORY_L{level}", f"nullif(left({sql}, {_MAX_CATEGORY_CHARS}), '')", read_as="categorical")
        for level, sql in enumerate(levels, start=1)
    ]
    fields += [
        _Field("BRAND", _line("brand", _MAX_CATEGORY_CHARS), read_as="categorical"),
        _Field("PRICE", "price", "float"),
        _Field("TITLE", _line("title", _MAX_CATEGORY_CHARS)),
        _Field(
            "PRODUCT_DESCRIPTION", _line("coalesce(description, title)", _MAX_TEXT_CHARS), read_as="textual"
        ),
    ]
    return _Dataset("Items", tuple(fields), "FROM items")


def _users(keys: tuple[str, ...]) -> _Dataset:
    fields = {"USER_ID": _Field("USER_ID", "user_id", required=True)}
    for key in keys:
        name = re.sub(r"\W+", "_", key.upper(), flags=re.ASCII)
        name = name if name[:1].isalpha() else f"A_{name}"
        fields.setdefault(
            name, _Field(name, _line(attribute(key), _MAX_CATEGORY_CHARS), read_as="categorical")
        )
    return _Dataset("Users", tuple(fields.values()), "FROM users")


def _minimums(db: duckdb.DuckDBPyConnection) -> list[str]:
    """What Personalize would refuse this data for."""
    interactions = number(db, f"SELECT count(*) FROM events WHERE {_TAKEN}")
    twice = f"SELECT user_id FROM events WHERE {_TAKEN} GROUP BY user_id HAVING count(*) >= 2"
    users = number(db, f"SELECT count(*) FROM ({twice})")
    notes = []
    if interactions < MIN_INTERACTIONS:
        notes.append(
            f"Personalize wants at least {MIN_INTERACTIONS:,} interactions, these are {interactions:,}"
        )
    if users < MIN_USERS:
        notes.append(
            f"Personalize wants at least {MIN_USERS} users with two interactions, these are {users:,}"
        )
    return notes


def _left_out(db: duckdb.DuckDBPyConnection) -> tuple[LeftOut, ...]:
    def events(where: str) -> int:
        return number(db, f"SELECT count(*) FROM events WHERE {where}")

    shown = events("kind = 'impression' AND item_id IS NOT NULL")
    return left_out(
        (events("item_id IS NULL"), "events about no item (searches)"),
        (shown, "impressions: they stand beside the reactions to them"),
        (events(f"{_ACTED} AND NOT ({AGREED})"), REFUSED),
    )
