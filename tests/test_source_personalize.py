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
from honeyguide.data.sources.known import layout_of
from honeyguide.data.sources.layout import Layout
from honeyguide.data.sources.spellings import SPELLINGS, TELLING_NOTHING
from honeyguide.errors import HoneyguideError, InvalidFile
from honeyguide.types import EVENT_KINDS
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
INTERACTIONS = """\
USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,LOCATION,DEVICE,TIMESTAMP,IMPRESSION
35,73,click,,Ohio,Tablet,1586731606,73|70|17
35,73,Purchase,12.5,Ohio,Tablet,1586731700,
54,70,Watch,0.75,Indiana,Cellphone,1586735164,17|70
54,17,RATING,4,Indiana,Cellphone,1586735165,
54,17,AddToCart,true,Indiana,Cellphone,1586735166,
54,17,like,true,Indiana,Cellphone,1586735167,
54,17,ViewCart,,Indiana,Cellphone,1586735167,
"""
ITEMS = """\
ITEM_ID,PRICE,CATEGORY_L1,CATEGORY_L2,CATEGORY_L3,PRODUCT_DESCRIPTION,CREATION_TIMESTAMP,AGE_GROUP,GENDER
73,9.99,Electronics|Productivity,Mouse,,"A ""fast"" mouse, red",1570003267,adults,Unisex
70,10,Books,Novels,Crime > Nordic,A book,1571730101,,
17,1,,,,,,,
"""
USERS = "USER_ID,AGE,MEMBERSHIP_STATUS\n35,34,gold|silver\n54,,\n"
SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [{"name": "USER_ID", "type": "string"}, {"name": "IMPRESSION", "type": ["null", "string"]}],
    "version": "1.0",
}


def import_texts(folder: Path, *texts: str, format: str | None = None) -> ImportReport:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"f{number}.csv")
        paths[-1].write_text(text, encoding="utf-8")
    return import_files(folder / "data", paths, format=format, now=NOW)


def events(folder: Path) -> list[dict[str, Any]]:
    return rows_of(folder / "data", "events")


def acts(folder: Path) -> list[dict[str, Any]]:
    """The events that were no impressions, without the ids that they are known by."""
    return [
        {column: value for column, value in event.items() if column not in ("event_id", "decision_id")}
        for event in events(folder)
        if event["kind"] != "impression"
    ]


def test_the_three_data_sets_become_events_items_and_users(tmp_path: Path) -> None:
    report = import_texts(tmp_path, INTERACTIONS, ITEMS, USERS)
    assert report.problems == ()
    assert acts(tmp_path) == [
        {"time": "2020-04-12 22:46:46+00", "user_id": "35", "kind": "click", "item_id": "73"},
        {
            "time": "2020-04-12 22:48:20+00",
            "user_id": "35",
            "kind": "purchase",
            "item_id": "73",
            "value": 12.5,
        },
        {"time": "2020-04-12 23:46:04+00", "user_id": "54", "kind": "view", "item_id": "70"},
        {"time": "2020-04-12 23:46:05+00", "user_id": "54", "kind": "rating", "item_id": "17", "value": 4.0},
        {"time": "2020-04-12 23:46:06+00", "user_id": "54", "kind": "cart", "item_id": "17"},
        {"time": "2020-04-12 23:46:07+00", "user_id": "54", "kind": "rating", "item_id": "17"},
    ]
    found = {row["item_id"]: row for row in rows_of(tmp_path / "data", "items")}
    assert found["73"] == {
        "item_id": "73",
        "description": 'A "fast" mouse, red',
        "category": "Electronics, Productivity > Mouse",
        "price": 9.99,
        "created_at": "2019-10-02 08:01:07+00",
        "attributes": '{"age_group":"adults","gender":"Unisex"}',
    }
    assert found["70"]["category"] == "Books > Novels > Crime > Nordic"
    assert found["17"] == {"item_id": "17", "price": 1.0}
    assert [(row["user_id"], row.get("attributes")) for row in rows_of(tmp_path / "data", "users")] == [
        ("35", '{"age":"34","membership_status":"gold|silver"}'),
        ("54", None),
    ]


def test_kinds_that_tell_nothing_are_passed_over_and_counted(tmp_path: Path) -> None:
    report = import_texts(tmp_path, INTERACTIONS, ITEMS)
    assert [note for note in report.notes if "passed over" in note] == [
        "f0.csv: 1 rows tell nothing of events and were passed over"
    ]


def test_what_was_shown_beside_a_reaction_becomes_impressions_of_the_same_page(tmp_path: Path) -> None:
    import_texts(tmp_path, INTERACTIONS, ITEMS)
    click, view = (next(e for e in events(tmp_path) if e["kind"] == kind) for kind in ("click", "view"))
    assert click["decision_id"] != view["decision_id"]
    for reaction, ids in ((click, "73 70 17"), (view, "17 70")):
        page = [e for e in events(tmp_path) if e.get("decision_id") == reaction["decision_id"]]
        shown = sorted((e["position"], e["item_id"]) for e in page if e["kind"] == "impression")
        assert shown == list(enumerate(ids.split()))
        assert {(e["user_id"], e["time"]) for e in page} == {(reaction["user_id"], reaction["time"])}


