from __future__ import annotations

import codecs
import gzip
import io
import json
import tempfile
import tracemalloc
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.database import database, parquet
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.sniff import MAX_LINE
from honeyguide.data.unpack import unpack
from honeyguide.data.unpacking import jsontext, xmlfeed
from honeyguide.errors import HoneyguideError, InvalidFile

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ITEMS = [{"item_id": "a", "title": "One"}, {"item_id": "b", "title": "Two"}]
CSV = b"item_id,title\na,One\nb,Two\n"
JSONL = b"".join(json.dumps(item).encode() + b"\n" for item in ITEMS)
ARRAY = json.dumps(ITEMS, indent=2).encode()
GOOGLE = "http://base.google.com/ns/1.0"
FEED = f"""<?xml version="1.0"?>
<rss xmlns:g="{GOOGLE}"><channel><title>Shop</title><link>https://shop.example</link>
<item><g:id>a</g:id><title>One</title><link>https://shop.example/a</link><g:price>1 EUR</g:price></item>
<item><g:id>b</g:id><title>Two</title><link>https://shop.example/b</link><g:price>2 EUR</g:price></item>
</channel></rss>""".encode()
PAGE = b"""<!DOCTYPE html><html><head><script type="application/ld+json">
[{"@type": "Product", "sku": "a", "name": "One"}, {"@type": "Product", "sku": "b", "name": "Two"}]
</script></head></html>"""

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
thorough = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


def unpacked(folder: Path, content: bytes, name: str = "f.json") -> bytes:
    """What is read instead of a file with this content."""
    path = folder / name
    path.write_bytes(content)
    scratch = Path(tempfile.mkdtemp(dir=folder))
    return unpack(path, scratch).read_bytes()


def rows(folder: Path, content: bytes, name: str = "f.json") -> list[Any]:
    return [json.loads(line) for line in unpacked(folder, content, name).splitlines()]


def imported(
    folder: Path, content: bytes, name: str = "f.json"
) -> tuple[list[tuple[str, str]], ImportReport]:
    """The stored items and the report of importing a file with this content."""
    (folder / name).write_bytes(content)
    report = import_files(folder / "data", [folder / name], now=NOW)
    path = folder / "data" / "items.parquet"
    with database() as db:
        return db.execute(f"SELECT item_id, title FROM {parquet(path)}").fetchall(), report


def aside(report: ImportReport) -> list[tuple[int, str]]:
    text = Path(report.quarantine).read_text() if report.quarantine else ""
    return [(row["row"], row["reason"]) for row in map(json.loads, text.splitlines())]


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def as_parquet(folder: Path) -> bytes:
    with duckdb.connect() as db:
        db.execute(
            f"COPY (FROM (VALUES ('a', 'One'), ('b', 'Two')) t(item_id, title)) TO '{folder}/i.parquet'"
        )
    return (folder / "i.parquet").read_bytes()


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


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("UTF-8", "utf-8"),
        ("UTF-8", "utf-8-sig"),
        ("UTF-16", "utf-16"),
        ("iso-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
        ("utf-16", "utf-8"),  # as programs write that keep their texts in UTF-16
        (None, "utf-8"),
        (None, "utf-16"),
    ],
)
def test_a_feed_is_read_in_the_encoding_that_it_declares(
    tmp_path: Path, declared: str | None, encoding: str
) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    text = head + "<rss><item><id>é</id><title>Größe &#8364; &amp;</title></item></rss>"
    assert rows(tmp_path, text.encode(encoding)) == [{"id": "é", "title": "Größe € &"}]


