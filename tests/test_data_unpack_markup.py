"""Feeds in XML and pages in HTML are unpacked into rows, whatever encoding and however broken."""

from __future__ import annotations

import codecs
import gzip
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.sniff import MAX_LINE
from honeyguide.data.unpacking import jsontext, xmlfeed
from honeyguide.errors import HoneyguideError, InvalidFile
from tests.unpacked_files import (
    ARRAY,
    CSV,
    FEED,
    GOOGLE,
    JSONL,
    PAGE,
    aside,
    imported,
    rows,
    unpacked,
    zipped,
)

quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
thorough = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


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
