"""Archives and JSON are unpacked into rows; what is broken costs only itself, or says why."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.ingest import import_files
from honeyguide.data.sniff import MAX_LINE
from honeyguide.data.unpack import unpack
from honeyguide.data.unpacking import jsontext
from honeyguide.errors import InvalidFile
from tests.unpacked_files import (
    ARRAY,
    CSV,
    FEED,
    JSONL,
    NOW,
    PAGE,
    as_parquet,
    aside,
    imported,
    rows,
    zipped,
)

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "xml", "html", "parquet"])
@pytest.mark.parametrize("packing", ["none", "gzip", "zip"])
def test_the_same_items_come_out_of_every_container(tmp_path: Path, kind: str, packing: str) -> None:
    content = {"csv": CSV, "jsonl": JSONL, "json": ARRAY, "xml": FEED, "html": PAGE}.get(kind) or as_parquet(
        tmp_path
    )
    packed = {"none": content, "gzip": gzip.compress(content), "zip": zipped({f"deep/x.{kind}": content})}[
        packing
    ]
    items, report = imported(tmp_path, packed, f"items.{kind}" if packing == "none" else "items.gz")
    assert items == [("a", "One"), ("b", "Two")]
    assert report.problems == ()


@pytest.mark.parametrize(
    "content", [CSV, JSONL, b"PAR1", b"[id],title\n", b"", b"{broken\n" + JSONL, b"\xff,\n1"]
)
def test_what_can_be_read_row_by_row_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    assert unpack(path, tmp_path) == path


def test_members_of_a_gzip_file_follow_each_other(tmp_path: Path) -> None:
    packed = gzip.compress(CSV) + gzip.compress(b"c,Three\n")
    assert imported(tmp_path, packed, "i.csv.gz")[0] == [("a", "One"), ("b", "Two"), ("c", "Three")]


def test_what_desktops_add_to_an_archive_does_not_count(tmp_path: Path) -> None:
    packed = zipped({"__MACOSX/._i.csv": b"x", "in/.DS_Store": b"x", "in/": b"", "in/i.csv": CSV})
    assert imported(tmp_path, packed, "i.zip")[0] == [("a", "One"), ("b", "Two")]


def locked() -> bytes:
    """An archive whose one file says that it is encrypted."""
    packed = bytearray(zipped({"i.csv": CSV}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(mark) + place] |= 1
    return bytes(packed)


def in_another_way() -> bytes:
    """An archive whose one file is packed in a way that nobody knows."""
    packed = bytearray(zipped({"i.csv": CSV}))
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        packed[packed.index(mark) + place] = 99
    return bytes(packed)


PACKED = gzip.compress(CSV * 1000)
REFUSED: dict[str, tuple[bytes, str]] = {
    "gzip cut off": (PACKED[:-20], "cut off before its end"),
    "gzip cut in its header": (b"\x1f\x8b\x08", "cut off before its end"),
    "gzip damaged": (PACKED[:12] + b"\xff\xff\xff" + PACKED[15:], "is damaged"),
    "gzip with something behind it": (PACKED + b"more", "is damaged: Not a gzipped file"),
    "gzip of gzip": (gzip.compress(gzip.compress(CSV)), "is packed twice"),
    "zip of two": (zipped({"a.csv": CSV, "b.csv": CSV}), "archive of 2 files: a.csv, b.csv. Unpack it, and name"),
    "zip of many": (zipped({f"{n}.csv": CSV for n in range(9)}), r"0.csv, 1.csv, 2.csv, 3.csv, 4.csv, \.\.\."),
    "zip of none": (zipped({}), "archive without files"),
    "zip of a zip": (zipped({"b.zip": zipped({"a.csv": CSV})}), "archive inside another"),
    "zip cut off": (zipped({"a.csv": CSV})[:-30], "damaged archive"),
    "zip locked": (locked(), "locked by a password"),
    "zip of another kind": (in_another_way(), "cannot be unpacked"),
    "spreadsheet": (zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}), "Export the sheet as CSV"),
    "old spreadsheet": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Export the sheet as CSV"),
    "xz": (b"\xfd7zXZ\x00", "packed with xz"),
    "array cut off in an element": (b'[{"item_id": "a"}, {"item_id": "b"', "row 2: its array ends inside element 2"),
    "array cut off in a text": (b'[{"item_id": "a"}, {"item_id": "b', "row 2: its array ends inside element 2"),
    "array cut off between elements": (b'[{"item_id": "a"},', "row 2: its array ends inside element 2"),
    "array going on": (b'[{"item_id": "a"}], {"item_id": "b"}]', "goes on after the end of its array"),
    "array of nothing": (b"\xef\xbb\xbf [ ]", "its array is empty"),
    "array of numbers": (b"[1, 2]", "its array is not one of objects"),
    "object cut off": (b'{\n "Items": [\n  {"item_id": "a"},\n', "ends inside its first object"),
    "object cut off, lines within": (b'{"Items": [\n{"item_id": "a"},\n{"item_', "inside its first object"),
    "objects cut off": (b'{\n "item_id": "a"\n}\n{\n "item_id"', "row 2: its series of objects ends inside"),
    "object broken": (b'{"a" "b"}', "its object is broken"),
    "key without end": (b'{' + b'x' * 70_000 + b'"a": 1}', "its object is broken"),
    "list of nothing": (b'{"Count": 0, "Items": []}', "its list 'Items' is empty"),
    "several lists": (b'{"new": [{"a": 1}], "old": [{"a": 1}]}', "holds several lists: 'new', 'old'"),
    "list of the wrong": (b'{"x": [1], "Items": [{}, 1]}', "no column"),
    "xml cut off": (FEED[:-30], r"broken XML in line \d: (unclosed token|no element found)"),
    "xml with a bare &": (FEED.replace(b"One", b"A & B"), "row 1: is broken XML in line 3: .*a bare & is"),
    "xml with a name of HTML": (FEED.replace(b"Two", b"A&nbsp;B"), "row 2: .* in line 4: undefined entity"),
    "xml tags crossed": (b"<rss><item><a><b></a></b></item></rss>", "mismatched tag"),
    "xml without entries": (b"<?xml version='1.0'?><urlset><url/></urlset>", "no <item> and no <entry>"),
    "xml nested too deep": (b"<rss>" + b"<item>" * 100_000, "nests its elements more than 100 deep"),
    "xml of unknown letters": (b"<?xml version='1.0' encoding='klingon'?><rss/>", "unknown encoding: klingon"),
    "xml of no letters": (b"<?xml version='1.0' encoding='hex'?><rss/>", "unknown encoding: hex"),
    "page without data": (b"<html><script>var a</script></html>", "page without product data"),
    "page of an empty script": (b"<html><script type=application/ld+json> </script>", "page without product data"),
    "page of unknown letters": (b"<html><meta charset=klingon>", "is not in klingon, as it says"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_file_that_cannot_be_unpacked_says_why_and_what_to_do(tmp_path: Path, case: str) -> None:
    content, said = REFUSED[case]
    (tmp_path / "bad.file").write_bytes(content)
    with pytest.raises(InvalidFile, match=f"(?s)bad.file.*{said}") as caught:
        import_files(tmp_path / "data", [tmp_path / "bad.file"], now=NOW)
    assert caught.value.remedy
    assert not list((tmp_path / "data").glob("*.parquet"))


def test_no_room_on_the_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "i.csv.gz").write_bytes(gzip.compress(CSV))
    with (
        patch("shutil.copyfileobj", side_effect=OSError(28, "No space left on device")),
        pytest.raises(InvalidFile, match="No space left on device"),
    ):
        unpack(tmp_path / "i.csv.gz", tmp_path)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=12)
    | st.sampled_from('[]{},:"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), min_size=1, max_size=6)


@quick
@given(objects, st.sampled_from([None, 0, 3]), st.integers(1, 60), st.booleans())
def test_line_n_is_element_n_of_an_array_however_it_is_written_and_read(
    tmp_path: Path, elements: list[Any], indent: int | None, block: int, escaped: bool
) -> None:
    content = json.dumps(elements, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    with patch.object(jsontext, "_BLOCK", block):
        assert rows(tmp_path, content) == elements
        wrapped = (
            b'\xef\xbb\xbf{"next": "[{", "n": {"m": [1]}, "Items" : ' + content + b', "end": [], "o": 1}'
        )
        assert rows(tmp_path, wrapped) == elements


@quick
@given(objects.filter(lambda found: len(found) > 1), st.integers(1, 60))
def test_objects_spread_over_lines_become_lines(tmp_path: Path, elements: list[Any], block: int) -> None:
    spread = [{"k": 1, **element} for element in elements]  # no brace follows the first one at once
    content = "\n\n".join(json.dumps(element, indent=1) for element in spread).encode()
    with patch.object(jsontext, "_BLOCK", block):
        assert rows(tmp_path, content) == spread


def test_a_bad_element_of_an_array_costs_only_itself(tmp_path: Path) -> None:
    long = b'{"item_id": "' + b"x" * (3 * MAX_LINE) + b'"}'
    elements = [
        b'{"item_id": "a", "title": "One"}',
        b'{"item_id": }',
        b"12",
        b'{"item_id": "\xff"}',
        long,
        b'{"item_id": "c", "title": ["{"}',
        b'"text, with ] in it"',
        b'{"item_id": "b", "title": "Two\nlines"}',
    ]
    content = b"[" + b" ,\r\n".join(elements) + b",]\n"
    items, report = imported(tmp_path, content)
    assert items == [("a", "One"), ("b", "Two lines")]
    assert aside(report) == [
        (2, "malformed_row"),
        (3, "malformed_row"),
        (4, "invalid_utf8"),
        (5, "field_too_long"),
        (6, "malformed_row"),
        (7, "malformed_row"),
    ]


def test_a_lost_comma_or_a_bracket_too_many_does_not_end_the_array(tmp_path: Path) -> None:
    content = b'[{"item_id": "a", "title": "One"} {"item_id": "b", "title": "Two"}}, {"item_id": "c", "title": "3"}]'
    items, report = imported(tmp_path, content)
    assert items == [("a", "One"), ("b", "Two"), ("c", "3")]
    assert aside(report) == [(3, "malformed_row")]


def test_deep_nesting_in_an_element_costs_only_that_element(tmp_path: Path) -> None:
    deep = b'{"item_id": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    items, report = imported(tmp_path, b"[" + deep + b", " + ARRAY[1:])
    assert items == [("a", "One"), ("b", "Two")]
    assert aside(report) == [(1, "field_too_long")]


def test_an_object_that_is_a_row_itself_is_one_whatever_lists_it_holds(tmp_path: Path) -> None:
    item = {"item_id": "a", "title": "One", "attributes": {"x": 1}, "offers": [{"price": 1}], "tags": []}
    assert rows(tmp_path, json.dumps(item, indent=2).encode()) == [item]
    assert rows(tmp_path, json.dumps(item).encode()) == [item]
    assert imported(tmp_path, json.dumps(item, indent=2).encode())[0] == [("a", "One")]


def test_the_graph_of_a_document_is_what_holds_the_rows(tmp_path: Path) -> None:
    nodes = [{"@type": "WebPage"}, {"@type": "Product", "sku": "a"}]
    document = {"@context": [{"x": "y"}], "@graph": nodes, "@type": "Other", "more": [{}]}
    assert rows(tmp_path, json.dumps(document).encode()) == nodes


def test_lines_around_a_broken_first_one_are_kept(tmp_path: Path) -> None:
    for broken in (b'{"item_id": "x\n', b"{\n", b'{"item_id": 1\n', b'{"item_id": 1}}\n'):
        items, report = imported(tmp_path, broken + JSONL)
        assert items == [("a", "One"), ("b", "Two")]
        assert aside(report) == [(1, "malformed_row")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["array", "list", "xml", "text", "lines"])
def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path: Path, kind: str) -> None:
    count, words = 30_000, "word " * 200
    with (tmp_path / "large").open("w") as file:
        item = json.dumps({"item_id": "a", "title": words})
        if kind in ("array", "list"):
            file.write('{"Items": [' if kind == "list" else "[")
            file.writelines(f"{item},\n" for _ in range(count))
            file.write(f"{item}]}}" if kind == "list" else f"{item}]")
        elif kind == "text":
            file.write(f'[{item}, {{"item_id": "')
            file.writelines(words for _ in range(count))
            file.write('"}]')
        elif kind == "xml":
            file.write("<rss>")
            file.writelines(f"<item><title>{words}</title></item>" for _ in range(count))
            file.write("<item><title>")
            file.writelines(words for _ in range(count))
            file.write("</title></item></rss>")
        else:
            file.writelines(f"{item}\n" for _ in range(count))
    size = (tmp_path / "large").stat().st_size
    tracemalloc.start()
    unpack(tmp_path / "large", tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 30_000_000
    assert peak < 12_000_000
