"""What leaves as events and items comes back as the same events and items, to the format's precision."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.data.columns import KEYS, STORED, Table
from honeyguide.data.ingest import import_files
from honeyguide.export.exporter import ExportReport
from honeyguide.export.personalize import MAX_USER_FIELDS
from honeyguide.export.shop import export_shop
from honeyguide.journal.codec import to_us
from honeyguide.shop.workspace import Workspace
from tests.export_fixture import (
    ITEMS,
    NOW,
    START,
    in_whole_seconds,
    make_shop_with_events,
    of_kinds,
    rows_of,
    store,
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_shop_with_events(tmp_path_factory.mktemp("tables"))


def tsv(path: Path) -> list[dict[str, str]]:
    """A file without quotes: what RecBole's reader makes of it."""
    header, *lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    names = header.split("\t")
    rows = [line.split("\t") for line in lines]
    assert {len(row) for row in rows} == {len(names)}
    return [dict(zip(names, row, strict=True)) for row in rows]


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def left_out(report: ExportReport) -> dict[str, int]:
    return {left.reason: left.rows for left in report.left_out}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_canonical_tables_come_back_as_they_were(shop: Workspace, suffix: str, tmp_path: Path) -> None:
    name = "canonical" if suffix == "parquet" else f"canonical-{suffix}"
    report = export_shop(shop, name, tmp_path / "out", now=NOW)
    files = [tmp_path / "out" / file.name for file in report.files]
    found = import_files(tmp_path / "data", files, format="canonical", now=NOW)
    assert found.problems == ()
    cleaned: dict[Table, Path] = {
        "events": shop.events,
        "items": shop.items,
        "users": shop.data / "users.parquet",
    }
    for table, path in cleaned.items():
        assert rows(tmp_path / "data" / f"{table}.parquet", table) == rows(path, table)


def rows(path: Path, table: Table) -> list[tuple[Any, ...]]:
    """Everything that is stored, times as microseconds; a column that is not stored is NULL."""
    with duckdb.connect() as db:
        there = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM read_parquet('{path}')").fetchall()}
        columns = [
            "NULL" if name not in there else f'epoch_us("{name}")' if kind == "TIMESTAMPTZ" else f'"{name}"'
            for name, kind in STORED[table].items()
        ]
        return db.execute(
            f"SELECT {', '.join(columns)} FROM read_parquet('{path}') ORDER BY {KEYS[table]}"
        ).fetchall()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=8, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8), st.sampled_from(["canonical-csv", "canonical-jsonl"]))
