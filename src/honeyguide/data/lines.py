"""Looking into JSON Lines without reading all of it: which keys there are, and single lines by their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import msgspec
import numpy as np

from honeyguide.data.sniff import BOM, RESERVED

_MAX_KEYS = 1000
_WHOLE = 8 << 20  # a file up to this size is looked at from end to end
_PIECES, _PIECE = 128, 32 << 10
_BLOCK = 8 << 20
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


def pick_lines(path: Path, rows: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The lines of these ascending row numbers (from 1, blank lines not counted), without their ends."""
    wanted = iter(rows)
    row = next(wanted, None)
    before = 0
    with path.open("rb") as file:
        rest = file.read(len(BOM)).removeprefix(BOM)
        while row is not None and (read := file.read(_BLOCK)):
            data = rest + read
            lines, rest = _whole_lines(data, last=len(read) < _BLOCK)
            filled = _not_blank(lines)
            while row is not None and row - before <= len(filled):
                yield row, lines[filled[row - before - 1]].strip(_BLANK)
                row = next(wanted, None)
            before += len(filled)


def _whole_lines(data: bytes, *, last: bool) -> tuple[list[bytes], bytes]:
    lines = data.split(b"\n")
    rest = b"" if last else lines.pop()
    return lines, rest


def _not_blank(lines: list[bytes]) -> list[int]:
    return [place for place, line in enumerate(lines) if line and (line[0] > 32 or line.strip(_BLANK))]
