from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
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
from honeyguide.errors import InvalidFile

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ANVIL = {
    "@context": "https://schema.org/",
    "@type": "Product",
    "name": "Executive Anvil",
    "image": ["https://shop.example/1x1.jpg", "https://shop.example/4x3.jpg"],
    "description": "Sleeker than the classic anvil.",
    "sku": "0446310786",
    "mpn": "925872",
    "gtin13": "0614141999996",
    "category": "Hardware > Tools",
    "color": "grey",
    "brand": {"@type": "Brand", "name": "ACME"},
    "additionalProperty": [
        {"@type": "PropertyValue", "name": "forged", "value": "by hand"},
        {"@type": "PropertyValue", "name": "teeth", "value": 0},
    ],
    "review": {"@type": "Review", "reviewBody": "Heavy."},
    "aggregateRating": {"@type": "AggregateRating", "ratingValue": 4.4, "reviewCount": 89},
    "offers": {
        "@type": "Offer",
        "url": "https://shop.example/anvil",
        "priceCurrency": "USD",
        "price": 119.99,
        "itemCondition": "https://schema.org/UsedCondition",
        "availability": "https://schema.org/InStock",
    },
}
ITEM = {
    "item_id": "0446310786",
    "title": "Executive Anvil",
    "description": "Sleeker than the classic anvil.",
    "category": "Hardware > Tools",
    "brand": "ACME",
    "price": 119.99,
    "currency": "USD",
    "image": "https://shop.example/1x1.jpg",
    "link": "https://shop.example/anvil",
    "available": True,
    "attributes": {
        "forged": "by hand",
        "teeth": 0,
        "aggregateRating": {"@type": "AggregateRating", "ratingValue": 4.4, "reviewCount": 89},
        "color": "grey",
        "sku": "0446310786",
        "mpn": "925872",
        "gtin13": "0614141999996",
    },
}
CRUMBS = {
    "@type": "BreadcrumbList",
    "itemListElement": [
        {"@type": "ListItem", "position": 1, "name": "Tools", "item": "https://shop.example/tools"}
    ],
}