def test_a_page_that_several_rows_tell_of_was_shown_once_and_when_it_was_told_of_first(
    tmp_path: Path,
) -> None:
    rows = """USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,IMPRESSION,RECOMMENDATION_ID
u,73,1586731700,purchase,73| 70 |none||70,r1
u,73,1586731606,click,73|70,r1
u,70,1586731800,view,,r2
"""
    report = import_texts(tmp_path, rows, ITEMS)
    found = {(e["kind"], e["item_id"], e["decision_id"], e["time"]) for e in events(tmp_path)}
    assert found == {
        ("purchase", "73", "r1", "2020-04-12 22:48:20+00"),
        ("click", "73", "r1", "2020-04-12 22:46:46+00"),
        ("impression", "73", "r1", "2020-04-12 22:46:46+00"),
        ("impression", "70", "r1", "2020-04-12 22:46:46+00"),
        ("view", "70", "r2", "2020-04-12 22:50:00+00"),
    }
    assert len(events(tmp_path)) == len(found)
    assert [(p.reason, p.row) for p in report.problems] == [("unknown_item", 1)]


def test_without_event_types_a_rating_is_a_rating_and_all_else_a_view(tmp_path: Path) -> None:
    report = import_texts(tmp_path, "USER_ID,ITEM_ID,TIMESTAMP\n1,73,881250949\n", ITEMS)
    assert [e["kind"] for e in events(tmp_path)] == ["view"]
    assert any("taken as" in note for note in report.notes)
    rated = "user_id,item_id,rating,timestamp\n1,73,3.5,881250948\n1,70,,881250950\n"
    import_texts(tmp_path, rated, ITEMS)
    assert [(e["item_id"], e["kind"], e.get("value")) for e in acts(tmp_path)] == [
        ("73", "view", None),
        ("73", "rating", 3.5),
        ("70", "view", None),
    ]


def test_films_have_genres_and_shops_add_names_of_their_own(tmp_path: Path) -> None:
    films = "ITEM_ID,GENRES,GENRE_L2,CREATION_TIMESTAMP,DURATION\n1,Action|Crime,Heist,1570003267,90.5\n"
    shop = "ITEM_ID,PRODUCT_NAME,CATEGORY,DESCRIPTION,BRAND,STYLE\n2,Lamp,Light,Lamp,Acme,retro\n"
    own = "ITEM_ID,TITLE,CATEGORY_L1,PRODUCT_DESCRIPTION\n3,Tea,Food,Green tea\n"
    import_texts(tmp_path, films, shop, own)
    assert rows_of(tmp_path / "data", "items") == [
        {
            "item_id": "1",
            "category": "Action, Crime > Heist",
            "created_at": "2019-10-02 08:01:07+00",
            "attributes": '{"duration":"90.5"}',
        },
        {
            "item_id": "2",
            "title": "Lamp",
            "category": "Light",
            "brand": "Acme",
            "attributes": '{"style":"retro"}',
        },
        {"item_id": "3", "title": "Tea", "category": "Food", "description": "Green tea"},
    ]


def test_the_schema_beside_a_data_set_may_be_named_too(tmp_path: Path) -> None:
    report = import_texts(tmp_path, ITEMS, json.dumps(SCHEMA), format="personalize")
    assert (report.items.kept, report.problems) == (3, ())
    assert any("schema" in note for note in report.notes)


ALMOST = {
    "no item": ("USER_ID,TIMESTAMP,EVENT_TYPE\nu,1586731606,click\n", "no column 'item_id'"),
    "no time": ("USER_ID,ITEM_ID,EVENT_TYPE\nu,73,click\n", "no column 'timestamp'"),
    "a kind": ("USER_ID,KIND\nu,view\n", "no column"),
    "actions": ("ACTION_ID,VALUE\na,1\n", "no column"),
    "users of actions": (
        "USER_ID,ACTION_ID,TIMESTAMP,EVENT_TYPE\nu,a,1586731606,TAKEN\n",
        "no column 'item_id'",
    ),
}


@pytest.mark.parametrize("name", ALMOST)
def test_a_file_that_is_almost_a_data_set_is_refused_as_a_whole(tmp_path: Path, name: str) -> None:
    text, message = ALMOST[name]
    for format in (None, "personalize"):
        with pytest.raises(InvalidFile, match=message):
            import_texts(tmp_path, text, format=format)


def test_a_file_that_has_all_columns_and_one_too_many_is_refused_like_any_other() -> None:
    class Own:
        name = "own"
        layouts = (Layout(table="users", required=("uid",), columns={"user_id": "uid"}, absent=("kind",)),)

    with pytest.raises(InvalidFile, match=r"not in the format own.*kind, uid"):
        layout_of(Path("f.csv"), ["kind", "uid"], (Own(),))


