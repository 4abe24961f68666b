"""Calls as Segment sends them, events as PostHog exports them, and both with anything in them."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import database, stored_table
from honeyguide.data.ingest import ImportReport, import_files

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Row = dict[str, Any]

# the properties of the spec's own examples
MONOPOLY: Row = {
    "product_id": "507f1f77bcf86cd799439011",
    "sku": "G-32",
    "category": "Games",
    "name": "Monopoly: 3rd Edition",
    "brand": "Hasbro",
    "variant": "200 pieces",
    "price": 18.99,
    "quantity": 1,
    "coupon": "MAYDEALS",
    "position": 3,
    "url": "https://www.example.com/product/path",
    "image_url": "https://www.example.com/product/path.jpg",
}
UNO: Row = {"product_id": "505bd76785ebb509fc183733", "sku": "46493-32", "name": "Uno Card Game", "price": 3}
ID, OTHER = MONOPOLY["product_id"], UNO["product_id"]


def call(number: int, event: str | None, properties: object, **more: object) -> Row:
    """A call as Segment's S3 destination writes it."""
    return {
        "anonymousId": "23adfd82-aa0f-45a7-a756-24f2a7a4c895",
        "channel": "client",
        "context": {
            "ip": "8.8.8.8",
            "library": {"name": "analytics.js", "version": "2.11.1"},
            "page": {"path": "/academy/", "title": "Analytics Academy"},
        },
        "event": event,
        "integrations": {"All": True},
        "messageId": f"ajs-next-{number}",
        "originalTimestamp": f"2024-05-01T09:59:{number:02}.000Z",
        "properties": properties,
        "receivedAt": f"2024-05-01T10:00:{number:02}.500Z",
        "sentAt": f"2024-05-01T09:59:{number:02}.900Z",
        "timestamp": f"2024-05-01T10:00:{number:02}.250Z",
        "type": "track",
        "userId": None,
        "version": 2,
        **more,
    }


def rows_of(folder: Path, table: Table) -> list[Row]:
    path = folder / f"{table}.parquet"
    if not path.exists():
        return []
    with database() as db:
        found = db.execute(f"SELECT to_json(t)::VARCHAR FROM ({stored_table(db, path, STORED[table])}) t")
        return [{k: v for k, v in json.loads(row).items() if v is not None} for (row,) in found.fetchall()]


def import_lines(
    folder: Path, rows: Sequence[Mapping[str, object] | str], name: str = "calls.jsonl", **options: Any
) -> tuple[ImportReport, Path]:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / name).write_text(text)
    return import_files(folder / "data", [folder / name], now=NOW, **options), folder / "data"


def import_csv(folder: Path, rows: Sequence[Row], name: str) -> tuple[ImportReport, Path]:
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(key for row in rows for key in row))
        writer.writeheader()
        writer.writerows(rows)
    return import_files(folder / "data", [folder / name], now=NOW), folder / "data"


def captured(number: int, event: str, properties: Row, distinct_id: str = "anon", **more: object) -> Row:
    """An event as PostHog's batch exports write it."""
    browser = {
        "$device_id": "anon",
        "$session_id": "0190-s",
        "$lib": "web",
        "$is_identified": distinct_id != "anon",
    }
    return {
        "uuid": f"0190-{number}",
        "event": event,
        "distinct_id": distinct_id,
        "person_id": "0190-p",
        "properties": browser | properties,
        "person_properties": {"$initial_os": "Mac OS X", "email": "max@example.com", "plan": "free"},
        "elements_chain": "",
        "timestamp": f"2024-05-01T10:00:{number:02}.250000Z",
        "created_at": f"2024-05-01T10:00:{number:02}.500000Z",
        "_inserted_at": "2024-05-01T10:05:00Z",
        **more,
    }


