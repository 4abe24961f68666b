from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import database, stored_table
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.errors import HoneyguideError, InvalidFile

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Row = dict[str, Any]

# as the dashboard of Gorse 0.5 exports them
ITEMS: list[Row] = [
    {
        "ItemId": "vuejs:vue",
        "IsHidden": False,
        "Categories": ["framework"],
        "Timestamp": "2022-02-24T10:00:00.123456Z",
        "Labels": {
            "topics": ["javascript", "frontend"],
            "embedding": [0.25] * 64,
            "stars": [1, 2],
            "a/b~c": 1,
            "nothing": None,
        },
        "Comment": "The progressive framework, and more",
    },
    {
        "ItemId": "d3:d3",
        "IsHidden": True,
        "Categories": ["chart", "svg"],
        "Timestamp": "0001-01-01T00:00:00Z",
        "Labels": ["javascript", "svg"],
        "Comment": "D3",
    },
    {
        "ItemId": "mug",
        "IsHidden": False,
        "Categories": None,
        "Timestamp": "2022-02-24 10:00:00.000000001 +0000 UTC",
        "Labels": {"title": "Mug", "brand": "Acme", "price": 9.5, "currency": "eur", "description": ""},
        "Comment": "A mug of stoneware",
    },
]


def feedback(type_: str, user: str = "bob", item: str = "d3:d3", **more: object) -> Row:
    row = {
        "FeedbackType": type_,
        "UserId": user,
        "ItemId": item,
        "Value": 0,
        "Timestamp": "2022-02-25T10:00:00Z",
    }
    return {**row, "Updated": "2022-02-25T10:00:00Z", "Comment": "", **more}


def rows_of(folder: Path, table: Table) -> list[Row]:
    path = folder / f"{table}.parquet"
    if not path.exists():
        return []
    with database() as db:
        found = db.execute(f"SELECT to_json(t)::VARCHAR FROM ({stored_table(db, path, STORED[table])}) t")
        return [{k: v for k, v in json.loads(row).items() if v is not None} for (row,) in found.fetchall()]


def write(path: Path, rows: Sequence[Mapping[str, object]] | str) -> Path:
    path.write_text(rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows)))
    return path


def import_feedback(folder: Path, rows: Sequence[Mapping[str, object]] | str) -> tuple[ImportReport, Path]:
    name = "feedback.csv" if isinstance(rows, str) else "feedback.jsonl"
    files = [write(folder / "items.jsonl", ITEMS), write(folder / name, rows)]
    return import_files(folder / "data", files, now=NOW), folder / "data"


def test_items_keep_what_is_known_of_them_but_for_embeddings(tmp_path: Path) -> None:
    report = import_files(tmp_path / "data", [write(tmp_path / "items.jsonl", ITEMS)], now=NOW)
    assert report.problems == ()
    found = {item.pop("item_id"): item for item in rows_of(tmp_path / "data", "items")}
    attributes = {item: json.loads(row.pop("attributes", "null")) for item, row in found.items()}
    assert found == {
        "vuejs:vue": {
            "title": "The progressive framework, and more",
            "category": "framework",
            "available": True,
            "created_at": "2022-02-24 10:00:00.123456+00",
        },
        "d3:d3": {"title": "D3", "category": "chart", "available": False},
        "mug": {
            "title": "Mug",
            "description": "A mug of stoneware",
            "brand": "Acme",
            "price": 9.5,
            "currency": "EUR",
            "available": True,
            "created_at": "2022-02-24 10:00:00+00",
        },
    }
    assert attributes == {
        "vuejs:vue": {"topics": ["javascript", "frontend"], "stars": [1, 2], "a/b~c": 1},
        "d3:d3": {"labels": ["javascript", "svg"], "categories": ["chart", "svg"]},
        "mug": None,
    }


def test_users_keep_their_labels(tmp_path: Path) -> None:
    users: list[Row] = [
        {"UserId": "1", "Labels": {"gender": "female", "job": "engineer"}, "Comment": "Jane Doe"},
        {"UserId": "2", "Labels": ["a", "b"], "Comment": ""},
        {"UserId": "3", "Labels": None, "Comment": ""},
    ]
    import_files(tmp_path / "data", [write(tmp_path / "users.jsonl", users)], now=NOW)
    assert rows_of(tmp_path / "data", "users") == [
        {"user_id": "1", "attributes": '{"gender":"female","job":"engineer"}'},
        {"user_id": "2", "attributes": '{"labels":["a","b"]}'},
        {"user_id": "3"},
    ]