def test_honeyguide_s_own_files_stay_its_own(tmp_path: Path) -> None:
    own = "time,user_id,kind,item_id,timestamp\n2024-05-01T10:00:00Z,u,cart,73,1586731606\n"
    import_texts(tmp_path, ITEMS, own, 'user_id,attributes\nu,"{""age"": 3}"\n')
    assert [(e["kind"], e["time"]) for e in events(tmp_path)] == [("cart", "2024-05-01 10:00:00+00")]
    assert rows_of(tmp_path / "data", "users") == [{"user_id": "u", "attributes": '{"age": 3}'}]


DEFECTS = {
    ",73,click,,1586731606,": "missing_value",
    "u,,click,,1586731606,": "missing_value",
    "u,73,,,1586731606,": "missing_value",
    "u,73,click,,,": "missing_value",
    "u,73,Teleported,,1586731606,": "unknown_kind",
    "u,73,好,,1586731606,": "unknown_kind",
    "u,none,click,,1586731606,": "unknown_item",
    "u,73,click,,yesterday,": "time_unparsable",
    "u,73,click,,15867,": "time_impossible",
    "u,73,purchase,cheap,1586731606,": "bad_number",
    "u,73,purchase,inf,1586731606,": "not_finite",
    "u,73,click,1586731606": "malformed_row",
    f"{'u' * 257},73,click,,1586731606,": "field_too_long",
    "u,70,view,,1586731600,70|17": "duplicate_event_id",
}


def test_each_defect_of_a_row_is_said_and_costs_only_itself(tmp_path: Path) -> None:
    header = "USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP,IMPRESSION\n"
    good = "u,70,view,,1586731600,70|17\n"
    report = import_texts(tmp_path, header + good + "\n".join(DEFECTS) + "\n", ITEMS)
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(row["row"], row["reason"]) for row in aside] == list(enumerate(DEFECTS.values(), start=2))
    assert sorted(e["kind"] for e in events(tmp_path)) == ["impression", "impression", "view"]
    unknown = next(row["message"] for row in aside if row["reason"] == "unknown_kind")
    assert "'Teleported'" in unknown


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    first = import_texts(tmp_path, INTERACTIONS, ITEMS, USERS)
    before = {table: rows_of(tmp_path / "data", table) for table in ("events", "items", "users")}
    second = import_texts(tmp_path, INTERACTIONS, ITEMS, USERS)
    assert (first.events.new, first.items.new) == (11, 3)
    assert all(count.new == 0 for count in second.tables.values())
    for table in ("items", "users"):
        assert rows_of(tmp_path / "data", table) == before[table]
    assert sorted(map(str, events(tmp_path))) == sorted(map(str, before["events"]))


def test_every_spelling_is_plain_and_means_one_thing() -> None:
    names = [*(name for called in SPELLINGS.values() for name in called), *TELLING_NOTHING]
    assert len(names) == len(set(names))
    assert all(name.isascii() and name.isalpha() and name.islower() for name in names)
    assert set(SPELLINGS) == set(EVENT_KINDS)
    assert all(kind in called for kind, called in SPELLINGS.items())


VALUES = st.one_of(
    st.sampled_from('73|70|17|u|click|Purchase|1586731606|4|-1|inf|none||,|"|\'|{"a": [|}|||'.split("|")),
    st.sampled_from(
        ["73|70|17", "73||", "|", "a|b", "\x00", "ü" * 300, "1e999", "'; DROP TABLE rejects; --"]
    ),
    st.text(max_size=6),
)
COLUMNS = (
    "USER_ID",
    "ITEM_ID",
    "TIMESTAMP",
    "EVENT_TYPE",
    "EVENT_VALUE",
    "IMPRESSION",
    "RECOMMENDATION_ID",
    "X",
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(COLUMNS[3:]), unique=True),
    st.lists(st.lists(VALUES, min_size=8, max_size=8), min_size=1, max_size=6),
)
def test_no_row_gives_anything_but_a_report_or_a_typed_error(extra: list[str], rows: list[list[str]]) -> None:
    header = [*COLUMNS[:3], *extra]
    lines = [header, ["u", "73", "1586731606", *[""] * len(extra)]]
    lines += [[value.replace('"', '""') for value in row[: len(header)]] for row in rows]
    text = "\n".join(",".join(f'"{value}"' for value in line) for line in lines)
    with tempfile.TemporaryDirectory() as folder, suppress(HoneyguideError):
        (Path(folder) / "i.csv").write_text(ITEMS)
        (Path(folder) / "e.csv").write_bytes(text.encode("utf-8", "replace"))
        report = import_files(
            Path(folder) / "data", [Path(folder) / "i.csv", Path(folder) / "e.csv"], now=NOW
        )
        assert report.events.read == report.events.kept + report.events.quarantined
        assert report.events.kept == len(rows_of(Path(folder) / "data", "events"))
        assert report.events.kept or "EVENT_TYPE" in extra
