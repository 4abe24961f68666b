"""A JSON array, or one object around a list, as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from honeyguide.data.scrub import Lines
from honeyguide.data.sniff import BOM
from honeyguide.data.sources import known
from honeyguide.data.unpacking.jsontext import JsonText
from honeyguide.errors import InvalidFile

GRAPH = "@graph"
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
_REMEDY = "Export it again, or write one JSON object per line"


def one_line(value: bytes) -> bytes:
    """A value of JSON as one line."""
    return value.translate(_ONE_LINE) + b"\n"


def unpack_array(path: Path, file: Path, target: Path) -> Path:
    """Write each element of the array that the file is to a line of its own."""
    with file.open("rb") as opened:
        text = JsonText(opened)
        text.peek()
        _write(path, _elements(text), target, "its array")
        _check_end(path, text)
    return target


def unpack_objects(path: Path, file: Path, target: Path) -> Path:
    """A file that begins with an object: the file itself where it is JSON Lines, else its rows in `target`."""
    with file.open("rb") as opened:
        text = JsonText(opened)
        text.peek()
        first = text.value()
        followed = bool(text.peek())
    if first is None:
        if _is_lines(file):
            return file  # whose first line is broken, which costs that line alone
        raise InvalidFile(
            path, "ends inside its first object: a bracket or a quote in it is never closed", _REMEDY
        )
    if not followed:
        return _unpack_one(path, file, target, first)
    if b"\n" not in first or _is_lines(file):
        return file
    with file.open("rb") as opened:
        _write(path, _values(JsonText(opened)), target, "its series of objects")
    return target


def _is_lines(file: Path) -> bool:
    """Whether the second line begins an object too, as no object does that is spread over lines."""
    with file.open("rb") as opened:
        lines = Lines(opened)
        filled = 0
        while (line := lines.next()) is not None:
            body = line.removeprefix(BOM).lstrip()
            filled += bool(body)
            if filled == 2:
                return body.startswith(b"{") and not body.rstrip().endswith(b",")
    return False


def _unpack_one(path: Path, file: Path, target: Path, first: bytes) -> Path:
    """The rows of a file that is one object: those of the list in it, or the object itself."""
    with file.open("rb") as opened:
        members = _survey(path, opened)
    listing = _listing(path, members)
    if listing is not None:
        with file.open("rb") as opened:
            _write(path, _listed(JsonText(opened), listing), target, f"its list {listing!r}")
        return target
    if b"\n" not in first:
        return file
    target.write_bytes(one_line(first))
    return target


@dataclass(frozen=True, slots=True)
class _Members:
    """The keys of an object, and which of them hold lists of objects and lists of nothing."""

    keys: tuple[str, ...]
    lists: tuple[str, ...]
    empty: tuple[str, ...]


def _survey(path: Path, opened: BinaryIO) -> _Members:
    text = JsonText(opened)
    keys, lists, empty = [], [], []
    for key in _keys(text):
        keys.append(key)
        if text.peek() == b"[":
            text.skip()
            first = text.peek()
            if first == b"{":
                lists.append(key)
            elif first == b"]":
                empty.append(key)
            for _ in _rest_of_list(text):
                pass
        else:
            text.value()
    if text.peek() != b"}":
        raise InvalidFile(path, "is no JSON: its object is broken", _REMEDY)
    return _Members(tuple(keys), tuple(lists), tuple(empty))


def _listing(path: Path, members: _Members) -> str | None:
    """The key of the list that holds the rows; None where the object is a row itself."""
    if GRAPH in members.lists:
        return GRAPH
    columns = [" ".join(key.split()).lower() for key in members.keys]
    if any(layout.fits(columns) for source in known.SOURCES for layout in source.layouts):
        return None
    if len(members.lists) > 1:
        names = ", ".join(repr(key[:64]) for key in members.lists[:5])
        raise InvalidFile(
            path, f"holds several lists: {names}", "Save the one to import as a file of its own"
        )
    if not members.lists and members.empty:
        raise InvalidFile(
            path, f"holds no rows: its list {members.empty[0][:64]!r} is empty", "Export it again"
        )
    return members.lists[0] if members.lists else None


def _write(path: Path, rows: Iterator[bytes | None], target: Path, what: str) -> None:
    """Write one line per row; InvalidFile where there are none, or where one of them never ends."""
    count = objects = 0
    with target.open("wb") as out:
        for row in rows:
            count += 1
            if row is None:
                problem = f"{what} ends inside element {count:,}: a bracket or a quote in it is never closed"
                raise InvalidFile(path, problem, _REMEDY, row=count)
            objects += row.startswith(b"{")
            out.write(one_line(row))
    if not count:
        raise InvalidFile(path, f"holds no rows: {what} is empty", "Export it again, or leave it out")
    if not objects:
        raise InvalidFile(path, f"holds no rows: {what} is not one of objects", _REMEDY)


def _elements(text: JsonText) -> Iterator[bytes | None]:
    """The elements of the list that begins here; the last is None where the text ends before the list does."""
    text.skip()
    return _rest_of_list(text)


def _rest_of_list(text: JsonText) -> Iterator[bytes | None]:
    while (letter := text.peek()) != b"]":
        if letter == b",":
            text.skip()
            continue
        value = text.value() if letter else None
        yield value
        if value is None:
            return
    text.skip()


def _values(text: JsonText) -> Iterator[bytes | None]:
    while text.peek():
        yield (value := text.value())
        if value is None:
            return


def _keys(text: JsonText) -> Iterator[str]:
    """The keys of the object that begins here; the value of each has to be read before the next."""
    text.peek()
    text.skip()
    while (letter := text.peek()) not in (b"}", b""):
        if letter == b",":
            text.skip()
            continue
        key = text.key()
        if key is None:
            return
        try:
            yield msgspec.json.decode(key, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield key.decode("utf-8", "replace")
        text.peek()


def _listed(text: JsonText, listing: str) -> Iterator[bytes | None]:
    """The elements of the list under a key of the object that begins here."""
    for key in _keys(text):
        if key == listing and text.peek() == b"[":
            yield from _elements(text)
            return
        text.value()


def _check_end(path: Path, text: JsonText) -> None:
    if text.peek():
        raise InvalidFile(path, "goes on after the end of its array", _REMEDY)
