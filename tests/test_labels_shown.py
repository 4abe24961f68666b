from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.data.catalog import Catalog
from honeyguide.data.labels.rewards import StarScale
from honeyguide.data.labels.shown import Shown, load_shown
from honeyguide.errors import NotReady, UnknownItem
from tests.label_tables import DAY_US, grade, store

CATALOG = Catalog.of([f"i{n}" for n in range(6)], titles=[f"item {n}" for n in range(6)])
WINDOW = 3.0

Event = dict[str, Any]


def shown_of(folder: Path, events: list[Event], **options: Any) -> Shown:
    rows = [{"event_id": f"e{n}", "user_id": "u", **event} for n, event in enumerate(events)]
    return load_shown(store(folder, "events", rows), CATALOG, grade=grade, window_days=WINDOW, **options)


def impression(item: int, position: int | None, time: float = 0, **more: Any) -> Event:
    return {"kind": "impression", "item_id": f"i{item}", "position": position, "time": time, **more}


def reaction(item: int, kind: str = "click", time: float = 0.1, **more: Any) -> Event:
    return {"kind": kind, "item_id": f"i{item}", "time": time, **more}


def told(found: Shown) -> list[dict[str, str]]:
    """Per page, what became of each item."""
    pages = []
    for page in range(len(found)):
        fates = {}
        for slot in range(found.starts[page], found.starts[page + 1]):
            fate = "taken" if found.reward[slot] else "dismissed" if found.dismissed[slot] else "nothing"
            fates[CATALOG.ids[found.item[slot]]] = "skipped" if found.skipped[slot] else fate
        pages.append(fates)
    return pages


def test_what_stands_above_a_taken_item_was_skipped_and_what_stands_below_may_not_have_been_seen(
    tmp_path: Path,
) -> None:
    page = [impression(n, n, decision_id="d") for n in range(5)]
    found = shown_of(tmp_path, [*page, reaction(1, "purchase"), reaction(3), reaction(4, "dismiss")])
    assert told(found) == [
        {"i0": "skipped", "i1": "taken", "i2": "skipped", "i3": "taken", "i4": "dismissed"}
    ]
    assert found.reward.tolist() == [0, 1.0, 0, 0.2, 0]
    assert found.position.tolist() == [0, 1, 2, 3, 4]
    assert found.sure_negative.tolist() == [True, False, True, False, True]
    assert found.negative.tolist() == [True, False, True, False, True]
    assert (found.users, found.user.tolist(), found.time_us.tolist()) == (("u",), [0], [0])


def test_a_slot_has_the_propensity_of_where_it_stood_highest(tmp_path: Path) -> None:
    page = [
        impression(0, 3, decision_id="d", propensity=0.1),
        impression(0, 1, decision_id="d", propensity=0.4),
        impression(1, 2, decision_id="d"),
        impression(2, None, decision_id="d", propensity=0.3),
    ]
    found = shown_of(tmp_path, page)
    assert found.item.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found.propensity, [0.4, np.nan, 0.3])
    assert found.take(np.array([0])).propensity[0] == 0.4


def test_what_a_decision_shows_when_the_window_is_over_is_not_on_its_page(tmp_path: Path) -> None:
    page = [impression(0, 0, 0), impression(1, 1, 3), impression(2, 2, 3.001)]
    found = shown_of(tmp_path, [{**slot, "decision_id": "d"} for slot in page])
    assert told(found) == [{"i0": "nothing", "i1": "nothing"}]


def test_where_nothing_was_taken_nothing_was_skipped(tmp_path: Path) -> None:
    found = shown_of(tmp_path, [impression(n, n) for n in range(3)])
    assert told(found) == [{"i0": "nothing", "i1": "nothing", "i2": "nothing"}]
    assert found.negative.all()
    assert not found.sure_negative.any()


def test_what_stands_beside_a_taken_item_is_not_above_it(tmp_path: Path) -> None:
    found = shown_of(tmp_path, [impression(0, 1), impression(1, 1), impression(2, 0), reaction(1)])
    assert told(found) == [{"i0": "nothing", "i1": "taken", "i2": "skipped"}]


def test_without_positions_nothing_is_above(tmp_path: Path) -> None:
    page = [impression(0, None), impression(1, 1), impression(2, None)]
    assert told(shown_of(tmp_path, [*page, reaction(2)])) == [
        {"i0": "nothing", "i1": "nothing", "i2": "taken"}
    ]
    found = shown_of(tmp_path, [*page, reaction(1)])
    assert told(found) == [{"i0": "nothing", "i1": "taken", "i2": "nothing"}]
    assert found.position.tolist() == [1, -1, -1]


@pytest.mark.parametrize(
    ("time", "more", "counts"),
    [
        (0, {}, True),
        (WINDOW, {}, True),
        (WINDOW + 0.001, {}, False),
        (-0.001, {}, False),
        (1, {"decision_id": "d"}, True),
        (1, {"decision_id": "another"}, False),
        (1, {"user_id": "somebody"}, False),
        (1, {"kind": "impression"}, False),
        (1, {"kind": "search"}, False),
    ],
)
def test_a_reaction_is_the_users_own_within_the_window_and_not_another_decisions(
    tmp_path: Path, time: float, more: Event, counts: bool
) -> None:
    found = shown_of(tmp_path, [impression(0, 0, decision_id="d"), {**reaction(0, time=time), **more}])
    assert (found.reward[0] > 0) == counts


