from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.inspect import inspect_files
from honeyguide.errors import InvalidFile
from tests.real_data import real_files
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ITEMS = "item_id,text\nb1,Red kettle. Kitchen. Acme.\nb2,Blue kettle\nb3,Lid\n"
SEQUENCES = "user_id,position,item_id\n7,0,b2\n7,1,b1\n8,0,b3\n"


def import_texts(folder: Path, items: str, sequences: str) -> ImportReport:
    (folder / "items.csv").write_text(items)
    (folder / "sequences.csv").write_text(sequences)
    return import_files(folder / "data", [folder / "sequences.csv", folder / "items.csv"], now=NOW)


def test_a_position_becomes_a_day_and_a_row_a_purchase(tmp_path: Path) -> None:
    report = import_texts(tmp_path, ITEMS, SEQUENCES)
    assert report.problems == ()
    found = [
        (r["event_id"], r["time"], r["user_id"], r["kind"], r["item_id"])
        for r in rows_of(tmp_path / "data", "events")
    ]
    assert found == [
        ("7-0", "2000-01-01 12:00:00+00", "7", "purchase", "b2"),
        ("7-1", "2000-01-02 12:00:00+00", "7", "purchase", "b1"),
        ("8-0", "2000-01-01 12:00:00+00", "8", "purchase", "b3"),
    ]
    assert {"item_id": "b1", "title": "Red kettle. Kitchen. Acme."} in rows_of(tmp_path / "data", "items")
    assert any("no times" in note and "purchase" in note for note in report.notes)


@pytest.mark.parametrize("column", ["text", "phrase", "title"])
def test_whatever_the_one_text_of_an_item_is_called_it_is_its_title(tmp_path: Path, column: str) -> None:
    report = import_texts(tmp_path, ITEMS.replace("text", column), SEQUENCES)
    assert (report.items.kept, report.events.kept) == (3, 3)
    assert [row["title"] for row in rows_of(tmp_path / "data", "items")][1:] == ["Blue kettle", "Lid"]


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    import_texts(tmp_path, ITEMS, SEQUENCES)
    report = import_texts(tmp_path, ITEMS, SEQUENCES)
    assert (report.events.new, report.events.stored, report.items.new) == (0, 3, 0)


@pytest.mark.parametrize(
    ("row", "reason", "said"),
    [
        ("7,first,b1", "time_unparsable", "'position first'"),
        ("7,1.5,b1", "time_unparsable", "'position 1.5'"),
        ("7,-1,b1", "time_unparsable", "'position -1'"),
        ("7,2024-05-01T00:00:00Z,b1", "time_unparsable", "'position 2024-05-01T00:00:00Z'"),
        ("7,10000000,b1", "time_unparsable", "'position 10000000'"),
        ("7,20000,b1", "time_impossible", "after tomorrow"),
        ("7,,b1", "missing_value", "time is empty"),
        (",5,b1", "missing_value", "user_id is empty"),
        ("7,5,", "missing_value", "item_id is empty"),
        ("7,5,b9", "unknown_item", "'b9'"),
        ("7,1,b3", "duplicate_event_id", "'7-1'"),
    ],
)
def test_a_bad_row_costs_only_itself(tmp_path: Path, row: str, reason: str, said: str) -> None:
    report = import_texts(tmp_path, ITEMS, f"{SEQUENCES}{row}\n")
    assert (report.events.read, report.events.kept) == (4, 3)
    (problem,) = report.problems
    assert (problem.reason, problem.row) == (reason, 4)
    assert said in problem.message


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("user_id,position,item_id,time", "no column 'kind'"),  # a log with times that lacks something
        ("user_id,position,product_id", "no column 'item_id'"),
        ("item_id,text,rating", "is not a known format"),  # reviews are no items
    ],
)
def test_what_is_almost_this_is_not_taken_for_it(tmp_path: Path, header: str, said: str) -> None:
    path = tmp_path / "almost.csv"
    path.write_text(f"{header}\n" + ",".join("1" for _ in header.split(",")) + "\n")
    with pytest.raises(InvalidFile, match=said):
        import_files(tmp_path / "data", [path], now=NOW)


FIELDS = st.sampled_from(
    [
        "7",
        "0",
        "1",
        "b1",
        "b2",
        "",
        " ",
        "-1",
        "1e400",
        "nan",
        "inf",
        "1_0",
        "0x1",
        "²",
        "a,b",
        'q"',
        "\x00",
        "🐝",
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=8))
def test_no_rows_crash_an_import_and_none_gets_lost(rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        report = import_texts(Path(folder), ITEMS, SEQUENCES + text.getvalue())
        assert report.events.read == report.events.kept + report.events.quarantined >= 3


@pytest.mark.parametrize(
    ("name", "users", "items", "events", "last"),
    [
        ("scientific", 8_442, 4_385, 59_384, "2000-02-20"),  # 50 days after the first
        ("beauty", 22_363, 12_101, 198_502, "2000-07-22"),  # 203 days
        ("games", 50_546, 16_859, 440_264, "2000-02-19"),
    ],
)
def test_the_amazon_sets_are_read_without_a_loss(
    name: str, users: int, items: int, events: int, last: str
) -> None:
    files = real_files(f"amazon_{name}/items.parquet", f"amazon_{name}/sequences.parquet")
    found = inspect_files(files, now=NOW)
    assert found.ok
    assert (found.tables["items"].good, found.tables["events"].good) == (items, events)
    assert found.tables["events"].facts[0] == (
        f"from 2000-01-01 12:00 to {last} 12:00 UTC, {users:,} users, {items:,} items"
    )
    assert not any("midnight" in advice for advice in found.advice)
