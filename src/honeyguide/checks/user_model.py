"""The laws of a user model: folding one by one is folding the history, and nothing looks ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from honeyguide.checks.policy import require
from honeyguide.types import Event, UserModel, UserState, Vectors

MakeUserModel = Callable[[], UserModel[UserState]]


def check_user_model(make: MakeUserModel[UserState], events: Sequence[Event]) -> None:
    """Run every law; `events` is one user's history in time order, at least four events with items."""
    for check in CHECKS_USER_MODEL:
        check(make, events)


def folded(model: UserModel[UserState], events: Sequence[Event]) -> UserState:
    """The state after all events."""
    state = model.start()
    for event in events:
        state = model.fold(state, event)
    return state


def vector(model: UserModel[UserState], events: Sequence[Event]) -> Vectors:
    """The vector after all events."""
    return model.vector(folded(model, events))


def check_cold_start(make: MakeUserModel[UserState], events: Sequence[Event]) -> None:
    """Somebody who has done nothing has a finite float32 vector."""
    model = make()
    cold = model.vector(model.start())
    require(
        cold.ndim == 1 and cold.dtype == np.float32,
        f"vector must be (d,) float32, got {cold.shape} {cold.dtype}",
    )
    require(bool(np.isfinite(cold).all()), "the vector of an empty history must be finite")


def check_history_moves_the_vector(make: MakeUserModel[UserState], events: Sequence[Event]) -> None:
    """What a user did shows."""
    model = make()
    require(
        not np.array_equal(vector(model, events), model.vector(model.start())), "the history left no mark"
    )
    require(bool(np.isfinite(vector(model, events)).all()), "the vector must be finite")


def check_fold_leaves_its_input(make: MakeUserModel[UserState], events: Sequence[Event]) -> None:
    """`fold` gives a new state: the old one still says what it said."""
    model = make()
    half = folded(model, events[: len(events) // 2])
    before = model.vector(half).copy()
    for event in events[len(events) // 2 :]:
        model.fold(half, event)
    require(np.array_equal(before, model.vector(half)), "folding changed the state it was given")


def check_batch_equals_stream(make: MakeUserModel[UserState], events: Sequence[Event]) -> None:
    """Two models that fold the same history, in one go or with pauses for questions, agree to the bit."""
    one, other = make(), make()
    state = other.start()
    for event in events:
        state = other.fold(state, event)
        other.vector(state)
    require(
        np.array_equal(vector(one, events), other.vector(state)), "asking between events changed the vector"
    )


def check_no_look_ahead(make: MakeUserModel[UserState], events: Sequence[Event]) -> None:
    """Changing what comes after t leaves the vector at t as it is."""
    middle = len(events) // 2
    model = make()
    seen = vector(model, events[:middle])
    other = make()
    state = folded(other, events[:middle])
    at_middle = other.vector(state).copy()
    for event in events[middle:]:
        state = other.fold(state, replace(event, time=event.time + timedelta(days=1)))
    require(np.array_equal(seen, at_middle), "the vector depends on what had not happened yet")
    require(
        np.array_equal(vector(make(), events[:middle]), seen), "a model remembers users it should not know"
    )


def check_duplicates_count_once(make: MakeUserModel[UserState], events: Sequence[Event]) -> None:
    """The same event_id again, right away or later, changes nothing."""
    doubled = [event for event in events for _ in range(2)]
    require(
        np.array_equal(vector(make(), events), vector(make(), doubled)),
        "an immediate duplicate counted twice",
    )
    again = [*events, *events[:2]]
    require(np.array_equal(vector(make(), events), vector(make(), again)), "a late duplicate counted twice")


CHECKS_USER_MODEL: tuple[Callable[..., None], ...] = (
    check_cold_start,
    check_history_moves_the_vector,
    check_fold_leaves_its_input,
    check_batch_equals_stream,
    check_no_look_ahead,
    check_duplicates_count_once,
)