def test_feedback_becomes_events_and_only_a_rating_has_stars(tmp_path: Path) -> None:
    rows = [
        feedback("read", Value=3),
        feedback("click", item="mug"),
        feedback("Add-To-Cart", item="mug"),
        feedback("wish_list", user="eve"),
        feedback("purchase", item="mug", Value=2),
        feedback("like", Value=1, Comment="lovely"),
        feedback("rating", Value=4.5, Comment="good"),
        feedback("rate", user="eve", Value=0),
        feedback("not_interested", user="eve"),
        feedback("impression", Timestamp="2022-02-25"),
    ]
    report, data = import_feedback(tmp_path, rows)
    assert report.problems == ()
    found = rows_of(data, "events")
    assert [(row["kind"], row.get("value"), row.get("text")) for row in found] == [
        ("view", None, None),
        ("click", None, None),
        ("cart", None, None),
        ("cart", None, None),
        ("purchase", None, None),
        ("rating", None, "lovely"),
        ("rating", 4.5, "good"),
        ("rating", None, None),
        ("dismiss", None, None),
        ("impression", None, None),
    ]
    assert {key: found[1][key] for key in ("time", "user_id", "item_id")} == {
        "time": "2022-02-25 10:00:00+00",
        "user_id": "bob",
        "item_id": "mug",
    }
    assert found[-1]["time"] == "2022-02-25 00:00:00+00"
    assert any("read is taken as a view" in note for note in report.notes)


def test_a_type_that_nobody_knows_is_named(tmp_path: Path) -> None:
    report, _ = import_feedback(tmp_path, [feedback("read"), feedback("repost")])
    assert [(problem.reason, problem.row) for problem in report.problems] == [("unknown_kind", 2)]
    assert "'repost'" in report.problems[0].message


def test_the_same_feedback_as_lines_and_as_text_is_one_and_again_adds_nothing(tmp_path: Path) -> None:
    lines = [feedback("read"), feedback("star"), feedback("like")]
    text = (
        "feedback_type,user_id,item_id,time_stamp\r\n"
        "read,bob,d3:d3,2022-02-25 10:00:00 +0000 UTC\r\n"
        "star,bob,d3:d3,2022-02-25 10:00:00 +0000 UTC\r\n"
        "like,bob,d3:d3,2022-02-25 10:00:00 +0000 UTC\r\n"
    )
    report, _ = import_feedback(tmp_path, lines)
    assert (report.events.kept, report.events.new) == (3, 3)
    for again in (lines, text):
        report, _ = import_feedback(tmp_path, again)
        assert (report.problems, report.events.kept, report.events.new, report.items.new) == ((), 3, 0, 0)


def test_older_exports_and_tables_are_text(tmp_path: Path) -> None:
    exported = (
        "item_id,is_hidden,categories,time_stamp,labels,description\r\n"
        '1,false,x|y,2020-01-01 01:01:01.000000001 +0000 UTC,"{""genre"":[""comedy""]}","o,n,e"\r\n'
        "2,true,,2021-01-01 01:01:01.000000001 +0000 UTC,a|b,two\r\n"
        "3,true,,0001-01-01 00:00:00 +0000 UTC,null,three\r\n"
    )
    table = (
        'item_id,is_hidden,categories,time_stamp,labels,comment\n4,0,"[""x""]",2021-01-01 01:01:01,[],four\n'
    )
    users = 'user_id,labels\r\nu1,"[""a""]"\r\nu2,\r\n'
    files = [
        write(tmp_path / name, content)
        for name, content in (("a.csv", exported), ("b.csv", table), ("u.csv", users))
    ]
    report = import_files(tmp_path / "data", files, now=NOW)
    assert report.problems == ()
    first, second, third, fourth = rows_of(tmp_path / "data", "items")
    assert first == {
        "item_id": "1",
        "title": "o,n,e",
        "category": "x",
        "available": True,
        "created_at": "2020-01-01 01:01:01+00",
        "attributes": '{"genre":["comedy"],"categories":["x","y"]}',
    }
    assert (second["available"], second["attributes"]) == (False, '{"labels":["a","b"]}')
    assert third == {"item_id": "3", "title": "three", "available": False}
    assert (fourth["title"], fourth["category"], fourth["available"]) == ("four", "x", True)
    assert fourth["created_at"] == "2021-01-01 01:01:01+00"
    assert rows_of(tmp_path / "data", "users") == [
        {"user_id": "u1", "attributes": '{"labels":["a"]}'},
        {"user_id": "u2"},
    ]


