"""A shopper model with a sequence model keeps the laws, and what is likely next reaches policies and candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.checks import user_model as laws
from honeyguide.checks.user_model import CHECKS_USER_MODEL
from honeyguide.config import Labels
from honeyguide.data.table import to_us
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.memory import Memory
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.users import BEHAVIOUR, SEQUENCE, History, ShopperModel
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.models import histories_from, histories_state
from honeyguide.types import Event
from tests.test_sequence_memory import untaught
from tests.test_user_model import CATALOG, HISTORY, START, N, event, facts

LOG = Sequences.of_items(np.array([0, 4, 1, 4, 2, 4, 0, 3]), np.array([0, 2, 4, 6, 8]))
NOW_US = to_us(START + timedelta(days=40))


def shopper() -> ShopperModel:
    """It reads four events back, and knows that 4 is taken along with 0, 1 and 2."""
    sequence = SequenceModel(untaught(), replace(Memory.of(LOG, N, fading=1.0), backoff=1.0))
    return ShopperModel(CATALOG, facts(), grade=Labels().grade, half_life_days=30, sequence=sequence)


@pytest.mark.parametrize("check", CHECKS_USER_MODEL, ids=lambda check: check.__name__)
def test_it_keeps_the_laws_of_a_user_model(check: Callable[..., None]) -> None:
    check(shopper, HISTORY)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, N - 1), st.integers(0, 9), st.sampled_from(["purchase", "view", "dismiss"])),
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
def test_the_newest_events_are_the_same_in_whatever_order_they_come(
    rows: list[tuple[int, int, str]], random: np.random.Generator
) -> None:
    events = [event(n, item, day, kind) for n, (item, day, kind) in enumerate(rows)]  # type: ignore[arg-type]
    shuffled = list(events)
    random.shuffle(shuffled)
    one, other = (laws.folded(shopper(), order).recent for order in (events, shuffled))
    for field in ("tokens", "kinds", "time_us", "marks"):
        assert np.array_equal(getattr(one, field), getattr(other, field))
    assert len(one) == min(4, sum(kind != "dismiss" for _, _, kind in rows))
    assert (np.diff(one.time_us) >= 0).all()


def test_an_event_counts_once_even_when_it_is_no_longer_among_the_newest() -> None:
    model = shopper()
    state = laws.folded(model, HISTORY)
    assert len(HISTORY) > len(state.recent) == 4
    again = model.fold(state, HISTORY[0])
    assert np.array_equal(again.recent.tokens, state.recent.tokens)


def test_policies_see_what_is_likely_next_and_what_of_it_is_new() -> None:
    model = shopper()
    history = laws.folded(model, HISTORY[:1])  # took 0
    found = model.features(history, np.arange(N), NOW_US)
    assert found.shape == (N, model.dim)
    assert model.dim == len(BEHAVIOUR) + 3 + len(SEQUENCE)
    following, new = found[:, -2], found[:, -1]
    assert following.argmax() in (3, 4)  # both were taken along with 0
    assert new[0] == 0
    assert np.array_equal(new[1:], following[1:])
    assert ((0 <= following) & (following <= 1)).all()


def test_what_is_likely_next_is_a_candidate() -> None:
    model = shopper()
    history = laws.folded(model, HISTORY[:1])
    source = CandidateSource(model, size=6)
    taken = np.zeros(N, dtype=np.bool_)
    taken[0] = True
    likely = model.likely(history, np.arange(N), NOW_US)
    best = np.flatnonzero(~taken)[np.argsort(-likely[~taken], kind="stable")]
    assert source._next(history, taken, NOW_US).tolist() == best.tolist()
    rows = source.rows(history, NOW_US, np.random.default_rng(0))
    assert sorted(rows.tolist()) == list(range(N))


def test_stored_histories_are_read_again_and_older_ones_have_no_newest_events() -> None:
    model = shopper()
    histories = {"ann": laws.folded(model, HISTORY), "bob": model.start()}
    state = histories_state(histories)
    again = histories_from(state)
    assert again["ann"].recent.tokens.tolist() == histories["ann"].recent.tokens.tolist()
    assert again["ann"].recent.time_us.tolist() == histories["ann"].recent.time_us.tolist()
    assert len(again["bob"].recent) == 0
    older = {name: array for name, array in state.items() if not name.startswith("recent.")}
    assert len(histories_from(older)["ann"].recent) == 0
    assert np.array_equal(histories_from(older)["ann"].rows, histories["ann"].rows)


def test_what_was_fitted_goes_on_with_what_comes_in() -> None:
    model = shopper()
    whole = laws.folded(model, HISTORY)
    half = laws.folded(model, HISTORY[:3])
    fitted: History = histories_from(histories_state({"ann": half}))["ann"]
    for one in HISTORY[3:]:
        fitted = model.fold(fitted, replace(one))
    assert np.array_equal(fitted.recent.tokens, whole.recent.tokens)
    assert np.array_equal(
        model.features(fitted, np.arange(N), NOW_US), model.features(whole, np.arange(N), NOW_US)
    )


def test_a_shop_without_the_model_reads_no_newest_events() -> None:
    plain = ShopperModel(CATALOG, facts(), grade=Labels().grade, half_life_days=30)
    state = plain.fold(plain.start(), Event("q", START, "ann", "search", query="tea"))
    assert len(laws.folded(plain, HISTORY).recent) == len(state.recent) == 0
    assert not plain.likely(state, np.arange(N)).any()
