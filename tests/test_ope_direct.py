"""Estimators that ask a model, worked out by hand; and the model itself: what it learns, and from whom."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from honeyguide.checks import estimator as laws
from honeyguide.errors import InvalidInput, MissingExtra, NoSupport
from honeyguide.evaluate.ope import (
    DM,
    DR,
    IPS,
    MRDR,
    SNDR,
    Boosted,
    CascadeDR,
    DRos,
    LeastVariance,
    OffPolicy,
    Ridge,
    SwitchDR,
    ask,
)
from honeyguide.evaluate.ope.model import Lesson, Predict, expected_by
from honeyguide.evaluate.ope.pages import pages_of
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.types import Candidates, Decision, Floats

TIME = datetime(2026, 1, 1, tzinfo=UTC)
FREE: dict[str, Any] = {"min_effective_n": 0.1, "min_mean_weight": 0.0}


class Table(Uniform):
    """Shows two items with the chances in their feature 0."""

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        return candidates.features[:, 0].astype(np.float64)


class Known:
    """A model that expects feature 1, whatever it is taught."""

    def fit(self, lesson: Lesson) -> Predict:
        return lambda features, k: np.tile(features[:, 2], (k, 1))


def logged(user: str, chosen: int, propensity: float, reward: float) -> tuple[Decision, Floats]:
    """One slot of two items; the target shows them in 3 of 4 and 1 of 4, the model expects 0.5 and 0.25."""
    candidates = Candidates(user, ("a", "b"), np.array([[0.75, 0.5], [0.25, 0.25]], dtype=np.float32))
    request = Request(f"{user}-{chosen}-{reward}", TIME)
    made = decide(Uniform(), candidates, k=1, request=request, rng=np.random.default_rng(0))
    pmf = np.where(np.arange(2) == chosen, propensity, 1 - propensity)
    return replace(made, chosen=np.array([chosen]), propensities=np.array([propensity]), pmf=pmf), np.array(
        [reward]
    )


LOG = [logged("ann", 0, 0.25, 1.0), logged("ann", 1, 0.5, 0.0), logged("bob", 0, 0.75, 0.0)]
# weights 3, 1/2 and 1; the model expects 7/16 of the target, and 1/2, 1/4, 1/2 of what was shown
SURPRISE = np.array([0.5, -0.25, -0.5])
EXPECTED = 0.75 * 0.5 + 0.25 * 0.25

BY_HAND: list[tuple[OffPolicy, float]] = [
    (DM(model=Known(), **FREE), EXPECTED),
    (DR(model=Known(), **FREE), EXPECTED + (3 * 0.5 + 0.5 * -0.25 + 1 * -0.5) / 3),
    (SNDR(model=Known(), **FREE), EXPECTED + (3 * 0.5 + 0.5 * -0.25 + 1 * -0.5) / 4.5),
    (DR(model=Known(), clip=2.0, **FREE), EXPECTED + (2 * 0.5 + 0.5 * -0.25 + 1 * -0.5) / 3),
    (SwitchDR(model=Known(), most=1.0, **FREE), EXPECTED + (0.5 * -0.25 + 1 * -0.5) / 3),
    (DRos(model=Known(), shrink=1.0, **FREE), EXPECTED + (0.3 * 0.5 + 0.4 * -0.25 + 0.5 * -0.5) / 3),
    (IPS(**FREE), 3 * 1.0 / 3),
]


@pytest.mark.parametrize(("estimator", "value"), BY_HAND, ids=lambda case: type(case).__name__)
def test_three_rounds_by_hand(estimator: OffPolicy, value: float) -> None:
    decisions, rewards = [one for one, _ in LOG], [earned for _, earned in LOG]
    assert estimator.estimate(decisions, rewards, Table()).value == pytest.approx(value, rel=1e-12)


def test_doubt_widens_by_its_share_of_what_was_not_measured() -> None:
    """Of the weights 3, 1/2 and 1 SWITCH counts 1/2 and 1: what it expects less 1/2 x 1/4 and 1/2, over 3."""
    decisions, rewards = [one for one, _ in LOG], [earned for _, earned in LOG]
    sure, doubting = (
        SwitchDR(model=Known(), most=1.0, doubt=doubt, **FREE).estimate(decisions, rewards, Table())
        for doubt in (0.0, 0.4)
    )
    allowed = 0.4 * (EXPECTED - (0.5 * 0.25 + 1 * 0.5) / 3)
    assert doubting.value == sure.value
    assert (sure.low - doubting.low, doubting.high - sure.high) == pytest.approx((allowed, allowed))


def test_what_shrinks_nothing_is_doubly_robust_and_what_shrinks_all_is_the_model() -> None:
    log = laws.simulate(laws.logger(), 2, seed=3, lift=1.0)

    def value(estimator: OffPolicy) -> float:
        return estimator.estimate(log.decisions, log.rewards, laws.target()).value

    whole, model = value(DR()), value(DM())
    assert value(SwitchDR(most=1e9)) == pytest.approx(whole)
    assert value(DRos(shrink=1e12)) == pytest.approx(whole)
    assert value(DRos(shrink=1e-12, **FREE)) == pytest.approx(model)


@pytest.mark.parametrize("make", [DR, MRDR, SNDR, CascadeDR], ids=lambda make: make.__name__)
def test_the_logged_policy_gains_nothing_over_itself(make: type[OffPolicy]) -> None:
    log = laws.simulate(laws.logger(), 2, seed=4)
    estimator = make()
    answers = [estimator.ask(one, None) for one in log.decisions]
    gain = estimator.gain(log.decisions, log.rewards, answers)
    assert (gain.value, gain.low, gain.high) == pytest.approx((0, 0, 0), abs=1e-9)


def test_a_gain_is_narrower_than_two_estimates_apart() -> None:
    log = laws.simulate(laws.logger(), 2, seed=4, users=40, lift=1.0)
    for estimator in (DR(), DR(interval="bootstrap", resamples=100)):
        answers = [estimator.ask(one, laws.target()) for one in log.decisions]
        found = estimator.judge(log.decisions, log.rewards, answers)
        gain = estimator.gain(log.decisions, log.rewards, answers)
        assert gain.value == pytest.approx(found.value - log.mean)
        assert gain.low < gain.value < gain.high
        served = IPS().estimate(log.decisions, log.rewards, None)
        assert gain.high - gain.low < (found.high - found.low) + (served.high - served.low)


def lesson_of(n: int, rng: np.random.Generator) -> Lesson:
    features = rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1] + [0.0, 50.0, 3.0]
    slot = rng.integers(2, size=n)
    reward = features @ np.array([0.2, 0.03, 1.5]) - 0.4 * slot
    return Lesson(features, features[::-1], slot, reward, rng.exponential(size=n))


def test_ridge_learns_a_line_and_the_level_of_a_slot() -> None:
    rng = np.random.default_rng(0)
    predict = Ridge(penalty=1e-6).fit(lesson_of(200, rng))
    rows = rng.normal(size=(5, 3))
    truth = rows @ np.array([0.2, 0.03, 1.5])
    assert predict(rows, 2) == pytest.approx(np.stack([truth, truth - 0.4]), abs=1e-6)
    assert predict(rows, 3)[2] == pytest.approx(predict(rows, 2)[1])


def test_the_least_variance_model_varies_least() -> None:
    """On what it learned from, no line makes the doubly robust scores of a slot vary less."""
    rng = np.random.default_rng(1)
    lesson = replace(lesson_of(300, rng), reward=rng.random(300))

    def variance(predict: Predict) -> float:
        rows = np.arange(300)
        shown, average = (predict(part, 2)[lesson.slot, rows] for part in (lesson.features, lesson.average))
        scores = average + lesson.weight * (lesson.reward - shown)
        return float(sum(scores[lesson.slot == slot].var() * (lesson.slot == slot).sum() for slot in (0, 1)))

    least = variance(LeastVariance(penalty=1e-9).fit(lesson))
    assert least < variance(Ridge(penalty=1e-9).fit(lesson))
    for _ in range(20):
        other = replace(lesson, reward=lesson.reward + 0.05 * rng.normal(size=300))
        assert least <= variance(LeastVariance(penalty=1e-9).fit(other)) + 1e-9


def test_trees_learn_what_no_line_can() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(600, 2))
    reward = (np.abs(features[:, 0]) > 0.7).astype(np.float64)
    lesson = Lesson(features, features, np.zeros(600, dtype=np.int64), reward, np.ones(600))
    trees, line = (model.fit(lesson)(features, 1)[0] for model in (Boosted(iterations=30), Ridge()))
    assert np.mean((trees - reward) ** 2) < 0.3 * np.mean((line - reward) ** 2)
    assert Boosted(iterations=30).fit(lesson)(features, 2).shape == (2, 600)


def test_trees_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtra, match="train"):
        Boosted().fit(lesson_of(20, np.random.default_rng(0)))


def test_nobody_is_judged_by_a_model_that_saw_them() -> None:
    """Other rewards of one user change what is expected of others, and nothing of the user's own pages."""
    log = laws.simulate(laws.logger(), 2, seed=6)
    answers = [ask(one, laws.target()) for one in log.decisions]
    weights = [answer.weight for answer in answers]
    luckier = [
        earned + (one.user_id == "user-3") for one, earned in zip(log.decisions, log.rewards, strict=True)
    ]
    plain, other = (
        expected_by(Ridge(), pages_of(log.decisions, rewards, weights), log.decisions, answers)
        for rewards in (log.rewards, luckier)
    )
    mine = np.repeat([one.user_id == "user-3" for one in log.decisions], 2)
    for before, after in zip(plain, other, strict=True):
        assert np.array_equal(before[mine], after[mine])
        assert not np.array_equal(before[~mine], after[~mine])