def test_a_feed_in_letters_of_several_bytes_is_read_whatever_pieces_it_comes_in(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="shift_jis"?><rss><item><title>靴下と帽子</title></item></rss>'
    for block in (60, 61, 62):
        with patch.object(xmlfeed, "_BLOCK", block):
            assert rows(tmp_path, text.encode("shift_jis")) == [{"title": "靴下と帽子"}]


def test_bytes_of_another_encoding_cost_only_their_entry(tmp_path: Path) -> None:
    items, report = imported(tmp_path, FEED.replace(b"One", b"\xe9\xff"))
    assert items == [("b", "Two")]
    assert aside(report) == [(1, "invalid_utf8")]


def test_letters_that_xml_forbids_are_blanks(tmp_path: Path) -> None:
    content = FEED.replace(b"One", b"O\x0bn\x00e").replace(b"Two", b"\x01Two")
    assert imported(tmp_path, content)[0] == [("a", "O n e"), ("b", "Two")]


def test_an_entry_that_is_too_large_costs_only_itself(tmp_path: Path) -> None:
    text, crowd = b"x" * (3 * MAX_LINE), b"<g:x/>" * (MAX_LINE // 10)
    for huge in (text, b"<![CDATA[" + text + b"]]>", crowd):
        items, report = imported(
            tmp_path, FEED.replace(b"<title>One</title>", b"<title>" + huge + b"</title>")
        )
        assert items == [("b", "Two")]
        assert aside(report) == [(1, "field_too_long")]


LAUGHS = b"""<!DOCTYPE rss [<!ENTITY a "ha">%s]><rss><item><title>&z;</title></item></rss>""" % b"".join(
    b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(ord("b"), ord("z") + 1)
)


@pytest.mark.parametrize(
    "content",
    [
        LAUGHS,
        b'<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><item><title>&x;</title></item></rss>',
        b'<!DOCTYPE rss [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]><rss><item/></rss>',
    ],
)
def test_entities_of_its_own_are_refused_in_xml(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidFile, match="defines entities of its own"):
        unpacked(tmp_path, content)


def test_a_definition_that_stands_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    content = b'<!DOCTYPE rss SYSTEM "http://127.0.0.1:9/rss.dtd"><rss><item><id>a</id></item></rss>'
    assert rows(tmp_path, content) == [{"id": "a"}]


def test_a_tag_that_never_ends_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    content = b"<rss><item x='" + b"y" * (20 << 20)
    with pytest.raises(InvalidFile, match="a tag or a comment never ends"):
        unpacked(tmp_path, content)


def test_what_google_says_of_an_entry_goes_before_what_others_say(tmp_path: Path) -> None:
    content = f"""<feed xmlns="http://www.w3.org/2005/Atom" xmlns:q="{GOOGLE}" xmlns:media="m"><entry>
        <id>tag:shop</id><q:id> 17 </q:id><title>Plain</title><q:title/><media:title>Other</media:title>
        <link rel="self" href="https://a"/><link href="https://b"/><c:colour>red</c:colour>
        <q:image_link>1</q:image_link><q:image_link>2</q:image_link>
        <q:shipping><q:country>DE</q:country><q:price>5 EUR</q:price></q:shipping>
        <content>Soft <b>and</b> warm<br/></content></entry></feed>"""
    assert rows(tmp_path, content.encode()) == [
        {
            "id": "17", "title": "Plain", "media:title": "Other", "link": "https://b", "colour": "red",
            "image_link": ["1", "2"], "shipping": {"country": "DE", "price": "5 EUR"}, "content": "Soft and warm",
        }
    ]  # fmt: skip


def test_an_entry_without_anything_in_it_still_counts(tmp_path: Path) -> None:
    assert rows(tmp_path, b"<rss><item/><item>text</item><item><id>a</id></item></rss>") == [
        {},
        {},
        {"id": "a"},
    ]


def page(*scripts: str) -> bytes:
    return "".join(["<!doctype HTML><html><body>", *scripts, "</body></html>"]).encode()


def script(content: str, attributes: str = "type='application/ld+json'") -> str:
    return f"<SCRIPT {attributes}>{content}</SCRIPT >"


def test_only_the_scripts_of_product_data_in_a_page_are_read(tmp_path: Path) -> None:
    content = page(
        "<!-- " + script('{"n": 0}') + " -->",
        script('{"n": 1}', 'id="x" type="application/ld+json; charset=utf-8"'),
        script('var a = {"n": 2}; "<!--"', ""),
        script('[{"n": 3}, 4, {"@graph": [{"n": 5}, "x"]}]'),
        script("\n//<![CDATA[\n" + '{"n": 6};' + "\n//]]>\n"),
        script("<!-- " + '{"n": "7 <b>--> "}' + " -->"),
        script(" "),
    )
    content += b'<script type="application/ld+json">{"n": 8}'

    assert [row["n"] for row in rows(tmp_path, content)] == [1, 3, 5, 6, "7 <b>--> ", 8]


def test_what_is_referred_to_within_a_page_is_found(tmp_path: Path) -> None:
    content = page(
        script(
            '{"@graph": [{"@id": "#i", "url": "https://i"}, {"@id": "#p", "image": [{"@id": "#i"}, "x"]}]}'
        ),
        script('{"brand": {"@id": "#b"}, "offers": {"@id": "#none"}, "review": {"@id": "#i"}}'),
        script('{"@id": "#b", "name": "B"}'),
    )
    found = rows(tmp_path, content)
    assert found[1]["image"] == [{"@id": "#i", "url": "https://i"}, "x"]
    assert found[2] == {
        "brand": {"@id": "#b", "name": "B"}, "offers": {"@id": "#none"}, "review": {"@id": "#i"},
    }  # fmt: skip


def test_a_broken_script_in_a_page_costs_only_itself(tmp_path: Path) -> None:
    deep = "[" * 100_000
    product = '{"@type": "Product", "sku": "%s", "name": "%s"}'
    content = page(
        script("{broken\n}"),
        script(product % ("a", "One")),
        script(product % ("x", "\\ud800")),
        script(deep),
        script(product % ("b", "Two\nlines")),
    )
    for text in (content, content.replace(b"Two", b"T\xffwo")):
        items, report = imported(tmp_path, text)
        spoilt = text != content
        assert ("a", "One") in items
        assert [row for row, _ in aside(report)] == [1, 3, 4, *([5] if spoilt else [])]


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("", "utf-8"),
        ("\ufeff", "utf-8"),
        ("", "latin-1"),
        ("\ufeff", "utf-16-le"),
        ("<?xml version='1.0'?>", "utf-8"),
    ],
)
def test_a_page_is_read_in_the_encoding_that_it_declares(tmp_path: Path, head: str, encoding: str) -> None:
    text = f'{head}<html><meta charset="{encoding}">' + script('{"name": "Größe"}') + "</html>"
    assert rows(tmp_path, text.encode(encoding)) == [{"name": "Größe"}]


