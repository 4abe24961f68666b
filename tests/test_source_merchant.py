from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.columns import STORED
from honeyguide.data.database import database, stored_table
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.inspect import inspect_files
from honeyguide.errors import HoneyguideError, InvalidFile

NOW = datetime(2026, 11, 23, tzinfo=UTC)

TSV = (
    "id\ttitle\tdescription\tlink\timage link\tavailability\tprice\tsale price\tgoogle product category\t"
    "product type\tbrand\tgtin\tmpn\titem group id\tcondition\tcolor\tcustom label 0\tshipping(country:price)\n"
    'PAN-12\t12" Teflon Pan\t"Says ""hot"" when\nit is"\thttps://shop.example/pan\thttps://shop.example/pan.jpg\t'
    "in stock\t1,299.00 USD\t999.00 USD\tHome & Garden > Kitchen & Dining\tHome > Kitchen > Pans, Gifts\tTefal\t"
    "00614141999996\tT-12\tPAN\tnew\tblack\tsummer\tUS:5.00 USD\n"
    "SOCK-1\tSock\t\thttps://shop.example/sock\t\tout_of_stock\t9,99 EUR\t\t209\t\t\t\t\t\t\t\t\t\n"
)
PAN = {
    "item_id": "PAN-12",
    "title": '12" Teflon Pan',
    "description": 'Says "hot" when\nit is',
    "category": "Home > Kitchen > Pans",
    "brand": "Tefal",
    "price": 1299.0,
    "currency": "USD",
    "image": "https://shop.example/pan.jpg",
    "link": "https://shop.example/pan",
    "available": True,
    "attributes": {
        "gtin": "00614141999996",
        "mpn": "T-12",
        "item_group_id": "PAN",
        "condition": "new",
        "sale_price": "999.00 USD",
        "google_product_category": "Home & Garden > Kitchen & Dining",
        "color": "black",
        "custom label 0": "summer",
        "shipping(country:price)": "US:5.00 USD",
    },
}
SOCK = {
    "item_id": "SOCK-1",
    "title": "Sock",
    "price": 9.99,
    "currency": "EUR",
    "link": "https://shop.example/sock",
    "available": False,
    "attributes": {"google_product_category": "209"},
}
RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel>
<title>Shop</title><link>https://shop.example</link><description>All of it</description>
<item>
  <g:id>PAN-12</g:id><title>12" Teflon Pan</title><description><![CDATA[Says "hot" when
it is]]></description><link>https://shop.example/pan</link>
  <g:image_link>https://shop.example/pan.jpg</g:image_link>
  <g:image_link>https://shop.example/pan2.jpg</g:image_link>
  <g:availability>in_stock</g:availability><g:price>1299 USD</g:price><g:sale_price>999.00 USD</g:sale_price>
  <g:google_product_category>Home &amp; Garden &gt; Kitchen &amp; Dining</g:google_product_category>
  <g:product_type>Home &gt; Kitchen &gt; Pans</g:product_type><g:product_type>Gifts</g:product_type>
  <g:brand>Tefal</g:brand><g:gtin>00614141999996</g:gtin><g:mpn>T-12</g:mpn><g:item_group_id>PAN</g:item_group_id>
  <g:condition>new</g:condition><g:color>black</g:color><g:custom_label_0>summer</g:custom_label_0>
  <g:shipping><g:country>US</g:country><g:price>5.00 USD</g:price></g:shipping>
</item>
<item><g:id>SOCK-1</g:id><title>Sock</title><link>https://shop.example/sock</link><g:price>EUR 9.99</g:price>
  <g:availability>out of stock</g:availability><g:google_product_category>209</g:google_product_category></item>
