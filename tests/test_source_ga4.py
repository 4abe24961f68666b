from __future__ import annotations

import copy
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.errors import InvalidFile
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TEN = 1_714_557_600  # 2024-05-01 10:00 in UTC

SHOE = {
    "item_id": "SKU_1", "item_name": "Red shoe", "item_brand": "Acme", "item_variant": "red",
    "item_category": "Shoes", "item_category2": "Sneakers", "item_category3": "(not set)",
    "price_in_usd": 21.5, "price": 20.0, "coupon": "(not set)", "item_list_name": "(not set)",
    "item_params": [{"key": "material", "value": {"string_value": "suede"}},
                    {"key": "stars", "value": {"double_value": 4.5}}],
}  # fmt: skip
SOCK = {"item_id": "SKU_2", "item_name": "Warm sock", "item_brand": "(not set)", "price": 3.5}


def event(name: str, second: int, *items: object, user: str | None = None, **said: Any) -> dict[str, Any]:
    """A row as the export writes it: whole numbers as text, and nothing of what is null."""
    params = {"ga_session_id": 77, **said.pop("params", {})}
    kinds = {str: "string_value", int: "int_value", float: "double_value"}
    return {
        "event_date": "20240501",
        "event_timestamp": str((TEN + second) * 1_000_000),
        "event_name": name,
        "event_params": [
            {"key": key, "value": {kinds[type(value)]: str(value) if isinstance(value, int) else value}}
            for key, value in params.items()
        ],
        "event_bundle_sequence_id": "5",
        "user_pseudo_id": "123.456",
        "privacy_info": {"analytics_storage": "Yes", "ads_storage": "No", "uses_transient_token": "No"},
        "user_properties": [],
        "device": {"category": "desktop", "web_info": {"browser": "Chrome"}},
        "platform": "WEB",
        "items": list(items),
        **({"user_id": user} if user else {}),
        **said,
    }


ROWS = [
    event("session_start", 0, params={"campaign": "(direct)"}),
    event(
        "view_item_list",
        1,
        SHOE | {"item_list_index": "0"},
        SOCK | {"item_list_index": "Slide 3"},
        params={"currency": "EUR", "decision_id": "d1"},
    ),
    event("select_item", 2, SHOE | {"item_list_index": "0"}, params={"decision_id": "d1"}),
    event("view_item", 3, SHOE, user="anna", params={"currency": "EUR"}),
    event("view_search_results", 4, params={"search_term": "red shoe"}),
    event("search", 5, SHOE | {"item_list_index": "2"}, params={"search_term": "shoe"}),
    event("add_to_wishlist", 6, SOCK),
    event("add_to_cart", 7, SHOE | {"quantity": "2"}),
    event(
        "purchase",
        8,
        SHOE | {"quantity": "2", "item_revenue": 39.0, "item_revenue_in_usd": 42.0},
        SOCK,
        params={"currency": "EUR", "transaction_id": "T1", "coupon": "SPRING"},
        ecommerce={"transaction_id": "T1", "purchase_revenue": 42.5, "total_item_quantity": "3"},
    ),
    event(
        "refund", 9, {"item_id": "SKU_1", "quantity": "1", "item_refund": 19.5}, params={"currency": "EUR"}
    ),
    event("select_promotion", 10, {"promotion_name": "Sale", "item_id": "(not set)"}, SOCK),
    event("purchase", 11, {"item_id": "SKU_2", "price_in_usd": 4.0, "quantity": "3"}),
]
PASSED_OVER = [
    event("page_view", 20),
    event("remove_from_cart", 21, SHOE),
    event("view_item_list", 22),
    event("view_search_results", 23),
    event("view_promotion", 24, {"promotion_name": "Sale", "item_id": "(not set)", "item_name": "(not set)"}),
    event("refund", 25, params={"transaction_id": "T1"}),
    event("view_item", 26, SHOE, user_pseudo_id=None, privacy_info={"analytics_storage": "No"}),
]
SESSION = "123.456.77"


def import_rows(folder: Path, rows: list[Any], name: str = "events_20240501.jsonl") -> ImportReport:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return import_files(folder / "data", [folder / name], now=NOW)