HOODIE = {"product_id": "h1", "name": "Dark mode hoodie", "category": "merch", "price": 80, "currency": "usd"}
CAPTURED = [
    captured(1, "$pageview", {"$current_url": "https://posthog.com/merch"}),
    captured(2, "Product Viewed", HOODIE),
    captured(
        3, "$identify", {"$anon_distinct_id": "anon", "$set": {"plan": "paid", "name": "Max"}}, "user-7"
    ),
    captured(4, "Order Completed", {"currency": "USD", "products": [HOODIE | {"quantity": 2}]}, "user-7"),
]
BOUGHT = [
    {
        "event_id": "0190-2",
        "time": "2024-05-01 10:00:02.25+00",
        "user_id": "anon",
        "anonymous_id": "anon",
        "kind": "view",
        "item_id": "h1",
        "currency": "USD",
        "session_id": "0190-s",
        "received_at": "2024-05-01 10:00:02.5+00",
    },
    {
        "event_id": "0190-4-1",
        "time": "2024-05-01 10:00:04.25+00",
        "user_id": "user-7",
        "anonymous_id": "anon",
        "kind": "purchase",
        "item_id": "h1",
        "value": 160.0,
        "currency": "USD",
        "quantity": 2.0,
        "session_id": "0190-s",
        "received_at": "2024-05-01 10:00:04.5+00",
    },
]


DEFECTS: list[tuple[str, Row]] = [
    ("missing_value", call(2, "Product Viewed", {"name": "no id"})),
    ("missing_value", call(2, "Product Viewed", "no object")),
    ("missing_value", call(2, "Product Viewed", MONOPOLY, anonymousId=None)),
    ("missing_value", call(2, "Order Completed", {"order_id": "o"})),
    ("missing_value", call(2, "Order Completed", {"products": [7]})),
    ("missing_value", call(2, "Order Completed", {"products": "rubbish"})),
    ("unknown_item", call(2, "Product Viewed", {"product_id": "nameless"})),
    ("bad_number", call(2, "Order Completed", {"products": [MONOPOLY | {"price": "$5"}]})),
    ("bad_number", call(2, "Order Completed", {"products": [MONOPOLY | {"quantity": [1]}]})),
    ("bad_number", call(2, "Order Refunded", {"products": [MONOPOLY | {"quantity": "two"}]})),
    ("bad_number", call(2, "Product Clicked", MONOPOLY | {"position": "top"})),
    ("bad_number", call(2, "Product Reviewed", {"product_id": ID, "rating": "five"})),
    (
        "not_finite",
        call(2, "Order Completed", {"products": [MONOPOLY | {"price": "1e308", "quantity": 1e9}]}),
    ),
    ("time_unparsable", call(2, "Product Viewed", MONOPOLY, timestamp="yesterday")),
    ("time_impossible", call(2, "Product Viewed", MONOPOLY, timestamp="1970-01-01T00:00:00Z")),
    ("time_not_utc", call(2, "Product Viewed", MONOPOLY, timestamp="2024-05-01T10:00:00+05:30")),
    ("field_too_long", call(2, "Product Viewed", MONOPOLY, messageId="m" * 257)),
    ("duplicate_event_id", call(1, "Product Viewed", MONOPOLY)),
]


nasty = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["", "i1", "[]", "{}", '[{"product_id": "i1"}]', '{"product_id": 1', "null", "\x00", "1e999"]),
)  # fmt: skip
keys = st.sampled_from(
    [*MONOPOLY, "products", "query", "$set", "$device_id", "consent", "a/b~", "", '"', "$.x"]
)
values = st.recursive(
    nasty, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner))
)


TOP = ["type", "event", "properties", "context", "userId", "anonymousId", "timestamp", "messageId", "traits"]
changed = st.tuples(st.sampled_from(DEFECTS), st.dictionaries(st.sampled_from(TOP), values, max_size=3)).map(
    lambda made: made[0][1] | made[1]
)
PEOPLE = ["event", "properties", "person_properties", "distinct_id", "timestamp", "uuid", "created_at"]
recaptured = st.tuples(
    st.sampled_from(CAPTURED), st.dictionaries(st.sampled_from(PEOPLE), values, max_size=3)
).map(lambda made: made[0] | made[1])
patient = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
thorough = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def check_counts(lines: Sequence[str]) -> ImportReport:
    with tempfile.TemporaryDirectory() as name:
        report, _ = import_lines(Path(name), lines)
    for count in report.tables.values():
        assert count.read == count.kept + count.quarantined
    quarantined = sum(count.quarantined for count in report.tables.values())
    assert sum(problem.rows for problem in report.problems) == quarantined
    return report


def broken(row: Row, cut: int) -> str:
    return json.dumps(row)[:-cut] if cut else json.dumps(row)