DEFECTS: list[tuple[str, Row]] = [
    ("unknown_kind", feedback("share")),
    ("missing_value", feedback("")),
    ("missing_value", feedback("read", user="")),
    ("missing_value", feedback("read", item="")),
    ("missing_value", feedback("read", Timestamp=None)),
    ("unknown_item", feedback("read", item="nobody's")),
    ("bad_number", feedback("rating", Value="five")),
    ("time_unparsable", feedback("read", Timestamp="yesterday")),
    ("time_impossible", feedback("read", Timestamp="0001-01-01 00:00:00 +0000 UTC")),
    ("time_not_utc", feedback("read", Timestamp="2022-02-25 10:00:00 +0800 CST")),
    ("field_too_long", feedback("read", user="u" * 257)),
    ("duplicate_event_id", feedback("read", user="twice")),
]


def test_a_defect_is_put_aside_with_its_reason_and_costs_only_itself(tmp_path: Path) -> None:
    rows = [feedback("read", user="twice")]
    for place, (_, row) in enumerate(DEFECTS):
        rows += [row, feedback("read", user=f"good{place}")]
    report, _ = import_feedback(tmp_path, rows)
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in aside] == [
        (2 * place + 2, reason) for place, (reason, _) in enumerate(DEFECTS)
    ]
    assert report.events.kept == 1 + len(DEFECTS)


def test_a_bad_item_costs_only_itself(tmp_path: Path) -> None:
    bad = [ITEMS[0] | {"IsHidden": "maybe"}, ITEMS[1] | {"ItemId": None}, ITEMS[2] | {"Timestamp": "soon"}]
    fine = [
        ITEMS[0] | {"ItemId": "x", "Labels": 7, "Categories": {"a": 1}},
        ITEMS[1] | {"Labels": {"price": "?"}},
    ]
    report = import_files(tmp_path / "data", [write(tmp_path / "items.jsonl", bad + fine)], now=NOW)
    reasons = {problem.reason: problem.row for problem in report.problems}
    assert (reasons, report.items.kept) == ({"bad_flag": 1, "missing_value": 2, "time_unparsable": 3}, 2)


def test_feedback_without_a_user_is_another_format(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="not a known format"):
        import_feedback(tmp_path, [{"FeedbackType": "read", "ItemId": "d3:d3", "Timestamp": "2022-02-25"}])


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
        st.sampled_from(["", "a|b", "[1", '["x"]', '{"a": 1}', "null", "\x00", "1e999", "0001-01-01", "2022-02-25"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.dictionaries(st.sampled_from(["title", "price", "name", "a/b~", "", '"', "labels", "$.x"]), inner),
    ),
)  # fmt: skip
FIELDS = [
    "FeedbackType",
    "UserId",
    "ItemId",
    "Value",
    "Timestamp",
    "Labels",
    "Categories",
    "IsHidden",
    "Comment",
]
changed = st.tuples(
    st.sampled_from([*ITEMS, *(row for _, row in DEFECTS)]),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
).map(lambda made: made[0] | made[1])


def check_counts(rows: Sequence[Row], first: Row, table: Table) -> None:
    with tempfile.TemporaryDirectory() as name:
        files = [write(Path(name, "items.jsonl"), ITEMS), write(Path(name, "changed.jsonl"), [first, *rows])]
        report = import_files(Path(name, "data"), files, now=NOW)
    for count in report.tables.values():
        assert count.read == count.kept + count.quarantined
    assert report.tables[table].kept >= 1


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(changed, max_size=6))
def test_whatever_a_row_holds_costs_only_itself(rows: list[Row]) -> None:
    events = [{k: v for k, v in row.items() if k not in ("Labels", "Categories", "IsHidden")} for row in rows]
    check_counts(events, feedback("read", user="good"), "events")
    items = [{k: v for k, v in row.items() if k not in ("FeedbackType", "UserId")} for row in rows]
    check_counts(items, {**ITEMS[0], "ItemId": "good"}, "items")


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(changed, min_size=1, max_size=10), st.integers(0, 3))
def test_nothing_that_looks_like_these_files_raises_anything_but_a_typed_error(
    rows: list[Row], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as name, suppress(HoneyguideError):
        file = Path(name, "changed.jsonl")
        file.write_text("\n".join(json.dumps(row)[: -cut or None] for row in rows))
        import_files(Path(name, "data"), [file], now=NOW)
