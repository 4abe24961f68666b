"""What DuckDB cannot read row by row becomes a file of JSON Lines; anything else stays as it is.

Row n of that file is element n of a JSON array, entry n of an XML feed, or node n of the product data in a page.
"""

from __future__ import annotations

import re
from pathlib import Path

from honeyguide.data.sniff import BOM, read_head
from honeyguide.data.unpacking.compressed import GZIP, ZIP, gunzip, unzip
from honeyguide.data.unpacking.htmlpage import is_page, unpack_page
from honeyguide.data.unpacking.jsonfile import unpack_array, unpack_objects
from honeyguide.data.unpacking.xmlfeed import unpack_feed
from honeyguide.errors import InvalidFile

_MARKUP = re.compile(rb"<[?!a-zA-Z_]")
_UTF16 = (b"\xff\xfe<\0", b"\xfe\xff\0<")
_ARRAY = re.compile(rb'\[\s*(?:[\[\]{"\d-]|true\b|false\b|null\b)')


def unpack(path: Path, scratch: Path) -> Path:
    """The file to read instead of `path`: itself, or one in the folder `scratch`; InvalidFile says what is wrong."""
    head = read_head(path, path)
    try:
        file = path
        if head.startswith(GZIP):
            file = gunzip(path, scratch / "gunzipped")
        elif head.startswith(ZIP):
            file = unzip(path, scratch / "unzipped")
        return _as_lines(path, file, scratch / "unpacked.jsonl")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidFile(
            path, f"cannot be unpacked: {reason}", "Check the disk, and that it has room"
        ) from None


def _as_lines(path: Path, file: Path, target: Path) -> Path:
    """The file itself where it is a table or JSON Lines already, else its rows in `target`."""
    head = read_head(file, path)
    body = head.removeprefix(BOM).lstrip()
    if _MARKUP.match(body) or head.startswith(_UTF16):
        return unpack_page(path, file, target) if is_page(file) else unpack_feed(path, file, target)
    if _ARRAY.match(body):
        return unpack_array(path, file, target)
    if body.startswith(b"{"):
        return unpack_objects(path, file, target)
    return file
