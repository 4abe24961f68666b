"""Looks at files before anything is stored: what they are, what is wrong with them, and how to mend it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from honeyguide.data.columns import STORED, TABLES, Table
from honeyguide.data.database import database, identifier, number
from honeyguide.data.gather import gather
from honeyguide.data.gathered import Gathered, Input
from honeyguide.data.ingest import notes, problems
from honeyguide.data.report import Problem
from honeyguide.data.sift import filled, is_there
from honeyguide.data.sources.layout import Layout, Source
from honeyguide.data.sources.mapped import chosen
from honeyguide.data.table import from_us
from honeyguide.data.validate import Clock
from honeyguide.errors import InvalidFile, InvalidInput
from honeyguide.types import Progress, check_utc, silent

_FEW_EVENTS, _FEW_USERS = 1000, 25  # AWS Personalize asks for as many; below them little can be learned
_MIDNIGHT_SHARE, _HEAVY_SHARE, _BARE_SHARE = 0.9, 0.2, 0.5


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that cannot be used as a whole, why, and what to do."""

    file: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a file is: its format, what it holds, and which of its columns were understood."""

    file: str
    format: str
    kind: str
    """parquet, csv or jsonl, once it is unpacked."""
    tables: tuple[Table, ...]
    filled: tuple[str, ...]
    """The canonical columns that it fills."""
    unused: tuple[str, ...]
    """Its columns that nothing is made of."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The rows of one table: good and bad ones, and what can be said of the good ones in words."""

    good: int
    bad: int
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What importing these files would do."""

    refused: tuple[Refusal, ...]
    findings: tuple[Finding, ...]
    tables: Mapping[Table, TableFacts]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    advice: tuple[str, ...]
    """What would make the data better, in words."""

    @property
    def ok(self) -> bool:
        """Whether every file can be used and every row is good."""
        return not self.refused and not self.problems

    def __str__(self) -> str:
        """The inspection as text."""
        lines = [f"{r.file}: {r.problem}. {r.remedy}" for r in self.refused]
        for finding in self.findings:
            lines.append(f"{finding.file}: {', '.join(finding.tables)} as {finding.format} ({finding.kind})")
            lines.append(f"  understood: {', '.join(finding.filled)}")
            lines += [f"  not used: {', '.join(finding.unused)}"] if finding.unused else []
        for table, facts in self.tables.items():
            bad = f", {facts.bad:,} would be put aside" if facts.bad else ""
            lines += [f"{facts.good:,} good {table}{bad}", *(f"  {fact}" for fact in facts.facts)]
        for problem in self.problems:
            lines.append(f"{problem.rows:,} x {problem.reason}, first: {problem.file}, row {problem.row}:")
            lines.append(f"  {problem.message}")
        lines += [f"Note: {note}" for note in self.notes]
        lines += [f"Advice: {words}" for words in self.advice]
        lines.append(
            "Everything can be imported."
            if self.ok
            else "Nothing was stored. What is good can be imported as it is; mend the rest first to keep all of it."
        )
        return "\n".join(lines)


def inspect_files(
    files: Sequence[Path],
    *,
    stored: Path | None = None,
    format: str | None = None,
    columns: str | None = None,
    table: str | None = None,
    now: datetime,
    to_utc: bool = False,
    timezone: str | None = None,
    progress: Progress = silent,
) -> Inspection:
    """Judge every row of `files` and store nothing; items in the data folder `stored` count as known.

    A file that cannot be used is told of, not raised.
    """
    if not files:
        raise InvalidInput("there is nothing to look at: name at least one file")
    clock = Clock(check_utc(now, "now"), to_utc, timezone)
    sources = chosen(format, columns, table)
    left, refused = list(files), []
    while True:
        with tempfile.TemporaryDirectory(prefix="honeyguide-") as folder, database(Path(folder)) as db:
            try:
                found = gather(db, left, sources, clock, Path(folder), stored=stored, progress=progress)
            except InvalidFile as error:
                refused.append(Refusal(error.path, error.problem, error.remedy))
                left = [path for path in left if str(path) != error.path]
                if left:
                    continue
                return Inspection(tuple(refused), (), {}, (), (), ())
            return _inspection(db, found, refused, clock, sources, catalogue=stored is not None)


def _inspection(
    db: duckdb.DuckDBPyConnection,
    found: Gathered,
    refused: Sequence[Refusal],
    clock: Clock,
    sources: Sequence[Source],
    *,
    catalogue: bool,
) -> Inspection:
    tables = {table: _facts(db, found, table) for table in TABLES if found.of(table)}
    return Inspection(
        refused=tuple(refused),
        findings=tuple(_finding(entry, sources) for entry in found.inputs),
        tables=tables,
        problems=problems(db, found.inputs),
        notes=notes(found, clock),
        advice=tuple(_advice(db, found, tables, catalogue=catalogue)),
    )


def _finding(entry: Input, sources: Sequence[Source]) -> Finding:
    layouts = (entry.layout, *entry.layout.also)
    used = {column for layout in layouts for column in _read(layout)}
    rest = any(layout.rest for layout in layouts)
    return Finding(
        file=str(entry.raw.path),
        format=next((source.name for source in sources if entry.layout in source.layouts), "unknown"),
        kind=entry.raw.kind,
        tables=tuple(dict.fromkeys(layout.table for layout in layouts)),
        filled=tuple(
            dict.fromkeys(
                column
                for layout in layouts
                for column in filled(entry.raw, layout)
                if is_there(entry.raw, layout, layout.columns.get(column)) or column == "attributes"
            )
        ),
        unused=() if rest else tuple(column for column in entry.raw.columns if column not in used),
    )


def _read(layout: Layout) -> tuple[str, ...]:
    return (*layout.required, *layout.optional)


def _facts(db: duckdb.DuckDBPyConnection, found: Gathered, table: Table) -> TableFacts:
    _make_view(db, found, table)
    good = number(db, f"SELECT count(*) FROM all_{table}")
    bad = number(db, f"SELECT count(*) FROM rejects WHERE of = '{table}'")
    return TableFacts(good, bad, tuple(_said(db, table)) if good else ())


def _make_view(db: duckdb.DuckDBPyConnection, found: Gathered, table: Table) -> None:
    """The good rows of a table as the relation `all_{table}`, with every canonical column."""
    types = ", ".join(
        f"NULL::{'BIGINT' if kind == 'TIMESTAMPTZ' else kind} AS {identifier(column)}"
        for column, kind in STORED[table].items()
    )
    parts = [f"SELECT {types} WHERE false"]
    for part in found.of(table):
        parts.append(f"SELECT {', '.join(map(identifier, part.columns))} FROM {part.name} WHERE ok")
    db.execute(f"CREATE VIEW all_{table} AS {' UNION ALL BY NAME '.join(parts)}")


def _said(db: duckdb.DuckDBPyConnection, table: Table) -> list[str]:
    if table == "events":
        return _said_of_events(db)
    if table == "items":
        row = db.execute("""
            SELECT count(DISTINCT item_id), count(title), count(category), count(description), count(price)
            FROM all_items""").fetchone()
        items, titles, categories, descriptions, prices = row or (0,) * 5
        return [
            f"{items:,} different items; with a title {titles:,}, a category {categories:,}, "
            f"a description {descriptions:,}, a price {prices:,}"
        ]
    return []


def _said_of_events(db: duckdb.DuckDBPyConnection) -> list[str]:
    row = db.execute("""
        SELECT min("time"), max("time"), count(DISTINCT user_id), count(DISTINCT item_id)
        FROM all_events""").fetchone()
    first, last, users, items = row or (0, 0, 0, 0)
    kinds = db.execute("SELECT kind, count(*) AS n FROM all_events GROUP BY kind ORDER BY n DESC").fetchall()
    currencies = db.execute(
        "SELECT currency, count(*) AS n FROM all_events WHERE currency IS NOT NULL GROUP BY 1 ORDER BY n DESC LIMIT 5"
    ).fetchall()
    said = [
        f"from {from_us(first):%Y-%m-%d %H:%M} to {from_us(last):%Y-%m-%d %H:%M} UTC, "
        f"{users:,} users, {items:,} items",
        "kinds: " + ", ".join(f"{kind} {n:,}" for kind, n in kinds),
    ]
    if currencies:
        said.append("currencies: " + ", ".join(f"{currency} {n:,}" for currency, n in currencies))
    return said


def _advice(
    db: duckdb.DuckDBPyConnection, found: Gathered, tables: Mapping[Table, TableFacts], *, catalogue: bool
) -> list[str]:
    """What a person who has seen many such files would say."""
    said = []
    if "events" in tables:
        if "items" not in tables and not catalogue:
            said.append(
                "there is no catalogue here: give the items too, or events of unknown items are put aside"
            )
        said += _advice_on_events(db) if tables["events"].good else []
    if "items" in tables and (n := tables["items"].good):
        bare = number(db, "SELECT count(*) FROM all_items WHERE category IS NULL AND description IS NULL")
        if bare > _BARE_SHARE * n:
            said.append(
                f"{bare:,} of {n:,} items have neither a category nor a description: "
                "the language model has only their titles to go by"
            )
    return said


def _advice_on_events(db: duckdb.DuckDBPyConnection) -> list[str]:
    said = []
    events = number(db, "SELECT count(*) FROM all_events")
    users = number(db, "SELECT count(*) FROM (SELECT 1 FROM all_events GROUP BY user_id HAVING count(*) > 1)")
    if events < _FEW_EVENTS or users < _FEW_USERS:
        said.append(
            f"{events:,} events and {users:,} users with more than one are few: "
            f"from {_FEW_EVENTS:,} events and {_FEW_USERS} such users on there is something to learn from"
        )
    kinds = {kind for (kind,) in db.execute("SELECT DISTINCT kind FROM all_events").fetchall()}
    if not kinds & {"purchase", "cart", "rating"}:
        said.append("there are no purchases, carts or ratings: what pays can then only be told from looking")
    if "impression" not in kinds and kinds & {"view", "click"}:
        said.append(
            "there are no impressions: what was shown and left alone is then unknown, and has to be sampled"
        )
    midnight = number(db, """SELECT count(*) FROM all_events WHERE "time" % 86400000000 = 0""")
    if midnight > _MIDNIGHT_SHARE * events:
        said.append(
            "nearly all times are midnight: export the time of day too, or the order within a day is lost"
        )
    heavy = db.execute(
        "SELECT user_id, count(*) AS n FROM all_events GROUP BY 1 ORDER BY n DESC LIMIT 1"
    ).fetchone()
    if heavy and users >= _FEW_USERS and heavy[1] > _HEAVY_SHARE * events:
        said.append(
            f"user {heavy[0][:64]!r} alone has {heavy[1]:,} of the {events:,} events: a robot, or guests as one?"
        )
    return said
