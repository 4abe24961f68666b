"""Looking into JSON Lines without reading all of it: which keys there are, and single lines by their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from honeyguide.data.sniff import BOM, RESERVED

_MAX_KEYS = 1000
_WHOLE = 8 << 20  # a file up to this size is looked at from end to end
_PIECES, _PIECE = 128, 32 << 10
_BLOCK = 8 << 20
_SCANNED = 1 << 20  # stays in the processor's cache
_NEWLINE = ord("\n")
_BLANK = b" \t\r\n\x0b\x0c"  # what DuckDB takes for white space


def sample_keys(path: Path) -> Mapping[str, str]:
    """The keys of the objects by their name in lower case, the most frequent first.

    All objects of a small file are looked at; of a large one its head and pieces spread evenly over the rest. Of
    two keys that differ only in capitals or blanks the more frequent one counts.
    """
    seen: Counter[str] = Counter()
    with path.open("rb") as file:
        for line in _sampled(file, path.stat().st_size):
            try:
                found = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                continue
            if isinstance(found, dict):
                seen.update(key for key in found if "\x00" not in key)
    names: dict[str, str] = {}
    for key, _ in seen.most_common():
        plain = " ".join(key.split()).lower()
        if plain and plain not in RESERVED and len(names) < _MAX_KEYS:
            names.setdefault(plain, key)
    return MappingProxyType(names)


def _sampled(file: BinaryIO, size: int) -> Iterator[bytes]:
    if size <= _WHOLE:
        yield from file.read().removeprefix(BOM).split(b"\n")
        return
    yield from file.read(_WHOLE // 8).removeprefix(BOM).split(b"\n")[:-1]
    for start in np.linspace(_WHOLE // 8, size - _PIECE, _PIECES).astype(int).tolist():
        file.seek(start)
        yield from file.read(_PIECE).split(b"\n")[1:-1]


DEEP = b"}" * 256
"""Where objects that are nested very deeply end."""


def holds(path: Path, *parts: bytes) -> tuple[bool, ...]:
    """Which of these bytes stand in the file; some tenths of a second for a gigabyte that is cached.

    It is read block by block: of a file that is mapped, all that was looked at would count as memory of the process.
    """
    overlap = max(map(len, parts)) - 1
    found, rest = [False] * len(parts), b""
    with path.open("rb") as file:
        while block := file.read(_SCANNED):
            data = rest + block
            found = [known or part in data for known, part in zip(found, parts, strict=True)]
            rest = data[len(data) - overlap :] if overlap else b""
    return tuple(found)


def pick_lines(path: Path, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The lines of these ascending row numbers (from 1, blank lines not counted), without their ends."""
    wanted = np.asarray(rows, dtype=np.int64)
    before, rest, last = 0, b"", False
    with path.open("rb") as file:
        file.seek(len(BOM) if file.read(len(BOM)) == BOM else 0)
        while len(wanted) and not last:
            read = file.read(_BLOCK)
            last = len(read) < _BLOCK
            data = rest + read
            starts, ends, rest = _lines(data, last=last)
            here = wanted[: np.searchsorted(wanted, before + len(starts), side="right")]
            for row, place in zip(here.tolist(), (here - before - 1).tolist(), strict=True):
                yield row, data[starts[place] : ends[place]].strip(_BLANK)
            wanted, before = wanted[len(here) :], before + len(starts)


def _lines(data: bytes, *, last: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], bytes]:
    """Where the lines of a block begin and end, blank ones left out, and what belongs to the next block."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
    whole = len(data) if last else int(ends[-1]) + 1 if len(ends) else 0
    if last:
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    if not len(ends):
        return ends, ends, data
    text = np.frombuffer(data, np.uint8)
    filled = (ends > starts) & (text[np.minimum(starts, len(data) - 1)] > ord(" "))
    for place in np.flatnonzero(~filled).tolist():
        filled[place] = bool(data[starts[place] : ends[place]].strip(_BLANK))
    return starts[filled], ends[filled], data[whole:]
