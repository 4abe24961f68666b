"""Pages whose slots depend on each other keep exact propensities: pins, and what is alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honeyguide.checks.policy import (
    DIM,
    TIME,
    LawBroken,
    N,
    PolicyCheck,
    equal_states,
    page,
    pmf_of,
    reward_of,
    train,
    world,
)
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.ope import importance_weights
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.closed_form import EpsilonGreedy, LinUCB, Softmax, SquareCB
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.diverse import Diverse, Inner
from honeyguide.explore.feelgood import FeelGood
from honeyguide.explore.interest_first import InterestFirst
from honeyguide.explore.page import rest
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.retrieve.diversity import Limits, Mmr, choose
from honeyguide.types import Candidates, Decision, Floats, Policy
from tests.policy_cases import cases, posterior

FLOOR = 0.1


def fresh() -> UserPosterior:
    return UserPosterior(Prior.isotropic(DIM))


INNER: dict[str, Callable[[], Inner]] = {
    "EpsilonGreedy": lambda: EpsilonGreedy(fresh(), epsilon=0.2, floor=FLOOR),
    "Softmax": lambda: Softmax(fresh(), temperature=0.2, floor=FLOOR),
    "LinUCB": lambda: LinUCB(fresh(), alpha=1.0, floor=FLOOR),
    "SquareCB": lambda: SquareCB(fresh(), gamma=20.0, floor=FLOOR),
    "Thompson": lambda: Thompson(fresh(), level=0.5, floor=FLOOR, draws=32),
    "FeelGood": lambda: FeelGood(fresh(), optimism=1.0, floor=FLOOR, draws=32),
    "InterestFirst": lambda: InterestFirst(fresh(), level=0.5, floor=FLOOR, draws=32),
    "Tradeoff": lambda: Tradeoff(fresh(), epsilon=0.1, page_size=3, floor=FLOOR, draws=32),
}


def pinned(policy: Policy, pins: dict[int, int], *, k: int = 4, seed: int = 0, **more: Any) -> Decision:
    request = Request(f"d-{seed}", TIME)
    rng = np.random.default_rng(seed)
    return decide(policy, world(), k=k, request=request, rng=rng, pins=pins, **more)


def greedy(floor: float = FLOOR) -> Thompson:
    policy = Thompson(fresh(), level=0.0, floor=floor, draws=2)
    train(policy, 20)
    return policy


MAKES: dict[str, Callable[[int], Policy]] = {
    "Diverse": lambda dim: Diverse(
        Thompson(posterior(dim), level=0.5, floor=0.05, draws=64), diversity=0.3, like=(1, dim)
    ),
}


@pytest.mark.parametrize(("make", "check"), cases(MAKES))
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def test_a_pin_stands_in_its_slot_for_certain_and_nowhere_else() -> None:
    for seed in range(30):
        decision = pinned(Uniform(), {2: 5, 0: 9}, seed=seed)
        assert decision.chosen[[0, 2]].tolist() == [9, 5]
        assert decision.propensities == pytest.approx([1.0, 1 / 10, 1.0, 1 / 9])
        assert decision.pinned.tolist() == [True, False, True, False]
        assert decision.pmf[[5, 9]].tolist() == [0.0, 0.0]
        assert decision.pmf.sum() == pytest.approx(1.0)
        assert decision.only([3, 0]).pinned.tolist() == [False, True]


def test_inverse_propensities_of_what_is_drawn_beside_pins_add_up() -> None:
    policy = Thompson(fresh(), level=1.0, floor=FLOOR, draws=16)
    train(policy, 3)
    pairs = np.array([1 / pinned(policy, {1: 3}, k=3, seed=seed).propensities.prod() for seed in range(1500)])
    error = 5 * pairs.std() / np.sqrt(len(pairs))
    assert pairs.mean() == pytest.approx(
        11 * 10, abs=error
    )  # ordered pairs of the eleven that are not pinned


def test_what_is_pinned_is_no_exploring_and_the_exploit_only_page_has_it_too() -> None:
    policy = greedy()
    scores = policy.plan(world()).scores
    order = np.argsort(-scores, kind="stable").tolist()
    worst, best = order[-1], order[0]
    decision = pinned(policy, {1: worst, 3: best})
    assert decision.exploit_rows.tolist() == [order[1], worst, order[2], best]
    assert not decision.explored[[1, 3]].any()
    assert pinned(policy, {}).exploit_rows.tolist() == order[:4]


def test_a_pin_is_explained_as_one() -> None:
    decision = pinned(greedy(), {1: 4}, k=2, explain=lambda row, explored: f"row {row}")
    assert decision.why == (f"row {decision.chosen[0]}", "put here by the shop")


def test_a_page_may_be_pinned_altogether() -> None:
    decision = pinned(Uniform(), {0: 3, 1: 1}, k=2)
    assert (decision.chosen.tolist(), decision.propensities.tolist()) == ([3, 1], [1.0, 1.0])
    assert not decision.pmf.any()


def test_without_pins_a_page_is_what_it_was() -> None:
    policy = INNER["Thompson"]()
    one, other = pinned(policy, {}), page(policy, world(), 0, k=4)
    assert np.array_equal(one.chosen, other.chosen)
    assert np.array_equal(one.propensities, other.propensities)


@pytest.mark.parametrize("pins", [{4: 0}, {-1: 0}, {0: N}, {0: -1}, {0: 1, 1: 1}])
def test_pins_that_fit_no_page_are_refused(pins: dict[int, int]) -> None:
    with pytest.raises(InvalidInput, match="pin"):
        pinned(Uniform(), pins)


def test_a_pin_with_another_propensity_is_no_decision() -> None:
    decision = pinned(Uniform(), {0: 2})
    with pytest.raises(InvalidInput, match="propensity 1"):
        replace(decision, propensities=np.full(4, 0.5))


def test_what_a_pinned_slot_earned_is_learned_and_taken_back_like_any_other() -> None:
    policy = INNER["Tradeoff"]()
    before = policy.state()
    decision = pinned(policy, {0: 7})
    policy.update(decision, reward_of(decision))
    assert not equal_states(before, policy.state())
    policy.retract(decision, reward_of(decision))
    assert equal_states(before, policy.state())


def test_what_is_left_is_asked_beside_what_stands_on_the_page() -> None:
    left, asked = rest(world(), [4, 0])
    assert left.tolist() == [1, 2, 3, *range(5, N)]
    assert asked.item_ids == tuple(f"item-{row}" for row in left)
    assert asked.shown is not None
    assert asked.groups is not None
    assert np.array_equal(asked.shown, world().features[[4, 0]])
    assert asked.groups.tolist() == [row % 4 for row in left]
    assert rest(world(), [])[1].shown is None


@pytest.mark.parametrize("name", INNER)
def test_a_penalty_is_taken_off_what_is_expected(name: str) -> None:
    policy = INNER[name]()
    train(policy, 30)
    plain = policy.plan(world()).scores
    penalty = np.zeros(N)
    penalty[plain.argmax()] = 10.0
    less = replace(world(), penalty=penalty)
    assert policy.plan(less).scores == pytest.approx(plain - penalty, abs=1e-12)
    pmf = policy.probabilities(less, np.random.default_rng(0))
    assert pmf[plain.argmax()] == pytest.approx(pmf.min())
    alike = replace(world(), penalty=np.full(N, 0.25))  # what all lose changes nothing
    level = policy.plan(world()).level
    assert policy.probabilities(alike, np.random.default_rng(0), level=level) == pytest.approx(
        pmf_of(policy, world(), 0), abs=1e-9
    )


@pytest.mark.parametrize("name", INNER)
def test_without_diversity_the_inner_policy_is_asked_as_it_is(name: str) -> None:
    inner = INNER[name]()
    train(inner, 5)
    diverse = Diverse(inner, diversity=0.0, like=(0, DIM))
    for asked in (world(), rest(world(), (3, 1))[1]):
        assert np.array_equal(pmf_of(inner, asked, 3), pmf_of(diverse, asked, 3))


def three(mean: Floats) -> tuple[Thompson, Candidates]:
    """Two items that are alike and one that is not, in the last two features; the first is what they earn."""
    features = np.array([[0.5, 1, 0], [0.4, 1, 0], [0.3, 0, 1]], dtype=np.float32)
    policy = Thompson(UserPosterior(Prior(mean, np.eye(3), 0.25)), level=0.0, floor=FLOOR, draws=2)
    return policy, Candidates("ann", ("a", "twin", "other"), features)


def test_what_is_like_the_page_is_worth_less_by_hand() -> None:
    inner, candidates = three(np.array([1.0, 0.0, 0.0]))
    _, asked = rest(candidates, [0])
    # likeness 1 and 1/2, width 0.2: the twin falls by w · 0.2, the other by w · 0.1 with w = d / (1 - d)
    for diversity, first in ((0.49, 0), (0.51, 1)):  # they are even at w = 1
        policy = Diverse(inner, diversity=diversity, like=(1, 3))
        pmf = policy.probabilities(asked, np.random.default_rng(0))
        assert pmf[first] == pytest.approx(1 - FLOOR / 2)
    even = Diverse(inner, diversity=0.5, like=(1, 3)).probabilities(asked, np.random.default_rng(0))
    assert even == pytest.approx([0.5, 0.5])


def test_a_penalty_that_is_there_already_counts_beside_likeness() -> None:
    inner, candidates = three(np.array([1.0, 0.0, 0.0]))
    _, asked = rest(replace(candidates, penalty=np.array([0.0, 0.0, 0.15])), [0])
    policy = Diverse(inner, diversity=0.6, like=(1, 3))  # w = 1.5: 0.4 - 0.3 against 0.3 - 0.15 - 0.15
    assert policy.probabilities(asked, np.random.default_rng(0))[0] == pytest.approx(1 - FLOOR / 2)


def test_a_pin_makes_what_is_like_it_worth_less_from_the_first_slot_on() -> None:
    inner, candidates = three(np.array([1.0, 0.0, 0.0]))
    policy = Diverse(inner, diversity=0.8, like=(1, 3))
    rng = np.random.default_rng(0)
    decision = decide(policy, candidates, k=2, request=Request("d", TIME), rng=rng, pins={1: 0})
    assert decision.pmf == pytest.approx([0.0, FLOOR / 2, 1 - FLOOR / 2])


@pytest.mark.parametrize("diversity", [0.2, 0.5, 0.9])
def test_the_diverse_exploit_only_page_is_that_of_maximal_marginal_relevance(diversity: float) -> None:
    inner = greedy(floor=1e-9)
    for seed in range(10):
        candidates = world(seed)
        found = page(Diverse(inner, diversity=diversity, like=(1, DIM)), candidates, seed, k=6)
        mmr = Mmr(inner.plan(candidates).scores, candidates.features[:, 1:], diversity)
        assert found.chosen.tolist() == choose(mmr, Limits(N), 6).tolist()


def test_off_policy_a_diverse_page_with_pins_is_as_likely_under_its_own_policy_as_it_was_logged() -> None:
    inner = INNER["LinUCB"]()  # in closed form: asked from another stream it answers the same
    train(inner, 5)
    own, other = (Diverse(inner, diversity=diversity, like=(0, DIM)) for diversity in (0.6, 0.0))
    pages = [pinned(own, {1: 3}, seed=seed) for seed in range(10)]
    assert all(importance_weights(decision, own) == pytest.approx(np.ones(4)) for decision in pages)
    assert any(importance_weights(decision, other) != pytest.approx(np.ones(4)) for decision in pages)


def test_the_propensities_of_a_diverse_page_are_those_of_pages() -> None:
    """How often each pair is shown is the product of its propensities: chi-square-like, over 3,000 pages."""
    inner = INNER["EpsilonGreedy"]()  # in closed form: a pair's chance is then known
    train(inner, 5)
    policy, candidates = Diverse(inner, diversity=0.6, like=(0, DIM)), world(n=3)
    counts, chance = np.zeros((3, 3)), np.zeros((3, 3))
    for seed in range(3000):
        decision = page(policy, candidates, seed, k=2)
        pair = tuple(decision.chosen)
        counts[pair] += 1
        chance[pair] = decision.propensities.prod()
    assert chance.sum() == pytest.approx(1.0)
    spread = np.sqrt(3000 * chance * (1 - chance)) + 1e-9
    if (np.abs(counts - 3000 * chance) > 4.5 * spread).any():
        raise LawBroken("pairs are not shown as often as their propensities say")


NO_INNER: Any = Diverse(greedy(), diversity=0.5, like=(0, 2))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Diverse(greedy(), diversity=1.0, like=(0, 2)), "diversity"),
        (lambda: Diverse(greedy(), diversity=-0.1, like=(0, 2)), "diversity"),
        (lambda: Diverse(greedy(), diversity=0.5, like=(2, 2)), "like must"),
        (lambda: Diverse(greedy(), diversity=0.5, like=(0, DIM + 1)), "like must"),
        (lambda: Diverse(NO_INNER, diversity=0.1, like=(0, 2)), "made of"),
        (lambda: replace(world(), groups=np.zeros(3, dtype=np.int64)), "groups must be"),
        (lambda: replace(world(), groups=np.zeros(N, dtype=np.int32)), "int64"),
        (lambda: replace(world(), penalty=np.zeros(N + 1)), "penalty must be"),
        (lambda: replace(world(), penalty=np.full(N, np.nan)), "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()
