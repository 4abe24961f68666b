"""The event log while it is cleaned: the stored file, what is mended in it, and who is convicted.

Nothing wide is copied. The view `events` reads the columns that a rule asks for from the Parquet file, with what the
rules before have mended, without the rows they have dropped. The relations that it is made of:

    stored            the file, `row` being a row's number in it
    verdicts          the rows that a rule has convicted; each rule looks only at the others
    owners, borrowed  anonymous id -> user, and row -> user where a device has had several
    queries           query -> query, normalised
    amounts           row -> value and quantity, after a part was refunded
    clocks            row -> time, where the device's clock was wrong
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import msgspec

from honeyguide.data.cleaning.report import Effect, ExampleEvent, RuleCount
from honeyguide.data.columns import EVENTS
from honeyguide.data.database import identifier, literal, number, parquet

EXAMPLES = 5
"""Rows that a rule shows as evidence."""

_JOINS = {
    "owners": "LEFT JOIN owners ON owners.anonymous_id = stored.user_id",
    "borrowed": 'LEFT JOIN borrowed ON borrowed."row" = stored."row"',
    "queries": "LEFT JOIN queries ON queries.before = stored.query",
    "amounts": 'LEFT JOIN amounts ON amounts."row" = stored."row"',
    "clocks": 'LEFT JOIN clocks ON clocks."row" = stored."row"',
}


@dataclass(frozen=True, slots=True)
class Log:
    """The stored events in a database, as the rules have left them so far."""

    db: duckdb.DuckDBPyConnection
    scratch: Path

    @classmethod
    def open(cls, db: duckdb.DuckDBPyConnection, path: Path, scratch: Path) -> Log:
        """The events stored at `path`; columns that came later than the file are NULL."""
        columns = stored_columns(db, path, EVENTS)
        rows = parquet(path).removesuffix(")") + ", file_row_number = true)"
        db.execute(f'CREATE VIEW stored AS SELECT file_row_number AS "row", {columns} FROM {rows}')
        db.execute('CREATE TABLE verdicts ("row" BIGINT)')
        db.execute('CREATE TABLE examples ("row" BIGINT, rule VARCHAR, place INTEGER, note VARCHAR)')
        log = cls(db, scratch)
        log.define()
        return log

    def define(self) -> None:
        """Make the view `events` anew, after something has come to what is mended."""
        made = {row[0] for row in self.db.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        joins = [join for name, join in _JOINS.items() if name in made]
        mended = _mended(made)
        columns = ", ".join(
            f"{mended.get(column, f'stored.{identifier(column)}')} AS {identifier(column)}"
            for column in EVENTS
        )
        self.db.execute(f"""
            CREATE OR REPLACE VIEW events AS SELECT stored."row", {columns} FROM stored {" ".join(joins)}
            WHERE stored."row" NOT IN (SELECT "row" FROM verdicts)""")

    def drop(self, rule: str, rows: str, reason: str) -> RuleCount:
        """Convict the rows that the SQL `rows` gives: (row, weight, note), the weightiest being the examples."""
        return self._judge(rule, rows, reason, "dropped")

    def count(self, rule: str, rows: str, reason: str, effect: Effect = "counted") -> RuleCount:
        """Count such rows without dropping them."""
        return self._judge(rule, rows, reason, effect)

    def _judge(self, rule: str, rows: str, reason: str, effect: Effect) -> RuleCount:
        self.db.execute(f'CREATE OR REPLACE TABLE met AS SELECT "row", weight, note FROM ({rows})')
        self.db.execute(f"""
            INSERT INTO examples
            SELECT "row", {literal(rule)}, row_number() OVER (ORDER BY weight DESC NULLS LAST, "row"), note
            FROM (FROM met ORDER BY weight DESC NULLS LAST, "row" LIMIT {EXAMPLES})""")
        if effect == "dropped":
            self.db.execute('INSERT INTO verdicts SELECT "row" FROM met')
        return RuleCount(rule, number(self.db, "SELECT count(*) FROM met"), reason, effect=effect)

    def with_examples(self, counts: Iterable[RuleCount]) -> tuple[RuleCount, ...]:
        """The counts with a few of the events that each rule met, all read in one pass."""
        shown: dict[str, list[ExampleEvent]] = {}
        rows = self.db.execute("""
            SELECT rule, event_id, strftime(timezone('UTC', "time"), '%Y-%m-%dT%H:%M:%S.%fZ'), user_id, kind, item_id,
                   value, coalesce(note, '')
            FROM examples JOIN stored USING ("row") ORDER BY rule, place""").fetchall()
        for rule, *facts in rows:
            shown.setdefault(rule, []).append(ExampleEvent(*facts))
        return tuple(
            replace(count, evidence=replace(count.evidence, events=tuple(shown.get(count.rule, ()))))
            for count in counts
        )

    def take_in(self, table: str, columns: Mapping[str, str], rows: Iterable[Sequence[object]]) -> int:
        """Make a table of rows that Python has worked out; how many there were."""
        path = self.scratch / f"{table}.jsonl"
        encode = msgspec.json.encode
        n = 0
        with path.open("wb") as file:
            for row in rows:
                file.write(encode(dict(zip(columns, row, strict=True))) + b"\n")
                n += 1
        types = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
        source = (
            f"read_json({literal(str(path.resolve()))}, format = 'newline_delimited', columns = {{{types}}})"
        )
        self.db.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM {source}")
        path.unlink()
        return n


def _mended(made: set[str]) -> dict[str, str]:
    """SQL for the columns that are no longer as they were stored, given which tables there are by now."""
    mended: dict[str, str] = {}
    if "owners" in made:
        borrowed = "borrowed.user_id, " if "borrowed" in made else ""
        user = f"coalesce({borrowed}owners.user_id, stored.user_id)"
        device = f"CASE WHEN {user} <> stored.user_id THEN stored.user_id END"
        mended = {"user_id": user, "anonymous_id": f"coalesce(stored.anonymous_id, {device})"}
    if "clocks" in made:
        mended["time"] = 'coalesce(clocks."time", stored."time")'
    if "queries" in made:
        mended["query"] = "CASE WHEN queries.before IS NULL THEN stored.query ELSE queries.after END"
    if "amounts" in made:
        for column in ("value", "quantity"):
            mended[column] = f'CASE WHEN amounts."row" IS NULL THEN stored.{column} ELSE amounts.{column} END'
    return mended


def stored_columns(db: duckdb.DuckDBPyConnection, path: Path, wanted: Mapping[str, str]) -> str:
    """SQL for the canonical columns out of a file that may lack the newer ones."""
    there = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {parquet(path)}").fetchall()}
    return ", ".join(
        identifier(column) if column in there else f"NULL::{kind} AS {identifier(column)}"
        for column, kind in wanted.items()
    )
