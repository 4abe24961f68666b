from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honeyguide.config import Labels
from honeyguide.data.labels.summary import LabelCount, label_counts
from tests.label_tables import store

SETTINGS = Labels(window_days=7)
ALWAYS = (
    "reward", "visit", "shown", "drawn negatives", "leave-one-out", "next interest", "sentiment", "ad response",
    "intent",
)  # fmt: skip


def counts_of(folder: Path) -> dict[str, LabelCount]:
    return {found.label: found for found in label_counts(folder, SETTINGS)}


def event(user: str, day: float, kind: str, item: str | None, **more: Any) -> dict[str, Any]:
    return {"event_id": f"{user}-{day}-{kind}-{item}-{more}", "user_id": user, "time": day, "kind": kind,
            "item_id": item, **more}  # fmt: skip


def fill(folder: Path) -> None:
    """Two users, twelve items of two categories, a campaign and some messages."""
    kinds = ["Shoes > Boots"] * 10 + ["Shoes > Sandals", ""]
    store(
        folder,
        "items",
        [{"item_id": f"i{n:02}", "title": f"t{n}", "category": c} for n, c in enumerate(kinds)],
    )
    store(
        folder,
        "events",
        [
            event("a", 0.0, "view", "i00"),
            event("a", 1.0, "impression", "i01", position=0, decision_id="d"),
            event("a", 1.0, "impression", "i02", position=1, decision_id="d"),
            event("a", 1.0, "impression", "i10", position=2, decision_id="d"),
            event("a", 1.1, "click", "i02", decision_id="d"),
            event("a", 1.2, "dismiss", "i10", decision_id="d"),
            event("a", 2.0, "purchase", "i02", value=9.5),
            event("a", 8.5, "rating", "i02", value=5, text="Very nice"),
            event("b", 3.0, "search", None, query="boots"),
            event("b", 30.0, "purchase", "i11"),  # of no category
            event("b", 31.0, "impression", "i01", position=0),  # nobody knows yet what comes of it
        ],
    )
    store(
        folder,
        "touches",
        [
            {"touch_id": "1", "user_id": "a", "campaign_id": "c", "kind": "sent", "time": 1},
            {"touch_id": "2", "user_id": "b", "campaign_id": "c", "kind": "withheld", "time": 1},
            {"touch_id": "3", "user_id": "a", "campaign_id": "c", "kind": "redeemed", "time": 2},
        ],
    )
    asked = [{"message_id": f"m{n:02}", "text": f"where is order {n}", "intent": "track"} for n in range(10)]
    store(folder, "messages", [*asked, {"message_id": "x", "text": "hello", "intent": "greet"}])


def test_every_label_is_counted_with_its_classes(tmp_path: Path) -> None:
    fill(tmp_path)
    found = counts_of(tmp_path)
    told = {name: (count.count, dict(count.classes)) for name, count in found.items()}
    assert told == {
        "item class, level 1": (11, {"Shoes": 11}),
        "item class, level 2": (10, {"Shoes > Boots": 10}),
        "reward": (5, {"view": 1, "click": 1, "purchase": 2, "rating": 1}),
        "visit": (3, {"rewarded": 2, "without reward": 1}),  # of a on days 0 and 8, of b on day 3
        "shown": (3, {"taken": 1, "skipped": 1, "dismissed": 1, "passed over": 0}),
        "drawn negatives": (5, {"items drawn from": 3}),
        "leave-one-out": (1, {}),
        "next interest": (2, {"new": 1, "known": 1}),
        "sentiment": (1, {"negative": 0, "neutral": 0, "positive": 1}),
        "ad response": (2, {"sent": 1, "withheld": 1, "redeemed": 1}),
        "intent": (10, {"track": 10}),
    }
    assert str(found["reward"]) == "reward: 5 (view 1, click 1, purchase 2, rating 1)"
    assert str(found["leave-one-out"]) == "leave-one-out: 1"


def test_of_many_classes_a_line_names_the_largest() -> None:
    count = LabelCount("intent", 55, tuple((f"i{n}", n) for n in range(11)))
    assert str(count) == "intent: 55 (i10 10, i9 9, i8 8, i7 7, i6 6, i5 5, i4 4, i3 3, 3 more)"


def test_cleaned_events_stand_for_imported_ones(tmp_path: Path) -> None:
    fill(tmp_path)
    clean = tmp_path / "clean"
    clean.mkdir()
    store(clean, "items", [{"item_id": "i00", "title": "t"}])
    store(clean, "events", [event("a", 0.0, "view", "i00")])
    found = counts_of(tmp_path)
    assert (found["reward"].count, found["intent"].count) == (1, 10)
    assert found["item class"].missing


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    found = counts_of(tmp_path)
    assert tuple(found) == ("item class", *ALWAYS)
    for count in found.values():
        assert (count.count, count.classes) == (0, ())
        assert str(count) == f"{count.label}: none; {count.missing}"
        assert "import" in count.missing


@pytest.mark.parametrize("rows", [[], [event("a", 0.0, "search", None, query="boots")]])
def test_a_log_that_says_nothing_gives_no_labels(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    store(tmp_path, "items", [{"item_id": "i", "title": "t", "category": "Shoes"}])
    store(tmp_path, "events", rows)
    store(tmp_path, "touches", [])
    store(tmp_path, "messages", [])
    found = counts_of(tmp_path)
    assert tuple(found) == ("item class, level 1", *ALWAYS)
    assert {name for name, count in found.items() if count.count or not count.missing} == set()
