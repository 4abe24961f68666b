"""What an importer has to say: which columns its files have, and how they become canonical ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from honeyguide.data.columns import Table


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of file of a format.

    `required` and `optional` are columns of the file in lower case; a file with all the required ones and none of
    the `absent` ones has this layout. `columns` gives each canonical column as an SQL expression over the file's
    columns; a canonical column that is left out is NULL, and so is an optional column that the file lacks.

    A column of the file is VARCHAR, and so is what an expression gives, unless it is a bare column name: then the
    file's own type is kept. Nested values (of JSON Lines and of Parquet) are JSON text: take them apart with
    `json_extract_string(properties, '$.product_id')`.
    """

    table: Table
    required: tuple[str, ...]
    columns: Mapping[str, str]
    optional: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    zone: str | None = None
    """The zone of times that carry none, where the format fixes it."""
    where: str | None = None
    """SQL over the file's columns: rows for which it is not true are none of this table's, and are passed over."""
    each: str | None = None
    """SQL that gives a list: every element becomes a row of its own, in which it is the column `each` (and `nth`
    its place from 1); a row with an empty or a NULL list gives none."""
    rest: bool = False
    """Put the columns that are neither required nor optional into `attributes` as one JSON object, beside what
    `columns` gives for it."""
    type_mark: str | None = None
    """What stands between a column's name and its type where a header says both: attributes have the name alone."""
    derived: bool = False
    """The rows speak of this table by the way (an order line that names its product): one that is there more than
    once is no error, and one that is already known from elsewhere stays as it is."""
    also: tuple[Layout, ...] = ()
    """What else the same rows tell; `required` of these is not looked at."""
    quoted: bool = True
    """Whether quotes have a meaning where the file is CSV or TSV."""
    note: str | None = None
    """What is assumed of such files, in words, for the report."""

    def fits(self, columns: Sequence[str]) -> bool:
        """Whether a file with these columns has this layout."""
        return set(self.required) <= set(columns) and not set(self.absent) & set(columns)


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
