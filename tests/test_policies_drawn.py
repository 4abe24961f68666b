"""Policies over joint draws: what feel-good and interest-first sampling come to where it can be told another way."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.checks.policy import DIM, N, PolicyCheck, page, pmf_of, reward_of, train, world
from honeyguide.errors import InvalidInput
from honeyguide.explore.feelgood import FeelGood
from honeyguide.explore.interest_first import InterestFirst
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.shares import win_shares, win_shares_within
from honeyguide.explore.thompson import Thompson
from honeyguide.types import Candidates, Floats, Policy, Rows
from tests.policy_cases import cases, posterior

FLOOR = 0.06
DRAWS = 64


def learned(turns: int = 6) -> UserPosterior:
    policy = Thompson(UserPosterior(Prior.isotropic(DIM)), level=1.0, floor=FLOOR, draws=DRAWS)
    train(policy, turns)
    return policy.posterior


def thompson(level: float) -> Thompson:
    return Thompson(learned(), level=level, floor=FLOOR, draws=DRAWS)


def glad(optimism: float, level: float = 1.0) -> FeelGood:
    return FeelGood(learned(), optimism=optimism, floor=FLOOR, draws=DRAWS, level=level)


def staged(level: float, within: float = 1.0) -> InterestFirst:
    return InterestFirst(learned(), level=level, floor=FLOOR, draws=DRAWS, within=within)


def unfloored(pmf: Floats) -> Floats:
    return (pmf - FLOOR / len(pmf)) / (1 - FLOOR)


def grouped(groups: Rows) -> Candidates:
    return replace(world(), groups=groups)


MAKES: dict[str, Callable[[int], Policy]] = {
    "FeelGood": lambda dim: FeelGood(posterior(dim), optimism=1.0, floor=0.05, draws=64),
    "InterestFirst": lambda dim: InterestFirst(posterior(dim), level=1.0, floor=0.05, draws=64, within=0.5),
}


@pytest.mark.parametrize(("make", "check"), cases(MAKES))
def test_policy_keeps_the_law(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def test_weighted_shares_by_hand() -> None:
    scores = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 2.0], [0.0, 1.0, 0.0]])
    assert win_shares(scores, np.array([0.5, 0.3, 0.2])) == pytest.approx([0.5, 0.15 + 0.2, 0.15])


def test_shares_within_groups_are_those_of_each_group_alone() -> None:
    scores = np.random.default_rng(0).integers(0, 3, size=(50, 9)).astype(float)  # ties are everywhere
    starts = np.array([0, 1, 5])
    alone = [win_shares(part) for part in np.split(scores, starts[1:], axis=1)]
    assert win_shares_within(scores, starts) == pytest.approx(np.concatenate(alone), abs=1e-12)


def test_without_optimism_feel_good_is_thompson() -> None:
    for level in (0.0, 0.4, 1.0):
        assert pmf_of(glad(0.0, level), world()) == pytest.approx(pmf_of(thompson(level), world()), abs=1e-12)


def test_a_draw_counts_by_e_to_the_best_of_it() -> None:
    candidates, policy = world(), glad(3.0)
    scores = policy.posterior.draw_scores("ann", candidates.features, DRAWS, np.random.default_rng(7))
    shares = np.zeros(N)
    for row in scores:
        shares[row.argmax()] += np.exp(3.0 * min(row.max(), 1.0))
    assert unfloored(pmf_of(policy, candidates)) == pytest.approx(shares / shares.sum(), abs=1e-12)


def test_optimism_favours_what_may_be_very_good() -> None:
    prior = Prior(np.array([0.5, 0.3]), np.diag([1e-6, 0.04]), 0.25)  # one item is sure, one may be better
    candidates = Candidates("ann", ("sure", "maybe"), np.eye(2, dtype=np.float32))
    shares = [
        FeelGood(UserPosterior(prior), optimism=optimism, floor=FLOOR, draws=4000).probabilities(
            candidates, np.random.default_rng(0)
        )[1]
        for optimism in (0.0, 3.0, 10.0)
    ]
    assert shares[0] < shares[1] < shares[2]
    # P(N(0.3, 0.2²) > 0.5) = 0.159; three standard errors of 4,000 draws are 0.017
    assert unfloored(np.array([1 - shares[0], shares[0]]))[1] == pytest.approx(0.159, abs=0.018)


def test_no_draw_counts_as_better_than_a_reward_can_be() -> None:
    prior = Prior(np.array([2.0, 5.0]), 1e-6 * np.eye(2), 0.25)
    twins = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    policy = FeelGood(UserPosterior(prior), optimism=1e6, floor=FLOOR, draws=DRAWS)
    pmf = policy.probabilities(Candidates("ann", ("a", "b"), twins), np.random.default_rng(0))
    assert unfloored(pmf) == pytest.approx([0.0, 1.0], abs=1e-12)


def test_with_one_interest_the_stages_are_thompson_to_the_bit() -> None:
    candidates = grouped(np.full(N, 7))
    for level in (0.0, 0.5, 1.0):
        assert np.array_equal(pmf_of(staged(level), candidates), pmf_of(thompson(level), candidates))
    assert pmf_of(staged(1.0, within=0.4), candidates) == pytest.approx(
        pmf_of(thompson(0.4), candidates), abs=1e-12
    )


@pytest.mark.parametrize("within", [0.0, 1.0])
def test_with_an_item_an_interest_only_the_first_stage_counts(within: float) -> None:
    candidates = grouped(np.arange(N)[::-1].copy())
    for level in (0.0, 0.5, 1.0):
        pmf = pmf_of(staged(level, within), candidates)
        assert pmf == pytest.approx(pmf_of(thompson(level), candidates), abs=1e-12)


def test_an_items_chance_is_its_interests_times_its_own_within_it() -> None:
    candidates, policy = grouped(np.arange(N) % 5), staged(0.8, within=0.5)
    features = candidates.features
    scores = policy.posterior.draw_scores("ann", features, DRAWS, np.random.default_rng(7), scale=0.8)
    narrow = policy.posterior.draw_scores("ann", features, DRAWS, np.random.default_rng(7), scale=0.4)
    wanted = np.zeros(N)
    for item in range(N):
        rows = [other for other in range(N) if other % 5 == item % 5]
        interest = np.mean([scores[draw].argmax() % 5 == item % 5 for draw in range(DRAWS)])
        within = np.mean([rows[narrow[draw, rows].argmax()] == item for draw in range(DRAWS)])
        wanted[item] = interest * within
    assert unfloored(pmf_of(policy, candidates)) == pytest.approx(wanted, abs=1e-12)


def test_an_interest_gets_what_its_items_get_by_plain_thompson() -> None:
    candidates = grouped(np.arange(N) % 4)
    ours, plain = (unfloored(pmf_of(policy, candidates)) for policy in (staged(1.0, 0.1), thompson(1.0)))
    of = [np.bincount(np.arange(N) % 4, weights=pmf) for pmf in (ours, plain)]
    assert of[0] == pytest.approx(of[1], abs=1e-12)


def test_interests_may_be_explored_and_their_items_not() -> None:
    candidates, policy = grouped(np.arange(N) % 4), staged(1.0, within=0.0)
    scores = policy.plan(candidates).scores
    best = [max(range(g, N, 4), key=lambda item: scores[item]) for g in range(4)]
    shown = np.flatnonzero(unfloored(pmf_of(policy, candidates)) > 1e-12)
    assert set(shown.tolist()) <= set(best)
    assert len(shown) > 1


def test_an_interest_that_is_used_up_leaves_its_chance_to_the_others() -> None:
    candidates = grouped(np.array([0] * 2 + [1] * (N - 2)))
    decision = page(staged(0.0), candidates, 0, k=N)
    assert decision.propensities[-1] == pytest.approx(1.0)
    assert len(set(decision.chosen.tolist())) == N


def test_candidates_have_to_say_their_interests() -> None:
    with pytest.raises(InvalidInput, match="give Candidates their groups"):
        pmf_of(staged(1.0), replace(world(), groups=None))


@pytest.mark.parametrize("policy", [glad(1.0, 0.7), staged(0.7, 0.3)], ids=["FeelGood", "InterestFirst"])
def test_what_is_restored_goes_by_its_name_and_settings(policy: FeelGood | InterestFirst) -> None:
    decision = page(policy, world(), 1)
    policy.update(decision, reward_of(decision))
    twin = type(policy).from_state(policy.state())
    assert twin.name == policy.name
    assert twin.plan(world()).reason == policy.plan(world()).reason


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: glad(-1.0), "optimism"),
        (lambda: glad(1.0, np.nan), "level"),
        (lambda: FeelGood(learned(0), optimism=1.0, floor=0.1, draws=1), "draws"),
        (lambda: staged(-0.5), "level"),
        (lambda: staged(0.5, np.inf), "within"),
        (lambda: InterestFirst(learned(0), level=1.0, floor=2.0, draws=8), "floor"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Callable[[], Policy], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make()
