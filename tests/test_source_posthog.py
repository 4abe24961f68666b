"""Exports of PostHog: events, persons, and whatever else they hold."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.data.ingest import ImportReport, import_files
from tests.tracked_calls import (
    BOUGHT,
    CAPTURED,
    NOW,
    Row,
    broken,
    check_counts,
    import_lines,
    patient,
    recaptured,
    rows_of,
)


def check_posthog(report: ImportReport, data: Path) -> None:
    assert report.problems == ()
    assert rows_of(data, "events") == BOUGHT
    assert rows_of(data, "users") == [{"user_id": "user-7", "attributes": '{"plan":"paid"}'}]
    known = [(row["anonymous_id"], row["user_id"]) for row in rows_of(data, "identities")]
    assert known == [("anon", "user-7")]
    item = {
        "item_id": "h1",
        "title": "Dark mode hoodie",
        "category": "merch",
        "price": 80.0,
        "currency": "USD",
    }
    assert rows_of(data, "items") == [item]


def test_posthog_exports_lines_with_objects_or_with_text_and_older_ones_without_a_zone(
    tmp_path: Path,
) -> None:
    as_text = [row | {"properties": json.dumps(row["properties"])} for row in CAPTURED]
    older = [row | {"timestamp": row["timestamp"].replace("T", " ")[:-1]} for row in CAPTURED]
    for name, rows in {"objects": CAPTURED, "text": as_text, "older": older}.items():
        (tmp_path / name).mkdir()
        check_posthog(*import_lines(tmp_path / name, rows))


def test_posthog_exports_parquet(tmp_path: Path) -> None:
    lines, file = tmp_path / "e.jsonl", tmp_path / "e.parquet"
    lines.write_text("\n".join(json.dumps(row) for row in CAPTURED))
    with duckdb.connect() as db:
        db.execute(f"""COPY (SELECT * REPLACE (properties::VARCHAR AS properties,
            person_properties::VARCHAR AS person_properties, "timestamp"::TIMESTAMP AS "timestamp",
            created_at::TIMESTAMPTZ AS created_at)
            FROM read_json('{lines}', columns = {{uuid: 'VARCHAR', event: 'VARCHAR', distinct_id: 'VARCHAR',
            properties: 'JSON', person_properties: 'JSON', "timestamp": 'VARCHAR', created_at: 'VARCHAR'}}))
            TO '{file}' (FORMAT parquet)""")
    check_posthog(import_files(tmp_path / "data", [file], now=NOW), tmp_path / "data")


def test_posthog_exports_persons(tmp_path: Path) -> None:
    person = {"team_id": 1, "person_id": "p", "person_version": 2, "created_at": "2024-05-01T10:00:00Z"}
    lines = [
        person | {"distinct_id": "u1", "properties": {"plan": "free", "$os": "Linux"}, "is_deleted": False},
        person | {"distinct_id": "u2", "properties": {"plan": "free"}, "is_deleted": True},
        person | {"distinct_id": "u1", "properties": {"plan": "paid"}, "is_deleted": False},
    ]
    _, data = import_lines(tmp_path, lines)
    assert rows_of(data, "users") == [{"user_id": "u1", "attributes": '{"plan":"paid"}'}]


@patient
@given(st.lists(recaptured, max_size=6), st.integers(0, 3))
def test_whatever_an_export_of_posthog_holds_costs_only_itself(rows: list[Row], cut: int) -> None:
    good = CAPTURED[1] | {"uuid": "good"}
    report = check_counts([json.dumps(good), *(broken(row, cut) for row in rows)])
    assert report.events.kept >= 1
