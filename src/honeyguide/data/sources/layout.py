"""What an importer has to say: which columns its files have, and how they become canonical ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from honeyguide.data.columns import Table


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of file of a format.

    `required` and `optional` are columns of the file in lower case; a file with all the required ones has this
    layout. `columns` gives each canonical column as an SQL expression over the file's columns, all of which are
    VARCHAR; an optional column that the file lacks reads as NULL. `zone` is the zone of times that carry none,
    where the format fixes it.
    """

    table: Table
    required: tuple[str, ...]
    optional: tuple[str, ...]
    columns: Mapping[str, str]
    zone: str | None = None

    def fits(self, columns: Sequence[str]) -> bool:
        """Whether a file with these columns has this layout."""
        return set(self.required) <= set(columns)


class Source(Protocol):
    """A file format: its name on the command line and the kinds of file it consists of."""

    @property
    def name(self) -> str:
        """What stands behind `--format`."""
        ...

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The kinds of file; the first that fits is taken."""
        ...
