"""The cleaned events, the catalogue and the users in Honeyguide's own columns."""

from __future__ import annotations

from pathlib import Path

from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import database, identifier
from honeyguide.export.exporter import ExportReport, FileCount, Needs, Source
from honeyguide.export.tables import CSV, JSON_LINES, PARQUET, copy
from honeyguide.types import Progress

_OPTIONS = {"parquet": PARQUET, "csv": CSV, "jsonl": JSON_LINES}


class Canonical:
    """One file per table, `events`, `items` and `users`; `honeyguide import` reads them back as they are."""

    needs: Needs = "events"
    folder = True

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self.name = "canonical" if suffix == "parquet" else f"canonical-{suffix}"

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        """Users only where the shop knows more of them than what they did."""
        tables: tuple[Table, ...] = ("items", "events")
        if source.tables.has_users:
            tables = ("items", "users", "events")
        files = []
        with database(target.parent) as db:
            source.tables.attach(db)
            for done, table in enumerate(tables, start=1):
                file = f"{table}.{self.suffix}"
                rows = copy(db, self._query(table), target / file, _OPTIONS[self.suffix])
                files.append(FileCount(file, rows))
                progress(done, len(tables))
        return ExportReport(self.name, target, tuple(files))

    def _query(self, table: Table) -> str:
        columns = []
        for column, kind in STORED[table].items():
            name = identifier(column)
            if kind == "TIMESTAMPTZ" and self.suffix != "parquet":
                name = f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%f+00:00') AS {name}"
            columns.append(name)
        return f"SELECT {', '.join(columns)} FROM {table}"
