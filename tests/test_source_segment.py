"""Files of Segment: every event of its spec, its warehouses, and whatever else they hold."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.config import Clean
from honeyguide.data.clean import clean
from honeyguide.errors import HoneyguideError, InvalidFile
from tests.tracked_calls import (
    DEFECTS,
    ID,
    MONOPOLY,
    NOW,
    OTHER,
    UNO,
    Row,
    broken,
    call,
    changed,
    check_counts,
    import_csv,
    import_lines,
    patient,
    recaptured,
    rows_of,
    thorough,
)


def test_every_event_of_the_spec_becomes_what_it_says(tmp_path: Path) -> None:
    lines = [
        call(1, "Products Searched", {"query": "blue roses"}),
        call(2, "Product List Viewed", {"list_id": "hot", "products": [MONOPOLY | {"position": 1}, UNO]}),
        call(3, "Product Clicked", MONOPOLY),
        call(4, "Product Viewed", MONOPOLY | {"currency": "usd", "value": 18.99}),
        call(5, "Product Added", MONOPOLY | {"cart_id": "skdjsidjsdkdj29j", "quantity": 2}),
        call(6, "Product Added to Wishlist", {"product_id": OTHER, "wishlist_id": "w"}),
        call(
            7,
            "Order Completed",
            {
                "order_id": "50314b8e9bcf",
                "currency": "USD",
                "total": 27.5,
                "products": [MONOPOLY | {"price": 19}, UNO | {"quantity": 2}],
            },
            userId="u1",
        ),
        call(8, "Order Refunded", {"order_id": "50314b8e9bcf", "products": [UNO]}, userId="u1"),
        call(
            9,
            "Product Reviewed",
            {"product_id": ID, "rating": "5", "review_body": "I love this"},
            userId="u1",
        ),
    ]
    report, data = import_lines(tmp_path, lines)
    assert report.problems == ()
    device = "23adfd82-aa0f-45a7-a756-24f2a7a4c895"

    def expected(number: int, kind: str, user: str = device, suffix: str = "", **more: object) -> Row:
        return {
            "event_id": f"ajs-next-{number}{suffix}",
            "time": f"2024-05-01 10:00:{number:02}.25+00",
            "received_at": f"2024-05-01 10:00:{number:02}.5+00",
            "user_id": user,
            "anonymous_id": device,
            "kind": kind,
            **more,
        }

    assert rows_of(data, "events") == [
        expected(1, "search", query="blue roses"),
        expected(2, "impression", suffix="-1", item_id=ID, position=0),
        expected(2, "impression", suffix="-2", item_id=OTHER, position=1),
        expected(3, "click", item_id=ID, position=2),
        expected(4, "view", item_id=ID, position=2, currency="USD"),
        expected(5, "cart", item_id=ID, position=2, quantity=2.0),
        expected(6, "cart", item_id=OTHER),
        expected(7, "purchase", "u1", "-1", item_id=ID, value=19.0, quantity=1.0, currency="USD", position=2),
        expected(7, "purchase", "u1", "-2", item_id=OTHER, value=6.0, quantity=2.0, currency="USD"),
        expected(8, "purchase", "u1", "-1", item_id=OTHER, value=-3.0, quantity=-1.0),
        expected(9, "rating", "u1", item_id=ID, value=5.0, text="I love this"),
    ]
    uno, monopoly = sorted(rows_of(data, "items"), key=lambda item: str(item["item_id"]))
    assert uno == {"item_id": OTHER, "title": "Uno Card Game", "price": 3.0, "currency": "USD"} | {
        "attributes": '{"sku":"46493-32"}'
    }
    assert monopoly == {
        "item_id": ID,
        "title": "Monopoly: 3rd Edition",
        "category": "Games",
        "brand": "Hasbro",
        "price": 19.0,
        "currency": "USD",
        "image": "https://www.example.com/product/path.jpg",
        "link": "https://www.example.com/product/path",
        "attributes": '{"sku":"G-32","variant":"200 pieces"}',
    }
    assert rows_of(data, "identities") == [
        {"anonymous_id": device, "user_id": "u1", "time": "2024-05-01 10:00:09.25+00"}
    ]


def test_what_tells_nothing_of_items_is_passed_over_and_counted(tmp_path: Path) -> None:
    others = [
        "Product Removed",
        "Cart Viewed",
        "Checkout Started",
        "Coupon Applied",
        "Promotion Viewed",
        "Signed Up",
    ]
    lines = [
        call(1, "Product Viewed", MONOPOLY),
        *(call(place, name, {"product_id": ID}) for place, name in enumerate(others, start=2)),
        call(10, None, {"title": "Home"}, type="page"),
        call(11, "Product List Viewed", {"category": "Deals"}),
        call(12, "Order Refunded", {"order_id": "all of it"}),
    ]
    report, _ = import_lines(tmp_path, lines)
    assert (report.events.read, report.events.kept) == (1, 1)
    assert any("9 rows tell nothing of events" in note for note in report.notes)


def test_names_of_the_first_spec_and_of_warehouses_are_the_same_events(tmp_path: Path) -> None:
    names = ["Viewed Product", "Added Product", "product_viewed", "  Product   Clicked "]
    lines = [call(place, name, MONOPOLY) for place, name in enumerate(names)]
    lines.append(call(9, "Viewed Product Category", {"products": json.dumps([{"id": ID}])}))
    _, data = import_lines(tmp_path, lines)
    assert [row["kind"] for row in rows_of(data, "events")] == ["view", "cart", "view", "click", "impression"]


def test_identify_and_alias_tell_who_somebody_is_and_leave_out_how_to_reach_them(tmp_path: Path) -> None:
    traits = {
        "email": "p@example.com",
        "name": "Peter",
        "plan": "premium",
        "logins": 5,
        "address": {"city": "SF"},
    }
    lines = [
        call(1, None, None, type="identify", userId="97980cfea0067", traits=traits),
        call(
            2,
            None,
            None,
            type="identify",
            userId="rudder",
            context={"traits": {"plan": "free", "Phone": "1"}},
        ),
        call(3, None, None, type="alias", userId="507f191e81", previousId="jen", anonymousId="jens-device"),
        call(4, None, None, type="identify", userId="nobody", traits={"email": "x"}),
    ]
    report, data = import_lines(tmp_path, lines)
    assert report.problems == ()
    users = {row["user_id"]: json.loads(row["attributes"]) for row in rows_of(data, "users")}
    assert users == {"97980cfea0067": {"plan": "premium", "logins": 5}, "rudder": {"plan": "free"}}
    known = {row["anonymous_id"]: row["user_id"] for row in rows_of(data, "identities")}
    # the same device again and again: who was known on it last
    assert known == {
        "23adfd82-aa0f-45a7-a756-24f2a7a4c895": "nobody",
        "jen": "507f191e81",
        "jens-device": "507f191e81",
    }


CONSENTS: list[tuple[object, bool | None]] = [
    ({"consent": {"categoryPreferences": {"Advertising": False, "Analytics": True}}}, True),
    ({"consent": {"categoryPreferences": {"Advertising": True, "Analytics": False}}}, False),
    ({"consent": {"categoryPreferences": {"Functional": True, "Personalization": False}}}, False),
    ({"consent": {"categoryPreferences": {"C0001": True, "C0002": False, "C0004": False}}}, False),
    ({"consent": {"categoryPreferences": {"Marketing": False, "Necessary": True}}}, False),
    ({"consent": {"categoryPreferences": {"Marketing": True}}}, True),
    (
        {"consentManagement": {"allowedConsentIds": ["C0001", "C0002"], "deniedConsentIds": ["C0004"]}},
        True,
    ),
    ({"consentManagement": {"allowedConsentIds": ["C0001"], "deniedConsentIds": ["C0002"]}}, False),
    ({"consentManagement": {"allowedConsentIds": [], "deniedConsentIds": ["1"]}}, False),
    ({"consent": False}, False),
    ({"consent": {"categoryPreferences": {}}}, None),
    ({"consent": "rubbish", "consentManagement": [3]}, None),
    ({}, None),
    ("rubbish", None),
]


def test_consent_is_what_was_said_of_being_learned_from(tmp_path: Path) -> None:
    lines = [
        call(place, "Product Viewed", MONOPOLY, context=context)
        for place, (context, _) in enumerate(CONSENTS)
    ]
    report, data = import_lines(tmp_path, lines)
    assert report.problems == ()
    found = [row.get("consent") for row in rows_of(data, "events")]
    assert found == [agreed for _, agreed in CONSENTS]


def test_sessions_of_two_devices_are_never_one(tmp_path: Path) -> None:
    context = {"sessionId": 1714557600}
    lines = [
        call(1, "Product Viewed", MONOPOLY, context=context, anonymousId="d1"),
        call(2, "Product Viewed", MONOPOLY, context=context, anonymousId="d2"),
        call(
            3,
            "Product Viewed",
            MONOPOLY,
            integrations={"Actions Amplitude": {"session_id": 17}},
            anonymousId="d3",
        ),
        call(4, "Product Viewed", MONOPOLY | {"session_id": "own"}),
    ]
    _, data = import_lines(tmp_path, lines)
    found = [row["session_id"] for row in rows_of(data, "events")]
    assert found == ["d1-1714557600", "d2-1714557600", "d3-17", "own"]


def test_an_order_that_is_refunded_leaves_nothing(tmp_path: Path) -> None:
    products = {"order_id": "o", "products": [MONOPOLY, UNO | {"quantity": 2}]}
    lines = [
        call(1, "Order Completed", products, userId="u"),
        call(2, "Order Refunded", products, userId="u"),
        # neither how many nor how much
        call(3, "Order Completed", {"products": [UNO]}, userId="v"),
        call(4, "Order Cancelled", {"products": [{"product_id": OTHER}]}, userId="v"),
        call(5, "Product Viewed", MONOPOLY, userId="v"),
    ]
    _, data = import_lines(tmp_path, lines)
    assert clean(data, Clean(k_core=0), now=NOW).events_out == 1


def test_a_defect_is_put_aside_with_its_reason_and_costs_only_itself(tmp_path: Path) -> None:
    lines = [call(1, "Product Viewed", MONOPOLY)]
    for place, (_, row) in enumerate(DEFECTS):
        lines += [row, call(3, "Product Viewed", MONOPOLY, messageId=f"good{place}")]
    report, _ = import_lines(tmp_path, lines)
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in aside] == [
        (2 * place + 2, reason) for place, (reason, _) in enumerate(DEFECTS)
    ]
    assert report.events.kept == 1 + len(DEFECTS)


def test_a_bad_line_of_an_order_leaves_the_others(tmp_path: Path) -> None:
    products = [MONOPOLY, MONOPOLY | {"price": "free"}, UNO]
    report, data = import_lines(tmp_path, [call(1, "Order Completed", {"products": products})])
    assert [row["event_id"] for row in rows_of(data, "events")] == ["ajs-next-1-1", "ajs-next-1-3"]
    assert report.events.quarantined == 1


def test_importing_the_same_calls_again_adds_nothing(tmp_path: Path) -> None:
    lines = [
        call(1, "Product List Viewed", {"products": [MONOPOLY, UNO]}),
        call(2, "Order Completed", {"products": [MONOPOLY, UNO]}, userId="u"),
        call(3, None, None, type="identify", userId="u", traits={"plan": "free"}),
    ]
    _, data = import_lines(tmp_path, lines)
    stored = {path.name: path.read_bytes() for path in data.glob("*.parquet")}
    report, _ = import_lines(tmp_path, lines)
    assert [count.new for count in report.tables.values()] == [0] * len(report.tables)
    assert {path.name: path.read_bytes() for path in data.glob("*.parquet")} == stored


def test_a_notification_that_only_looks_like_a_call_is_refused(tmp_path: Path) -> None:
    message = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:x", "Message": "hello"}
    with pytest.raises(InvalidFile, match="not a known format"):
        import_lines(tmp_path, [message])


def warehouse(number: int, event: str, **more: object) -> Row:
    """A row of the table that a warehouse has for one event."""
    return {
        "id": f"w{number}",
        "anonymous_id": "d",
        "user_id": "",
        "event": event,
        "event_text": event.replace("_", " ").title(),
        "context_library_name": "analytics.js",
        "original_timestamp": "2024-05-01 09:00:00",
        "received_at": "2024-05-01 10:00:00.5+00",
        "timestamp": f"2024-05-01 10:00:{number:02}.25",
        "uuid_ts": "2024-05-01 11:00:00",
        **more,
    }


def test_tables_of_a_warehouse_are_read_like_calls(tmp_path: Path) -> None:
    views = [
        warehouse(
            1, "product_viewed", product_id="i1", name="Monopoly", price="18.99", context_session_id="7"
        ),
        warehouse(
            2, "product_viewed", product_id="i1", name="", price="", context_session_id="", user_id="u1"
        )
        | {"context_consent_category_preferences_analytics": "f"},
    ]
    report, data = import_csv(tmp_path, views, "product_viewed.csv")
    assert report.problems == ()
    first, second = rows_of(data, "events")
    assert first == {
        "event_id": "w1",
        "time": "2024-05-01 10:00:01.25+00",
        "user_id": "d",
        "anonymous_id": "d",
        "kind": "view",
        "item_id": "i1",
        "session_id": "d-7",
        "received_at": "2024-05-01 10:00:00.5+00",
    }
    assert (second["user_id"], second["consent"]) == ("u1", False)
    assert rows_of(data, "items") == [{"item_id": "i1", "title": "Monopoly", "price": 18.99}]
    assert [row["user_id"] for row in rows_of(data, "identities")] == ["u1"]
    orders = [
        warehouse(
            3,
            "order_completed",
            user_id="u1",
            currency="EUR",
            products='[{"product_id": "i1", "price": 2.5, "quantity": 3}]',
        )
    ]
    report, data = import_csv(tmp_path, orders, "order_completed.csv")
    assert rows_of(data, "events")[-1] == {
        "event_id": "w3-1",
        "time": "2024-05-01 10:00:03.25+00",
        "user_id": "u1",
        "anonymous_id": "d",
        "kind": "purchase",
        "item_id": "i1",
        "value": 7.5,
        "currency": "EUR",
        "quantity": 3.0,
        "received_at": "2024-05-01 10:00:00.5+00",
    }


def test_the_identifies_table_tells_identities_and_the_tracks_table_is_refused(tmp_path: Path) -> None:
    rows = [
        {
            "id": "1",
            "anonymous_id": "d",
            "user_id": "u1",
            "received_at": "2024-05-01 10:00:00",
            "email": "a@b",
        },
        {"id": "2", "anonymous_id": "e", "user_id": "", "received_at": "2024-05-01 10:00:00", "email": ""},
        {
            "id": "3",
            "anonymous_id": "d",
            "user_id": "u2",
            "received_at": "2024-05-02 10:00:00",
            "email": "a@b",
        },
    ]
    report, data = import_csv(tmp_path, rows, "identifies.csv")
    assert (rows_of(data, "identities"), report.problems) == ([{"anonymous_id": "d", "user_id": "u2"}], ())
    with pytest.raises(InvalidFile, match="not a known format"):
        import_csv(tmp_path, [warehouse(1, "product_viewed")], "tracks.csv")


@patient
@given(st.lists(changed, max_size=6), st.integers(0, 3))
def test_whatever_a_call_holds_costs_only_itself(rows: list[Row], cut: int) -> None:
    good = call(0, "Product Viewed", MONOPOLY, messageId="good")
    report = check_counts([json.dumps(good), *(broken(row, cut) for row in rows)])
    assert report.events.kept >= 1


@pytest.mark.slow
@thorough
@given(st.lists(st.one_of(changed, recaptured), max_size=12), st.integers(0, 3))
def test_nothing_that_looks_like_these_files_raises_anything_but_a_typed_error(
    rows: list[Row], cut: int
) -> None:
    with suppress(HoneyguideError):
        check_counts([broken(row, cut) for row in rows])
    check_counts([json.dumps(call(0, "Product Viewed", MONOPOLY)), *(broken(row, cut) for row in rows)])
