from __future__ import annotations

import copy
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.errors import InvalidFile
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def event(kind: str, minute: int, *products: Any, **said: Any) -> dict[str, Any]:
    return {
        "eventType": kind,
        "visitorId": "v1",
        "eventTime": f"2024-05-01T10:{minute:02}:00.123456789Z",
        **({"productDetails": list(products)} if products else {}),
        **said,
    }


def line(product: str, quantity: int | None = None, **more: Any) -> dict[str, Any]:
    return {"product": {"id": product, **more}, **({} if quantity is None else {"quantity": quantity})}


PRODUCTS: list[dict[str, Any]] = [
    {
        "name": "projects/1/locations/global/catalogs/default_catalog/branches/0/products/p1",
        "id": "p1", "type": "PRIMARY", "primaryProductId": "p1", "title": "Red shoe",
        "categories": ["Shoes > Sneakers", "Sale"], "brands": ["Acme", "Adams"], "description": "Runs well.",
        "languageCode": "en-US", "tags": ["new"], "gtin": "4006381333931",
        "attributes": {"vendor": {"text": ["v1", "v2"], "indexable": True}, "heel_cm": {"numbers": [2.5]}},
        "priceInfo": {"currencyCode": "USD", "price": 20, "originalPrice": 25.5},
        "rating": {"ratingCount": 12, "averageRating": 4.5},
        "availableTime": "2024-02-01T00:00:00Z", "publishTime": "2024-01-01T00:00:00Z", "availability": "IN_STOCK",
        "uri": "https://shop.example/p1", "images": [{"uri": "https://shop.example/p1.jpg", "height": 320}],
        "audience": {"genders": ["unisex"], "ageGroups": ["adult", "kids"]},
        "colorInfo": {"colorFamilies": ["Red"], "colors": ["Cherry"]}, "sizes": ["8", "9"], "conditions": ["new"],
    },
    {"id": "p1-9", "type": "VARIANT", "primaryProductId": "p1", "title": "Red shoe 9", "availability": "OUT_OF_STOCK",
     "priceInfo": {"priceRange": {"price": {"minimum": 18}}}, "availableTime": "2024-02-01T00:00:00Z",
     "attributes": [{"key": "heel_cm", "value": {"text": [], "numbers": [3, 4]}}]},
    {"id": "", "name": "projects/1/branches/0/products/p2", "title": "Sock", "categories": "Socks",
     "availability": "PREORDER"},
]  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    event("home-page-view", 0),
    event("search", 1, line("p1"), line("p2"), searchQuery="shoe", attributionToken="tok", offset=24),
    event("search", 2, line("p2"), pageCategories=["Socks"], filter="price < 5"),
    event("search", 3, searchQuery="nothing like it"),
    event("detail-page-view", 4, line("p1"), attributionToken="t" * 300, sessionId="v1-s1"),
    event("add-to-cart", 5, line("p1-9", 2), cartId="c1", userInfo={"userId": "anna", "ipAddress": "127.0.0.1"}),
    event("remove-from-cart", 6, line("p1-9", 1), cartId="c1"),
    event("shopping-cart-page-view", 7, line("p1-9", 1), cartId="c1"),
    event(
        "purchase-complete", 8, line("p1-9", 2, priceInfo={"price": 18.5, "currencyCode": "EUR"}), line("p2", 1),
        purchaseTransaction={"id": "T1", "revenue": 42.5, "tax": 2, "currencyCode": "USD"}, cartId="c1",
    ),
    event(
        "purchase-complete", 9, line("p2", 3),
        purchaseTransaction={"id": "T2", "revenue": 12.5, "currencyCode": "USD"},
    ),
]  # fmt: skip


