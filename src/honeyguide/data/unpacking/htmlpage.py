"""The JSON-LD in a page of HTML as JSON Lines, one node after another."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from honeyguide.data.unpacking.jsonfile import GRAPH, one_line
from honeyguide.data.unpacking.marks import MARKING, broken_again
from honeyguide.errors import InvalidFile

_MAX_PAGE = 64 << 20
_HEAD = 1 << 16
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_OPENING = re.compile(r"<!--|<script\b", re.IGNORECASE)
_CLOSING = re.compile(r"</script\b", re.IGNORECASE)
_JSON_LD = re.compile(r"""\btype\s*=\s*["']?\s*application/ld\+json""", re.IGNORECASE)
_REFERRING = ("brand", "category", "image", "isVariantOf", "manufacturer", "offers")
"""Properties of a product whose value may stand elsewhere in the page."""

Node = dict[str, object]


def is_page(file: Path) -> bool:
    """Whether a file of markup is HTML, and not another XML."""
    with file.open("rb") as opened:
        rest = opened.read(_HEAD).decode("latin-1").replace("\0", "").lower()
    rest = rest[max(rest.find("<"), 0) :]
    while rest.startswith(("<?", "<!")):
        if rest.startswith("<!doctype html"):
            return True
        end = "-->" if rest.startswith("<!--") else ">"
        rest = rest.partition(end)[2].lstrip()
    return re.match(r"<(?:html|head|body|script)\b", rest) is not None


def unpack_page(path: Path, file: Path, target: Path) -> Path:
    """Write each node of the page's JSON-LD to a line of its own; InvalidFile where there is none."""
    if file.stat().st_size > _MAX_PAGE:
        raise InvalidFile(
            path, f"is a page of more than {_MAX_PAGE >> 20} MB", "Save each page as a file of its own"
        )
    lines = list(_lines(_text(path, file.read_bytes())))
    if not lines:
        raise InvalidFile(
            path,
            'is a page without product data: it has no <script type="application/ld+json">',
            "Import a product feed of the shop instead",
        )
    target.write_bytes(broken_again(b"".join(lines)))
    return target


def _text(path: Path, content: bytes) -> str:
    declared = _CHARSET.search(content[:_HEAD])
    name = declared.group(1).decode() if declared else "utf-8"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "utf-16"
    elif name.lower().startswith(("utf", "ucs")):
        name = "utf-8-sig"
    try:
        return content.decode(name, MARKING)
    except (LookupError, UnicodeError):
        raise InvalidFile(path, f"is not in {name[:64]}, as it says", "Save the page as UTF-8") from None


def _lines(text: str) -> Iterator[bytes]:
    nodes = [node for block in _blocks(text) for node in _nodes(block)]
    named = {
        str(node["@id"]): node for node in nodes if isinstance(node, dict) and len(node) > 1 and "@id" in node
    }
    for node in nodes:
        if isinstance(node, str):
            yield one_line(node.encode("utf-8", "replace"))
            continue
        try:
            yield msgspec.json.encode({key: _found(key, value, named) for key, value in node.items()}) + b"\n"
        except (ValueError, OverflowError, RecursionError):
            yield b"nested too deep, or holding what is no text\n"


def _blocks(text: str) -> Iterator[str]:
    """What stands in the page's scripts of JSON-LD."""
    at = 0
    while opening := _OPENING.search(text, at):
        if opening.group() == "<!--":
            at = text.find("-->", opening.end()) + 3
            if at < 3:
                return
            continue
        begin = text.find(">", opening.end()) + 1
        if not begin:
            return
        closing = _CLOSING.search(text, begin)
        end = closing.start() if closing else len(text)
        if _JSON_LD.search(text, opening.end(), begin):
            yield _unwrapped(text[begin:end])
        at = end


def _unwrapped(block: str) -> str:
    """A script without the comment or the CDATA section that some put around it."""
    for opening, closing in (("<!--", "-->"), ("<![CDATA[", "]]>")):
        before, mark, after = block.partition(opening)
        if mark and not before.strip(" \t\r\n/*"):
            block = after.rpartition(closing)[0] or after
    return block.strip(" \t\r\n/*;")


def _nodes(block: str) -> list[Node | str]:
    """The nodes of a script; one that is no JSON stays as it is, to be refused as a row."""
    if not block:
        return []
    try:
        read = json.loads(block, strict=False)  # line breaks in texts are a frequent slip
    except (ValueError, RecursionError):
        return [block]
    documents = [
        element for element in (read if isinstance(read, list) else [read]) if isinstance(element, dict)
    ]
    nodes: list[Node | str] = []
    for document in documents:
        graph = document.get(GRAPH)
        nodes += [node for node in graph if isinstance(node, dict)] if isinstance(graph, list) else [document]
    return nodes


def _found(key: str, value: object, named: Mapping[str, Node]) -> object:
    """A property's value; what it only refers to by an @id is looked up in the page."""
    if key not in _REFERRING:
        return value
    if isinstance(value, list):
        return [_referred(element, named) for element in value]
    return _referred(value, named)


def _referred(value: object, named: Mapping[str, Node]) -> object:
    if isinstance(value, dict) and value.keys() == {"@id"}:
        return named.get(str(value["@id"]), value)
    return value
