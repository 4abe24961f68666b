"""Every policy keeps the laws; a new one in `explore` cannot opt out."""

import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.checks.policy import (
    CHECKS_LEARNING,
    CHECKS_POLICY,
    DIM,
    N,
    PolicyCheck,
    page,
    reward_of,
    train,
    world,
)
from honeyguide.errors import InvalidInput
from honeyguide.explore import baselines, thompson, tradeoff
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.explore.ledger import Ledger
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import LEVELS, Outlook, Tradeoff, choose_level
from honeyguide.types import Plan, Policy


def posterior(dim: int) -> UserPosterior:
    return UserPosterior(Prior.isotropic(dim))


MAKES: dict[str, Callable[[int], Policy]] = {
    "Uniform": lambda dim: Uniform(),
    "Ranked": lambda dim: Ranked(0, floor=0.05),
    "Thompson-0": lambda dim: Thompson(posterior(dim), level=0.0, floor=0.05, draws=32),
    "Thompson-1": lambda dim: Thompson(posterior(dim), level=1.0, floor=0.05, draws=64),
    "Tradeoff": lambda dim: Tradeoff(posterior(dim), epsilon=0.1, page_size=3, floor=0.05, draws=64),
}
FORGETFUL = {"Uniform", "Ranked"}
CASES = [
    pytest.param(make, check, id=f"{name}:{check.__name__}")
    for name, make in MAKES.items()
    for check in (*CHECKS_POLICY, *(() if name in FORGETFUL else CHECKS_LEARNING))
]


@pytest.mark.parametrize(("make", "check"), CASES)
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def test_every_policy_is_checked() -> None:
    found = {
        name
        for module in (baselines, thompson, tradeoff)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if hasattr(kind, "probabilities") and kind.__module__ == module.__name__
    }
    assert found == {type(make(DIM)).__name__ for make in MAKES.values()}


def test_a_decision_can_be_recomputed_from_its_id() -> None:
    policy = MAKES["Thompson-1"](DIM)
    one, other = (
        decide(policy, world(), k=3, request=Request("d-1", TIME_OF_DAY), rng=stream(7, "d-1"))
        for _ in range(2)
    )
    assert one.item_ids == other.item_ids
    assert np.array_equal(one.propensities, other.propensities)
    assert stream(7, "d-1").random() != stream(7, "d-2").random() != stream(8, "d-2").random()


TIME_OF_DAY = page(Uniform(), world(), 0).time


@pytest.mark.parametrize("k", [0, -1, N + 1])
def test_a_page_is_at_least_one_and_at_most_all_candidates(k: int) -> None:
    with pytest.raises(InvalidInput, match="k must be in"):
        page(Uniform(), world(), 0, k=k)


def test_exploit_only_shows_the_best_page_but_for_the_floor() -> None:
    policy = MAKES["Thompson-0"](DIM)
    train(policy, 100)
    shown = [page(policy, world(), seed) for seed in range(200)]
    explored = np.mean([decision.explored.mean() for decision in shown])
    assert explored < 0.05


def outlook(value: list[float], resolved: list[float], regret: float) -> Outlook:
    pad = len(LEVELS) - len(value)
    return Outlook(np.array(value + value[-1:] * pad), np.array(resolved + resolved[-1:] * pad), regret)


def test_the_controller_exploits_where_there_is_nothing_to_learn() -> None:
    plan = choose_level(outlook([2.0, 1.99], [0.5, 0.5], 1.0), np.zeros(3), 100.0, 1.0, 0.1)
    assert plan.level == 0.0


def test_the_controller_exploits_for_a_user_who_will_not_be_back() -> None:
    promising = outlook([2.0, 1.99], [0.1, 0.5], 1.0)
    assert choose_level(promising, np.zeros(3), 1.0, 1.0, 0.1).level == 0.0
    assert choose_level(promising, np.zeros(3), 50.0, 1.0, 0.1).level > 0.0


def test_the_controller_stops_where_exploring_was_measured_not_to_pay() -> None:
    promising = outlook([2.0, 1.99], [0.1, 0.5], 1.0)
    assert choose_level(promising, np.zeros(3), 50.0, 0.0, 0.1).level == 0.0


def test_no_level_may_cost_more_than_epsilon() -> None:
    costly = outlook([2.0, 1.7, 1.2], [0.1, 0.9, 1.0], 1.0)
    assert choose_level(costly, np.zeros(3), 1e6, 1.0, 0.1).level == 0.0
    assert choose_level(costly, np.zeros(3), 1e6, 1.0, 0.2).level == LEVELS[1]


def test_exploring_stops_while_earnings_are_below_the_promise() -> None:
    policy = Tradeoff(posterior(DIM), epsilon=0.05, page_size=3, floor=0.05, draws=64)
    candidates = world()
    for seed in range(60):  # promised well, earned nothing
        decision = page(policy, candidates, seed)
        policy.update(decision, reward_of(decision))
    for seed in range(60, 400):
        decision = page(policy, candidates, seed)
        policy.update(decision, np.zeros(3))
    plan = policy.plan(candidates)
    assert plan.level == 0.0
    assert "promised" in plan.reason or "exploit-only" in plan.reason


def test_the_ledger_measures_what_exploring_earned() -> None:
    generous, miserly = Ledger(), Ledger()
    for seed in range(200):
        decision = page(MAKES["Uniform"](DIM), world(seed), seed)
        decision = replace(decision, plan=Plan(0.5, "", np.linspace(0.5, 0.1, N)))
        promise = decision.plan.scores[decision.chosen]
        generous.add(decision, np.where(decision.explored, promise * 1.5, promise))
        miserly.add(decision, np.where(decision.explored, 0.0, promise))
    assert generous.totals.payoff > 1.2
    assert miserly.totals.payoff < 0.5
    assert Ledger().totals.payoff == 1.0