def events_of(folder: Path) -> list[dict[str, Any]]:
    """The events in the order of their time without what all have, the time as seconds since ten o'clock."""
    found = sorted(rows_of(folder / "data", "events"), key=lambda row: (row["time"], row.get("position", 9)))
    for row in found:
        row["time"] = int(datetime.fromisoformat(row["time"]).timestamp()) - TEN
        del row["event_id"]
        assert (row.pop("anonymous_id"), row.pop("session_id"), row.pop("consent")) == (
            "123.456",
            SESSION,
            True,
        )
    return found


A = {"user_id": "123.456"}
EXPECTED = [
    A | {"time": 1, "kind": "impression", "item_id": "SKU_1", "currency": "EUR", "decision_id": "d1", "position": 0},
    A | {"time": 1, "kind": "impression", "item_id": "SKU_2", "currency": "EUR", "decision_id": "d1"},
    A | {"time": 2, "kind": "click", "item_id": "SKU_1", "position": 0, "decision_id": "d1"},
    {"time": 3, "user_id": "anna", "kind": "view", "item_id": "SKU_1", "currency": "EUR"},
    A | {"time": 4, "kind": "search", "query": "red shoe"},
    A | {"time": 5, "kind": "impression", "item_id": "SKU_1", "query": "shoe", "position": 2},
    A | {"time": 5, "kind": "search", "query": "shoe"},
    A | {"time": 6, "kind": "cart", "item_id": "SKU_2"},
    A | {"time": 7, "kind": "cart", "item_id": "SKU_1", "quantity": 2.0},
    A | {"time": 8, "kind": "purchase", "item_id": "SKU_1", "value": 39.0, "quantity": 2.0, "currency": "EUR"},
    A | {"time": 8, "kind": "purchase", "item_id": "SKU_2", "value": 3.5, "quantity": 1.0, "currency": "EUR"},
    A | {"time": 9, "kind": "purchase", "item_id": "SKU_1", "value": -19.5, "quantity": -1.0, "currency": "EUR"},
    A | {"time": 10, "kind": "click", "item_id": "SKU_2"},
    A | {"time": 11, "kind": "purchase", "item_id": "SKU_2", "value": 12.0, "quantity": 3.0, "currency": "USD"},
]  # fmt: skip


def test_each_event_becomes_what_it_says_of_each_of_its_items(tmp_path: Path) -> None:
    report = import_rows(tmp_path, ROWS + PASSED_OVER)
    assert report.problems == ()
    assert events_of(tmp_path) == EXPECTED
    # and the start of the session
    assert any("8 rows tell nothing of events" in note for note in report.notes)


def test_events_tell_of_the_items_so_that_no_catalogue_is_needed(tmp_path: Path) -> None:
    import_rows(tmp_path, ROWS)
    shoe, sock = rows_of(tmp_path / "data", "items")
    assert json.loads(shoe.pop("attributes")) == {"material": "suede", "stars": "4.5", "variant": "red"}
    assert shoe == {
        "item_id": "SKU_1", "title": "Red shoe", "brand": "Acme", "category": "Shoes > Sneakers", "price": 20.0,
        "currency": "EUR",
    }  # fmt: skip
    assert sock == {"item_id": "SKU_2", "title": "Warm sock", "price": 3.5, "currency": "EUR"}