def test_a_page_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (
        patch("honeyguide.data.unpacking.htmlpage._MAX_PAGE", 100),
        pytest.raises(InvalidFile, match="is a page of more than"),
    ):
        unpacked(tmp_path, PAGE)


SAMPLES: Sequence[bytes] = [
    zipped({"i.csv": CSV}), gzip.compress(JSONL), ARRAY, b'{"a": {"b": "c"}, "Items": ' + ARRAY + b"}", FEED, PAGE,
    LAUGHS[:300] + b"]>" + FEED, codecs.BOM_UTF16_LE + FEED.decode().encode("utf-16-le"),
]  # fmt: skip
changes = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(0, 3), st.binary(max_size=3) | st.sampled_from(
        [b'"', b"\\", b"[", b"]", b"{", b"}", b"<", b">", b"&", b"-->", b"<item>", b"]]>", b"\x00", b"\xff", b"\n"]
    )),
    max_size=5,
)  # fmt: skip


def changed(content: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, taken, put in edits:
        at = place * len(content) // 1000
        content = content[:at] + put + content[at + taken :]
    return content


@pytest.mark.slow
@thorough
@given(st.sampled_from(SAMPLES), changes, st.integers(1, 40))
def test_nothing_that_is_unpacked_raises_anything_but_our_errors(
    tmp_path: Path, content: bytes, edits: list[tuple[int, int, bytes]], block: int
) -> None:
    with (
        suppress(HoneyguideError),
        patch.object(jsontext, "_BLOCK", block),
        patch.object(xmlfeed, "_BLOCK", block),
    ):
        unpacked(tmp_path, changed(content, edits))


@pytest.mark.slow
@quick
@given(st.sampled_from(SAMPLES), changes)
def test_nothing_that_is_imported_raises_anything_but_our_errors_and_every_row_is_accounted_for(
    content: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(HoneyguideError):
        _, report = imported(Path(folder), changed(content, edits))
        assert report.items.read == report.items.kept + report.items.quarantined
        assert len(aside(report)) == report.items.quarantined
