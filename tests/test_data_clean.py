from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from honeyguide.config import Clean
from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import clean, clean_once, load_cleaning
from honeyguide.data.ingest import import_files
from honeyguide.data.table import load_events, user_events
from honeyguide.errors import DamagedArtifact, InvalidInput, NotReady, UnknownItem
from honeyguide.types import Progress, silent
from tests.dirty_log import NOW, OFF

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


def test_the_rules_of_a_shop_that_asks_for_nothing_special(data: Path) -> None:
    report = clean(data, Clean(), now=NOW)
    counts = {
        "near_duplicate": 1,  # e2
        "refund": 1,  # e4 gives back e3, the latest of that amount
        "refunded_purchase": 1,
        "non_positive_purchase": 1,  # e5
        "value_outlier": 1,  # e6
        "future": 1,  # e9
        "item_without_text": 1,  # i2
        "item_gone": 1,  # e7
        "session": 7,
    }
    assert {rule.rule: rule.rows for rule in report.rules if rule.rows} == counts
    assert left(data) == {"e1", "e8", "s1", "b1", "b2", "b3", "b4"}
    assert Catalog.read(data / "clean" / "items.parquet").ids == ("i1", "i3")
    assert all(rule.reason for rule in report.rules)


def test_with_every_rule_off_only_what_speaks_of_no_item_is_looked_for(data: Path) -> None:
    report = clean(data, OFF, now=NOW)
    assert [(rule.rule, rule.rows) for rule in report.rules] == [("item_gone", 0)]
    assert (report.events_in, report.events_out, report.items_out) == (14, 14, 3)


def test_cleaning_twice_gives_the_same_and_its_report_is_kept(data: Path) -> None:
    first = clean(data, STRICT, now=NOW)
    files = {path.name: path.read_bytes() for path in (data / "clean").iterdir()}
    assert clean(data, STRICT, now=NOW) == first == load_cleaning(data)
    assert {path.name: path.read_bytes() for path in (data / "clean").iterdir()} == files
    (data / "clean" / "report.json").write_text("{")
    with pytest.raises(DamagedArtifact):
        load_cleaning(data)


def test_what_was_cleaned_is_cleaned_again_only_where_anything_is_new(data: Path, tmp_path: Path) -> None:
    opened = []

    @contextmanager
    def stage(name: str) -> Iterator[Progress]:
        opened.append(name)
        yield silent

    def once(settings: Clean = STRICT) -> bool:
        before = len(opened)
        report, cleaned = clean_once(data, settings, now=NOW, stage=stage)
        assert report == load_cleaning(data)
        assert len(opened) - before == int(cleaned)
        return cleaned

    assert [once(), once()] == [True, False]
    assert [once(OFF), once(OFF), once()] == [True, False, True]
    (data / "clean" / "report.json").write_text("{")
    assert [once(), once()] == [True, False]
    (data / "clean" / "items.parquet").unlink()
    assert [once(), once()] == [True, False]
    known = tmp_path / "known.csv"
    known.write_text("anonymous_id,user_id\nx,u\n")
    import_files(
        data, [known], table="identities", columns="anonymous_id=anonymous_id,user_id=user_id", now=NOW
    )
    assert [once(), once()] == [True, False]


def test_a_cleaning_that_is_interrupted_is_done_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean_once(data, STRICT, now=NOW)

    def stop(path: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("honeyguide.data.clean.write_atomically", stop)
        with pytest.raises(KeyboardInterrupt):
            clean_once(data, OFF, now=NOW)
    assert clean_once(data, STRICT, now=NOW)[1]  # the tables are those of other settings by now


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
