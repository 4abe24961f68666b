from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.errors import HoneyguideError, InvalidFile
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
INTER = """\
user_id:token	item_id:token	rating:float	timestamp:float
1	1193	5	978300760
1	661	3.5	978302109.0
2	661		978302110
"""
ITEM = """\
item_id:token	movie_title:token_seq	release_year:token	genre:token_seq	score:float
1193	One Flew Over the "Cuckoo's" Nest	1975	Drama	
661	James, "and the Giant	1996	Animation Children's Musical	0.5
"""
USER = """\
user_id:token	age:token	gender:token	vector:float_seq
1	1	F	0.5 -1
2			
"""


def import_texts(folder: Path, format: str | None = None, **texts: str) -> ImportReport:
    paths = []
    for suffix, text in texts.items():
        paths.append(folder / f"ml.{suffix}")
        paths[-1].write_text(text, encoding="utf-8")
    return import_files(folder / "data", paths, format=format, now=NOW)


def events(folder: Path) -> list[dict[str, Any]]:
    found = rows_of(folder / "data", "events")
    return [{column: value for column, value in row.items() if column != "event_id"} for row in found]


def table(*columns: str, rows: list[str]) -> str:
    """An atomic file; the fields of a row are separated by commas here."""
    return "".join("\t".join(line) + "\n" for line in [columns, *(row.split(",") for row in rows)])


def test_ratings_items_and_users_come_with_all_their_features(tmp_path: Path) -> None:
    report = import_texts(tmp_path, inter=INTER, item=ITEM, user=USER)
    assert report.problems == ()
    assert events(tmp_path) == [
        {"time": "2000-12-31 22:12:40+00", "user_id": "1", "kind": "rating", "item_id": "1193", "value": 5.0},
        {"time": "2000-12-31 22:35:09+00", "user_id": "1", "kind": "rating", "item_id": "661", "value": 3.5},
        {"time": "2000-12-31 22:35:10+00", "user_id": "2", "kind": "view", "item_id": "661"},
    ]
    assert rows_of(tmp_path / "data", "items") == [
        {
            "item_id": "1193",
            "title": 'One Flew Over the "Cuckoo\'s" Nest',
            "category": "Drama",
            "attributes": '{"release_year":"1975"}',
        },
        {
            "item_id": "661",
            "title": 'James, "and the Giant',
            "category": "Animation, Children's, Musical",
            "attributes": '{"release_year":"1996","score":"0.5"}',
        },
    ]
    assert rows_of(tmp_path / "data", "users") == [
        {"user_id": "1", "attributes": '{"age":"1","gender":"F","vector":"0.5 -1"}'},
        {"user_id": "2"},
    ]
    assert any("taken as" in note for note in report.notes)


def test_a_column_that_says_what_happened_is_believed(tmp_path: Path) -> None:
    columns = (
        "user_id:token",
        "item_id:token",
        "event:token",
        "sess_id:token",
        "value:float",
        "timestamp:float",
    )
    rows = [
        "u,661,view,s,,1569888000",
        "u,661,Cart,s,9,1569888001",
        "u,661,purchase,s,9.5,1569888002",
        "u,661,remove_from_cart,s,,1569888003",
        "u,661,,s,,1569888004",
    ]
    report = import_texts(tmp_path, inter=table(*columns, rows=rows), item=ITEM)
    assert [(e["kind"], e.get("value"), e["session_id"]) for e in events(tmp_path)] == [
        ("view", None, "s"),
        ("cart", None, "s"),
        ("purchase", 9.5, "s"),
        ("view", None, "s"),
    ]
    assert "ml.inter: 1 rows tell nothing of events and were passed over" in report.notes


def test_a_label_of_0_is_an_item_that_was_shown_and_left_alone(tmp_path: Path) -> None:
    columns = ("user_id:token", "item_id:token", "label:float", "timestamp:float")
    import_texts(
        tmp_path, inter=table(*columns, rows=["u,661,0.0,1569888000", "u,1193,1,1569888000"]), item=ITEM
    )
    assert [(e["item_id"], e["kind"]) for e in events(tmp_path)] == [("661", "impression"), ("1193", "click")]


def test_where_only_sessions_are_known_each_is_a_user_of_its_own(tmp_path: Path) -> None:
    columns = ("session_id:token", "item_id:token", "timestamp:float", "number of times:float")
    import_texts(tmp_path, inter=table(*columns, rows=["s1,661,1569888000,2"]), item=ITEM)
    (event,) = events(tmp_path)
    assert (event["user_id"], event["anonymous_id"], event["session_id"]) == ("s1", "s1", "s1")


def test_the_history_that_a_row_repeats_is_not_counted_again(tmp_path: Path) -> None:
    columns = (
        "user_id:token",
        "item_id:token",
        "timestamp:float",
        "item_id_list:token_seq",
        "time_list:float_seq",
    )
    import_texts(tmp_path, inter=table(*columns, rows=["u,661,1569888000,1193 661,1 2"]), item=ITEM)
    assert [(e["item_id"], e["kind"]) for e in events(tmp_path)] == [("661", "view")]


