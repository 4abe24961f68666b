"""Rows that are put aside: the relation they go to, and those that could not be read as rows at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import duckdb
import msgspec

from honeyguide.data.columns import Table
from honeyguide.data.database import identifier, literal
from honeyguide.data.gathered import Input, Sifted
from honeyguide.data.lines import pick_lines
from honeyguide.data.reading import ROW
from honeyguide.data.scrub import Reject, not_text, shown
from honeyguide.data.sift import is_plain
from honeyguide.data.validate import times_of

T = TypeVar("T")
REJECTS = f"""
    CREATE TABLE rejects (file INTEGER, {ROW} BIGINT, of VARCHAR, reason VARCHAR, message VARCHAR, raw JSON);
    CREATE TABLE unread (file INTEGER, {ROW} BIGINT)"""
"""What was put aside, and the rows among it that were never typed."""


def as_json(part: Sifted, entry: Input) -> str:
    """SQL for a good row as quarantine shows it, where its line is not fetched from the file."""
    if entry.raw.kind == "jsonl" and not is_plain(part.layout):
        return "NULL::JSON"
    times = times_of(part.layout.table)
    shown = {
        c: f"make_timestamptz({identifier(c)})::VARCHAR" if c in times else identifier(c)
        for c in part.columns
    }
    return f"to_json({{{', '.join(f'{literal(column)}: {value}' for column, value in shown.items())}}})"


def reject_unreadable(db: duckdb.DuckDBPyConnection, entry: Input, table: Table, empty: str) -> None:
    """DuckDB reads a line that is no JSON object as a row of NULLs: look at these lines themselves."""
    rows = [row for (row,) in db.execute(f"{empty} ORDER BY 1").fetchall()]
    if not rows:
        return
    keys = set(entry.raw.names.values())
    holes = {reject.row for reject in entry.raw.rejects}
    broken = []
    for row, line in pick_lines(entry.raw.file, rows):
        if row not in holes and (problem := problem_of(line, keys)):
            broken.append(Reject(row, *problem, shown(line)))
    insert_rejects(db, entry.number, table, broken)


UNREAD = ("malformed_row", "the line holds half a surrogate pair or a number out of range")


def problem_of(line: bytes, keys: set[str]) -> tuple[str, str] | None:
    """What is wrong with a line of which nothing was read: it may be an object without any of the keys."""
    if problem := not_text(line):
        return problem
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return "malformed_row", "the line is no JSON object"
    if any(found.get(key) is not None for key in keys):
        return UNREAD
    return None


def insert_rejects(db: duckdb.DuckDBPyConnection, file: int, table: Table, rejects: Sequence[Reject]) -> None:
    """Add rows that were never typed to the relation `rejects`."""
    for some in batched(rejects, 1000):
        rows = ", ".join(
            f"({file}, {r.row}, '{table}', '{r.reason}', {literal(r.message)}, to_json({literal(_plain(r.raw))}))"
            for r in some
        )
        db.execute(f"INSERT INTO rejects VALUES {rows}")
        db.execute(f"INSERT INTO unread VALUES {', '.join(f'({file}, {r.row})' for r in some)}")


def batched(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The rows in pieces of at most `size`."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _plain(text: str) -> str:
    """`text` as SQL can say it."""
    return text.replace("\x00", "\ufffd")


def reject_scrubbed(db: duckdb.DuckDBPyConnection, entry: Input) -> None:
    """Add the rows that the scrubber took out of a CSV file, and count them into the numbers of those after them."""
    if entry.raw.kind != "csv" or not entry.raw.rejects:
        return  # scrubbed JSON Lines keep a hole where a row was
    # a row comes after as many of the missing ones as had fewer good rows before them
    before = [(reject.row - place - 1, place + 1) for place, reject in enumerate(entry.raw.rejects)]
    db.execute("CREATE OR REPLACE TABLE gaps (good BIGINT, missing BIGINT)")
    for some in batched(before, 1000):
        db.execute(f"INSERT INTO gaps VALUES {', '.join(map(str, some))}")
    db.execute(f"""
        UPDATE rejects SET {ROW} = {ROW} + shift.missing
        FROM (SELECT r.{ROW} AS at, gaps.missing FROM
              (SELECT DISTINCT {ROW} FROM rejects WHERE file = {entry.number}) r
              ASOF JOIN gaps ON r.{ROW} > gaps.good) shift
        WHERE rejects.file = {entry.number} AND rejects.{ROW} = shift.at""")
    insert_rejects(db, entry.number, entry.layout.table, entry.raw.rejects)