def test_a_catalogue_has_the_last_word_on_an_item(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\nSKU_1,The red shoe\n")
    import_files(tmp_path / "data", [tmp_path / "items.csv"], now=NOW)
    import_rows(tmp_path, ROWS)
    titles = [row["title"] for row in rows_of(tmp_path / "data", "items")]
    assert titles == ["The red shoe", "Warm sock"]


def test_who_is_who_what_users_are_and_what_campaigns_did_are_told_by_the_way(tmp_path: Path) -> None:
    rows = [
        event("login", 0, user="anna", user_properties=[
            {"key": "tier", "value": {"string_value": "gold", "set_timestamp_micros": "1"}},
            {"key": "orders", "value": {"int_value": "3"}},
        ]),
        event("page_view", 1, user="anna", params={"campaign": "newsletter"}),
        event("page_view", 2, user="anna", params={"campaign": "newsletter"}),
        event("page_view", 3, collected_traffic_source={"manual_campaign_name": "spring"}),
        event("page_view", 4, params={"campaign": "(organic)"}),
        event("login", 5, user="ben", user_pseudo_id="9.9", privacy_info={"analytics_storage": "No"}),
        *ROWS,
    ]  # fmt: skip
    report = import_rows(tmp_path, rows)
    assert report.problems == ()
    assert rows_of(tmp_path / "data", "identities")[0]["user_id"] == "anna"
    assert [row["anonymous_id"] for row in rows_of(tmp_path / "data", "identities")] == ["123.456"]
    (anna,) = rows_of(tmp_path / "data", "users")
    assert (anna["user_id"], json.loads(anna["attributes"])) == ("anna", {"tier": "gold", "orders": "3"})
    touches = [
        (t["user_id"], t["kind"], t["campaign_id"], t.get("value"))
        for t in rows_of(tmp_path / "data", "touches")
    ]
    assert sorted(touches) == [
        ("123.456", "redeemed", "SPRING", 42.5),
        ("123.456", "visit", "spring", None),
        ("anna", "visit", "newsletter", None),
    ]


def test_who_did_not_agree_is_told_apart_and_nothing_else_is_kept_of_them(tmp_path: Path) -> None:
    refused = {"privacy_info": {"analytics_storage": "No"}, "user_properties": [
        {"key": "tier", "value": {"string_value": "gold"}},
    ]}  # fmt: skip
    campaign = {"campaign": "newsletter"}
    import_rows(tmp_path, [event("view_item", 1, SHOE, user="anna", params=campaign, **refused)])
    (found,) = rows_of(tmp_path / "data", "events")
    assert (found["user_id"], found["consent"]) == ("anna", False)
    assert not any(rows_of(tmp_path / "data", table) for table in ("users", "identities", "touches"))


def test_a_user_without_a_device_has_sessions_too(tmp_path: Path) -> None:
    import_rows(tmp_path, [event("view_item", 1, SHOE, user="anna", user_pseudo_id=None)])
    (found,) = rows_of(tmp_path / "data", "events")
    assert (found["user_id"], found["session_id"]) == ("anna", "anna.77")


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    first = import_rows(tmp_path, ROWS)
    again = import_rows(tmp_path, ROWS)
    assert (first.events.new, again.events.new, again.items.new) == (14, 0, 0)
    assert again.tables["touches"].new == 0


def test_parquet_with_nested_types_tells_the_same_and_adds_nothing(tmp_path: Path) -> None:
    import_rows(tmp_path, ROWS + PASSED_OVER)
    parameter = "STRUCT(key VARCHAR, value STRUCT(string_value VARCHAR, int_value BIGINT, float_value DOUBLE, double_value DOUBLE))"  # noqa: E501
    types = {
        "event_date": "VARCHAR", "event_timestamp": "BIGINT", "event_name": "VARCHAR",
        "event_params": f"{parameter}[]", "event_bundle_sequence_id": "BIGINT", "user_id": "VARCHAR",
        "user_pseudo_id": "VARCHAR",
        "privacy_info": "STRUCT(analytics_storage VARCHAR, ads_storage VARCHAR, uses_transient_token VARCHAR)",
        "user_properties": f"{parameter}[]", "platform": "VARCHAR", "batch_page_id": "BIGINT",
        "ecommerce": "STRUCT(transaction_id VARCHAR, purchase_revenue DOUBLE, total_item_quantity BIGINT)",
        "items": "STRUCT(item_id VARCHAR, item_name VARCHAR, item_brand VARCHAR, item_variant VARCHAR, "
                 "item_category VARCHAR, item_category2 VARCHAR, item_category3 VARCHAR, price_in_usd DOUBLE, "
                 "price DOUBLE, quantity BIGINT, item_revenue_in_usd DOUBLE, item_revenue DOUBLE, "
                 "item_refund DOUBLE, coupon VARCHAR, item_list_name VARCHAR, item_list_index VARCHAR, "
                 f"promotion_name VARCHAR, item_params {parameter}[])[]",
    }  # fmt: skip
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in types.items())
    with duckdb.connect() as db:
        db.execute(f"""
            COPY (FROM read_json('{tmp_path}/events_20240501.jsonl', columns = {{{columns}}}))
            TO '{tmp_path}/e.parquet' (FORMAT parquet)""")
    again = import_files(tmp_path / "data", [tmp_path / "e.parquet"], now=NOW)
    assert (again.problems, again.events.kept, again.events.new) == ((), 14, 0)
    (tmp_path / "alone").mkdir()
    import_files(tmp_path / "alone" / "data", [tmp_path / "e.parquet"], now=NOW)
    assert events_of(tmp_path / "alone") == EXPECTED
    for table in ("items", "touches"):
        assert rows_of(tmp_path / "alone" / "data", table) == rows_of(tmp_path / "data", table)


