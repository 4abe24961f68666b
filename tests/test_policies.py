"""Every policy keeps the laws; a new one in `explore` cannot opt out."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest

from honeyguide import explore
from honeyguide.checks.policy import DIM, N, PolicyCheck, page, train, world
from honeyguide.errors import InvalidInput
from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.explore.ledger import Ledger
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import LEVELS, Outlook, Tradeoff, choose_level
from honeyguide.types import Plan, Policy
from tests.policy_cases import cases, is_protocol, posterior
from tests.test_policies_capped import MAKES as CAPPED
from tests.test_policies_closed_form import MAKES as IN_CLOSED_FORM
from tests.test_policies_dpp import MAKES as OF_VOLUMES
from tests.test_policies_drawn import MAKES as DRAWN
from tests.test_policies_levels import MAKES as OF_LEVELS
from tests.test_policies_pages import MAKES as OF_PAGES

MAKES: dict[str, Callable[[int], Policy]] = {
    "Thompson-0": lambda dim: Thompson(posterior(dim), level=0.0, floor=0.05, draws=32),
    "Thompson-1": lambda dim: Thompson(posterior(dim), level=1.0, floor=0.05, draws=64),
    "Tradeoff": lambda dim: Tradeoff(posterior(dim), epsilon=0.1, page_size=3, floor=0.05, draws=64),
}
FORGETFUL: dict[str, Callable[[int], Policy]] = {
    "Uniform": lambda dim: Uniform(),
    "Ranked": lambda dim: Ranked(0, floor=0.05),
}


@pytest.mark.parametrize(("make", "check"), [*cases(MAKES), *cases(FORGETFUL, learns=False)])
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def test_every_policy_is_checked() -> None:
    modules = [import_module(f"{explore.__name__}.{each.name}") for each in iter_modules(explore.__path__)]
    found = {
        name
        for module in modules
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if hasattr(kind, "probabilities") and kind.__module__ == module.__name__ and not is_protocol(kind)
    }
    makes = {**MAKES, **FORGETFUL, **CAPPED, **IN_CLOSED_FORM, **DRAWN, **OF_LEVELS, **OF_PAGES, **OF_VOLUMES}
    assert found == {type(make(DIM)).__name__ for make in makes.values()}


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
    return Outlook(np.array(value + value[-1:] * pad), regret * np.array(resolved + resolved[-1:] * pad))


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
    for seed in range(300):  # explored slots were promised as much as the others, and earn nothing
        decision = page(Uniform(), world(seed), seed)
        decision = replace(decision, plan=Plan(0.5, "", np.linspace(0.55, 0.45, N)))
        policy.ledger.add(decision, np.where(decision.explored, 0.0, decision.plan.scores[decision.chosen]))
    plan = policy.plan(world())
    assert plan.level == 0.0
    assert "below the promised 95%" in plan.reason


def test_luck_alone_does_not_end_exploring() -> None:
    ledger = Ledger()
    for seed in range(300):
        decision = page(Uniform(), world(seed), seed)
        decision = replace(decision, plan=Plan(0.5, "", np.linspace(0.55, 0.45, N)))
        ledger.add(decision, decision.plan.scores[decision.chosen])
    assert ledger.totals.shortfall(0.05) < 0


@pytest.mark.parametrize("too_good", [1.0, 1.7, 2.5])
@pytest.mark.parametrize("pages", [1, 10, 100])
def test_pages_that_only_exploit_are_never_below_the_promise_however_good_it_was(
    too_good: float, pages: int
) -> None:
    ledger = Ledger()
    for seed in range(pages):
        scores = np.linspace(0.3, 0.1, N)
        decision = page(FORGETFUL["Uniform"](DIM), world(seed), seed)
        decision = replace(decision, chosen=np.arange(3), plan=Plan(0.0, "", scores))
        ledger.add(decision, scores[:3] / too_good)
    assert ledger.totals.shortfall(0.05) < 0


def test_the_pay_off_does_not_depend_on_how_seldom_anything_is_earned() -> None:
    found = []
    for seldom in (1.0, 0.01):
        ledger = Ledger()
        for seed in range(100):
            decision = page(FORGETFUL["Uniform"](DIM), world(seed), seed)
            decision = replace(decision, plan=Plan(0.5, "", seldom * np.linspace(0.5, 0.1, N)))
            promise = decision.plan.scores[decision.chosen]
            ledger.add(decision, np.where(decision.explored, promise * 0.5, promise))
        found.append(ledger.totals.payoff)
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert 0.5 < found[0] < 0.8


def test_the_reason_says_when_the_promise_held_a_level_back() -> None:
    promising = outlook([2.0, 1.95, 1.2], [0.1, 0.5, 1.0], 5.0)
    plan = choose_level(promising, np.zeros(3), 50.0, 1.0, 0.1)
    assert plan.level == LEVELS[1]
    assert "held by the promised 90%" in plan.reason


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Thompson(posterior(2), level=-0.1, floor=0.1, draws=8), "level"),
        (lambda: Thompson(posterior(2), level=np.nan, floor=0.1, draws=8), "level"),
        (lambda: Thompson(posterior(2), level=1.0, floor=0.1, draws=1), "draws"),
        (lambda: Thompson(posterior(2), level=1.0, floor=0.0, draws=8), "floor"),
        (lambda: Ranked(0, floor=1.5), "floor"),
        (lambda: Tradeoff(posterior(2), epsilon=1.5, page_size=3, floor=0.1, draws=8), "epsilon"),
    ],
)
def test_a_policy_refuses_settings_that_make_no_sense(make: Callable[[], Policy], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()


def test_every_shown_item_is_explained_by_what_it_is() -> None:
    decision = decide(
        MAKES["Thompson-1"](DIM),
        world(),
        k=3,
        request=Request("d", TIME_OF_DAY),
        rng=stream(0, "d"),
        explain=lambda row, explored: f"row {row}{' explored' if explored else ''}",
    )
    flags = zip(decision.chosen, decision.explored, strict=True)
    assert decision.why == tuple(f"row {row}{' explored' if explored else ''}" for row, explored in flags)


def test_the_ledger_measures_what_exploring_earned() -> None:
    generous, miserly = Ledger(), Ledger()
    for seed in range(200):
        decision = page(FORGETFUL["Uniform"](DIM), world(seed), seed)
        decision = replace(decision, plan=Plan(0.5, "", np.linspace(0.5, 0.1, N)))
        promise = decision.plan.scores[decision.chosen]
        generous.add(decision, np.where(decision.explored, promise * 1.5, promise))
        miserly.add(decision, np.where(decision.explored, 0.0, promise))
    policy = MAKES["Tradeoff"](DIM)
    assert isinstance(policy, Tradeoff)
    policy.ledger = generous
    assert policy.totals().payoff == generous.totals.payoff > 1.2
    assert miserly.totals.payoff < 0.5
    assert Ledger().totals.payoff == 1.0