</channel></rss>"""
ATOM = """<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><id>tag:shop.example,2024:sock</id><g:id>SOCK-1</g:id><title>Sock</title>
<link rel="alternate" href="https://shop.example/sock"/><summary>Warm</summary>
<g:price>9.99 EUR</g:price><g:availability>preorder</g:availability></entry></feed>"""


def imported(
    folder: Path, content: str, name: str, **options: Any
) -> tuple[list[dict[str, Any]], ImportReport]:
    """The stored items and the report of importing a file with this content."""
    (folder / name).write_text(content, encoding="utf-8")
    report = import_files(folder / "data", [folder / name], now=NOW, **options)
    path = folder / "data" / "items.parquet"
    with database() as db:
        query = f"SELECT to_json(t)::VARCHAR FROM ({stored_table(db, path, STORED['items'])}) t"
        found = [json.loads(row) for (row,) in db.execute(query).fetchall()] if path.exists() else []
    items = [{name: value for name, value in item.items() if value is not None} for item in found]
    return [{**item, "attributes": json.loads(item.get("attributes", "{}"))} for item in items], report


def aside(report: ImportReport) -> list[tuple[int, str]]:
    text = Path(report.quarantine).read_text() if report.quarantine else ""
    return [(row["row"], row["reason"]) for row in map(json.loads, text.splitlines())]


def test_a_text_feed_becomes_items_to_the_value(tmp_path: Path) -> None:
    items, report = imported(tmp_path, TSV, "feed.txt")
    assert items == [PAN, SOCK]
    assert report.problems == ()
    assert inspect_files([tmp_path / "feed.txt"], now=NOW).findings[0].format == "merchant"


def test_a_text_feed_may_spell_its_names_with_underscores_and_be_csv(tmp_path: Path) -> None:
    header, rest = TSV.split("\n", 1)
    header = header.replace(" ", "_").replace("custom_label_0", "custom label 0")
    assert imported(tmp_path, f"{header}\n{rest}", "feed.tsv")[0] == [PAN, SOCK]
    prefixed = '"g:id","g:title","g:link","g:price","g:image link"\nA,"One, two",l,1.50 GBP,i\n'
    items, _ = imported(tmp_path, prefixed, "feed.csv", format="merchant")
    assert items[0] == {
        "item_id": "A", "title": "One, two", "link": "l", "price": 1.5, "currency": "GBP", "image": "i",
        "attributes": {},
    }  # fmt: skip


def test_a_feed_in_xml_becomes_the_same_items(tmp_path: Path) -> None:
    items, report = imported(tmp_path, RSS, "feed.xml")
    attributes = {key: value for key, value in PAN["attributes"].items() if " " not in key and "(" not in key}  # type: ignore[attr-defined]
    nested = {"custom_label_0": "summer", "shipping": {"country": "US", "price": "5.00 USD"}}
    assert items == [{**PAN, "attributes": {**attributes, **nested}}, SOCK]
    assert report.problems == ()
    assert inspect_files([tmp_path / "feed.xml"], now=NOW).findings[0].format == "merchant"


def test_an_atom_feed_is_known_by_its_own_ids_links_and_summaries(tmp_path: Path) -> None:
    items, _ = imported(tmp_path, ATOM, "feed.xml")
    assert items == [{**SOCK, "description": "Warm", "available": True, "attributes": {}}]


def feed(products: Sequence[dict[str, str]]) -> str:
    """A text feed of products with these values."""
    rows = [
        {"id": f"{n:03}", "title": "A", "link": "l", "price": "1 EUR", **row}
        for n, row in enumerate(products)
    ]
    return "\n".join("\t".join(line) for line in [list(rows[0]), *(list(row.values()) for row in rows)])


def kept(folder: Path, products: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """The items that products with these values become, in their order."""
    items, report = imported(folder, feed(products), "feed.tsv")
    assert report.problems == ()
    return items


PRICES: list[tuple[str, float, str | None]] = [
    ("9.99 USD", 9.99, "USD"),
    ("USD 9.99", 9.99, "USD"),
    ("9.99USD", 9.99, "USD"),
    ("9,99 eur", 9.99, "EUR"),
    ("9,9 EUR", 9.9, "EUR"),
    ("1,299.00 USD", 1299.0, "USD"),
    ("1,299 USD", 1299.0, "USD"),
    ("1.299,00 EUR", 1299.0, "EUR"),
    ("1.234.567,8 EUR", 1234567.8, "EUR"),
    ("1.234.567 EUR", 1234567.0, "EUR"),
    ("1,234,567 EUR", 1234567.0, "EUR"),
    ("1.299 EUR", 1.299, "EUR"),
    ("1 299,00 PLN", 1299.0, "PLN"),
    ("1\u00a0299 SEK", 1299.0, "SEK"),
    ("1'299.50 CHF", 1299.5, "CHF"),
    ("9.99", 9.99, None),
    ("0 EUR", 0.0, "EUR"),
    ("€ 5", 5.0, "EUR"),
    ("5 £", 5.0, "GBP"),
    ("$5", 5.0, None),
    ("1e3", 1000.0, None),
]


def test_a_price_is_understood_in_the_spellings_of_many_countries(tmp_path: Path) -> None:
    items = kept(tmp_path, [{"price": price} for price, _, _ in PRICES])
    found = [(item["price"], item.get("currency")) for item in items]
    assert found == [(amount, currency) for _, amount, currency in PRICES]


AVAILABILITY: list[tuple[str, bool | None]] = [
    ("in stock", True),
    ("In_Stock", True),
    ("preorder", True),
    ("backorder", True),
    ("available for order", True),
    ("out of stock", False),
    ("discontinued", False),
    ("", None),
]


def test_what_can_be_ordered_is_available(tmp_path: Path) -> None:
    items = kept(tmp_path, [{"availability": word} for word, _ in AVAILABILITY])
    assert [item.get("available") for item in items] == [want for _, want in AVAILABILITY]


CATEGORIES: list[tuple[str, str, str | None]] = [
    ("Home > Women", "Apparel > Dresses", "Home > Women"),
    ("Home>Women", "", "Home > Women"),
    ("Home &gt; Women &amp; Girls", "", "Home > Women & Girls"),
    ("Shoes", "Apparel", "Shoes"),
    ("Home > A, Home > B", "", "Home > A"),
    ('"""House, garden > Pots"", Gifts"', "", "House, garden > Pots"),
    ("", "Apparel > Dresses", "Apparel > Dresses"),
    ("", "2271 - Apparel > Dresses", "Apparel > Dresses"),
    ("", "Furniture", "Furniture"),
    ("", "2271", None),
    (" , ", "2271", None),
]


