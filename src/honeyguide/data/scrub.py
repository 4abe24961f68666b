"""Saves the good rows of a text file that DuckDB refuses as a whole because of some bad ones.

Rows are numbered as they stand in the file, from 1, without the header and without blank lines. The good ones
come out as one JSON value a line, which every reader understands; the bad ones with what is wrong with them.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from honeyguide.data.sniff import MAX_LINE, Header

SHOWN = 1000
"""This many characters of a bad row go into quarantine."""

HOLE = b"\x01"
"""Stands in scrubbed JSON Lines for a line that was put aside, so that the rows after it keep their number."""

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Reject:
    """One row that was put aside."""

    row: int
    reason: str
    message: str
    raw: str


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one record is: its fields, or what is wrong with it; `open` where a quote is not closed yet."""

    fields: list[str] | None = None
    reason: str = "malformed_row"
    message: str = ""
    open: bool = False


class Lines:
    """The lines of a binary file, at most MAX_LINE bytes of each, with a way to give some back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._returned: deque[bytes] = deque()

    def next(self) -> bytes | None:
        """The next line with its end, None after the last; a longer line is cut and loses its end."""
        if self._returned:
            return self._returned.popleft()
        line = self._file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while (rest := self._file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
        return line or None

    def give_back(self, lines: list[bytes]) -> None:
        """Have `next` give these lines again."""
        self._returned.extendleft(reversed(lines))


def scrub_csv(path: Path, header: Header, good: BinaryIO) -> Iterator[Reject]:
    """Write each good row to `good` as the JSON list [row, field, ...]; yields the bad rows."""
    row = 0
    with path.open("rb") as file:
        lines = Lines(file)
        for _ in range(header.lines):
            lines.next()
        while (line := lines.next()) is not None:
            if not line.strip(b"\r\n"):
                continue
            row += 1
            verdict = _record(line, lines, header)
            if verdict.fields is None:
                yield Reject(row, verdict.reason, verdict.message, _shown(line))
            else:
                good.write(msgspec.json.encode([row, *(field or None for field in verdict.fields)]) + b"\n")


def scrub_jsonl(path: Path, good: BinaryIO) -> Iterator[Reject]:
    """Write each line that is text to `good`, a HOLE for every other; yields the lines that are not."""
    row = 0
    with path.open("rb") as file:
        lines = Lines(file)
        while (line := lines.next()) is not None:
            content = line.removeprefix(_BOM).strip(_BLANK) if row == 0 else line.strip(_BLANK)
            if not content:
                continue
            row += 1
            problem = _not_text(content)
            if problem:
                yield Reject(row, *problem, _shown(line))
            good.write((HOLE if problem else content.replace(b"\r", b" ")) + b"\n")


def _record(line: bytes, lines: Lines, header: Header) -> _Verdict:
    """Judge the record that begins with `line`, which may go on over the next lines inside quotes.

    A broken record costs only its first line: the lines after it are judged anew.
    """
    verdict = _judge(line, header)
    more: list[bytes] = []
    size = len(line)
    while verdict.open and size <= MAX_LINE and (following := lines.next()) is not None:
        more.append(following)
        size += len(following)
        if following.count(b'"') % 2:  # only an odd number of quotes can close one
            verdict = _judge(line + b"".join(more), header)
    if verdict.fields is None and verdict.reason == "malformed_row":
        lines.give_back(more)
    return verdict


def _judge(record: bytes, header: Header) -> _Verdict:
    problem = _not_text(record)
    if problem and problem[0] != "invalid_utf8":
        return _Verdict(None, *problem)
    text = record.decode("utf-8", "replace").rstrip("\r\n")
    try:
        reader = csv.reader([text], delimiter=header.delimiter, strict=True, skipinitialspace=True)
        fields = next(reader) if '"' in text else text.split(header.delimiter)
    except csv.Error as error:
        is_open = "unexpected end of data" in str(error)
        said = "a quote opens here and is never closed" if is_open else f"the quotes are broken: {error}"
        return _Verdict(None, "malformed_row", said, open=is_open)
    if problem:
        return _Verdict(None, *problem)
    width = len(header.columns)
    while len(fields) > width and not fields[-1]:
        fields.pop()  # delimiters at the end of the line, as spreadsheets write them
    if len(fields) != width:
        return _Verdict(None, "malformed_row", f"has {len(fields)} columns where the header has {width}")
    return _Verdict(fields)


def _not_text(content: bytes) -> tuple[str, str] | None:
    if len(content) > MAX_LINE:
        return "field_too_long", f"the row is longer than {MAX_LINE:,} bytes"
    if b"\x00" in content or content.strip() == HOLE:
        return "malformed_row", "holds a NUL byte or another control character"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return "invalid_utf8", f"is not UTF-8 at byte {error.start + 1} of the row"
    return None


def _shown(line: bytes) -> str:
    return line[: SHOWN * 4].decode("utf-8", "replace").rstrip("\r\n")[:SHOWN]
