"""Every estimator keeps the laws; and what those laws leave open of IPS and SNIPS."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.checks import estimator as laws
from honeyguide.checks.estimator import EstimatorCheck, Log, check_estimator, checks_for
from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.evaluate import ope
from honeyguide.evaluate.ope import (
    IPS,
    PI,
    SNIPS,
    Answer,
    OffPolicy,
    ask,
    estimator,
    importance_weights,
    kish,
)
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import stream
from honeyguide.types import Candidates, Decision, Estimate, Estimator, Floats, Plan, Policy

BOTH = pytest.mark.parametrize("make", [IPS, SNIPS])
Make = Callable[..., Any]


ESTIMATORS = [kind for kind in vars(ope).values() if isinstance(kind, type) and issubclass(kind, OffPolicy)]
SLOW = (laws.check_interval_coverage, laws.check_value_is_exact_on_a_complete_log)
CASES = [
    pytest.param(
        make,
        check,
        id=f"{make.__name__}:{check.__name__}",
        marks=[pytest.mark.slow] if make is PI or (check in SLOW and make not in (IPS, SNIPS)) else [],
    )
    for make in ESTIMATORS
    if make is not OffPolicy
    for check in checks_for(make)
]


@pytest.fixture(scope="module", autouse=True)
def _ask_once() -> Iterator[None]:
    """The laws put the same questions for every estimator; a target's answers do not change."""
    answers: dict[tuple[object, ...], Answer] = {}

    def remembered(decision: Decision, target: Policy | None, *, seed: int, whole: bool) -> Answer:
        log = (decision.pmf, decision.chosen, decision.propensities, decision.plan.scores)
        settings = tuple(sorted((name, str(value)) for name, value in vars(target).items())) if target else ()
        key = (decision.decision_id, type(target), settings, seed, whole, *(part.tobytes() for part in log))
        if key not in answers:
            answers[key] = ask(decision, target, seed=seed, whole=whole)
        return answers[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimator, "ask", remembered)
        yield


@pytest.mark.parametrize(("make", "check"), CASES)
def test_estimator_keeps_the_law(make: Callable[[], Estimator], check: EstimatorCheck) -> None:
    check(make)


def test_the_suite_runs_every_law(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(
        laws, "CHECKS_ESTIMATOR", (lambda make: ran.append("one"), lambda make: ran.append("two"))
    )
    check_estimator(IPS)
    assert ran == ["one", "two"]


def test_every_estimator_is_checked() -> None:
    """Those of the package are found by looking; one that is not offered would not be."""
    written = set()
    for file in Path(ope.__path__[0]).glob("*.py"):
        module = import_module(f"{ope.__name__}.{file.stem}")
        written |= {
            kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, OffPolicy)
        }
    assert {kind for kind in written if not kind.__name__.startswith("_")} == set(ESTIMATORS)
    assert len(ESTIMATORS) == 13


def small_log(k: int = 2, users: int = 12) -> Log:
    return laws.simulate(laws.logger(), k, seed=5, users=users)


@BOTH
def test_no_target_means_the_logged_policy(make: Make) -> None:
    log = small_log()
    found = make().estimate(log.decisions, log.rewards, None)
    assert found.value == pytest.approx(log.mean, rel=1e-12)
    assert found.effective_n == found.n == len(log.decisions)


def test_on_policy_both_estimators_have_one_interval_also_for_pages_of_different_lengths() -> None:
    one, two = small_log(1), small_log(2)
    renamed = tuple(
        replace(decision, decision_id="two/" + decision.decision_id) for decision in two.decisions
    )
    decisions, rewards = (*one.decisions, *renamed), (*one.rewards, *two.rewards)
    ips, snips = (make().estimate(decisions, rewards, None) for make in (IPS, SNIPS))
    for name in ("value", "low", "high", "effective_n"):
        assert getattr(ips, name) == pytest.approx(getattr(snips, name), rel=1e-9)


@BOTH
def test_a_page_of_a_constant_reward_has_no_uncertainty_about_the_logged_policy(make: Make) -> None:
    log = small_log()
    found = make().estimate(log.decisions, [np.full(2, 0.25)] * len(log.decisions), None)
    assert found.low == pytest.approx(found.value) == pytest.approx(found.high) == pytest.approx(0.5)


def test_snips_does_not_depend_on_where_zero_is() -> None:
    log, target = small_log(), laws.target()
    shifted = [earned + 10 for earned in log.rewards]
    found, moved = (SNIPS().estimate(log.decisions, rewards, target) for rewards in (log.rewards, shifted))
    assert moved.value == pytest.approx(found.value + 20)
    assert moved.high - moved.low == pytest.approx(found.high - found.low)


