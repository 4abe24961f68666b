"""What is told of a shop: each text once, behaviour in its order, pairs of one user only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.data.table import EventTable
from honeyguide.plm.corpus import (
    ItemPairs,
    behaviour_texts,
    distinct,
    is_held_out,
    item_pairs,
    query_texts,
    review_texts,
)
from honeyguide.types import EVENT_KINDS, Rows
from tests.dirty_log import event, item, shop


def log(folder: Path) -> Path:
    events = [
        event("a", 0, item_id="i1"),
        event("b", 60, kind="search", item_id=None, query="green tea"),
        event("c", 90, kind="purchase", item_id="i2"),
        event("d", 95, kind="impression", item_id="i3"),
        event("e", 90 + 31 * 60, item_id="i3"),
        event("f", 100 + 31 * 60, kind="rating", item_id="i3", text="Very good"),
        event("g", 10, user_id="v", kind="search", item_id=None, query="green tea"),
        event("h", 12, user_id="v", kind="cart", item_id="i1"),
    ]
    items = [item("i1", title="Red shoe"), item("i2", title="Lace"), {"item_id": "i3", "category": "Wax"}]
    return shop(folder, events, items)


def test_behaviour_is_told_in_order_a_visit_a_text(tmp_path: Path) -> None:
    data = log(tmp_path)
    told = list(behaviour_texts(data / "events.parquet", data / "items.parquet"))
    assert told == [
        "viewed Red shoe; searched green tea; bought Lace",
        "viewed Wax; rated Wax",
        "searched green tea; put into the cart Red shoe",
    ]
    early = datetime(2024, 5, 1, 10, 0, 30, tzinfo=UTC)
    assert list(behaviour_texts(data / "events.parquet", data / "items.parquet", until=early)) == told[2:]


def test_searches_and_reviews_come_once_and_not_from_the_future(tmp_path: Path) -> None:
    events = log(tmp_path) / "events.parquet"
    assert list(query_texts(events)) == ["green tea"]
    assert list(review_texts(events)) == ["Very good"]
    assert not list(review_texts(events, until=datetime(2024, 5, 1, 10, 5, tzinfo=UTC)))


@given(st.lists(st.text(max_size=6)))
def test_each_text_comes_once_however_it_is_cased(texts: list[str]) -> None:
    found = list(distinct(texts))
    keys = [" ".join(text.casefold().split()) for text in found]
    assert len(set(keys)) == len(keys)
    assert set(keys) == {" ".join(text.casefold().split()) for text in texts if text}


def test_a_share_of_the_texts_is_held_out_and_always_the_same() -> None:
    texts = [f"text {nr}" for nr in range(4000)]
    held = [is_held_out(text, 0.1) for text in texts]
    assert 0.08 < np.mean(held) < 0.12
    assert held == [is_held_out(text.upper(), 0.1) for text in texts]
    assert not any(is_held_out(text, 0.0) for text in texts)


def table(user: list[int], items: list[int]) -> EventTable:
    n = len(user)
    view = np.full(n, EVENT_KINDS.index("view"), np.int8)
    return EventTable(
        users=("u", "v"),
        user=np.array(user, np.int32),
        item=np.array(items, np.int32),
        time_us=np.arange(n, dtype=np.int64),
        kind=view,
        value=np.full(n, np.nan, np.float32),
    )


def test_pairs_are_one_users_in_time_order_and_never_an_item_with_itself() -> None:
    events = table([0, 1, 0, 0, 1, 0], [4, 7, -1, 5, 7, 4])
    assert {*zip(*map(np.ndarray.tolist, _both(item_pairs(events))), strict=True)} == {(4, 5), (5, 4)}
    within = item_pairs(table([0, 0, 0, 1], [1, 2, 3, 4]), within=2)
    assert sorted(zip(*map(np.ndarray.tolist, _both(within)), strict=True)) == [(1, 2), (1, 3), (2, 3)]
    assert len(item_pairs(table([], []))) == 0


def test_pairs_among_allowed_items_have_both_there() -> None:
    pairs = ItemPairs(np.array([0, 1, 2]), np.array([1, 2, 0]))
    kept = pairs.among(np.array([0, 1]), 3)
    assert (kept.first.tolist(), kept.second.tolist()) == ([0], [1])


def _both(pairs: ItemPairs) -> tuple[Rows, Rows]:
    return pairs.first, pairs.second
