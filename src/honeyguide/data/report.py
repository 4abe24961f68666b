"""What an import did, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from honeyguide.data.columns import Table


@dataclass(frozen=True, slots=True)
class TableCount:
    """The rows of one table in an import: read = kept + quarantined; `new` of the kept had no row before."""

    read: int
    kept: int
    quarantined: int
    new: int
    stored: int
    """Rows in the workspace afterwards."""


@dataclass(frozen=True, slots=True)
class Problem:
    """How many rows were quarantined for one reason, and the first of them as an example."""

    reason: str
    rows: int
    file: str
    row: int
    message: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What one import read, kept and put aside."""

    import_id: str
    tables: Mapping[Table, TableCount]
    problems: tuple[Problem, ...]
    quarantine: str | None
    """The JSON Lines file with every row that was put aside; None where there was none."""
    notes: tuple[str, ...]
    """What was assumed, in words."""

    @property
    def events(self) -> TableCount:
        """The count of what users did."""
        return self.tables["events"]

    @property
    def items(self) -> TableCount:
        """The count of the catalogue."""
        return self.tables["items"]

    def __str__(self) -> str:
        """The report as a few lines of text."""
        lines = [
            _line(table, count)
            for table, count in self.tables.items()
            if count.read or (table in ("items", "events") and not self._only_others())
        ]
        for problem in self.problems:
            lines.append(f"  {problem.rows:,} x {problem.reason}, first: {problem.file}, row {problem.row}:")
            lines.append(f"    {problem.message}")
        if self.quarantine:
            lines.append(f"  Rows put aside: {self.quarantine}")
        return "\n".join([*lines, *(f"  Note: {note}" for note in self.notes)])

    def _only_others(self) -> bool:
        return not self.events.read and not self.items.read


def _line(name: str, count: TableCount) -> str:
    if not count.read:
        return f"No {name} in these files; {count.stored:,} are stored"
    aside = f", {count.quarantined:,} put aside" if count.quarantined else ""
    return f"{count.kept:,} of {count.read:,} {name} kept ({count.new:,} new){aside}; {count.stored:,} are stored"
