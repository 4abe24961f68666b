"""A feed in XML (RSS, Atom; Google's attributes in their namespace) as JSON Lines, one entry after another."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

import msgspec

from honeyguide.data.sniff import MAX_LINE
from honeyguide.data.unpacking.marks import MARKING, broken_again
from honeyguide.errors import InvalidFile

_ENTRIES = ("item", "entry")
_NAMESPACES = {"http://base.google.com/ns/1.0", "http://base.google.com/cns/1.0"}
_PREFIXES = {"g", "c"}  # what Google calls them itself, should they not be declared
_BLOCK = 1 << 20
_MAX_TOKEN = 8 << 20
_MAX_DEPTH = 100
_ELEMENT = 16  # what an element costs beside its text
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # XML has no place for them
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([\w.:-]+)["']""")
_REMEDY = (
    "Have it exported as valid XML: a bare & is written &amp;, "
    "and no other names than amp, lt, gt, quot, apos may follow an &"
)

Value = str | dict[str, "Value"] | list["Value"]


def unpack_feed(path: Path, file: Path, target: Path) -> Path:
    """Write each entry of the feed to a line of its own; InvalidFile where the XML is broken or has no entries."""
    with file.open("rb") as opened, target.open("wb") as out:
        feed = _Feed(path, out)
        for text in _decoded(path, opened):
            feed.parse(text)
        feed.close()
    if not feed.rows:
        raise InvalidFile(
            path, "is XML without products: it has no <item> and no <entry>", "Export a product feed"
        )
    return target


def _decoded(path: Path, opened: BinaryIO) -> Iterator[str]:
    """The text of the file piece by piece, in the encoding that it declares."""
    head = opened.read(_BLOCK)
    name = _encoding(head)
    try:
        b" ".decode(name, "ignore")  # which codecs that are not for text do not have
        decoder = codecs.getincrementaldecoder(name)(MARKING)
        while head:
            yield _FORBIDDEN.sub(" ", decoder.decode(head))
            head = opened.read(_BLOCK)
        yield _FORBIDDEN.sub(" ", decoder.decode(b"", True))
    except LookupError:
        raise InvalidFile(path, f"is in an unknown encoding: {name[:64]}", "Export it in UTF-8") from None
    except UnicodeError:
        raise InvalidFile(path, f"is not in {name[:64]}, as it says", "Export it in UTF-8") from None


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    declared = _DECLARED.match(head.removeprefix(codecs.BOM_UTF8))
    name = declared.group(1).decode().lower() if declared else "utf-8"
    if name.replace("_", "-").startswith(("utf-8", "utf8", "utf-16", "utf-32", "ucs")):
        return "utf-8-sig"  # what was read so far as single bytes cannot be wider, whatever it says
    return name


@dataclass(slots=True)
class _Element:
    """An element that is still open."""

    name: str
    link: str = ""
    text: list[str] = field(default_factory=list)
    speaks: bool = False
    """Whether it has text of its own, and not only that of its children."""
    children: list[tuple[str, Value]] = field(default_factory=list)


class _Feed:
    """Writes the entries as they end; `rows` counts them."""

    def __init__(self, path: Path, out: BinaryIO) -> None:
        self.rows = 0
        self._path, self._out = path, out
        self._open: list[_Element] = []
        self._depth = self._size = self._fed = 0
        self._prefixes = set(_PREFIXES)
        self._parser = expat.ParserCreate("utf-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._refuse_entity

    def parse(self, text: str) -> None:
        """Take in the next piece of the feed."""
        data = text.encode("utf-8", "replace")
        self._fed += len(data)
        self._parse(data, last=False)
        if self._fed - self._parser.CurrentByteIndex > _MAX_TOKEN:
            raise self._invalid("a tag or a comment never ends", "Export it again")

    def close(self) -> None:
        """Say that there is no more of it."""
        self._parse(b"", last=True)

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            said = expat.errors.messages.get(error.code, "broken")
            raise self._invalid(f"is broken XML in line {error.lineno:,}: {said}", _REMEDY) from None

    def _invalid(self, problem: str, remedy: str) -> InvalidFile:
        return InvalidFile(self._path, problem, remedy, row=self.rows + 1)

    def _refuse_entity(self, *_: object) -> None:
        raise self._invalid("defines entities of its own, which are not read", "Export it without a DOCTYPE")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._invalid(f"nests its elements more than {_MAX_DEPTH} deep", "Export a product feed")
        for key, value in attributes.items():
            if key.startswith("xmlns:") and value in _NAMESPACES:
                self._prefixes.add(key[6:])
        if self._open or name.rpartition(":")[2] in _ENTRIES:
            is_link = "href" in attributes and attributes.get("rel", "alternate") == "alternate"
            self._open.append(_Element(name, attributes["href"] if is_link else ""))
            self._size += _ELEMENT + len(name)

    def _text(self, text: str) -> None:
        if self._open and self._size <= MAX_LINE:
            self._size += len(text)
            self._open[-1].text.append(text)
            self._open[-1].speaks |= not text.isspace()

    def _end(self, name: str) -> None:
        self._depth -= 1
        if not self._open:
            return
        element = self._open.pop()
        value = self._value(element)
        if not self._open:
            self._write(value if isinstance(value, dict) else {})
        elif self._size <= MAX_LINE:
            self._open[-1].children.append((name, value))
            self._open[-1].text += element.text

    def _value(self, element: _Element) -> Value:
        """What an element says: the text in it, or its children by name where it has no text beside them."""
        if element.children and (not element.speaks or not self._open):
            return _by_name(element.children, self._prefixes)
        return "".join(element.text).strip() or element.link

    def _write(self, row: dict[str, Value]) -> None:
        """Write an entry; one that is too large or that holds broken bytes so that the row will be refused."""
        line = msgspec.json.encode(row)
        if self._size > MAX_LINE and len(line) <= MAX_LINE:
            line = line[:-1] + b"." * (MAX_LINE + 2 - len(line))
        self._out.write(broken_again(line) + b"\n")
        self.rows += 1
        self._size = 0


def _by_name(children: Sequence[tuple[str, Value]], prefixes: set[str]) -> dict[str, Value]:
    """The values by name, Google's before others of that name; of those that are there repeatedly a list."""
    plain: dict[str, list[Value]] = {}
    own: dict[str, list[Value]] = {}
    for name, value in children:
        if not value:
            continue
        prefix, _, local = name.rpartition(":")
        if prefix in prefixes:
            own.setdefault(local, []).append(value)
        else:
            plain.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in {**plain, **own}.items()}