def test_one_user_is_nobody_to_learn_from() -> None:
    log = laws.simulate(laws.logger(), 1, seed=6)
    alone = [replace(one, user_id="ann") for one in log.decisions]
    for estimator in (DR(), CascadeDR()):
        with pytest.raises(NoSupport, match="one user"):
            estimator.estimate(alone, log.rewards, laws.target())


BAD = [
    ("doubt", lambda: DM(doubt=-0.1)),
    ("most", lambda: SwitchDR(most=-1.0)),
    ("shrink", lambda: DRos(shrink=0.0)),
    ("penalty", lambda: Ridge(penalty=0.0)),
    ("bernstein", lambda: DR(interval="bernstein")),
]


@pytest.mark.parametrize(("said", "make"), BAD)
def test_settings_out_of_range_are_refused(said: str, make: Any) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()


def test_bernstein_bounds_one_slot_and_no_differences() -> None:
    log = laws.simulate(laws.logger(), 2, seed=4)
    estimator = IPS(interval="bernstein")
    answers = [estimator.ask(one, laws.target()) for one in log.decisions]
    with pytest.raises(InvalidInput, match="slots=1"):
        estimator.judge(log.decisions, log.rewards, answers)
    with pytest.raises(InvalidInput, match="no differences"):
        estimator.gain(log.decisions, log.rewards, answers)
