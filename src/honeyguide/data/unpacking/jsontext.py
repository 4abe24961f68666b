"""Takes JSON apart by its brackets alone, however large it is: what stands between them is for others to judge."""

from __future__ import annotations

import re
from typing import BinaryIO

from honeyguide.data.sniff import BOM, MAX_LINE

_BLOCK = 1 << 20
_MAX_KEY = 1 << 16
_BLANK = re.compile(rb"[ \t\r\n\x0b\x0c]*")
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_KEY = re.compile(_STRING + rb"[ \t\r\n\x0b\x0c]*:", re.DOTALL)
_INSIDE = re.compile(rb'[^"{}\[\]]*(?:' + _STRING + rb'[^"{}\[\]]*)*', re.DOTALL)
_OUTSIDE = re.compile(rb'[^"{}\[\],]*(?:' + _STRING + rb'[^"{}\[\],]*)*', re.DOTALL)
_REST = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_QUOTE = ord('"')
_CLOSED_BY = dict(zip(b"[{", b"]}", strict=True))


class JsonText:
    """A text that is read value by value, with no more of it in memory than some megabytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = file.read(len(BOM)).removeprefix(BOM)
        self._at = 0
        self._open, self._in_string = bytearray(), False  # of the value that is being read

    def peek(self) -> bytes:
        """The next byte that is not blank, which stays where it is; b"" at the end."""
        while True:
            self._at = _end(_BLANK, self._data, self._at)
            if self._at < len(self._data):
                return self._data[self._at : self._at + 1]
            if not self._fill():
                return b""

    def skip(self) -> None:
        """Go on behind the byte that was peeked at."""
        self._at += 1

    def key(self) -> bytes | None:
        """The key that is next, with its quotes, and go on behind its colon; None where there is none."""
        while not (found := _KEY.match(self._data, self._at)):
            if len(self._data) - self._at > _MAX_KEY or not self._fill():
                return None
        self._at = found.end()
        return found.group()[:-1].rstrip()

    def value(self) -> bytes | None:
        """The value that is next as it is written, cut behind MAX_LINE bytes; None where the text ends inside it."""
        kept = bytearray()
        self._open, self._in_string = bytearray(), False
        start = self._at
        while not self._reach_end():
            kept += self._data[start : min(self._at, start + MAX_LINE + 1 - len(kept))]
            if len(self._open) > MAX_LINE or not self._fill():
                return None
            start = 0
        kept += self._data[start : min(self._at, start + MAX_LINE + 1 - len(kept))]
        if not kept:  # a closing bracket that nothing has opened
            kept += self._data[self._at : self._at + 1]
            self._at += 1
        return bytes(kept)

    def _fill(self) -> bool:
        read = self._file.read(_BLOCK)
        self._data, self._at = self._data[self._at :] + read, 0
        return bool(read)

    def _reach_end(self) -> bool:
        """Go on to the end of the value, or as far as the text in memory goes."""
        data, at = self._data, self._at
        while True:
            if self._in_string:
                at = _end(_REST, data, at)
                if at == len(data) or data[at] != _QUOTE:  # a backslash may be the last byte in memory
                    break
                at, self._in_string = at + 1, False
            at = _end(_INSIDE if self._open else _OUTSIDE, data, at)
            if at == len(data):
                break
            letter = data[at]
            if letter == _QUOTE:
                at, self._in_string = at + 1, True
            elif letter in _CLOSED_BY:
                self._open.append(_CLOSED_BY[letter])
                at += 1
            else:
                closes = self._close(letter)
                at += closes
                if not closes or not self._open:
                    self._at = at
                    return True
        self._at = at
        return False

    def _close(self, letter: int) -> bool:
        """Close the bracket that a closing one belongs to, and those left open within; False where there is none."""
        place = self._open.rfind(letter)
        del self._open[max(place, 0) :]
        return place >= 0


def _end(pattern: re.Pattern[bytes], data: bytes, start: int) -> int:
    """Where a pattern that matches everywhere, be it nothing, ends."""
    found = pattern.match(data, start)
    return found.end() if found else start