def test_whatever_the_texts_hold_they_come_back_as_they_were(texts: list[str], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_shop_with_events(Path(folder))
        items = [
            {"item_id": f"sku-{number}", "title": text, "brand": text[::-1]}
            for number, text in enumerate(texts)
        ]
        store("items", items, Path(folder) / "raw.parquet")
        import_files(workspace.root / "given", [Path(folder) / "raw.parquet"], now=NOW)
        imported = workspace.root / "given" / "items.parquet"
        if not imported.exists():  # every row was put aside
            return
        shutil.copy(imported, workspace.items)
        export_shop(workspace, name, Path(folder) / "out", now=NOW)
        file = next((Path(folder) / "out").glob("items.*"))
        import_files(workspace.root / "again", [file], format="canonical", now=NOW)
        assert rows(workspace.root / "again" / "items.parquet", "items") == rows(imported, "items")


def test_recbole_interactions_are_the_events_about_items(shop: Workspace, tmp_path: Path) -> None:
    report = export_shop(shop, "recbole", tmp_path / "shop-1", now=NOW)
    found = sorted(
        (
            (
                row["user_id:token"],
                row["item_id:token"],
                row["kind:token"],
                microseconds(row["timestamp:float"]),
            )
            for row in tsv(tmp_path / "shop-1" / "shop-1.inter")
        ),
        key=str,
    )
    agreed = [event for event in of_kinds("view", "purchase", "rating", "impression", "click", "cart")]
    assert found == [event for event in agreed if event != of_kinds("view")[-1]]
    assert left_out(report) == {
        "events about no item (searches)": 1,
        "events of users who do not agree to be learned from": 1,
        "events with an id that holds a tab, a line break or a double quote": 1,
        "items with an id that holds a tab, a line break or a double quote": 1,
    }


def microseconds(text: str) -> datetime:
    """Exact: the double of RecBole's seconds holds more than microseconds."""
    return datetime.fromtimestamp(round(float(text) * 1_000_000) // 1_000_000, UTC).replace(
        microsecond=round(float(text) * 1_000_000) % 1_000_000
    )


def test_recbole_texts_hold_no_tab_line_break_or_double_quote(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "recbole", tmp_path / "shop-1", now=NOW)
    items = {row["item_id:token"]: row for row in tsv(tmp_path / "shop-1" / "shop-1.item")}
    assert set(items) == {*ITEMS}
    assert items["tea"]["title:token_seq"] == "Fine 'tea', новый"
    assert items["tea"]["description:token_seq"] == "line one line two"
    assert items["tea"]["category:token_seq"] == "Food_&_Drink Hot_drinks Loose Green"
    assert (items["tea"]["brand:token"], items["tea"]["price:float"]) == ("Åse's", "3.5")
    users = {row["user_id:token"]: row for row in tsv(tmp_path / "shop-1" / "shop-1.user")}
    assert users["user-1"]["age_group:token"] == "30-39"
    assert users["user-1"]["city:token"] == "Malmö S"
    assert users["user-0"]["1st/visit~:token"] == ""


def test_personalize_interactions_are_the_events_in_whole_seconds(shop: Workspace, tmp_path: Path) -> None:
    report = export_shop(shop, "personalize", tmp_path / "out", now=NOW)
    found = csv_rows(tmp_path / "out" / "interactions.csv")
    events = [
        (
            row["USER_ID"],
            row["ITEM_ID"],
            row["EVENT_TYPE"],
            datetime.fromtimestamp(int(row["TIMESTAMP"]), UTC),
        )
        for row in found
    ]
    agreed = of_kinds("view", "purchase", "rating", "click", "dismiss", "cart")
    assert sorted(events, key=str) == in_whole_seconds([e for e in agreed if e != of_kinds("view")[-1]])
    assert {row["EVENT_TYPE"]: row["EVENT_VALUE"] for row in found}["purchase"] == "12.5"
    assert left_out(report) == {
        "events about no item (searches)": 1,
        "impressions: they stand beside the reactions to them": 2,
        "events of users who do not agree to be learned from": 1,
    }


def test_personalize_has_what_was_shown_beside_the_reaction(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "personalize", tmp_path / "out", now=NOW)
    found = csv_rows(tmp_path / "out" / "interactions.csv")
    shown = {row["EVENT_TYPE"]: (row["RECOMMENDATION_ID"], row["IMPRESSION"]) for row in found}
    assert shown.pop("click") == ("d9", "tea|oat")
    assert set(shown.values()) == {("", "")}


@pytest.mark.parametrize("name", ["interactions", "items", "users"])
def test_personalize_schemas_describe_their_files(shop: Workspace, name: str, tmp_path: Path) -> None:
    export_shop(shop, "personalize", tmp_path / "out", now=NOW)
    schema = json.loads((tmp_path / "out" / f"{name}.schema.json").read_bytes())
    rows = csv_rows(tmp_path / "out" / f"{name}.csv")
    assert (schema["type"], schema["name"], schema["version"]) == ("record", name.capitalize(), "1.0")
    assert [field["name"] for field in schema["fields"]] == list(rows[0])
    read_as = {"string": str, "long": int, "float": float}
    for field in schema["fields"]:
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for row in rows:
            if row[field["name"]]:
                assert read_as[kinds[-1]](row[field["name"]]) is not None
            else:
                assert kinds[0] == "null", f"{field['name']} may not be empty"


def test_personalize_items_keep_the_whole_path_in_three_levels(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "personalize", tmp_path / "out", now=NOW)
    tea = {row["ITEM_ID"]: row for row in csv_rows(tmp_path / "out" / "items.csv")}["tea"]
    levels = (tea["CATEGORY_L1"], tea["CATEGORY_L2"], tea["CATEGORY_L3"])
    assert levels == ("Food & Drink", "Hot drinks", "Loose > Green")
    assert tea["PRODUCT_DESCRIPTION"] == "line one line two"
    assert "CREATION_TIMESTAMP" not in tea  # not known of every item, and it may not be empty
    users = {row["USER_ID"]: row for row in csv_rows(tmp_path / "out" / "users.csv")}
    assert users["user-1"] == {
        "USER_ID": "user-1",
        "A_1ST_VISIT_": "2025",
        "AGE_GROUP": "30-39",
        "CITY": "Malmö\tS",
    }


def test_personalize_says_where_there_is_too_little(shop: Workspace, tmp_path: Path) -> None:
    notes = export_shop(shop, "personalize", tmp_path / "out", now=NOW).notes
    assert notes == (
        "Personalize wants at least 1,000 interactions, these are 6",
        "Personalize wants at least 25 users with two interactions, these are 2",
    )


def test_personalize_is_content_with_enough(tmp_path: Path) -> None:
    workspace = make_shop_with_events(tmp_path)
    many = f"""SELECT 'm' || i AS event_id, make_timestamptz({to_us(START)} + i) AS "time",
               'user-' || i % 30 AS user_id, 'view' AS kind, 'tea' AS item_id FROM range(1000) AS t(i)"""
    attributes = {f"key {number:02}": "x" for number in range(MAX_USER_FIELDS + 5)}
    users = f"SELECT 'user-1' AS user_id, '{json.dumps(attributes)}' AS attributes"
    rows_of(f"COPY ({many}) TO '{workspace.events}' (FORMAT parquet)")
    rows_of(f"COPY ({users}) TO '{workspace.data / 'users.parquet'}' (FORMAT parquet)")
    report = export_shop(workspace, "personalize", tmp_path / "out", now=NOW)
    assert report.notes == (
        f"of the users' 30 attributes the first {MAX_USER_FIELDS} are there, the most allowed",
    )
    assert len(csv_rows(tmp_path / "out" / "users.csv")[0]) == 1 + MAX_USER_FIELDS


def test_personalize_has_the_creation_time_where_it_is_known_of_every_item(tmp_path: Path) -> None:
    workspace = make_shop_with_events(tmp_path)
    store("items", [{"item_id": "tea", "title": "Tea", "created_at": START.isoformat()}], workspace.items)
    export_shop(workspace, "personalize", tmp_path / "out", now=NOW)
    assert csv_rows(tmp_path / "out" / "items.csv")[0]["CREATION_TIMESTAMP"] == str(int(START.timestamp()))


def test_recbole_has_a_column_once(tmp_path: Path) -> None:
    workspace = make_shop_with_events(tmp_path)
    attributes = {"city": "Bonn", "CITY": "Köln", "user_id": "x", "": "y"}
    store("users", [{"user_id": "u", "attributes": json.dumps(attributes)}], workspace.data / "users.parquet")
    export_shop(workspace, "recbole", tmp_path / "out", now=NOW)
    assert tsv(tmp_path / "out" / "out.user") == [{"user_id:token": "u", "CITY:token": "Köln"}]
