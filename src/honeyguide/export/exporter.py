"""What an exporter is, what it reads, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from honeyguide.export.log import DecisionLog
from honeyguide.export.tables import Tables
from honeyguide.types import Progress

Needs = Literal["decisions", "events"]
"""What a format is made of: the journal's decisions, or the cleaned event log and the catalogue."""


@dataclass(frozen=True, slots=True)
class Source:
    """What of a shop an exporter reads; the log is empty where the format is made of events."""

    tables: Tables
    log: DecisionLog


@dataclass(frozen=True, slots=True)
class FileCount:
    """A file that was written, by its name inside the export, and how many rows it holds."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many rows are not in the export, and why."""

    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What one export wrote and what it left out; `out` is the file, or the folder of the files."""

    format: str
    out: Path
    files: tuple[FileCount, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """What the receiving system may object to or what is approximate, in words."""

    def __str__(self) -> str:
        """The report as a few lines of text."""
        wrote = ", ".join(f"{file.rows:,} rows in {file.name}" for file in self.files)
        lines = [f"{self.format}: {wrote} ({self.out})"]
        lines += [f"  {left.rows:,} left out: {left.reason}" for left in self.left_out]
        return "\n".join([*lines, *(f"  Note: {note}" for note in self.notes)])


class Exporter(Protocol):
    """A format that a shop's data can leave in."""

    @property
    def name(self) -> str:
        """What stands behind `--format`."""
        ...

    @property
    def needs(self) -> Needs:
        """What it is made of; that this is there has been checked before `write` is called."""
        ...

    @property
    def folder(self) -> bool:
        """Whether it is several files in a folder rather than one file."""
        ...

    def write(self, source: Source, target: Path, progress: Progress) -> ExportReport:
        """Write to `target`: a file to be made, or a folder that is there and empty; NotReady."""
        ...


def left_out(*counted: tuple[int, str]) -> tuple[LeftOut, ...]:
    """The reasons for which anything was left out at all."""
    return tuple(LeftOut(rows, reason) for rows, reason in counted if rows)
