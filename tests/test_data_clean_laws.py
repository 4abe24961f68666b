"""What holds for cleaning whatever the log is like: what is clean stays, and the order of rows does not matter."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeyguide.config import Clean
from honeyguide.data.clean import CleaningReport, clean
from tests.dirty_log import NOW, Row, at, cleaned, event, item, kept, shop

ITEMS = [
    item("i1", title="Red  shoes", created_at=at(0)),
    item("i2", category="Fuel > Diesel"),
    item("i3", description="<b>Soft</b>"),
    {"item_id": "i4"},
]
EAGER = replace(
    Clean(),
    bot_events_per_day=9,
    bot_items_per_day=2,
    price_ratio=3.0,
    quantity_ratio=3.0,
    outlier_purchases=3,
    exclude_categories=("fuel",),
)
"""Low thresholds, so that every rule finds something in a log of a few rows."""

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def dirty_logs(draw: st.DrawFn) -> list[Row]:
    """Events with everything that can be wrong, about few users and items so that rules meet."""
    moments = st.sampled_from([0, 0.5, 1, 10, 60, 61, 3600, 90_000, 9_000_000])
    rows = []
    for nr in range(draw(st.integers(0, 30))):
        kind = draw(st.sampled_from(["view", "click", "purchase", "purchase", "search", "impression"]))
        row = event(
            f"e{nr}", draw(moments), kind=kind, user_id=draw(st.sampled_from(["u", "v", "cookie", "tablet"]))
        )
        if row["user_id"] in ("u", "v"):  # who is behind a device is no device: chains do not exist
            row["anonymous_id"] = draw(st.sampled_from([None, None, "cookie", "tablet"]))
        row["consent"] = draw(st.sampled_from([None, True, True, False]))
        row["received_at"] = draw(st.sampled_from([None, None, at(0), at(9_000_000)]))
        row["session_id"] = draw(st.sampled_from([None, None, "s1"]))
        row["item_id"] = (
            None if kind == "search" else draw(st.sampled_from(["i1", "i1", "i2", "i3", "i4", "gone"]))
        )
        if kind == "search":
            row["query"] = draw(st.sampled_from(["red shoes", "Red  Shoes!", "...", None]))
        if kind == "purchase":
            row["value"] = draw(st.sampled_from([None, 5, 5, 6, 7, 0, -5, 50, 5000]))
            row["quantity"] = draw(st.sampled_from([None, 1, 1, -1, 40]))
        rows.append(row)
    return rows


def dropped(report: CleaningReport, table: str) -> int:
    return sum(rule.rows for rule in report.rules if rule.table == table and rule.effect == "dropped")


@pytest.mark.slow
@few
@given(dirty_logs())
def test_every_row_is_kept_or_counted_under_exactly_one_rule(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        data = shop(Path(name), rows, ITEMS)
        report, left = cleaned(data, EAGER)
        items = kept(data, "items")
    assert set(left) <= {row["event_id"] for row in rows}
    assert (report.events_in, report.events_out) == (len(rows), len(left))
    assert dropped(report, "events") == len(rows) - len(left)
    assert (report.items_in, report.items_out, dropped(report, "items")) == (4, len(items), 4 - len(items))
    assert all(rule.rows >= len(rule.evidence.events) for rule in report.rules)


@pytest.mark.slow
@few
@given(dirty_logs())
def test_cleaning_what_is_clean_changes_nothing(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        data = shop(Path(name), rows, ITEMS)
        _, first = cleaned(data, EAGER)
        items = kept(data, "items")
        again = Path(name) / "again"
        again.mkdir()
        for table in ("events", "items"):
            (data / "clean" / f"{table}.parquet").rename(again / f"{table}.parquet")
        report, second = cleaned(again, EAGER)
        assert (second, kept(again, "items")) == (first, items)
    assert dropped(report, "events") == dropped(report, "items") == 0


@pytest.mark.slow
@few
@given(st.data())
def test_the_order_of_the_rows_does_not_matter(data: st.DataObject) -> None:
    rows = data.draw(dirty_logs())
    shuffled = data.draw(st.permutations(rows))
    with tempfile.TemporaryDirectory() as name:
        one, first = cleaned(shop(Path(name) / "a", rows, ITEMS), EAGER)
        two, second = cleaned(shop(Path(name) / "b", shuffled, ITEMS), EAGER)
    assert first == second
    assert [(rule.rule, rule.rows) for rule in one.rules] == [(rule.rule, rule.rows) for rule in two.rules]


@st.composite
def plain_logs(draw: st.DrawFn) -> list[Row]:
    """What shoppers do: no two events of a moment but those of one basket, each of its own item."""
    rows = []
    clock = 0.0
    for nr in range(draw(st.integers(1, 40))):
        clock += draw(st.sampled_from([2, 7, 45, 300, 4000]))
        user = draw(st.sampled_from(["ann", "bob"]))
        kind = draw(st.sampled_from(["view", "click", "cart", "search", "rating", "impression", "basket"]))
        if kind == "search":
            rows.append(event(f"e{nr}", clock, user_id=user, kind=kind, item_id=None, query="red shoes"))
        elif kind == "basket":
            rows += [
                event(
                    f"e{nr}-{i}",
                    clock,
                    user_id=user,
                    kind="purchase",
                    item_id=f"i{i}",
                    value=5.0 * i,
                    quantity=i,
                )
                for i in range(1, 30)
            ]
        else:
            rows.append(
                event(f"e{nr}", clock, user_id=user, kind=kind, consent=draw(st.sampled_from([None, True])))
            )
    return rows


@few
@given(plain_logs())
def test_no_rule_drops_anything_of_a_plain_clean_log(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        data = shop(Path(name), rows, [item(f"i{n}") for n in range(30)])
        report, left = cleaned(data, Clean())
    assert set(left) == {row["event_id"] for row in rows}
    assert {rule.rule for rule in report.rules if rule.rows} == {"session"}
    for row in rows:
        assert {key: left[row["event_id"]].get(key) for key in row if key != "time"} == {
            key: value for key, value in row.items() if key != "time"
        }


@few
@given(plain_logs(), st.integers(1, 4))
def test_in_the_core_everybody_has_enough(rows: list[Row], k: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        data = shop(Path(name), rows, [item(f"i{n}") for n in range(30)])
        clean(data, replace(Clean(), k_core=k), now=NOW)
        left = [row for row in kept(data).values() if row["kind"] != "impression" and "item_id" in row]
    for key in ("user_id", "item_id"):
        names = [row[key] for row in left]
        assert all(names.count(name) >= k for name in names)
