"""Which interests a user has, which comes next, and whether the chances can be believed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gamma

from honeyguide.errors import InvalidInput
from honeyguide.interests.classify import classify
from honeyguide.interests.forecast import (
    Forecast,
    ForecastQuality,
    calibration_error,
    forecast_quality,
    learn_forecast,
)
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.memory import Memory
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.transitions import Transitions
from honeyguide.interests.users import DAY_US, History
from tests.test_sequence_memory import untaught

LEAF = np.array([0, 0, 1, 1, 2, 2])  # six items, three interests


def journeys(users: int, seed: int = 0) -> tuple[Sequences, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Users who mostly go from interest a to a + 1, and what each takes next."""
    rng = np.random.default_rng(seed)
    at = rng.integers(0, 3, users)
    items, lengths = [], rng.integers(1, 5, users)
    targets = np.zeros(users, dtype=np.int64)
    for user in range(users):
        place = at[user]
        for _ in range(lengths[user]):
            items.append(2 * place + rng.integers(0, 2))
            place = (place + 1) % 3 if rng.random() < 0.7 else rng.integers(0, 3)
        targets[user] = 2 * place + rng.integers(0, 2)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Sequences.of_items(np.array(items, dtype=np.int64), starts), targets


def test_transitions_are_smoothed_shares_of_what_followed() -> None:
    log = Sequences.of_items(np.array([0, 2, 1, 3]), np.array([0, 2, 4]))
    found = Transitions.of(log, LEAF, 3, smoothing=1.0)
    assert found.base == pytest.approx([3 / 7, 3 / 7, 1 / 7])
    assert found.chances[0] == pytest.approx([3 / 21, 2 / 3 + 3 / 21, 1 / 21])
    assert found.chances[2] == pytest.approx(found.base)  # nobody was there: what is usual


def test_where_somebody_goes_sums_to_one_and_new_ground_is_new() -> None:
    found = Transitions.of(journeys(200)[0], LEAF, 3)
    for here in ([], [0], [0, 1], [2, 2, 0]):
        assert found.after(np.array(here, dtype=np.int64)).sum() == pytest.approx(1)
        new = found.to_new(np.array(here, dtype=np.int64))
        assert new.sum() == pytest.approx(1)
        assert not new[here].any()
    assert not found.to_new(np.array([0, 1, 2])).any()
    assert found.lift()[0, 1] > 1.3
    assert found.after(np.array([0]))[1] > found.after(np.array([1]))[1]


def learned(users: int = 600) -> tuple[Forecast, SequenceModel, ForecastQuality | None]:
    sequences, targets = journeys(users)
    model = SequenceModel(untaught(), Memory.of(sequences, 6))
    transitions = Transitions.of(sequences, LEAF, 3)
    forecast, quality = learn_forecast(model, transitions, LEAF, sequences, targets)
    return forecast, model, quality


def test_the_forecast_is_calibrated_and_better_than_what_is_usual() -> None:
    forecast, model, quality = learned()
    assert quality is not None
    assert quality.ece < 0.1
    assert quality.new_ece < 0.1
    assert quality.log_loss < 0.9 * quality.usual_log_loss
    fresh, targets = journeys(400, seed=5)
    chances = forecast.chances(model, fresh)
    assert chances.sum(axis=1) == pytest.approx(np.ones(400))
    assert (chances.argmax(axis=1) == LEAF[targets]).mean() > 0.55  # by chance: a third
    assert calibration_error(chances.max(axis=1), chances.argmax(axis=1) == LEAF[targets]) < 0.1


def test_a_stranger_has_a_forecast() -> None:
    forecast, model, _ = learned()
    nobody = Sequences.of_items(np.empty(0, dtype=np.int64), np.array([0, 0]))
    assert forecast.chances(model, nobody).sum() == pytest.approx(1)


def test_the_state_is_the_forecast() -> None:
    forecast, model, _ = learned(100)
    again = Forecast.from_state(forecast.state())
    sequences, _ = journeys(10, seed=2)
    assert np.array_equal(again.chances(model, sequences), forecast.chances(model, sequences))


def test_quality_is_as_worked_out_by_hand() -> None:
    chances = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    known = np.array([[True, False, False], [False, True, True]])
    found = forecast_quality(chances, known, np.array([0.5, 0.3, 0.2]), np.array([1, 1]))
    assert (found.users, found.new_users) == (2, 1)
    assert (found.top_1, found.top_3) == (0.5, 1.0)
    assert found.log_loss == pytest.approx(-np.log([0.3, 0.5]).mean())
    # the first was said to go to a new interest by 0.4 and did, the second by 0.2 and did not
    assert found.new_ece == pytest.approx((0.6 + 0.2) / 2)
    assert found.ece == pytest.approx((0.6 + 0.5) / 2)


def test_too_few_users_are_not_judged_and_none_are_refused() -> None:
    sequences, targets = journeys(12)
    model, transitions = SequenceModel(untaught()), Transitions.of(sequences, LEAF, 3)
    assert learn_forecast(model, transitions, LEAF, sequences, targets)[1] is None
    with pytest.raises(InvalidInput, match="at least one user"):
        learn_forecast(model, transitions, LEAF, sequences.of_users(targets[:0]), targets[:0])


def history(*taken: tuple[int, int, int]) -> History:
    rows, weight, day = (np.array(column, dtype=np.int64) for column in zip(*taken, strict=True))
    return History.of(rows, 1000 * weight, day * DAY_US)


def test_an_interest_is_what_is_surely_more_than_usual() -> None:
    base = np.array([0.5, 0.3, 0.2])
    found = classify(history((2, 6, 10), (3, 4, 12), (0, 1, 3)), LEAF, base)
    assert [one.leaf for one in found] == [1]
    assert found[0].surely == pytest.approx(1 - gamma(5 * 0.3 + 10, scale=1 / 16).cdf(0.3))
    assert found[0].lift == pytest.approx((1.5 + 10) / (16 * 0.3))
    assert found[0].evidence == (2, 3)
    assert found[0].events_us == (10 * DAY_US, 12 * DAY_US)


def test_one_event_says_little_and_several_interests_are_several() -> None:
    base = np.array([0.4, 0.4, 0.2])
    assert classify(history((0, 1, 1)), LEAF, base) == ()
    even = np.array([1 / 3, 1 / 3, 1 / 3])
    both = classify(history((0, 40, 1), (2, 40, 1)), LEAF, even)
    assert sorted(one.leaf for one in both) == [0, 1]
    with pytest.raises(InvalidInput, match="least"):
        classify(history((0, 1, 1)), LEAF, base, least=1.0)