def test_the_shops_own_category_goes_before_googles(tmp_path: Path) -> None:
    rows = [{"product_type": own, "google_product_category": google} for own, google, _ in CATEGORIES]
    items = kept(tmp_path, rows)
    assert [item.get("category") for item in items] == [want for _, _, want in CATEGORIES]
    numbers = [item["attributes"].get("google_product_category", "") for item in items]
    assert numbers == [google for _, google, _ in CATEGORIES]


DEFECTS: dict[str, tuple[dict[str, str], str]] = {
    "no id": ({"id": ""}, "missing_value"),
    "long id": ({"id": "x" * 257}, "field_too_long"),
    "long title": ({"title": "x" * 100_001}, "field_too_long"),
    "words for a price": ({"price": "on request"}, "bad_number"),
    "negative price": ({"price": "-5 EUR"}, "bad_number"),
    "two prices": ({"price": "5 - 9 EUR"}, "bad_number"),
    "odd availability": ({"availability": "ask us"}, "bad_flag"),
    "an id twice": ({"id": "a0"}, "duplicate_item_id"),
    "quotes broken": ({"title": '"Best" shoe'}, "malformed_row"),
}


def test_a_bad_product_costs_only_itself(tmp_path: Path) -> None:
    products = []
    for place, (changes, _) in enumerate(DEFECTS.values()):
        products += [{"id": f"a{place}", "availability": "in stock"}]
        products += [{"id": f"b{place}", "availability": "in stock", **changes}]
    items, report = imported(tmp_path, feed(products), "feed.tsv")
    assert [item["item_id"] for item in items] == [f"a{place}" for place in range(len(DEFECTS))]
    assert aside(report) == [(2 * n, reason) for n, (_, reason) in enumerate(DEFECTS.values(), start=1)]


def test_an_entry_of_xml_without_an_id_costs_only_itself(tmp_path: Path) -> None:
    items, report = imported(tmp_path, RSS.replace("<g:id>PAN-12</g:id>", ""), "feed.xml")
    assert items == [SOCK]
    assert aside(report) == [(1, "missing_value")]


def test_importing_a_feed_again_adds_nothing(tmp_path: Path) -> None:
    imported(tmp_path, TSV, "feed.txt")
    before = (tmp_path / "data" / "items.parquet").read_bytes()
    _, report = imported(tmp_path, TSV, "feed.txt")
    assert (report.items.kept, report.items.new) == (2, 0)
    assert (tmp_path / "data" / "items.parquet").read_bytes() == before


def test_a_table_that_is_almost_a_feed_is_refused_by_name(tmp_path: Path) -> None:
    for header in ("id\ttitle\tlink\n", "id\ttitle\tprice\n"):
        with pytest.raises(InvalidFile, match=r"feed\.tsv: is not a known format"):
            imported(tmp_path, header + "a\tb\tc\n", "feed.tsv")
    with pytest.raises(InvalidFile, match=r"has no column 'link'.*nearest column is 'lnk'"):
        imported(tmp_path, "id\ttitle\tlnk\tprice\na\tb\tc\t1\n", "feed.tsv", format="merchant")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8) | st.sampled_from(
    [
        "9,99 EUR",
        "in stock",
        "[",
        '["a"]',
        '{"a"',
        "A > B, C",
        '"',
        "1.2.3,4",
        "&gt;",
        "$.x",
        "12 - a",
        "'",
        "\\",
    ]
)
VALUES = (
    st.none()
    | st.integers()
    | TEXTS
    | st.lists(TEXTS, max_size=2)
    | st.dictionaries(TEXTS, TEXTS, max_size=2)
)
NAMES = (
    "price",
    "availability",
    "product_type",
    "google_product_category",
    "image_link",
    "title",
    "gtin",
    "odd'\"",
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), min_size=1, max_size=6))
def test_whatever_a_feed_says_every_product_is_kept_or_put_aside(rows: list[dict[str, Any]]) -> None:
    first = {"id": "first", "title": "t", "link": "l", "price": "1 EUR"}
    products = [first, *({"id": str(n), **row} for n, row in enumerate(rows))]
    with tempfile.TemporaryDirectory() as folder:
        _, report = imported(Path(folder), json.dumps(products), "feed.json")
        assert report.items.read == report.items.kept + report.items.quarantined == len(products)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(TEXTS, min_size=4, max_size=6), min_size=1, max_size=6))
def test_whatever_a_text_feed_holds_raises_nothing_but_our_errors(rows: list[list[str]]) -> None:
    text = "id\ttitle\tlink\tprice\tavailability\tproduct type\n" + "\n".join("\t".join(row) for row in rows)
    with tempfile.TemporaryDirectory() as folder, suppress(HoneyguideError):
        _, report = imported(Path(folder), text, "feed.tsv")
        assert report.items.read == report.items.kept + report.items.quarantined
        assert len(aside(report)) == report.items.quarantined