def test_a_page_is_a_decision_or_what_was_seen_at_one_moment(tmp_path: Path) -> None:
    events = [
        impression(0, 0, 1, decision_id="d"),
        impression(1, 1, 1.2, decision_id="d"),  # scrolled into view later
        impression(0, 4, 1.3, decision_id="d"),  # and seen again
        impression(2, 0, 1),
        impression(3, 1, 1),
        impression(3, 0, 2),
        impression(4, 0, 1, user_id="v"),
        impression(4, 0, 1, user_id="v", decision_id="d"),  # ids of decisions that are not unique
    ]
    found = shown_of(tmp_path, events)
    pages = [
        (found.users[found.user[page]], found.time_us[page] / DAY_US, list(fates))
        for page, fates in enumerate(told(found))
    ]
    assert sorted(pages) == [
        ("u", 1, ["i0", "i1"]),
        ("u", 1, ["i2", "i3"]),
        ("u", 2, ["i3"]),
        ("v", 1, ["i4"]),
        ("v", 1, ["i4"]),
    ]
    assert (np.diff(found.time_us) >= 0).all()


def test_a_rating_earns_its_stars_share_on_a_scale(tmp_path: Path) -> None:
    events = [
        impression(0, 0),
        impression(1, 1),
        reaction(0, "rating", value=1),
        reaction(1, "rating", value=5),
    ]
    assert shown_of(tmp_path, events).reward.tolist() == [0.4, 0.4]
    found = shown_of(tmp_path, events, scale=StarScale(1, 5))
    assert found.reward.tolist() == [0.0, 0.4]
    assert found.skipped.tolist() == [True, False]


def test_a_log_without_impressions_gives_no_pages(tmp_path: Path) -> None:
    found = shown_of(tmp_path, [reaction(0)])
    assert (len(found), len(found.item), found.starts.tolist(), found.users) == (0, 0, [0], ())
    assert len(found.with_full_window(0, 1)) == 0


def test_a_log_that_is_not_there_or_speaks_of_unknown_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="honeyguide import"):
        load_shown(tmp_path / "events.parquet", CATALOG, grade=grade, window_days=1)
    with pytest.raises(UnknownItem, match="i9"):
        shown_of(tmp_path, [impression(9, 0)])


impressions = st.fixed_dictionaries(
    {
        "kind": st.just("impression"),
        "user_id": st.sampled_from(["u", "v"]),
        "item_id": st.sampled_from(CATALOG.ids),
        "decision_id": st.sampled_from([None, "d", "e"]),
        "position": st.sampled_from([None, 0, 1, 2, 3]),
        "time": st.integers(0, 5),
    }
)
reactions = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["click", "purchase", "dismiss", "view"]),
        "user_id": st.sampled_from(["u", "v"]),
        "item_id": st.sampled_from(CATALOG.ids),
        "decision_id": st.sampled_from([None, "d", "e"]),
        "time": st.integers(0, 8),
    }
)


def by_hand(events: list[Event]) -> list[tuple[Any, ...]]:
    pages: dict[Any, list[Event]] = {}
    for event in events:
        if event["kind"] == "impression":
            moment = event["time"] if event["decision_id"] is None else None
            pages.setdefault((event["user_id"], event["decision_id"], moment), []).append(event)
    told = []
    for (user, decision, _), seen in pages.items():
        start = min(event["time"] for event in seen)
        seen = [event for event in seen if event["time"] <= start + WINDOW]
        slots: dict[str, tuple[float, bool, int]] = {}
        for item in {event["item_id"] for event in seen}:
            places = [e["position"] for e in seen if e["item_id"] == item and e["position"] is not None]
            mine = [
                e["kind"]
                for e in events
                if e["kind"] != "impression" and (e["user_id"], e["item_id"]) == (user, item)
                if start <= e["time"] <= start + WINDOW and e["decision_id"] in (None, decision)
            ]
            reward = max(map(grade, mine), default=0.0)
            slots[item] = (reward, "dismiss" in mine, min(places, default=-1))
        for item, (reward, dismissed, place) in slots.items():
            below = any(r > 0 and p > place for r, _, p in slots.values())
            skipped = reward == 0 and place >= 0 and below
            told.append((user, start, item, place, reward, dismissed, skipped))
    return sorted(told)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(impressions, reactions), max_size=25))
def test_pages_are_what_a_plain_loop_finds(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = shown_of(Path(folder), events)
    columns: tuple[Any, ...] = (
        np.array(found.users)[found.user[found.page]] if len(found) else [],
        found.time_us[found.page] // DAY_US,
        np.array(CATALOG.ids)[found.item],
        found.position,
        found.reward,
        found.dismissed,
        found.skipped,
    )
    assert sorted(zip(*(np.asarray(column).tolist() for column in columns), strict=True)) == by_hand(events)
    of_pages = [column.dtype.name for column in (found.user, found.time_us, found.starts)]
    assert of_pages == ["int32", "int64", "int64"]
    assert [column.dtype.name for column in (found.item, found.position)] == ["int32", "int32"]
    full = found.with_full_window(5 * DAY_US, WINDOW)
    assert len(full) == sum(found.time_us <= 2 * DAY_US)
    assert told(full) == [
        fates for fates, time in zip(told(found), found.time_us, strict=True) if time <= 2 * DAY_US
    ]
