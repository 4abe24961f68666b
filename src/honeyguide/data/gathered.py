"""What an import has read: files, and the rows that each holds of each table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from honeyguide.data.columns import Table
from honeyguide.data.reading import RawFile
from honeyguide.data.sources.layout import Layout


@dataclass(frozen=True, slots=True)
class Input:
    """One file of an import and what it is."""

    number: int
    raw: RawFile
    layout: Layout


@dataclass(frozen=True, slots=True)
class Sifted:
    """The rows that one file holds of one table, in the relation `name`."""

    input: int
    name: str
    layout: Layout
    columns: tuple[str, ...]
    """The canonical columns that the relation has."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that was read: `good` rows stand in the sifted relations where `ok`, bad ones in `rejects`."""

    inputs: tuple[Input, ...]
    sifted: tuple[Sifted, ...]
    passed_over: Mapping[int, int]
    """How many rows of a file are none of its table's, by the input's number."""

    def of(self, table: Table, *, derived: bool | None = None) -> list[Sifted]:
        """What there is of one table; only what is (or is not) said by the way where `derived` says so."""
        return [
            part
            for part in self.sifted
            if part.layout.table == table and derived in (None, part.layout.derived)
        ]
