"""Bytes that are no text are marked when a file is decoded, so that they cost only the row that they stand in."""

from __future__ import annotations

import codecs

MARKING = "honeyguide.mark"
"""The error handler to decode with."""

_MARK = "\ufdd0"  # Unicode promises that it is never a letter


def broken_again(line: bytes) -> bytes:
    """A row in UTF-8 that is no longer UTF-8 where a mark is in it, so that it is refused for that."""
    return line.replace(_MARK.encode(), b"\xff")


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _MARK, error.end


codecs.register_error(MARKING, _mark)
