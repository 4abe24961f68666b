"""The Open Bandit Dataset: every row an impression with its propensity, people known by their hashed features."""

from __future__ import annotations

import csv
import io
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
from honeyguide.errors import HoneyguideError, InvalidFile
from tests.real_data import real_files
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)

COLUMNS = (
    "", "timestamp", "item_id", "position", "click", "propensity_score", "user_feature_0", "user_feature_1",
    "user_feature_2", "user_feature_3", "user-item_affinity_0", "user-item_affinity_1",
)  # fmt: skip
TIME = "2019-11-24 00:00:17.004101+00:00"
FIRST = ("0", TIME, "1", "2", "0", "0.0294", "81ce", "2d03", "7bc9", "c39b", "0.0", "1.0")
CLICKED = ("1", TIME, "0", "3", "1", "0.5", "81ce", "2d03", "7bc9", "9bde", "0.0", "0.0")
CONTEXT = """,item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3
0,0,-0.4995172,2e80,d57d,03a5
1,1,0.2512,,d57d,7.5
"""

Row = tuple[str, ...]


def row(of: Row, **changed: str) -> Row:
    """The row with some of its values changed."""
    return tuple(changed.get(column, value) for column, value in zip(COLUMNS, of, strict=True))


def written(folder: Path, *rows: Row, columns: Row = COLUMNS, name: str = "men.csv") -> list[Path]:
    """The catalogue and a log, as the dataset has them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    (folder / "item_context.csv").write_text(CONTEXT)
    (folder / name).write_text(text.getvalue(), encoding="utf-8")
    return [folder / "item_context.csv", folder / name]


def imported(folder: Path, *rows: Row, **options: Any) -> ImportReport:
    return import_files(folder / "data", written(folder, *rows), now=NOW, **options)


def events(folder: Path) -> list[dict[str, Any]]:
    return rows_of(folder / "data", "events")


def test_a_row_is_an_impression_and_a_clicked_one_a_click_of_the_same_decision(tmp_path: Path) -> None:
    report = imported(tmp_path, FIRST, CLICKED)
    first, second, click = events(tmp_path)
    told = ("time", "kind", "item_id", "position", "propensity")
    time = "2019-11-24 00:00:17.004101+00"
    assert [first[column] for column in told] == [time, "impression", "1", 1, 0.0294]
    assert [second[column] for column in told] == [time, "impression", "0", 2, 0.5]
    assert [click.get(column) for column in told] == [time, "click", "0", 2, None]
    assert click["decision_id"] == second["decision_id"] != first["decision_id"]
    assert (click["user_id"], click["event_id"]) == (second["user_id"], second["event_id"] + "-click")
    assert (report.events.kept, report.items.kept, report.problems) == (3, 2, ())
    assert any("no users in it" in note and "only one campaign" in note for note in report.notes)


def test_people_are_told_apart_by_all_their_features_and_keep_them(tmp_path: Path) -> None:
    others = [row(FIRST, user_feature_3=""), row(FIRST, user_feature_2="", user_feature_3="7bc9")]
    imported(tmp_path, FIRST, CLICKED, row(FIRST, item_id="0"), *others)
    users = [found["user_id"] for found in events(tmp_path) if found["kind"] == "impression"]
    assert users[0] == users[2]
    assert len(set(users)) == 4
    known = {user["user_id"]: json.loads(user["attributes"]) for user in rows_of(tmp_path / "data", "users")}
    assert set(known) == set(users)
    features = {"user_feature_0": "81ce", "user_feature_1": "2d03", "user_feature_2": "7bc9"}
    assert known[users[0]] == {**features, "user_feature_3": "c39b"}
    assert known[users[3]] == features


def test_the_catalogue_keeps_its_numbers_and_what_is_known(tmp_path: Path) -> None:
    imported(tmp_path, FIRST)
    found = {item["item_id"]: item for item in rows_of(tmp_path / "data", "items")}
    assert {item_id: item["title"] for item_id, item in found.items()} == {"0": "Item 0", "1": "Item 1"}
    assert json.loads(found["0"]["attributes"]) == {
        "item_feature_0": -0.4995172, "item_feature_1": "2e80", "item_feature_2": "d57d", "item_feature_3": "03a5",
    }  # fmt: skip
    assert json.loads(found["1"]["attributes"]) == {
        "item_feature_0": 0.2512, "item_feature_2": "d57d", "item_feature_3": "7.5",
    }  # fmt: skip


def test_rows_that_are_the_same_are_all_kept_and_importing_again_adds_nothing(tmp_path: Path) -> None:
    first = imported(tmp_path, CLICKED, CLICKED, FIRST, CLICKED)
    assert (first.events.new, first.events.quarantined) == (4 + 3, 0)
    again = imported(tmp_path, CLICKED, CLICKED, FIRST, CLICKED, format="openbandit")
    assert (again.events.new, again.items.new) == (0, 0)
    assert len({event["decision_id"] for event in events(tmp_path)}) == 4


def test_the_logs_of_both_policies_in_a_campaign_can_be_imported_together(tmp_path: Path) -> None:
    items, random = written(tmp_path, FIRST, CLICKED, name="random.csv")
    _, bts = written(
        tmp_path, row(FIRST, propensity_score="0.25"), row(CLICKED, position="1"), name="bts.csv"
    )
    report = import_files(tmp_path / "data", [items, random, bts], now=NOW)
    assert (report.events.kept, report.problems) == (3 + 3, ())


DEFECTS: list[tuple[Row, str, list[str]]] = [
    (row(FIRST, timestamp="noon"), "time_unparsable", []),
    (row(FIRST, timestamp="2019-11-24 00:00:17"), "time_without_zone", []),
    (row(FIRST, timestamp="2119-11-24 00:00:17+00:00"), "time_impossible", []),
    (row(FIRST, timestamp=""), "missing_value", []),
    (row(FIRST, item_id=""), "missing_value", []),
    (row(FIRST, item_id="80"), "unknown_item", []),
    (row(FIRST, position="0"), "bad_number", []),
    (row(FIRST, position="left"), "bad_number", []),
    (row(FIRST, position="1.5"), "bad_number", []),
    (row(FIRST, propensity_score="0"), "bad_number", []),
    (row(CLICKED, propensity_score="1.01"), "bad_number", ["click"]),
    (row(FIRST, click="maybe"), "unknown_kind", ["impression"]),
    (row(FIRST, click="2"), "unknown_kind", ["impression"]),
    (row(FIRST, **{f"user_feature_{n}": "" for n in range(4)}), "missing_value", []),
    (FIRST[:5], "malformed_row", []),
]


def test_a_bad_row_is_put_aside_with_its_reason_and_costs_only_itself(tmp_path: Path) -> None:
    report = imported(tmp_path, CLICKED, *(bad for bad, _, _ in DEFECTS), CLICKED)
    aside = [json.loads(line) for line in Path(str(report.quarantine)).read_text().splitlines()]
    assert [(found["row"], found["reason"]) for found in aside] == [
        (n, reason) for n, (_, reason, _) in enumerate(DEFECTS, start=2)
    ]
    wanted = ["impression", "click"] * 2 + [kind for _, _, kinds in DEFECTS for kind in kinds]
    assert sorted(event["kind"] for event in events(tmp_path)) == sorted(wanted)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("propensity_score", "'propensity_score'"),
        ("user_feature_0", "'user_feature_0'"),
        ("click", "'click'"),
    ],
)
def test_what_is_almost_such_a_log_is_refused_with_what_it_lacks(
    missing: str, said: str, tmp_path: Path
) -> None:
    columns = tuple(f"{column}_" if column == missing else column for column in COLUMNS)
    with pytest.raises(InvalidFile, match=said):
        import_files(
            tmp_path / "data", written(tmp_path, FIRST, columns=columns), now=NOW, format="openbandit"
        )


@pytest.mark.parametrize(
    ("campaign", "items", "people", "clicks"),
    [("men", 34, 265, {"random": 46, "bts": 69}), ("women", 46, 245, {"random": 46, "bts": 46})],
)
def test_the_real_logs_are_imported_to_the_last_row(
    campaign: str, items: int, people: int, clicks: dict[str, int], tmp_path: Path
) -> None:
    files = real_files(*(f"open_bandit/{name}_{campaign}.parquet" for name in ("items", *clicks)))
    report = import_files(tmp_path / "data", files, now=NOW)
    assert (report.items.kept, report.tables["users"].kept) == (items, people)
    assert (report.events.kept, report.problems) == (20_000 + sum(clicks.values()), ())
    log = f"'{tmp_path / 'data' / 'events.parquet'}'"
    with duckdb.connect() as db:
        kinds = db.execute(
            f"SELECT kind, count(*), count(DISTINCT decision_id) FROM {log} GROUP BY 1"
        ).fetchall()
        assert dict((kind, (n, decisions)) for kind, n, decisions in kinds) == {
            "impression": (20_000, 20_000),
            "click": (sum(clicks.values()), sum(clicks.values())),
        }
        places = db.execute(f"SELECT DISTINCT position FROM {log} ORDER BY 1").fetchall()
        assert places == [(0,), (1,), (2,)]
        told = db.execute(f"SELECT count(DISTINCT item_id), sum(1 / propensity) FROM {log}").fetchone()
        given = " UNION ALL BY NAME ".join(f"FROM '{file}'" for file in files[1:])
        assert told == pytest.approx(
            db.execute(f"SELECT count(DISTINCT item_id), sum(1 / propensity_score) FROM ({given})").fetchone()
        )


def test_the_clicks_of_a_real_log_weigh_what_they_did(tmp_path: Path) -> None:
    files = real_files("open_bandit/items_men.parquet", "open_bandit/bts_men.parquet")
    import_files(tmp_path / "data", files, now=NOW)
    log = f"'{tmp_path / 'data' / 'events.parquet'}'"
    with duckdb.connect() as db:
        found = db.execute(f"""
            SELECT sum(1 / shown.propensity) FROM {log} clicked JOIN {log} shown USING (decision_id, item_id, user_id)
            WHERE clicked.kind = 'click' AND shown.kind = 'impression'""").fetchone()
    assert found == pytest.approx((1022.9329512672,))


values = st.one_of(
    st.sampled_from(
        [
            "",
            "0",
            "1",
            "-1",
            "1e400",
            "nan",
            "2.5",
            "'",
            "x" * 300,
            "2019-11-24 00:00:17+09:00",
            "\x00",
            "é",
            "a\nb",
        ]
    ),
    st.text(max_size=5),
)
mutated = st.tuples(
    st.sampled_from([FIRST, CLICKED]), st.dictionaries(st.sampled_from(COLUMNS[1:]), values, max_size=3)
)


def check_laws(rows: list[tuple[Row, dict[str, str]]], **options: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        changed = [row(of, **values) for of, values in rows]
        try:
            report = imported(Path(folder), CLICKED, *changed, CLICKED, **options)
        except HoneyguideError as error:
            pytest.fail(f"a bad row cost the whole file: {error}")
        for count in report.tables.values():
            assert count.read == count.kept + count.quarantined
        assert sum(problem.rows for problem in report.problems) == report.events.quarantined
        assert report.events.kept >= 4


patient = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@patient
@given(st.lists(mutated, max_size=6))
def test_no_change_to_a_row_costs_another_one(rows: list[tuple[Row, dict[str, str]]]) -> None:
    check_laws(rows)


@pytest.mark.slow
@settings(patient, max_examples=40)
@given(st.lists(mutated, max_size=12))
def test_no_rows_cost_another_one(rows: list[tuple[Row, dict[str, str]]]) -> None:
    check_laws(rows, to_utc=True)
