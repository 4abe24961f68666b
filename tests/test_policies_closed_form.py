"""Policies in closed form say what their formulas say, worked out by hand or by another way."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.checks.policy import (
    DIM,
    USERS,
    K,
    PolicyCheck,
    equal_states,
    page,
    pmf_of,
    reward_of,
    train,
    world,
)
from honeyguide.errors import InvalidInput
from honeyguide.explore.closed_form import EpsilonGreedy, LinUCB, Softmax, SquareCB
from honeyguide.explore.kinds import Kinds
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.types import Candidates, Floats, Policy
from tests.grid import NEAR
from tests.policy_cases import cases, posterior

FLOOR = 0.06
MakeCounting = Callable[[], EpsilonGreedy | SquareCB]


def scored(*scores: float) -> Candidates:
    """Candidates whose only feature is their expected reward under `sure`."""
    return Candidates("ann", tuple("abc"[: len(scores)]), np.array(scores, dtype=np.float32)[:, None])


def sure(dim: int = 1) -> UserPosterior:
    return UserPosterior(Prior(np.ones(dim), np.eye(dim), 0.25))


def floored(*pmf: float) -> Floats:
    return (1 - FLOOR) * np.array(pmf) + FLOOR / len(pmf)


def ask(policy: Policy, candidates: Candidates, level: float | None = None) -> Floats:
    return policy.probabilities(candidates, np.random.default_rng(0), level=level)


def learned(policy: Policy, turns: int = 30) -> Policy:
    train(policy, turns)
    return policy


MAKES: dict[str, Callable[[int], Policy]] = {
    "EpsilonGreedy": lambda dim: EpsilonGreedy(posterior(dim), epsilon=0.1, floor=0.05),
    "EpsilonGreedy-decaying": lambda dim: EpsilonGreedy(posterior(dim), epsilon=1.0, floor=0.05, decay=0.5),
    "Softmax": lambda dim: Softmax(posterior(dim), temperature=0.1, floor=0.05),
    "LinUCB": lambda dim: LinUCB(posterior(dim), alpha=1.0, floor=0.05),
    "SquareCB": lambda dim: SquareCB(posterior(dim), gamma=50.0, floor=0.05),
    "SquareCB-growing": lambda dim: SquareCB(posterior(dim), gamma=10.0, floor=0.05, growth=0.5),
}


@pytest.mark.parametrize(("make", "check"), cases(MAKES))
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def test_epsilon_is_spread_evenly_and_the_best_has_the_rest() -> None:
    policy = EpsilonGreedy(sure(), epsilon=0.3, floor=FLOOR)
    assert ask(policy, scored(0.1, 0.5, 0.25)) == pytest.approx([0.1, 0.8, 0.1])
    assert ask(policy, scored(0.5, 0.5)) == pytest.approx([0.5, 0.5])


def test_what_is_spread_is_the_floor_at_least() -> None:
    policy = EpsilonGreedy(sure(), epsilon=0.01, floor=FLOOR)
    assert ask(policy, scored(0.1, 0.5, 0.25)) == pytest.approx(floored(0, 1, 0))


def test_a_softmax_is_in_proportion_to_e_to_the_reward() -> None:
    policy = Softmax(sure(), temperature=0.5, floor=FLOOR)
    odds = np.exp([0.2, 1.0, 0.5])
    assert ask(policy, scored(0.1, 0.5, 0.25)) == pytest.approx(floored(*odds / odds.sum()))
    assert ask(policy, scored(0.5, 0.5)) == pytest.approx([0.5, 0.5])


def test_a_softmax_at_hardly_any_temperature_is_greedy_and_at_a_great_one_uniform() -> None:
    policy = Softmax(sure(), temperature=0.5, floor=FLOOR)
    assert ask(policy, scored(0.1, 0.5, 0.25), 1e-300) == pytest.approx(floored(0, 1, 0))
    assert ask(policy, scored(0.1, 0.5, 0.25), 1e9) == pytest.approx(np.full(3, 1 / 3))


def test_inverse_gaps_by_hand() -> None:
    policy = SquareCB(sure(), gamma=8.0, floor=FLOOR)
    # gaps 0.5 and 0.25: 1 / (3 + 4) and 1 / (3 + 2), and what is left
    by_hand = floored(1 / 7, 1 - 1 / 7 - 1 / 5, 1 / 5)
    assert ask(policy, scored(0.25, 0.75, 0.5)) == pytest.approx(by_hand)
    # two bests share what the third leaves: 1 - 1 / (3 + 2)
    assert ask(policy, scored(0.75, 0.75, 0.5)) == pytest.approx(floored(0.4, 0.4, 0.2))


@pytest.mark.parametrize("gamma", [1.0, 40.0, 1e6])
def test_inverse_gaps_of_many_candidates_are_those_of_the_formula(gamma: float) -> None:
    policy = SquareCB(UserPosterior(Prior.isotropic(DIM)), gamma=gamma, floor=FLOOR)
    train(policy, 20)
    scores = policy.plan(world()).scores
    best = int(scores.argmax())
    formula = [1 / (len(scores) + gamma * (scores[best] - score)) for score in scores]
    formula[best] = 1 - sum(formula[:best] + formula[best + 1 :])
    assert pmf_of(policy, world()) == pytest.approx(floored(*formula), abs=1e-12)


def test_no_importance_weight_is_above_the_cap_that_the_floor_is() -> None:
    policy = learned(SquareCB(UserPosterior(Prior.isotropic(DIM)), gamma=1e12, floor=FLOOR))
    assert (1 / pmf_of(policy, world())).max() <= len(world()) / FLOOR * (1 + 1e-12)


def test_a_bound_is_the_mean_and_so_many_deviations_by_numpys_inverse() -> None:
    posterior = UserPosterior(Prior.isotropic(DIM, variance=0.5, noise_variance=0.25))
    policy = LinUCB(posterior, alpha=1.5, floor=FLOOR)
    xx, xr = np.eye(DIM) / 0.5, np.zeros(DIM)
    for seed in range(8):
        decision = page(policy, world(seed), seed)
        policy.update(decision, reward_of(decision))
        x = decision.features.astype(np.float64)
        xx += x.T @ x / 0.25
        xr += reward_of(decision) @ x / 0.25
    features = world(99).features.astype(np.float64)
    inverse = np.linalg.inv(xx)
    wanted = features @ inverse @ xr + 1.5 * np.sqrt(np.einsum("ni,ij,nj->n", features, inverse, features))
    assert policy.bounds(world(99), 1.5) == pytest.approx(wanted, abs=NEAR)
    best = np.eye(len(wanted))[wanted.argmax()]
    assert pmf_of(policy, world(99)) == pytest.approx(floored(*best))


def test_the_bound_of_a_mixture_is_of_its_exact_moments() -> None:
    weights, means = np.array([0.25, 0.75]), np.array([[1.0, 0.0], [-1.0, 0.5]])
    kinds = Kinds(weights, means, np.stack([0.1 * np.eye(2), 0.2 * np.eye(2)]), 0.25)
    features = np.array([[0.5, 0.25], [-0.25, 1.0]], dtype=np.float32)
    policy = LinUCB(UserPosterior(kinds), alpha=2.0, floor=FLOOR)
    bounds = policy.bounds(Candidates("ann", ("a", "b"), features), 2.0)
    for x, bound in zip(features.astype(np.float64), bounds, strict=True):
        at = means @ x  # a Gaussian each: E f = Σ w m, E f² = Σ w (v + m²)
        within = np.array([0.1, 0.2]) * (x @ x)
        mean = weights @ at
        assert bound == pytest.approx(mean + 2 * np.sqrt(weights @ (within + at**2) - mean**2))


def test_equal_bounds_share_what_the_winner_would_have_had() -> None:
    policy = LinUCB(UserPosterior(Prior.isotropic(2)), alpha=1.0, floor=FLOOR)
    twins = Candidates("ann", ("a", "b", "c"), np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32))
    assert ask(policy, twins) == pytest.approx(floored(0.5, 0.5, 0))


AT_ZERO: list[Policy] = [
    EpsilonGreedy(UserPosterior(Prior.isotropic(DIM)), epsilon=0.0, floor=FLOOR),
    Softmax(UserPosterior(Prior.isotropic(DIM)), temperature=0.0, floor=FLOOR),
    LinUCB(UserPosterior(Prior.isotropic(DIM)), alpha=0.0, floor=FLOOR),
    SquareCB(UserPosterior(Prior.isotropic(DIM)), gamma=1e300, floor=FLOOR),
]


@pytest.mark.parametrize("policy", AT_ZERO, ids=lambda policy: type(policy).__name__)
def test_without_exploring_all_are_greedy(policy: Policy) -> None:
    greedy = Thompson(UserPosterior(Prior.isotropic(DIM)), level=0.0, floor=FLOOR, draws=2)
    for seed in range(12):
        decision = page(greedy, world(seed, user=USERS[seed % 3]), seed)
        for each in (greedy, policy):
            each.update(decision, reward_of(decision))
    for seed, user in enumerate((*USERS, "stranger")):
        candidates = world(seed, user=user)
        assert pmf_of(policy, candidates) == pytest.approx(pmf_of(greedy, candidates), abs=1e-15)


def test_epsilon_falls_with_the_users_own_observations_and_not_with_those_of_others() -> None:
    policy = EpsilonGreedy(UserPosterior(Prior.isotropic(DIM)), epsilon=2.0, floor=FLOOR, decay=0.5)
    assert policy.plan(world()).level == 1.0
    for turn in range(6):
        decision = page(policy, world(), turn)
        policy.update(decision, reward_of(decision))
    assert policy.plan(world()).level == pytest.approx(2 / np.sqrt(6 * K))
    assert policy.plan(world(user="bob")).level == 1.0
    shares = np.sort(pmf_of(policy, world()))
    assert shares[:-1] == pytest.approx(2 / np.sqrt(6 * K) / len(world()))


def test_gamma_grows_with_the_users_own_observations() -> None:
    policy = SquareCB(UserPosterior(Prior.isotropic(DIM)), gamma=10.0, floor=FLOOR, growth=0.5)
    decision = page(policy, world(), 0)
    policy.update(decision, reward_of(decision))
    policy.update(decision.only([1]), reward_of(decision)[[1]])
    assert 1 / policy.plan(world()).level == pytest.approx(10 * np.sqrt(K + 1))
    assert 1 / policy.plan(world(user="bob")).level == pytest.approx(10)


COUNTING: list[MakeCounting] = [
    lambda: EpsilonGreedy(UserPosterior(Prior.isotropic(DIM)), epsilon=1.0, floor=FLOOR, decay=0.5),
    lambda: SquareCB(UserPosterior(Prior.isotropic(DIM)), gamma=10.0, floor=FLOOR, growth=0.5),
]


@pytest.mark.parametrize("make", COUNTING)
def test_counts_are_exact_however_feedback_comes_and_goes(make: MakeCounting) -> None:
    rng = np.random.default_rng(3)
    decisions = [page(make(), world(seed, user=USERS[seed % 3]), seed) for seed in range(9)]
    slots = [(decision, slot) for decision in decisions for slot in range(K)]
    straight, tossed = make(), make()
    for decision in decisions:
        straight.update(decision, reward_of(decision))
    for at in rng.permutation(len(slots)):  # every slot: learned as silence, then corrected
        decision, slot = slots[at]
        part, right = decision.only([slot]), reward_of(decision)[[slot]]
        tossed.update(part, np.zeros(1))
        tossed.update(part, right)
        tossed.retract(part, np.zeros(1))
    assert equal_states(straight.state(), tossed.state())
    assert [straight.seen(user) for user in (*USERS, "stranger")] == [9, 9, 9, 0]
    straight.forget("bob")
    assert [straight.seen(user) for user in USERS] == [9, 0, 9]
    for decision in decisions:
        if decision.user_id != "bob":
            straight.retract(decision, reward_of(decision))
    assert equal_states(straight.state(), make().state())


@pytest.mark.parametrize("make", COUNTING)
def test_a_refused_update_is_not_counted(make: MakeCounting) -> None:
    policy = make()
    decision = page(policy, world(), 0)
    with pytest.raises(InvalidInput):
        policy.update(decision, np.full(K, 2.0))
    with pytest.raises(InvalidInput):
        policy.update(replace(decision, candidates=scored(0.1, 0.2, 0.3)).only([]), np.zeros(0))
    assert policy.seen("ann") == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EpsilonGreedy(sure(), epsilon=-0.1, floor=0.1), "epsilon"),
        (lambda: EpsilonGreedy(sure(), epsilon=0.1, floor=0.1, decay=np.inf), "decay"),
        (lambda: EpsilonGreedy(sure(), epsilon=0.1, floor=0.0), "floor"),
        (lambda: Softmax(sure(), temperature=np.nan, floor=0.1), "temperature"),
        (lambda: LinUCB(sure(), alpha=-1.0, floor=0.1), "alpha"),
        (lambda: SquareCB(sure(), gamma=0.0, floor=0.1), "gamma"),
        (lambda: SquareCB(sure(), gamma=1.0, floor=0.1, growth=-0.5), "growth"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], Policy], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()