GOOD = event("view_item", 30, SHOE)


BAD: list[tuple[Any, str, str]] = [
    (event("view_item", 40), "missing_value", "item_id is empty"),
    (event("view_item", 40, SHOE | {"item_id": "(not set)"}), "missing_value", "item_id is empty"),
    (event("add_to_cart", 40, "no item"), "missing_value", "item_id is empty"),
    (event("view_item", 40, {"item_id": "SKU_9"}), "unknown_item", "SKU_9"),
    (event("view_item", 40, SHOE, user_pseudo_id=None), "missing_value", "user_id is empty"),
    (event("view_item", 40, SHOE, event_timestamp="soon"), "time_unparsable", "soon"),
    (event("view_item", 40, SHOE, event_timestamp="17"), "time_impossible", "17"),
    (event("purchase", 40, SHOE | {"price": "dear"}), "bad_number", "value 'dear'"),
    (event("purchase", 40, SHOE | {"item_revenue": "inf"}), "not_finite", "value 'inf'"),
    (event("refund", 40, SHOE | {"item_refund": "dear"}), "bad_number", "value 'dear'"),
    (event("add_to_cart", 40, SHOE | {"quantity": "two"}), "bad_number", "quantity 'two'"),
    (event("view_item", 40, SHOE, privacy_info={"analytics_storage": "so so"}), "bad_flag", "so so"),
    (event("view_item", 40, SHOE, items="none", user_id="u\x00"), "malformed_row", "NUL"),
    ("{broken", "malformed_row", "no JSON object"),
]


def test_a_defect_is_told_and_costs_only_itself(tmp_path: Path) -> None:
    rows = [
        row for place, (bad, _, _) in enumerate(BAD) for row in (bad, event("view_item", 50 + place, SHOE))
    ]
    report = import_rows(tmp_path, rows)
    assert report.events.kept == len(BAD)
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in aside] == [
        (2 * place + 1, reason) for place, (_, reason, _) in enumerate(BAD)
    ]
    for row, (_, _, said) in zip(aside, BAD, strict=True):
        assert said in row["message"]


def test_a_bad_item_of_a_list_costs_only_itself(tmp_path: Path) -> None:
    bad = event("purchase", 40, SHOE, SOCK | {"quantity": "two"}, None, SOCK)
    report = import_rows(tmp_path, [bad])
    assert sorted(row["item_id"] for row in rows_of(tmp_path / "data", "events")) == ["SKU_1", "SKU_2"]
    assert {p.reason for p in report.problems} == {"bad_number", "missing_value"}


def test_garbage_beside_the_event_costs_nothing(tmp_path: Path) -> None:
    garbage = {"privacy_info": "x", "user_properties": "[", "ecommerce": 5, "collected_traffic_source": [1]}
    report = import_rows(tmp_path, [GOOD | garbage | {"event_params": {"key": "currency"}}])
    assert (report.problems, report.events.kept) == ((), 1)


def test_a_table_without_its_nested_columns_is_no_export(tmp_path: Path) -> None:
    flat = {key: value for key, value in GOOD.items() if key != "items"}
    with pytest.raises(InvalidFile, match="no column 'items'"):
        import_rows(tmp_path, [flat, flat])


JSON = st.recursive(
    st.sampled_from([None, True, 0, -1.5, 1e300, "", "(not set)", "inf", "a'b\"", "\x00", "🐝", "2", "[", "{}"]),
    lambda some: st.one_of(
        st.lists(some, max_size=3),
        st.dictionaries(st.sampled_from(["key", "value", "string_value", "item_id", "item_name"]), some, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A row of the sample in which something, somewhere, is anything else."""
    row: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(ROWS + PASSED_OVER)))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = row
        for _ in range(draw(st.integers(0, 3))):
            inner = list(place.values()) if isinstance(place, dict) else place
            nested = [value for value in inner if isinstance(value, dict | list) and value]
            place = draw(st.sampled_from(nested)) if nested else place
        key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        place[key] = draw(JSON)
    return row


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(mutated(), min_size=1, max_size=12))
def test_no_row_crashes_an_import_and_none_gets_lost(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = import_rows(Path(folder), [GOOD, *rows])
        for count in report.tables.values():
            assert count.read == count.kept + count.quarantined
        assert report.events.kept >= 1
        again = import_rows(Path(folder), [GOOD, *rows])
        assert (again.events.new, again.events.kept) == (0, report.events.kept)
