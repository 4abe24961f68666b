"""Saves the good rows of a text file that DuckDB refuses as a whole because of some bad ones.

Rows are numbered as they stand in the file, from 1, without the header and without blank lines.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from honeyguide.data.sniff import BOM, MAX_LINE, Header
from honeyguide.data.unpacking.jsontext import JsonText

SHOWN = 1000
"""This many characters of a bad row go into quarantine."""

HOLE = b"\x01"
"""Stands in scrubbed JSON Lines for a line that was put aside, so that the rows after it keep their number."""

_BLANK = b" \t\r\n\x0b\x0c"  # what DuckDB takes for white space
_BLOCK = 8 << 20  # far more than MAX_LINE, so that a record that ends nowhere is known as one
_NEWLINE, _RETURN, _QUOTE = b'\n\r"'
_OPEN, _CLOSE = b"{}"
_MAX_DEPTH = 10_000  # taking objects apart ends the process from about 50,000 on
_LONG = 5 * _MAX_DEPTH  # no shorter line can be nested deeper


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
    """The lines of a binary file, at most MAX_LINE bytes of each."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def next(self) -> bytes | None:
        """The next line with its end, None after the last; a longer line is cut and loses its end."""
        line = self._file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE and not line.endswith(b"\n"):
            while (rest := self._file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
        return line or None


def scrub_csv(path: Path, header: Header, good: BinaryIO) -> Iterator[Reject]:
    """Write the good rows to `good` as CSV without a header; yields the bad rows.

    Lines that are plainly good (the right number of delimiters, no quotes, UTF-8) are copied in one piece; only
    the others are looked at one by one.
    """
    row, rest = 0, b""
    with path.open("rb") as file:
        for _ in range(header.lines):
            Lines(file).next()
        while True:
            read = file.read(_BLOCK)
            last = len(read) < _BLOCK
            block = _Block(rest + read, header, last=last)
            for found in block.rows():
                row += found.rows
                good.write(found.good)
                if found.bad is not None:
                    yield Reject(row, found.bad.reason, found.bad.message, shown(found.line))
            rest = block.rest
            if last:
                return


@dataclass(frozen=True, slots=True)
class _Found:
    """So many rows of a block, which are good as `good` or one bad `line`."""

    rows: int
    good: bytes = b""
    bad: _Verdict | None = None
    line: bytes = b""


class _Block:
    """Some megabytes of a CSV file, line by line; `rest` is what the next block has to begin with."""

    def __init__(self, data: bytes, header: Header, *, last: bool) -> None:
        self._header, self._last = header, last
        end = len(data) if last else data.rfind(b"\n") + 1
        self._data, self.rest = data[:end], data[end:]
        if len(self.rest) > 2 * MAX_LINE:  # a line without end is too long already: its head will do
            self.rest = self.rest[: 2 * MAX_LINE]
        breaks = np.flatnonzero(np.frombuffer(self._data, np.uint8) == _NEWLINE) + 1
        ends = breaks if len(breaks) and breaks[-1] == len(self._data) else np.append(breaks, len(self._data))
        self._bounds = np.concatenate([[0], ends]).astype(np.int64) if self._data else np.zeros(1, np.int64)

    def rows(self) -> Iterator[_Found]:
        """Good rows in runs and bad ones one by one, in the order of the file."""
        at, lines = 0, len(self._bounds) - 1
        for line in np.flatnonzero(self._doubtful()).tolist():
            if line < at:
                continue  # it was inside the quotes of an earlier one
            yield self._run(at, line)
            following = self._one(line)
            if following is None:
                self.rest = self._data[self._bounds[line] :] + self.rest
                return
            found, at = following
            yield found
        yield self._run(at, lines)

    def _doubtful(self) -> NDArray[np.bool_]:
        """(lines,): whether a line has to be looked at."""
        text = np.frombuffer(self._data, np.uint8)
        starts = self._bounds[:-1]
        if not len(starts):
            return np.zeros(0, np.bool_)
        delimiter = ord(self._header.delimiter)
        doubtful: NDArray[np.bool_] = self._count(text == delimiter) != len(self._header.columns) - 1
        lengths = np.diff(self._bounds)
        doubtful |= (lengths > _LONG) | (lengths <= 2)
        odd = (text == 0) | (text == 1)
        if self._header.quoted:
            odd |= text == _QUOTE
        odd |= (text == _RETURN) & (np.append(text[1:], 0) != _NEWLINE)
        doubtful |= self._count(odd) > 0
        try:
            self._data.decode("utf-8")
        except UnicodeDecodeError:
            doubtful |= self._count(text > 127) > 0
        return doubtful

    def _count(self, marks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(lines,): how many marks a line has."""
        return np.diff(np.searchsorted(np.flatnonzero(marks), self._bounds)).astype(np.int64)

    def _run(self, first: int, last: int) -> _Found:
        """The lines from `first` up to `last`, all of them plainly good."""
        if last <= first:
            return _Found(0)
        lines = self._data[self._bounds[first] : self._bounds[last]].replace(b"\r\n", b"\n")
        return _Found(last - first, lines if lines.endswith(b"\n") else lines + b"\n")

    def _one(self, first: int) -> tuple[_Found, int] | None:
        """Judge the record that begins at a line, and the line after it; None where the block ends inside it.

        A broken record costs only its first line: the lines after it are judged anew.
        """
        line = self._line(first, first + 1)
        if not line.strip(b"\r\n"):
            return _Found(0), first + 1
        verdict, last = _judge(line, self._header), first + 1
        while verdict.open and self._bounds[last] - self._bounds[first] <= MAX_LINE:
            if last == len(self._bounds) - 1:
                if self._last:
                    break
                return None
            last += 1
            if self._line(last - 1, last).count(b'"') % 2:  # only an odd number of quotes can close one
                verdict = _judge(self._line(first, last), self._header)
        if verdict.fields is not None:
            return _Found(1, _as_csv(verdict.fields, self._header)), last
        return _Found(1, bad=verdict, line=line), first + 1 if verdict.reason == "malformed_row" else last

    def _line(self, first: int, last: int) -> bytes:
        return self._data[self._bounds[first] : self._bounds[last]]


def _as_csv(fields: list[str], header: Header) -> bytes:
    """One line with every field in quotes, so that whatever it holds is read back as it is; "" is no value."""
    if not header.quoted:
        return header.delimiter.join(fields).replace("\r", " ").encode() + b"\n"
    quoted = ('"' + value.replace('"', '""') + '"' if value else "" for value in fields)
    return header.delimiter.join(quoted).encode() + b"\n"


def scrub_jsonl(path: Path, good: BinaryIO) -> Iterator[Reject]:
    """Write each line that is text to `good`, a HOLE for every other; yields the lines that are not."""
    row = 0
    with path.open("rb") as file:
        lines = Lines(file)
        while (line := lines.next()) is not None:
            content = line.removeprefix(BOM).strip(_BLANK) if row == 0 else line.strip(_BLANK)
            if not content:
                continue
            row += 1
            problem = not_text(content) or _cut_off(content) or _too_deep(content)
            if problem:
                yield Reject(row, *problem, shown(line))
            good.write((HOLE if problem else content.replace(b"\r", b" ")) + b"\n")


def _judge(record: bytes, header: Header) -> _Verdict:
    problem = not_text(record)
    if problem and problem[0] != "invalid_utf8":
        return _Verdict(None, *problem)
    text = record.decode("utf-8", "replace").rstrip("\r\n")
    try:
        reader = csv.reader([text], delimiter=header.delimiter, strict=True, skipinitialspace=True)
        fields = next(reader) if header.quoted and '"' in text else text.split(header.delimiter)
    except csv.Error as error:
        is_open = "unexpected end of data" in str(error)
        said = "a quote opens here and is never closed" if is_open else f"the quotes are broken: {error}"
        return _Verdict(None, "malformed_row", said, open=is_open)
    problem = problem or _too_deep(record)
    if problem:
        return _Verdict(None, *problem)
    width = len(header.columns)
    while len(fields) > width and not fields[-1]:
        fields.pop()  # delimiters at the end of the line, as spreadsheets write them
    if len(fields) != width:
        return _Verdict(None, "malformed_row", f"has {len(fields)} columns where the header has {width}")
    return _Verdict(fields)


def _cut_off(content: bytes) -> tuple[str, str] | None:
    """Whether a line ends before what it holds does: DuckDB would lose the line behind it too."""
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        if JsonText(BytesIO(content)).value() is None:
            return "malformed_row", "the line is no JSON object"
    return None


def _too_deep(content: bytes) -> tuple[str, str] | None:
    """Whether objects are nested in each other beyond what can be taken apart; brackets in texts count too."""
    if content.count(b"{") <= _MAX_DEPTH:
        return None
    marks = np.frombuffer(content, np.uint8)
    depth = np.cumsum((marks == _OPEN).astype(np.int64) - (marks == _CLOSE))
    if depth.max() <= _MAX_DEPTH:
        return None
    return "malformed_row", f"its objects are nested more than {_MAX_DEPTH:,} deep"


def not_text(content: bytes) -> tuple[str, str] | None:
    """Why some bytes are no text of an allowed length, as reason and message; None where they are."""
    if len(content) > MAX_LINE:
        return "field_too_long", f"the row is longer than {MAX_LINE:,} bytes"
    if b"\x00" in content or content.strip() == HOLE:
        return "malformed_row", "holds a NUL byte or another control character"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return "invalid_utf8", f"is not UTF-8 at byte {error.start + 1} of the row"
    return None


def shown(line: bytes) -> str:
    """A line as quarantine shows it."""
    return line[: SHOWN * 4].decode("utf-8", "replace").rstrip("\r\n")[:SHOWN]
