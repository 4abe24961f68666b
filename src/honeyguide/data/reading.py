"""Any Parquet, CSV or JSON Lines file as one relation with columns in lower case, read as DuckDB streams it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import duckdb

from honeyguide.data.database import file_literal, first_line, identifier, literal
from honeyguide.data.lines import DEEP, holds, sample_keys
from honeyguide.data.scrub import Reject, scrub_csv, scrub_jsonl
from honeyguide.data.sniff import MAX_LINE, FileKind, Header, file_kind, read_header, unique_names
from honeyguide.errors import InvalidFile

ROW = "_row"
"""The column with a row's number in its file: from 1, without the header and without blank lines."""

_KEPT_TYPES = ("VARCHAR", "BOOLEAN", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "DOUBLE", "BIGINT")
_AS_TYPE = MappingProxyType(
    {
        **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"), "BIGINT"),
        **dict.fromkeys(("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "TIMESTAMP"),
        "FLOAT": "DOUBLE",
    }
)


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file that was opened but not read.

    `path` is how the user named it and `file` what is read. `columns` gives the type of each column, in lower
    case: VARCHAR, BOOLEAN, BIGINT, DOUBLE, TIMESTAMP or TIMESTAMP WITH TIME ZONE; nested values are JSON in VARCHAR.
    """

    path: Path
    file: Path
    kind: FileKind
    columns: Mapping[str, str]
    names: Mapping[str, str]
    """How the file itself writes the name of each column."""
    header: Header | None = None
    may_hold_nul: bool = True
    """Whether a value may hold the character NUL; it does not where the file has no such byte."""
    may_be_deep: bool = False
    """Whether there may be objects nested so deeply that taking them apart would end the whole process."""
    looked_at: bool = False
    """Whether every line was looked at, so that none is too deep or broken in a way that spoils others."""
    rejects: tuple[Reject, ...] = field(default=(), repr=False)
    """Rows that were found broken when the file was scrubbed, in order; `file` no longer holds them."""

    def relation(self, columns: Iterable[str]) -> str:
        """SQL that selects these columns of the file, those it lacks as NULL."""
        wanted = list(dict.fromkeys(columns))
        present = [column for column in wanted if column in self.columns]
        parts = [self._column(column) for column in present]
        parts += [f"NULL::VARCHAR AS {identifier(column)}" for column in wanted if column not in self.columns]
        return f"SELECT {', '.join(parts)} FROM {self._reader(present)}"

    def _column(self, column: str) -> str:
        name = identifier(self.names[column])
        if self.kind == "parquet":
            found = self.columns[column]
            return f"{_json_or_cast(name, found)} AS {identifier(column)}"
        return f"{identifier(column)}"

    def _reader(self, columns: list[str]) -> str:
        if self.kind == "parquet":
            return f"read_parquet({file_literal(self.file)})"
        if self.kind == "jsonl":
            # DuckDB reads no file without columns: one that no object has does as well
            keys = [literal(self.names[column]) for column in columns] or ["'_none'"]
            types = ", ".join(f"{key}: 'VARCHAR'" for key in keys)
            names = ", ".join(identifier(column) for column in columns) or "_none"
            options = (
                "format = 'newline_delimited', records = true, ignore_errors = true, "
                f"maximum_object_size = {MAX_LINE}, columns = {{{types}}}"
            )
            return f"(SELECT * FROM read_json({file_literal(self.file)}, {options})) AS lines({names})"
        return _csv_reader(self)


def open_raw(db: duckdb.DuckDBPyConnection, path: Path, file: Path, *, quoted: bool = True) -> RawFile:
    """Find out what `file` is and which columns it has; InvalidFile (naming `path`) where it cannot be used."""
    kind = file_kind(file, path)
    try:
        if kind == "parquet":
            return _open_parquet(db, path, file)
        if kind == "csv":
            header = replace(read_header(file, path), quoted=quoted)
            types = dict.fromkeys(header.columns, "VARCHAR")
            names = {name: name for name in types}
            nul, deep = holds(file, b"\0", DEEP)
            return RawFile(path, file, kind, types, names, header, may_hold_nul=nul, may_be_deep=deep)
        keys = sample_keys(file)
        types = dict.fromkeys(keys, "VARCHAR")
        (deep,) = holds(file, DEEP)
        return RawFile(path, file, kind, types, keys, may_be_deep=deep)
    except duckdb.Error as error:
        raise unreadable(path, error) from None
    except OSError as error:
        raise InvalidFile(path, f"cannot be read: {error.strerror}", "Check the disk it is on") from None


def unreadable(path: Path, error: duckdb.Error) -> InvalidFile:
    """The InvalidFile that says what DuckDB says of a file."""
    return InvalidFile(path, f"cannot be read: {first_line(error)}", "Export it again")


def scrubbed(raw: RawFile, scratch: Path) -> RawFile:
    """The file without the rows that make DuckDB refuse it as a whole, which come out as its `rejects`."""
    target = scratch / "scrubbed"
    with target.open("wb") as good:
        if raw.header is not None:
            rejects = tuple(scrub_csv(raw.file, raw.header, good))
            header = replace(raw.header, lines=0)
            return replace(raw, file=target, rejects=rejects, header=header, looked_at=True)
        rejects = tuple(scrub_jsonl(raw.file, good))
    return replace(raw, file=target, rejects=rejects, looked_at=True)


def _open_parquet(db: duckdb.DuckDBPyConnection, path: Path, file: Path) -> RawFile:
    rows = db.execute(f"DESCRIBE SELECT * FROM read_parquet({file_literal(file)})").fetchall()
    names = unique_names(path, [row[0] for row in rows])
    types = {name: _AS_TYPE.get(row[1], row[1]) for name, row in zip(names, rows, strict=True)}
    spelled = {name: row[0] for name, row in zip(names, rows, strict=True)}
    kept = {name: _plain_type(found) for name, found in types.items()}
    return RawFile(path, file, "parquet", MappingProxyType(kept), MappingProxyType(spelled))


def _plain_type(found: str) -> str:
    if found in _KEPT_TYPES:
        return found
    if found.startswith("DECIMAL") or found in ("HUGEINT", "UBIGINT"):
        return "NUMBER"
    return "JSON" if _is_nested(found) else "OTHER"


def _is_nested(found: str) -> bool:
    return found.endswith("]") or found.startswith(("STRUCT", "MAP", "UNION"))


def _json_or_cast(name: str, found: str) -> str:
    if found == "JSON":
        return f"to_json({name})::VARCHAR"
    return f"{name}::{'VARCHAR' if found in ('OTHER', 'NUMBER') else found}"


def _csv_reader(raw: RawFile) -> str:
    header = raw.header
    assert header is not None
    types = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in header.columns)
    quote = "'\"'" if header.quoted else "''"
    options = (
        f"auto_detect = false, header = {header.lines > 0}, quote = {quote}, escape = {quote}, strict_mode = true, "
        f"delim = {literal(header.delimiter)}, max_line_size = {7 * MAX_LINE if raw.looked_at else MAX_LINE}, "
        f"columns = {{{types}}}"
    )
    return f"read_csv({file_literal(raw.file)}, {options})"