def test_products_have_brands_prices_and_a_path(tmp_path: Path) -> None:
    columns = [f"{name}:token" for name in ("product_id", "title", "brand")]
    columns += ["category:token_seq", "price:float", "description:token_seq"]
    rows = ["p,Tea,Acme,Food_&_Drink Hot_drinks  Green,3.5,a b", "q,Cup,,,,"]
    listed = table(
        "item_id:token", "categories:token_seq", "url:token", rows=["r,'Beauty'; 'Skin Care',http://r"]
    )
    import_texts(tmp_path, item=table(*columns, rows=rows), other=listed.replace(";", ","))
    found = rows_of(tmp_path / "data", "items")
    assert found == [
        {"item_id": "p", "title": "Tea", "description": "a b", "category": "Food & Drink > Hot drinks > Green",
         "brand": "Acme", "price": 3.5},
        {"item_id": "q", "title": "Cup"},
        {"item_id": "r", "category": "'Beauty', 'Skin Care'", "link": "http://r"},
    ]  # fmt: skip


ALMOST = {
    "no time": ("user_id:token\titem_id:token\trating:float\nu\t661\t5\n", "no column 'timestamp:float'"),
    "no types": ("user_id\titem_id\trating\nu\t661\t5\n", "no column"),
    "knowledge": ("head_id:token\trelation_id:token\ttail_id:token\na\tb\tc\n", "no column"),
    "links": ("item_id:token\tentity_id:token\n661\tm.0\n", "no column"),
    "friends": ("source_id:token\ttarget_id:token\nu\tv\n", "no column"),
}


@pytest.mark.parametrize("name", ALMOST)
def test_a_file_that_is_almost_an_atomic_file_is_refused_as_a_whole(tmp_path: Path, name: str) -> None:
    text, message = ALMOST[name]
    for format in (None, "recbole"):
        with pytest.raises(InvalidFile, match=message):
            import_texts(tmp_path, format, inter=text)


DEFECTS = {
    ",661,,,1569888001": "missing_value",
    "u,,,,1569888001": "missing_value",
    "u,661,,,": "missing_value",
    "u,none,,,1569888001": "unknown_item",
    "u,661,teleported,,1569888001": "unknown_kind",
    "u,661,rating,five,1569888001": "bad_number",
    "u,661,,nan,1569888001": "not_finite",
    "u,661,,,2": "time_impossible",
    "u,661,,,9.8e8": "time_unparsable",
    "u,661,": "malformed_row",
    f"{'u' * 257},661,,,1569888001": "field_too_long",
    "u,661,,,1569888000": "duplicate_event_id",
}


def test_each_defect_of_a_row_is_said_and_costs_only_itself(tmp_path: Path) -> None:
    columns = ("user_id:token", "item_id:token", "kind:token", "rating:float", "timestamp:float")
    good = 'u"x,661,,,1569888000'
    rows = ["u,661,,,1569888000", good, *DEFECTS]
    report = import_texts(tmp_path, inter=table(*columns, rows=rows), item=ITEM)
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in aside] == list(enumerate(DEFECTS.values(), start=3))
    assert [e["user_id"] for e in events(tmp_path)] == ["u", 'u"x']


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    first = import_texts(tmp_path, inter=INTER, item=ITEM, user=USER)
    second = import_texts(tmp_path, inter=INTER, item=ITEM, user=USER)
    assert (first.events.new, first.items.new, first.tables["users"].new) == (3, 2, 2)
    assert all(count.new == 0 for count in second.tables.values())


VALUES = st.one_of(
    st.sampled_from("661|u|view|Purchase|1569888000|1569888000.5|4|-1|inf||,|\"|'|1 2 3|_| ".split("|")),
    st.sampled_from(["\x00", "ü" * 300, "1e999", "{", "'; DROP TABLE rejects; --", "\\", "\r"]),
    st.text(st.characters(exclude_characters="\t\n"), max_size=6),
)
COLUMNS = (
    "user_id:token",
    "item_id:token",
    "timestamp:float",
    "kind:token",
    "rating:float",
    "label:float",
    "x:y:z",
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(COLUMNS[3:]), unique=True),
    st.lists(st.lists(VALUES, min_size=7, max_size=7), min_size=1, max_size=6),
)
def test_no_row_gives_anything_but_a_report_or_a_typed_error(extra: list[str], rows: list[list[str]]) -> None:
    header = [*COLUMNS[:3], *extra]
    lines = [header, ["u", "661", "1569888000", *[""] * len(extra)], *(row[: len(header)] for row in rows)]
    users = [["user_id:token", *extra], *(row[: 1 + len(extra)] for row in rows)]
    with tempfile.TemporaryDirectory() as folder, suppress(HoneyguideError):
        (Path(folder) / "f.item").write_text(ITEM)
        for name, content in (("f.inter", lines), ("f.user", users)):
            text = "\n".join("\t".join(line) for line in content)
            (Path(folder) / name).write_bytes(text.encode("utf-8", "replace"))
        paths = [Path(folder) / name for name in ("f.item", "f.inter", "f.user")]
        report = import_files(Path(folder) / "data", paths, now=NOW)
        for count in report.tables.values():
            assert count.read == count.kept + count.quarantined
        assert report.events.kept == len(rows_of(Path(folder) / "data", "events")) > 0
