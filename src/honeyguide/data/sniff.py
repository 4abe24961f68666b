"""What kind of file this is, judged by its first bytes and not by its name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from honeyguide.errors import InvalidFile

FileKind = Literal["parquet", "csv", "jsonl"]
MAX_LINE = 1_000_000
"""A line of more bytes than this is not read: one of its fields is too long."""

BOM = b"\xef\xbb\xbf"
RESERVED = ("_row", "_line", "rowid")  # what DuckDB and the reader call columns of their own
_HEAD = 4096
_SIGNATURES = (
    (b"\xff\xfe", "is UTF-16 text", "Save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text", "Save it as UTF-8"),
    (b"PK\x03\x04", "is an archive inside another", "Unpack it"),
    (b"\x1f\x8b", "is packed twice", "Unpack it"),
    (b"BZh9", "is packed with bzip2", "Unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "is packed with xz", "Unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstd", "Unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf", "is a 7-Zip archive", "Unpack it"),
    (b"\xd0\xcf\x11\xe0", "is a spreadsheet or another office file", "Export the sheet as CSV"),
)


def file_kind(file: Path, path: Path) -> FileKind:
    """Parquet, CSV or JSON Lines; InvalidFile (naming `path`) where the file is none of them or cannot be opened."""
    head = read_head(file, path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if path.suffix.lower() == ".parquet":
        raise InvalidFile(path, "is not a Parquet file: its first bytes are not PAR1", "Export it again")
    for signature, problem, remedy in _SIGNATURES:
        if head.startswith(signature):
            raise InvalidFile(path, problem, remedy)
    body = head.removeprefix(BOM).lstrip()
    if not body and len(head) < _HEAD:
        raise InvalidFile(path, "is empty", "Export it again, or leave it out")
    if b"\x00" in head.split(b"\n", 1)[0]:
        raise InvalidFile(path, "is no text in UTF-8: its first line holds NUL bytes", "Save it as UTF-8")
    return "jsonl" if body.startswith(b"{") else "csv"


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a CSV file: its column names, and where the rows begin."""

    columns: tuple[str, ...]
    delimiter: str
    lines: int
    """How many lines the rows come after: more than one where blank lines stand before the header."""
    quoted: bool = True
    """Whether quotes have a meaning."""


def read_header(file: Path, path: Path) -> Header:
    """The header of a CSV file; InvalidFile (naming `path`) where there is none that can be used."""
    lines = 0
    with file.open("rb") as opened:
        while raw := opened.readline(MAX_LINE):
            lines += 1
            if raw.strip().strip(BOM):
                break
    text = _decode_header(path, raw.removeprefix(BOM).rstrip(b"\r\n"))
    delimiter, names = _split(path, text)
    return Header(unique_names(path, names), delimiter, lines)


def unique_names(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Column names in lower case without blanks around them; InvalidFile where two are the same."""
    plain: list[str] = []
    for position, name in enumerate(names, start=1):
        column = " ".join(name.split()).lower()
        if not column or column in RESERVED:
            column = f"column {position}"
        if column in plain:
            raise InvalidFile(path, f"has two columns {column[:64]!r}", "Rename or remove one of them")
        plain.append(column)
    return tuple(plain)


def read_head(file: Path, path: Path) -> bytes:
    """The first bytes of a file; InvalidFile (naming `path`) where it cannot be opened."""
    try:
        if file.is_dir():
            raise InvalidFile(path, "is a folder", "Name the files in it")
        if file.exists() and not file.is_file():
            raise InvalidFile(path, "is no ordinary file", "Copy what it gives into a file first")
        with file.open("rb") as opened:
            return opened.read(_HEAD)
    except FileNotFoundError:
        raise InvalidFile(path, "there is no such file", "Check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidFile(path, f"cannot be opened: {reason}", "Check the path and its permissions") from None


def _decode_header(path: Path, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidFile(path, "its header is not UTF-8", "Save the file as UTF-8", row=0) from None
    if not text.strip():
        raise InvalidFile(path, "is empty", "Export it again, or leave it out")
    if "\r" in text:
        raise InvalidFile(
            path, "ends its lines with a bare carriage return", "Save it with LF or CRLF line ends"
        )
    if "\x00" in text:
        raise InvalidFile(path, "is no text in UTF-8: its header holds NUL bytes", "Save it as UTF-8")
    return text


def _split(path: Path, text: str) -> tuple[str, list[str]]:
    """The delimiter that gives the most names, and these; the quotes of a header are broken at any other."""
    splits: dict[str, list[str]] = {}
    broken = ""
    for delimiter in ",;\t|":
        try:
            splits[delimiter] = next(
                csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True)
            )
        except csv.Error as error:
            broken = broken or str(error)
    best = max(splits, key=lambda delimiter: len(splits[delimiter]), default="")
    if broken and len(splits.get(best, "")) < 2:
        raise InvalidFile(path, f"its header is broken: {broken}", "Mend the quotes in its first line", row=0)
    return best, splits[best]