@BOTH
def test_the_interval_widens_with_its_level(make: Make) -> None:
    log, target = small_log(), laws.target()
    narrow, wide = (make(level=level).estimate(log.decisions, log.rewards, target) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value == wide.value < narrow.high < wide.high


def test_clipping_lowers_ips_narrows_it_and_makes_the_weights_more_even() -> None:
    log, target = small_log(), laws.target()
    plain, clipped = (IPS(clip=clip).estimate(log.decisions, log.rewards, target) for clip in (None, 1.0))
    assert clipped.value < plain.value
    assert clipped.high - clipped.low < plain.high - plain.low
    assert clipped.effective_n > plain.effective_n
    unreached = IPS(clip=100.0).estimate(log.decisions, log.rewards, target)
    assert unreached == plain


@BOTH
def test_the_first_slots_of_a_page_are_a_page_of_their_own(make: Make) -> None:
    """What stands below a slot says nothing about it: neither its value nor its support."""
    log = small_log(3)
    tops = tuple(replace(one.only([0, 1]), page_size=2) for one in log.decisions)
    top = make(slots=2).estimate(log.decisions, log.rewards, laws.target())
    assert top == make().estimate(tops, [earned[:2] for earned in log.rewards], laws.target())
    whole = make().estimate(log.decisions, log.rewards, laws.target())
    assert make(slots=3).estimate(log.decisions, log.rewards, laws.target()) == whole


@BOTH
def test_one_user_is_no_sample_of_users(make: Make) -> None:
    log = small_log()
    decisions = [replace(decision, user_id="ann") for decision in log.decisions]
    with pytest.raises(NoSupport, match="one user"):
        make().estimate(decisions, log.rewards, None)


@BOTH
def test_the_effective_sample_size_has_to_reach_the_stated_minimum(make: Make) -> None:
    log, target = small_log(), laws.target()
    reached = make().estimate(log.decisions, log.rewards, target).effective_n
    with pytest.raises(NoSupport, match="min_effective_n"):
        make(min_effective_n=reached * 1.001).estimate(log.decisions, log.rewards, target)
    assert (
        make(min_effective_n=reached * 0.999).estimate(log.decisions, log.rewards, target).effective_n
        == reached
    )


def test_a_position_that_no_page_supports_has_no_mean() -> None:
    log = small_log(1)
    long = replace(small_log(2).decisions[0], decision_id="long")
    decisions, rewards = (*log.decisions, long), (*log.rewards, np.zeros(2))
    with pytest.raises(NoSupport, match="position 2"):
        SNIPS().estimate(decisions, rewards, _Never(long.item_ids[1]))


class _Never(Uniform):
    """Uniform in the first slot; never shows one item in the second."""

    def __init__(self, item: str) -> None:
        self.item = item

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        left = np.array([item != self.item for item in candidates.item_ids], dtype=np.float64)
        if len(candidates) == 4:
            return np.full(4, 0.25)
        return np.asarray(left / left.sum())


@BOTH
def test_what_is_no_log_of_whole_pages_is_refused(make: Make) -> None:
    log = small_log()
    part = log.decisions[0].only([0])
    with pytest.raises(InvalidInput, match="1 of 2 slots"):
        make().estimate([part, *log.decisions[1:]], [log.rewards[0][:1], *log.rewards[1:]], None)
    with pytest.raises(InvalidInput, match="twice"):
        make().estimate([*log.decisions, log.decisions[0]], [*log.rewards, log.rewards[0]], None)


@pytest.mark.parametrize(
    "settings",
    [
        {"level": 0.0},
        {"level": 1.0},
        {"min_effective_n": 0.0},
        {"clip": 0.0},
        {"clip": float("nan")},
        {"slots": 0},
        {"min_mean_weight": -1.0},
        {"interval": "wald"},
        {"resamples": 1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        IPS(**settings)


def test_weights_average_one_for_every_position() -> None:
    weights = np.array([importance_weights(one, laws.target()) for one in laws.complete_log(2).decisions])
    assert weights.mean(axis=0) == pytest.approx([1, 1])


class _AsksForLevel(Uniform):
    def __init__(self) -> None:
        self.levels: list[float | None] = []

    def plan(self, candidates: Candidates) -> Plan:
        return Plan(0.1 * len(candidates), "as wide as there are candidates", np.zeros(len(candidates)))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        self.levels.append(level)
        return super().probabilities(candidates, rng, level=level)


def test_the_target_is_asked_as_the_sampler_would_ask_it() -> None:
    """One plan per page: its level holds for every slot, as in `decide`."""
    target = _AsksForLevel()
    importance_weights(small_log(3).decisions[0], target)
    assert target.levels == [0.4, 0.4, 0.4]


class _Draws(Uniform):
    def __init__(self) -> None:
        self.drawn: list[float] = []

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        self.drawn.append(rng.random())
        return super().probabilities(candidates, rng, level=level)


def test_the_target_draws_from_a_stream_of_its_own_that_can_be_recomputed() -> None:
    decision = small_log(1).decisions[0]
    target = _Draws()
    for seed in (0, 0, 1):
        importance_weights(decision, target, seed=seed)
    assert target.drawn[0] == target.drawn[1] != target.drawn[2]
    assert target.drawn[0] != stream(0, decision.decision_id).random()


def test_kish_counts_equal_weights_in_full_and_no_weights_as_nothing() -> None:
    assert kish(np.full(7, 0.3)) == pytest.approx(7)
    assert kish(np.zeros(3)) == 0
    assert 1 < kish(np.array([1.0, 0.2])) < 2


def test_a_target_that_is_floored_like_the_log_is_answered() -> None:
    log = laws.simulate(Uniform(), 1, seed=3, users=30)
    found = SNIPS().estimate(log.decisions, log.rewards, Ranked(1, floor=0.1))
    assert isinstance(found, Estimate)
    assert found.low <= laws.true_value(Ranked(1, floor=0.1), 1) <= found.high
