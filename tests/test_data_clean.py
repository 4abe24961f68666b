from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from honeyguide.config import Clean
from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import CleaningReport, clean, load_cleaning
from honeyguide.data.ingest import import_files
from honeyguide.data.table import load_events, user_events
from honeyguide.errors import DamagedArtifact, InvalidInput, NotReady, UnknownItem

NOW = datetime(2024, 6, 1, tzinfo=UTC)
ITEMS = """item_id,title,category
i1,Shoe,Shoes > Running
i2,,
i3,Diesel,FUEL > Diesel
"""
EVENTS = """event_id,time,user_id,kind,item_id,value
e1,2024-05-01T10:00:00Z,u,purchase,i1,5
e2,2024-05-01T10:00:00.5Z,u,purchase,i1,5
e3,2024-05-01T10:00:09Z,u,purchase,i1,5
e4,2024-05-01T11:00:00Z,u,purchase,i1,-5
e5,2024-05-01T12:00:00Z,u,purchase,i1,0
e6,2024-05-01T13:00:00Z,u,purchase,i1,2000
e7,2024-05-01T14:00:00Z,u,view,i2,
e8,2024-05-01T15:00:00Z,u,view,i3,
e9,2024-06-01T12:00:00Z,u,view,i1,
s1,2024-05-01T16:00:00Z,u,search,,
b1,2024-05-02T10:00:00Z,bot,view,i1,
b2,2024-05-02T11:00:00Z,bot,view,i1,
b3,2024-05-02T12:00:00Z,bot,view,i1,
b4,2024-05-09T12:00:00Z,bot,view,i1,
"""
STRICT = Clean(bot_events_per_day=2, exclude_categories=("fuel",))
OFF = Clean(duplicate_window_s=0, drop_future=False, bot_events_per_day=0, max_value=0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, text in (("items", ITEMS), ("events", EVENTS)):
        (tmp_path / f"{name}.csv").write_text(text)
    import_files(tmp_path / "data", [tmp_path / "items.csv", tmp_path / "events.csv"], now=NOW)
    return tmp_path / "data"


def left(data: Path) -> set[str]:
    people = ("u", "bot")
    return {
        event.event_id for user in people for event in user_events(data / "clean" / "events.parquet", user)
    }


def dropped(report: CleaningReport) -> dict[str, int]:
    return {rule.rule: rule.rows for rule in report.rules}


@pytest.mark.parametrize(
    ("settings", "rule", "gone"),
    [
        (replace(OFF, duplicate_window_s=1.0), "duplicate", {"e2"}),
        (replace(OFF, duplicate_window_s=10.0), "duplicate", {"e2", "e3"}),
        (replace(OFF, drop_future=True), "future", {"e9"}),
        (replace(OFF, max_value=1000.0), "value_outlier", {"e6"}),
        (replace(OFF, bot_events_per_day=8), "bot", {f"e{i}" for i in range(1, 10)} | {"s1"}),
        (replace(OFF, exclude_categories=("fuel",)), "excluded_category: events", {"e8"}),
    ],
)
def test_each_rule_drops_its_rows_and_no_others(
    data: Path, settings: Clean, rule: str, gone: set[str]
) -> None:
    clean(data, OFF, now=NOW, drop_non_positive=False, drop_textless=False)
    everything = left(data)
    report = clean(data, settings, now=NOW, drop_non_positive=False, drop_textless=False)
    assert everything - left(data) == gone
    assert dropped(report)[rule] == len(gone)
    assert report.events_in - report.events_out == len(gone)
    assert all(rule.reason for rule in report.rules)


def test_purchases_worth_nothing_and_items_without_text_go_unless_told_otherwise(data: Path) -> None:
    report = clean(data, OFF, now=NOW)
    counts = {"non_positive_purchase": 2, "item_without_text: items": 1, "item_without_text: events": 1}
    assert dropped(report) == counts
    assert Catalog.read(data / "clean" / "items.parquet").ids == ("i1", "i3")
    assert clean(data, OFF, now=NOW, drop_non_positive=False, drop_textless=False).rules == ()


def test_cleaning_twice_gives_the_same_and_its_report_is_kept(data: Path) -> None:
    first = clean(data, STRICT, now=NOW)
    files = {path.name: path.read_bytes() for path in (data / "clean").iterdir()}
    assert clean(data, STRICT, now=NOW) == first == load_cleaning(data)
    assert {path.name: path.read_bytes() for path in (data / "clean").iterdir()} == files
    (data / "clean" / "report.json").write_text("{")
    with pytest.raises(DamagedArtifact):
        load_cleaning(data)


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path: Path, data: Path) -> None:
    with pytest.raises(NotReady, match="honeyguide import"):
        clean(tmp_path, OFF, now=NOW)
    with pytest.raises(NotReady, match="honeyguide fit"):
        load_cleaning(data)
    catalog = Catalog.read(data / "items.parquet")
    with pytest.raises(NotReady, match="honeyguide import"):
        load_events(tmp_path / "none.parquet", catalog)


def test_a_table_holds_what_is_stored(data: Path) -> None:
    catalog = Catalog.read(data / "items.parquet")
    table = load_events(data / "events.parquet", catalog)
    stored = list(user_events(data / "events.parquet", "u"))
    assert table.users == ("bot", "u")
    assert len(table) == len(stored) + 4
    mine = table.events_of(1)
    for at, event in zip(mine, stored, strict=True):
        assert table.time_us[at] == round(event.time.timestamp() * 1e6)
        assert table.item[at] == (-1 if event.item_id is None else catalog.row(event.item_id))
        assert (table.value[at] == event.value) or event.value is None
    assert load_events(data / "events.parquet", catalog).version == table.version


def test_since_is_included_and_until_is_not(data: Path) -> None:
    catalog = Catalog.read(data / "items.parquet")
    path = data / "events.parquet"
    since, until = datetime(2024, 5, 2, 10, tzinfo=UTC), datetime(2024, 5, 9, 12, tzinfo=UTC)
    part = load_events(path, catalog, since=since, until=until)
    assert (part.users, len(part)) == (("bot",), 3)
    assert len(load_events(path, catalog).between(since, until)) == 3
    assert len(load_events(path, catalog, until=since - timedelta(days=99))) == 0
    assert list(user_events(path, "nobody")) == []
    with pytest.raises(InvalidInput, match="NUL"):
        list(user_events(path, "\x00"))


def test_an_event_of_an_item_outside_the_catalogue_is_refused(data: Path) -> None:
    with pytest.raises(UnknownItem):
        load_events(data / "events.parquet", Catalog.of(["i1"], titles=["Shoe"]))
