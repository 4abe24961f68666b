"""Histories fold, look back only, and say what their names say; broken user models are caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.checks import user_model as laws
from honeyguide.checks.policy import LawBroken
from honeyguide.checks.user_model import CHECKS_USER_MODEL, check_user_model
from honeyguide.config import Labels
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import to_us
from honeyguide.errors import UnknownItem
from honeyguide.explore.posterior import MAX_FEATURE
from honeyguide.interests.items import ItemFacts, popularity, rebought, taste_vectors
from honeyguide.interests.users import BEHAVIOUR, DAY_US, MILLI, History, ShopperModel
from honeyguide.types import Event, EventKind, Vectors

N = 6
START = datetime(2026, 1, 1, tzinfo=UTC)
CATALOG = Catalog.of([f"i{row}" for row in range(N)], titles=[f"thing {row}" for row in range(N)])


def facts() -> ItemFacts:
    vectors = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemFacts(
        vectors=vectors,
        leaf=np.array([0, 0, 1, 1, 2, 2]),
        top_of_leaf=np.array([0, 0, 1]),
        popularity=np.linspace(0, 1, N).astype(np.float32),
        rebought=np.full(N, 0.25, dtype=np.float32),
        taken=np.arange(N),
    )


def model() -> ShopperModel:
    return ShopperModel(CATALOG, facts(), grade=Labels().grade, half_life_days=30)


def event(number: int, item: int, day: float, kind: EventKind = "purchase") -> Event:
    return Event(f"e{number}", START + timedelta(days=day), "ann", kind, f"i{item}")


HISTORY = [
    event(n, item, day) for n, (item, day) in enumerate([(0, 0), (1, 2), (0, 9), (3, 9.5), (5, 20), (0, 30)])
]


@pytest.mark.parametrize("check", CHECKS_USER_MODEL, ids=lambda check: check.__name__)
def test_the_shopper_model_keeps_the_law(check: Callable[..., None]) -> None:
    check(model, HISTORY)


class Broken(ShopperModel):
    def __init__(self) -> None:
        sound = model()
        super().__init__(sound.catalog, sound.items, grade=sound.grade, half_life_days=30)


class ColdIsNan(Broken):
    def vector(self, state: History) -> Vectors:
        found = super().vector(state)
        return found if len(state.rows) else found * np.float32("nan")


class Indifferent(Broken):
    def vector(self, state: History) -> Vectors:
        return super().vector(self.start())


class FoldsInPlace(Broken):
    def fold(self, state: History, event: Event) -> History:
        folded = super().fold(state, event)
        if len(folded.rows) == len(state.rows):
            state.weight[:] = folded.weight
        return folded


class AskingChangesIt(Broken):
    asked = 0

    def vector(self, state: History) -> Vectors:
        self.asked += 1
        return super().vector(state) * np.float32(0.9**self.asked)


class Ahead(Broken):
    """Says today what was folded into any state, ever."""

    total = 0.0

    def fold(self, state: History, event: Event) -> History:
        Ahead.total += 1.0
        return super().fold(state, event)

    def vector(self, state: History) -> Vectors:
        return super().vector(state) + np.float32(Ahead.total)


class CountsTwice(Broken):
    def fold(self, state: History, event: Event) -> History:
        return super().fold(state, replace(event, event_id=f"{event.event_id}/{len(state.seen)}"))


class CountsLateOnesTwice(Broken):
    def fold(self, state: History, event: Event) -> History:
        recent = state.last_us.max(initial=0) <= to_us(event.time)
        return super().fold(state, event if recent else replace(event, event_id=f"{event.event_id}/again"))


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (ColdIsNan, laws.check_cold_start),
        (Indifferent, laws.check_history_moves_the_vector),
        (FoldsInPlace, laws.check_fold_leaves_its_input),
        (AskingChangesIt, laws.check_batch_equals_stream),
        (Ahead, laws.check_no_look_ahead),
        (CountsTwice, laws.check_duplicates_count_once),
        (CountsLateOnesTwice, laws.check_duplicates_count_once),
    ],
)
def test_a_broken_user_model_is_caught(broken: type[Broken], check: Callable[..., None]) -> None:
    with pytest.raises(LawBroken):
        check(broken, HISTORY)
    with pytest.raises(LawBroken):
        check_user_model(broken, HISTORY)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, N - 1),
        st.integers(0, 40),
        st.sampled_from(["purchase", "view", "click", "cart", "impression"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.randoms(use_true_random=False))
def test_folding_one_by_one_in_any_order_is_the_history(
    rows: list[tuple[int, int, EventKind]], random: np.random.Generator
) -> None:
    shopper = model()
    events = [event(n, item, day, kind) for n, (item, day, kind) in enumerate(rows)]
    shuffled = list(events)
    random.shuffle(shuffled)
    weighty = [e for e in events if shopper.grade(e.kind) > 0]
    at_once = History.of(
        CATALOG.rows([str(e.item_id) for e in weighty]),
        np.array([round(shopper.grade(e.kind) * MILLI) for e in weighty], dtype=np.int64),
        np.array([to_us(e.time) for e in weighty], dtype=np.int64),
    )
    for order in (events, shuffled):
        one_by_one = laws.folded(shopper, order)
        for field in ("rows", "weight", "first_us", "last_us"):
            assert np.array_equal(getattr(one_by_one, field), getattr(at_once, field))
        assert one_by_one.days.tolist() == sorted({to_us(e.time) // DAY_US for e in events})
    found = shopper.features(at_once, np.arange(N), to_us(START) + 50 * DAY_US)
    assert found.dtype == np.float32
    assert (np.abs(found) <= MAX_FEATURE).all()


def test_an_unknown_item_is_refused_and_leaves_the_history() -> None:
    shopper = model()
    state = laws.folded(shopper, HISTORY)
    with pytest.raises(UnknownItem):
        shopper.fold(state, replace(HISTORY[0], event_id="new", item_id="nowhere"))
    assert np.array_equal(shopper.vector(state), laws.vector(model(), HISTORY))


def test_the_features_say_what_their_names_say() -> None:
    shopper = model()
    now_us = to_us(START + timedelta(days=37))
    found = shopper.features(laws.folded(shopper, HISTORY), np.array([0, 2]), now_us)
    known, new = (dict(zip(BEHAVIOUR, row, strict=False)) for row in found)
    assert known["bias"] == new["bias"] == 1
    assert (known["known"], new["known"]) == (1, 0)
    assert known["weight"] == pytest.approx(np.log1p(3) / 3)
    assert known["recency"] == pytest.approx(np.exp(-1 / 6))  # taken a week ago
    assert known["rate"] == pytest.approx(1 - np.exp(-2 * 3 / (37 / 7 + 4)))
    assert known["interest share"] == pytest.approx(np.sqrt(4 / 6))
    assert new["interest share"] == pytest.approx(np.sqrt(1 / 6))
    assert new["top interest share"] == pytest.approx(np.sqrt(5 / 6))
    assert (new["rate"], new["recency"], new["due"]) == (0, 0, 0)
    assert new["new x popularity"] == pytest.approx(0.4)
    assert known["new x popularity"] == 0
    assert known["taste"] > new["taste"]
    assert np.array_equal(found[:, len(BEHAVIOUR) :], facts().vectors[[0, 2]])


def test_a_stranger_has_features_and_a_future() -> None:
    shopper = model()
    found = shopper.features(shopper.start(), np.arange(N), to_us(START))
    assert np.isfinite(found).all()
    assert not found[:, BEHAVIOUR.index("known")].any()
    assert shopper.remaining_visits(shopper.start(), to_us(START), 90) > 0


def test_who_comes_more_often_is_expected_more_often() -> None:
    shopper = model()
    now_us = to_us(START + timedelta(days=40))
    rare = laws.folded(shopper, HISTORY[:1])
    often = laws.folded(shopper, HISTORY)
    assert shopper.remaining_visits(often, now_us, 90) > shopper.remaining_visits(rare, now_us, 90)


def test_popularity_counts_users_not_events() -> None:
    users = np.array([0, 0, 0, 1, 2], dtype=np.int32)
    items = np.array([0, 0, 0, 1, 1], dtype=np.int32)
    assert popularity(users, items, 3) == pytest.approx(np.array([np.log(2), np.log(3), 0]) / np.log(3))


def test_rebought_is_the_share_of_purchases_that_are_repeated_in_time() -> None:
    day = DAY_US
    users = np.zeros(4, dtype=np.int32)
    items = np.array([0, 0, 0, 1], dtype=np.int32)
    times = (
        np.array([0, 5, 40, 60]) * day
    )  # repeated after 5 days, then after 35; the last cannot be judged yet
    found = rebought(users, items, times, 2, window_us=14 * day, smoothing=1e-9)
    assert found[0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("n", [1, 2, 40])
def test_taste_vectors_are_of_unit_norm_and_do_not_flip(n: int) -> None:
    text = np.random.default_rng(n).normal(size=(n, 8)).astype(np.float32)
    text[0] = 0
    found = taste_vectors(text, np.ones(n), 4)
    norms = np.linalg.norm(found, axis=1)
    assert found.shape == (n, 4)
    assert norms[0] == 0
    assert np.all(np.isclose(norms[1:], 1, atol=1e-5) | (norms[1:] == 0))
    assert np.allclose(found, taste_vectors(text.copy(), np.ones(n) * 3, 4), atol=1e-5)


def test_item_facts_survive_storage() -> None:
    there = ItemFacts.from_state(facts().state())
    for name, value in facts().state().items():
        assert np.array_equal(getattr(there, name), value)