def imported(
    folder: Path, content: str, name: str = "f.json", **options: Any
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


def column(folder: Path, name: str, products: Sequence[dict[str, Any]]) -> list[Any]:
    """What stands in a column of the items that products with these properties become, in their order."""
    rows = [{"@type": "Product", "sku": f"{place:03}", **product} for place, product in enumerate(products)]
    items, report = imported(Path(tempfile.mkdtemp(dir=folder)), json.dumps(rows))
    assert report.problems == ()
    return [item.get(name) for item in items]


DOCUMENTS = {
    "one": json.dumps(ANVIL, indent=1),
    "one on a line": json.dumps(ANVIL),
    "lines": json.dumps(ANVIL) + "\n" + json.dumps(CRUMBS) + "\n",
    "array": json.dumps([CRUMBS, ANVIL]),
    "graph": json.dumps({"@context": "https://schema.org", "@graph": [CRUMBS, ANVIL]}, indent=2),
    "lines of graphs": (json.dumps({"@graph": [ANVIL, CRUMBS]}) + "\n") + json.dumps({"@graph": CRUMBS}) + "\n",
    "graphs and nodes": json.dumps([{"@graph": [ANVIL]}, CRUMBS]),
    "page": f'<!doctype html><script type="application/ld+json">{json.dumps([CRUMBS, ANVIL])}</script>',
    "what a page is about": json.dumps({"@type": "ItemPage", "name": "Page", "mainEntity": ANVIL}),
    "list": json.dumps({"@type": "ItemList", "name": "List", "itemListElement": [
        {"@type": "ListItem", "position": 1, "item": ANVIL}, {"@type": "ListItem", "url": "https://shop.example/2"},
    ]}),
    "page of a list": json.dumps({"@type": "WebPage", "mainEntity": {"@type": "ItemList", "itemListElement": ANVIL}}),
}  # fmt: skip


@pytest.mark.parametrize("case", list(DOCUMENTS))
def test_a_product_is_found_wherever_it_stands_and_read_to_the_value(tmp_path: Path, case: str) -> None:
    items, report = imported(tmp_path, DOCUMENTS[case])
    assert items == [ITEM]
    assert report.problems == ()
    assert (report.items.read, report.items.kept) == (1, 1)
    assert inspect_files([tmp_path / "f.json"], now=NOW).findings[0].format == "jsonld"


def test_nodes_that_are_no_products_are_passed_over_and_counted(tmp_path: Path) -> None:
    others = [
        CRUMBS,
        {"@type": "WebPage", "name": "x"},
        {"@type": ["Organization", 5, None], "sku": "x"},
        {"@type": None},
    ]
    items, report = imported(tmp_path, json.dumps([*others, ANVIL]))
    assert items == [ITEM]
    assert any("4 rows tell nothing of items" in note for note in report.notes)


KINDS = (
    "https://schema.org/Product", "http://schema.org/Product", "schema:Product", ["Thing", "Product"], "Vehicle",
    ["http://schema.org/IndividualProduct"], "ProductModel",
)  # fmt: skip


def test_a_type_may_be_written_in_many_ways(tmp_path: Path) -> None:
    assert column(tmp_path, "title", [{"@type": kind, "name": "x"} for kind in KINDS]) == ["x"] * len(KINDS)


IDS: list[tuple[dict[str, object], str]] = [
    ({"sku": "s", "productID": "p", "gtin13": "g", "mpn": "m", "@id": "https://i"}, "s"),
    ({"sku": "", "productID": "p", "gtin13": "g", "mpn": "m"}, "p"),
    ({"sku": None, "gtin": "g", "gtin8": "8", "mpn": "m"}, "g"),
    ({"sku": [], "gtin8": "8", "mpn": "m"}, "8"),
    ({"sku": {}, "mpn": ["m", "n"], "@id": "https://i"}, "m"),
    ({"sku": None, "@id": "https://i/#p"}, "https://i/#p"),
    ({"sku": None, "@id": "/p/1#product"}, "/p/1#product"),
    ({"sku": 17}, "17"),
    ({"sku": "[a]"}, "[a]"),
    ({"sku": {"@value": "v"}}, "v"),
]


def test_the_id_is_the_shops_own_number_before_those_of_others(tmp_path: Path) -> None:
    assert sorted(column(tmp_path, "item_id", [ids for ids, _ in IDS])) == sorted(want for _, want in IDS)


def test_a_product_without_an_id_of_its_own_is_put_aside(tmp_path: Path) -> None:
    nameless: list[dict[str, str]] = [{}, {"@id": "#product"}, {"@id": "_:b0"}, {"sku": " "}]
    items, report = imported(
        tmp_path, json.dumps([ANVIL, *({"@type": "Product", **node} for node in nameless)])
    )
    assert items == [ITEM]
    assert aside(report) == [(row, "missing_value") for row in (2, 3, 4, 5)]


OFFERS: list[tuple[object, tuple[float | None, str | None]]] = [
    ({"price": "9.99", "priceCurrency": "EUR"}, (9.99, "EUR")),
    ({"price": "9,99 €"}, (9.99, "EUR")),
    ([{"price": 5, "priceCurrency": "eur"}, {"price": 4}], (5.0, "EUR")),
    ({"@type": "AggregateOffer", "lowPrice": "5", "highPrice": 9, "priceCurrency": "EUR"}, (5.0, "EUR")),
    ([{"@type": "AggregateOffer", "lowPrice": 5, "priceCurrency": "EUR"}], (5.0, "EUR")),
    ({"@type": "AggregateOffer", "offers": [{"price": 5, "priceCurrency": "EUR"}]}, (5.0, "EUR")),
    ({"priceSpecification": {"price": 5, "priceCurrency": "EUR"}}, (5.0, "EUR")),
    ({"priceSpecification": [{"price": 5, "priceCurrency": "EUR"}]}, (5.0, "EUR")),
    (
        {
            "priceSpecification": [
                {"price": 9, "priceCurrency": "EUR", "priceType": "https://schema.org/StrikethroughPrice"},
                {"price": 5, "priceCurrency": "EUR"},
            ]
        },
        (5.0, "EUR"),
    ),
    ({"priceSpecification": [{"price": 9, "priceType": "ListPrice"}], "price": 5}, (5.0, None)),
    ({"priceCurrency": "EUR"}, (None, "EUR")),
    ({"@id": "#offer"}, (None, None)),
    ("free", (None, None)),
    ([], (None, None)),
    (None, (None, None)),
]


def test_the_price_is_what_is_asked_for_first(tmp_path: Path) -> None:
    products = [{"offers": offers} for offers, _ in OFFERS]
    assert column(tmp_path, "price", products) == [price for _, (price, _) in OFFERS]
    assert column(tmp_path, "currency", products) == [currency for _, (_, currency) in OFFERS]


SAID: list[tuple[list[str | None], bool | None]] = [
    (["https://schema.org/InStock"], True),
    (["http://schema.org/PreOrder"], True),
    (["schema:LimitedAvailability"], True),
    (["InStoreOnly"], True),
    (["https://schema.org/OutOfStock/"], False),
    (["SoldOut", None], False),
    (["Discontinued", "BackOrder"], True),
    ([None], None),
]


def test_an_item_is_available_when_any_of_its_offers_is(tmp_path: Path) -> None:
    offers = [[{"@type": "Offer", "availability": word} for word in said] for said, _ in SAID]
    want = [want for _, want in SAID]
    assert column(tmp_path, "available", [{"offers": some} for some in offers]) == want
    assert column(tmp_path, "available", [{"offers": {"offers": some}} for some in offers]) == want
    assert column(tmp_path, "available", [{"offers": [{"offers": some}]} for some in offers]) == want
    assert column(tmp_path, "available", [{"offers": some[0]} for some in offers if len(some) == 1]) == [
        told for said, told in SAID if len(said) == 1
    ]


CATEGORIES: list[tuple[object, str | None]] = [
    ("Hardware > Tools", "Hardware > Tools"),
    ("Hardware &gt; Tools", "Hardware > Tools"),
    ("Hardware / Tools/Anvils", "Hardware > Tools > Anvils"),
    (["Tools", "Gifts"], "Tools"),
    ({"@type": "CategoryCode", "name": "Tools", "codeValue": "17"}, "Tools"),
    ([{"name": ["Tools"]}], None),
    ("https://shop.example/tools", None),
    ({"@id": "#tools"}, None),
]


def test_a_category_may_be_a_path_a_list_or_a_thing(tmp_path: Path) -> None:
    found = column(tmp_path, "category", [{"category": category} for category, _ in CATEGORIES])
    assert found == [want for _, want in CATEGORIES]


PROPERTIES: list[tuple[str, object, str, str | None]] = [
    ("brand", "ACME", "brand", "ACME"),
    ("brand", [{"@type": "Brand", "name": "ACME"}], "brand", "ACME"),
    ("brand", {"@id": "#b"}, "brand", None),
    ("name", {"@value": "Amboss", "@language": "de"}, "title", "Amboss"),
    ("name", [{"@value": "Amboss"}, "Anvil"], "title", "Amboss"),
    ("name", "[New] {Anvil}", "title", "[New] {Anvil}"),
    ("image", {"@type": "ImageObject", "url": "https://i"}, "image", "https://i"),
    ("image", [{"@type": "ImageObject", "contentUrl": "https://i"}], "image", "https://i"),
    ("image", {"@id": "#i"}, "image", None),
    ("url", "https://p", "link", "https://p"),
]


def test_a_property_may_be_a_text_a_list_or_a_thing(tmp_path: Path) -> None:
    for place in ("brand", "title", "image", "link"):
        told = [(name, value, want) for name, value, of, want in PROPERTIES if of == place]
        found = column(tmp_path, place, [{name: value} for name, value, _ in told])
        assert found == [want for _, _, want in told]


GROUP = {
    "@type": "ProductGroup", "@id": "#group", "name": "Coat", "url": "https://shop.example/coat", "sku": "44E01",
    "productGroupID": "44E01", "brand": {"@type": "Brand", "name": "Good"}, "category": "Coats", "pattern": "striped",
    "variesBy": ["https://schema.org/size"], "offers": {"price": 1},
}  # fmt: skip
SMALL = {
    "@type": "Product",
    "sku": "44E01-S",
    "size": "small",
    "offers": {"price": 39.99, "priceCurrency": "USD"},
}
SMALL_ITEM = {
    "item_id": "44E01-S", "title": "Coat", "brand": "Good", "category": "Coats", "price": 39.99, "currency": "USD",
    "attributes": {"pattern": "striped", "size": "small", "sku": "44E01-S", "productGroupID": "44E01"},
}  # fmt: skip


def test_of_a_group_the_variants_are_items_and_have_what_the_group_says_of_all(tmp_path: Path) -> None:
    large = {"sku": "44E01-L", "name": "Large coat", "brand": "Better"}
    group = {**GROUP, "hasVariant": [SMALL, {"@id": "#elsewhere"}, large]}
    items, report = imported(tmp_path, json.dumps(group))
    attributes = {"pattern": "striped", "sku": "44E01-L", "productGroupID": "44E01"}
    assert items == [
        {
            "item_id": "44E01-L",
            "title": "Large coat",
            "brand": "Better",
            "category": "Coats",
            "attributes": attributes,
        },
        SMALL_ITEM,
    ]
    assert report.problems == ()


def test_a_variant_on_a_page_of_its_own_says_what_group_it_is_of(tmp_path: Path) -> None:
    assert imported(tmp_path, json.dumps({**SMALL, "isVariantOf": GROUP}))[0] == [SMALL_ITEM]
    graph = [
        {**GROUP, "hasVariant": [{"@id": "#s"}]},
        {**SMALL, "@id": "#s", "isVariantOf": {"@id": "#group"}},
    ]
    page = f'<html><script type="application/ld+json">{json.dumps({"@graph": graph})}</script></html>'
    items, report = imported(tmp_path, page, "page.html")
    assert items == [SMALL_ITEM]
    assert report.problems == ()


def test_a_group_that_names_no_variants_is_an_item(tmp_path: Path) -> None:
    group = {key: value for key, value in GROUP.items() if key != "sku"}
    (item,) = imported(tmp_path, json.dumps(group))[0]
    assert (item["item_id"], item["link"], item["price"]) == ("44E01", "https://shop.example/coat", 1.0)


DEFECTS: dict[str, tuple[dict[str, object], str]] = {
    "words for a price": ({"offers": {"price": "on request"}}, "bad_number"),
    "negative price": ({"offers": {"price": -5}}, "bad_number"),
    "endless price": ({"offers": {"price": 1e300}}, "not_finite"),
    "odd availability": ({"offers": {"availability": "Ask us"}}, "bad_flag"),
    "long name": ({"name": "x" * 100_001}, "field_too_long"),
    "long id": ({"sku": "x" * 257}, "field_too_long"),
    "half a letter": ({"name": "\ud800"}, "malformed_row"),
    "nothing": ({"name": "\x00"}, "malformed_row"),
    "an id twice": ({"sku": "a0"}, "duplicate_item_id"),
}


def test_a_bad_product_costs_only_itself(tmp_path: Path) -> None:
    good = {"@type": "Product", "name": "A", "offers": {"price": 1}}
    products = []
    for place, (changes, _) in enumerate(DEFECTS.values()):
        products += [{**good, "sku": f"a{place}"}, {**good, "sku": f"b{place}", **changes}]
    items, report = imported(tmp_path, json.dumps(products))
    assert [item["item_id"] for item in items] == [f"a{place}" for place in range(len(DEFECTS))]
    assert aside(report) == [(2 * n, reason) for n, (_, reason) in enumerate(DEFECTS.values(), start=1)]


def test_importing_products_again_adds_nothing(tmp_path: Path) -> None:
    content = json.dumps([ANVIL, {**GROUP, "hasVariant": SMALL}])
    imported(tmp_path, content)
    before = (tmp_path / "data" / "items.parquet").read_bytes()
    _, report = imported(tmp_path, content)
    assert (report.items.kept, report.items.new) == (2, 0)
    assert (tmp_path / "data" / "items.parquet").read_bytes() == before


def test_what_is_almost_json_ld_is_refused_by_name(tmp_path: Path) -> None:
    for content in (json.dumps({"type": "Product", "sku": "a"}), json.dumps([{"name": "x", "sku": "a"}])):
        with pytest.raises(InvalidFile, match="has no column '@type'"):
            imported(tmp_path, content, format="jsonld")


KEYS = (
    "@type", "@id", "@graph", "name", "sku", "offers", "price", "priceSpecification", "availability", "category",
    "brand", "image", "hasVariant", "isVariantOf", "mainEntity", "itemListElement", "item", "additionalProperty",
    "value", "@value", "url", "priceType",
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(
    ["Product", "ProductGroup", "ItemList", "https://schema.org/InStock", "9,99 EUR", "[1", '{"a": 1}', "A/B", "$.x"]
)  # fmt: skip
NODES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), NODES, max_size=6), min_size=1, max_size=6))
def test_whatever_nodes_say_every_product_is_kept_or_put_aside(nodes: list[dict[str, Any]]) -> None:
    whatever_nodes_say(nodes)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), NODES, max_size=6), min_size=1, max_size=6))
def test_whatever_many_nodes_say_every_product_is_kept_or_put_aside(nodes: list[dict[str, Any]]) -> None:
    whatever_nodes_say(nodes)


def whatever_nodes_say(nodes: list[dict[str, Any]]) -> None:
    content = json.dumps([{**ANVIL, "sku": "first"}, *({"@type": "Product", **node} for node in nodes)])
    with tempfile.TemporaryDirectory() as folder:
        items, report = imported(Path(folder), content)
        assert "first" in [item["item_id"] for item in items]
        assert report.items.read == report.items.kept + report.items.quarantined
        assert len(aside(report)) == report.items.quarantined