def import_rows(
    folder: Path, events: list[Any], products: list[Any] | None = PRODUCTS, name: str = "user_events.json"
) -> ImportReport:
    files = []
    for file, rows in (("products.json", products), (name, events)):
        if rows is not None:
            (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
            files.append(folder / file)
    return import_files(folder / "data", files, now=NOW)


def test_each_event_becomes_what_it_says_of_each_product(tmp_path: Path) -> None:
    report = import_rows(tmp_path, EVENTS)
    assert report.problems == ()
    found = []
    for row in rows_of(tmp_path / "data", "events"):
        assert (row.pop("anonymous_id"), row["time"][16:]) == ("v1", ":00.123456+00")
        row["time"] = int(row["time"][14:16])
        del row["event_id"]
        found.append(row)
    v = {"user_id": "v1"}
    shown = v | {"kind": "impression", "query": "shoe", "decision_id": "tok"}
    usd = v | {"kind": "purchase", "currency": "USD"}
    assert sorted(found, key=lambda row: (row["time"], row.get("position", -1))) == [
        v | {"time": 1, "kind": "search", "query": "shoe", "decision_id": "tok"},
        shown | {"time": 1, "item_id": "p1", "position": 24},
        shown | {"time": 1, "item_id": "p2", "position": 25},
        v | {"time": 2, "kind": "impression", "item_id": "p2", "position": 0},
        v | {"time": 3, "kind": "search", "query": "nothing like it"},
        # md5 of 300 times the letter t: a token of that length would be no id
        v | {"time": 4, "kind": "view", "item_id": "p1", "session_id": "v1-s1",
             "decision_id": "083ed6e2ac4333810197a4bc49805579"},
        {"time": 5, "user_id": "anna", "kind": "cart", "item_id": "p1-9", "quantity": 2.0},
        usd | {"time": 8, "item_id": "p1-9", "value": 37.0, "quantity": 2.0, "currency": "EUR"},
        usd | {"time": 8, "item_id": "p2", "quantity": 1.0},
        usd | {"time": 9, "item_id": "p2", "value": 12.5, "quantity": 3.0},
    ]  # fmt: skip
    assert any("3 rows tell nothing of events" in note for note in report.notes)
    (identity,) = rows_of(tmp_path / "data", "identities")
    assert (identity["anonymous_id"], identity["user_id"]) == ("v1", "anna")


def test_products_become_items_with_all_that_is_known_of_them(tmp_path: Path) -> None:
    report = import_rows(tmp_path, EVENTS)
    assert (report.items.kept, report.items.quarantined) == (3, 0)
    shoe, variant, sock = rows_of(tmp_path / "data", "items")
    assert json.loads(shoe.pop("attributes")) == {
        "type": "PRIMARY", "categories": ["Shoes > Sneakers", "Sale"], "original_price": 25.5, "color": "Cherry",
        "gender": "unisex", "age_group": ["adult", "kids"], "rating": 4.5, "ratings": 12, "size": ["8", "9"],
        "condition": "new", "tags": "new", "gtin": "4006381333931", "language": "en-US",
        "vendor": ["v1", "v2"], "heel_cm": 2.5,
    }  # fmt: skip
    assert shoe == {
        "item_id": "p1", "title": "Red shoe", "description": "Runs well.", "category": "Shoes > Sneakers",
        "brand": "Acme, Adams", "price": 20.0, "currency": "USD", "image": "https://shop.example/p1.jpg",
        "link": "https://shop.example/p1", "available": True, "created_at": "2024-01-01 00:00:00+00",
    }  # fmt: skip
    assert json.loads(variant.pop("attributes")) == {"type": "VARIANT", "primary_id": "p1", "heel_cm": [3, 4]}
    assert variant == {
        "item_id": "p1-9", "title": "Red shoe 9", "price": 18.0, "available": False,
        "created_at": "2024-02-01 00:00:00+00",
    }  # fmt: skip
    assert sock == {"item_id": "p2", "title": "Sock", "category": "Socks", "available": True}


def test_the_least_that_the_catalogue_takes_is_enough(tmp_path: Path) -> None:
    rows = [{"id": "1234", "categories": "Apparel > Shoes", "title": "Sneakers"}] * 2
    report = import_rows(tmp_path, [event("detail-page-view", 1, line("1234"))] * 2, rows)
    assert (report.items.kept, report.events.kept) == (1, 1)
    assert {p.reason for p in report.problems} == {"duplicate_item_id", "duplicate_event_id"}


def test_events_that_describe_their_products_need_no_catalogue(tmp_path: Path) -> None:
    told = line(
        "p7", 1, title="Hat", categories=["Hats > Wool", "Sale"], brands=["Acme"], priceInfo={"price": 5}
    )
    report = import_rows(
        tmp_path, [event("add-to-cart", 1, told), event("add-to-cart", 2, line("p8", 1))], None
    )
    assert [(p.reason, p.row) for p in report.problems] == [("unknown_item", 2)]
    assert rows_of(tmp_path / "data", "items") == [
        {"item_id": "p7", "title": "Hat", "category": "Hats > Wool", "brand": "Acme", "price": 5.0}
    ]


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    first = import_rows(tmp_path, EVENTS)
    again = import_rows(tmp_path, EVENTS)
    assert (first.events.new, first.items.new) == (10, 3)
    assert (again.events.new, again.items.new) == (0, 0)


BAD: list[tuple[Any, str, str]] = [
    (event("purchase-completed", 40, line("p1", 1)), "unknown_kind", "purchase-completed"),
    (event("detail-page-view", 40), "missing_value", "item_id is empty"),
    (event("detail-page-view", 40, {"productId": "p1"}), "missing_value", "item_id is empty"),
    (event("detail-page-view", 40, line("p9")), "unknown_item", "p9"),
    (event("detail-page-view", 40, line("p1"), visitorId=None), "missing_value", "user_id is empty"),
    (event("detail-page-view", 40, line("p1"), visitorId="v" * 257), "field_too_long", "257"),
    (event("detail-page-view", 40, line("p1"), eventTime=None), "missing_value", "time is empty"),
    (event("detail-page-view", 40, line("p1"), eventTime="2024-05-01T10:00:00"), "time_without_zone", "--timezone"),
    (event("detail-page-view", 40, line("p1"), eventTime="2024-05-01T10:00:00+02:00"), "time_not_utc", "--to-utc"),
    (event("add-to-cart", 40, line("p1") | {"quantity": "two"}), "bad_number", "quantity 'two'"),
    (event("purchase-complete", 40, line("p1", 1, priceInfo={"price": "dear"})), "bad_number", "value 'dear'"),
    (event("purchase-complete", 40, line("p1", 1), purchaseTransaction={"revenue": "inf"}), "not_finite", "inf"),
    (event("search", 40, line("p1"), offset=-3), "bad_number", "position '-3'"),
    ("{broken", "malformed_row", "no JSON object"),
]  # fmt: skip


def test_a_defect_of_an_event_is_told_and_costs_only_itself(tmp_path: Path) -> None:
    good = [event("detail-page-view", minute, line("p1")) for minute in range(len(BAD))]
    report = import_rows(
        tmp_path, [row for (bad, _, _), g in zip(BAD, good, strict=True) for row in (bad, g)]
    )
    assert report.events.kept == len(BAD)
    aside = [json.loads(text) for text in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in aside] == [
        (2 * place + 1, reason) for place, (_, reason, _) in enumerate(BAD)
    ]
    for row, (_, _, said) in zip(aside, BAD, strict=True):
        assert said in row["message"]


BAD_PRODUCTS: list[tuple[Any, str, str]] = [
    ({"id": "b1", "title": "T", "availability": "SOLD"}, "bad_flag", "available 'SOLD'"),
    ({"id": "b2", "title": "T", "priceInfo": {"price": "dear"}}, "bad_number", "price 'dear'"),
    ({"id": "b3", "title": "T", "priceInfo": {"price": -1}}, "bad_number", "price '-1'"),
    ({"id": "b4", "title": "T", "publishTime": "once"}, "time_unparsable", "once"),
    ({"title": "T", "priceInfo": {"price": 1}}, "missing_value", "item_id is empty"),
]


def test_a_defect_of_a_product_is_told_and_costs_only_itself(tmp_path: Path) -> None:
    garbage = {"id": "g", "title": "T", "priceInfo": "x", "images": 3, "attributes": [1, "x"], "rating": []}
    rows = [
        *PRODUCTS,
        *(bad for bad, _, _ in BAD_PRODUCTS),
        garbage,
        garbage | {"id": "h", "attributes": "[x"},
    ]
    report = import_rows(tmp_path, EVENTS, rows)
    assert report.items.kept == 5
    aside = [json.loads(text) for text in Path(str(report.quarantine)).read_text().splitlines()]
    assert [row["reason"] for row in aside] == [reason for _, reason, _ in BAD_PRODUCTS]
    for row, (_, _, said) in zip(aside, BAD_PRODUCTS, strict=True):
        assert said in row["message"]


def test_a_file_that_is_almost_of_this_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no column 'eventtime'"):
        import_rows(tmp_path, [{"eventType": "search", "visitorId": "v", "eventtimestamp": 1}] * 2, None)
    with pytest.raises(InvalidFile, match="not a known format"):
        import_rows(tmp_path, [{"id": 1, "title": "T", "categories": ["a"], "price": 3}] * 2, None)


JSON = st.recursive(
    st.sampled_from([None, True, 0, -1.5, 1e300, "", "inf", "a'b\"", "\x00", "🐝", "2", "[", "{}", "p1", "search"]),
    lambda some: st.one_of(
        st.lists(some, max_size=3),
        st.dictionaries(st.sampled_from(["product", "id", "text", "numbers", "a/b~'c", "key", ""]), some, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


def mutated(draw: st.DrawFn, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the sample in which something, somewhere, is anything else."""
    row: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(rows)))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = row
        for _ in range(draw(st.integers(0, 3))):
            inner = list(place.values()) if isinstance(place, dict) else place
            nested = [value for value in inner if isinstance(value, dict | list) and value]
            place = draw(st.sampled_from(nested)) if nested else place
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        place[key] = draw(JSON)
    return row


@st.composite
def mutated_events(draw: st.DrawFn) -> dict[str, Any]:
    return mutated(draw, EVENTS)


@st.composite
def mutated_products(draw: st.DrawFn) -> dict[str, Any]:
    return mutated(draw, PRODUCTS)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(mutated_events(), min_size=1, max_size=8), st.lists(mutated_products(), min_size=1, max_size=8)
)
def test_no_row_crashes_an_import_and_none_gets_lost(
    events: list[dict[str, Any]], products: list[dict[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = import_rows(Path(folder), [EVENTS[4], *events], [*PRODUCTS, *products])
        for count in report.tables.values():
            assert count.read == count.kept + count.quarantined
        assert report.events.kept >= 1
        assert report.items.kept >= 3
        again = import_rows(Path(folder), [EVENTS[4], *events], [*PRODUCTS, *products])
        assert (again.events.new, again.events.kept) == (0, report.events.kept)
