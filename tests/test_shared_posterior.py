"""What is learned of everybody at once: a base rate, how far it was wrong, and what is an item's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from honeyguide.checks.policy import equal_states
from honeyguide.errors import InvalidInput
from honeyguide.explore.base_rate import LEAST, BaseRate
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.item_effects import ItemEffects, ItemPrior
from honeyguide.explore.kinds import Leaning
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.shared import SharedPosterior, posterior_of
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.types import Candidates, Decision, Floats, Policy
from tests.grid import NEAR
from tests.policy_cases import cases

DIM = 3
NOISE = 0.8
BASE = BaseRate(np.array([0.5, -1.0, 0.25]), -2.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def shared(dim: int = DIM, *, spread: float = 0.2, variance: float = 0.3) -> SharedPosterior:
    """A posterior that has met nobody."""
    base = BASE if dim == DIM else BaseRate(np.linspace(-0.5, 0.5, dim), -2.0)
    prior = Prior(np.zeros(dim), spread * np.eye(dim), NOISE)
    return SharedPosterior(prior, base, 5.0 * np.eye(dim), ItemPrior(variance))


def offered(user: str = "ann", *, n: int = 6, seed: int = 0, fresh: bool = False) -> Candidates:
    features = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    ids = tuple(f"item-{row}" for row in range(n))
    return Candidates(user, ids, features, fresh=np.ones(n, dtype=np.bool_) if fresh else None)


def shown(user: str = "ann", *, seed: int = 0) -> tuple[Decision, Floats]:
    """A page of three, and rewards for it."""
    rng = np.random.default_rng(seed)
    request = Request(f"{user}-{seed}", NOW)
    decision = decide(Uniform(), offered(user, seed=seed), k=3, request=request, rng=rng)
    return decision, rng.integers(2, size=3).astype(np.float64)


def taught(pages: int = 12) -> SharedPosterior:
    posterior = shared()
    for seed in range(pages):
        posterior.learn(*shown(["ann", "bob", "cat"][seed % 3], seed=seed))
    return posterior


def test_before_anything_is_learned_the_base_rate_is_expected() -> None:
    asked = offered()
    logits = asked.features.astype(np.float64) @ BASE.weights - 2.0
    assert shared().about(asked).mean == pytest.approx(1 / (1 + np.exp(-logits)))


def test_a_base_rate_is_never_nothing_nor_certain() -> None:
    sure = BaseRate(np.array([100.0]), 0.0)
    assert sure.expected(np.array([[-1.0], [1.0]])).tolist() == [LEAST, 0.95]


def test_beliefs_are_those_of_weighted_least_squares_over_all_users() -> None:
    posterior = shared()
    pages = [shown(user, seed=seed) for seed, user in enumerate(["ann", "bob", "ann", "cat"])]
    for page in pages:
        posterior.learn(*page)
    features = np.concatenate([decision.features for decision, _ in pages]).astype(np.float64)
    rewards = np.concatenate([rewards for _, rewards in pages])
    mine = np.repeat([decision.user_id == "ann" for decision, _ in pages], 3)
    rate = BASE.expected(features)
    weight = rate * (1 - rate) / NOISE  # what a reward with chance p tells of its logit
    left = (rewards - rate) / NOISE
    moved = np.linalg.solve(5.0 * np.eye(DIM) + (features.T * weight) @ features, features.T @ left)
    assert posterior.moved() == pytest.approx(moved, abs=NEAR)
    precision = np.eye(DIM) / 0.2 + (features[mine].T * weight[mine]) @ features[mine]
    mean = np.linalg.solve(precision, moved / 0.2 + features[mine].T @ left[mine])
    belief = posterior.belief("ann")
    assert belief.mean == pytest.approx(mean, abs=NEAR)
    assert belief.covariance == pytest.approx(np.linalg.inv(precision), abs=NEAR)


def test_an_item_that_earns_more_than_expected_is_expected_to_earn_more_of_everybody() -> None:
    posterior = shared(spread=1e-6)
    posterior.known = 1e9 * np.eye(DIM)  # so that it is the item's effect alone
    decision, _ = shown("ann")
    before = posterior.about(offered("bob")).mean
    posterior.learn(decision, np.array([1.0, 0.0, 0.0]))
    after = posterior.about(offered("bob")).mean
    row, rate = int(decision.chosen[0]), before[decision.chosen[0]]
    effect = ((1 - rate) / NOISE) / (1 / 0.3 + rate * (1 - rate) / NOISE)
    assert after[row] == pytest.approx(rate + rate * (1 - rate) * effect, rel=1e-6)
    assert (after[decision.chosen[1:]] < before[decision.chosen[1:]]).all()
    untouched = np.setdiff1d(np.arange(6), decision.chosen)
    assert after[untouched] == pytest.approx(before[untouched], rel=1e-6)


def test_draws_have_the_mean_and_covariance_that_are_believed() -> None:
    about = taught().about(offered())
    drawn = about.draws(40_000, np.random.default_rng(0))
    assert about.own is not None
    covariance = about.features @ about.belief.covariance @ about.features.T + np.diag(about.own)
    assert about.variance() == pytest.approx(np.diag(covariance))
    error = 5 * np.sqrt(np.diag(covariance) / 40_000)
    assert (np.abs(drawn.mean(axis=0) - about.mean) < error).all()
    width = np.sqrt(np.diag(covariance))
    assert np.abs((np.cov(drawn.T) - covariance) / np.outer(width, width)).max() < 0.04
    assert about.draws(3, np.random.default_rng(0), scale=0.0) == pytest.approx(np.tile(about.mean, (3, 1)))


def test_order_does_not_matter_and_what_is_taken_back_leaves_no_trace() -> None:
    pages = [shown(["ann", "bob"][seed % 2], seed=seed) for seed in range(8)]
    one, other = shared(), shared()
    for page in pages:
        one.learn(*page)
    for page in reversed(pages):
        other.learn(*page)
    assert equal_states(one.state(), other.state())
    assert np.array_equal(one.about(offered()).mean, other.about(offered()).mean)
    for page in pages:
        one.unlearn(*page)
    assert equal_states(one.state(), shared().state())
    assert np.array_equal(one.about(offered()).mean, shared().about(offered()).mean)


def test_a_forgotten_user_was_never_there_for_anybody() -> None:
    posterior, without = taught(), shared()
    for seed in range(12):
        if seed % 3 != 1:
            without.learn(*shown(["ann", "bob", "cat"][seed % 3], seed=seed))
    posterior.forget("bob")
    assert equal_states(posterior.state(), without.state())
    for user in ("ann", "bob", "cat", "new"):
        assert np.array_equal(posterior.about(offered(user)).mean, without.about(offered(user)).mean)


def test_a_state_gives_back_the_same_beliefs_to_the_bit() -> None:
    posterior = taught()
    opened = posterior_of(posterior.state())
    assert isinstance(opened, SharedPosterior)
    assert equal_states(opened.state(), posterior.state())
    for user in ("ann", "new"):
        assert np.array_equal(opened.about(offered(user)).mean, posterior.about(offered(user)).mean)
        assert np.array_equal(
            opened.about(offered(user)).variance(), posterior.about(offered(user)).variance()
        )
    opened.learn(*shown("dan", seed=99))
    posterior.learn(*shown("dan", seed=99))
    assert equal_states(opened.state(), posterior.state())


def test_a_posterior_of_users_alone_opens_as_one() -> None:
    alone = UserPosterior(Prior.isotropic(DIM))
    alone.learn(*shown())
    opened = posterior_of(alone.state())
    assert type(opened) is UserPosterior
    assert equal_states(opened.state(), alone.state())


def test_what_is_refused_leaves_no_trace() -> None:
    posterior = taught()
    before = posterior.state()
    decision, _ = shown()
    for rewards in (np.array([0.0, 2.0, 0.0]), np.array([0.0, np.nan, 0.0]), np.zeros(2)):
        with pytest.raises(InvalidInput):
            posterior.learn(decision, rewards)
    assert equal_states(posterior.state(), before)


def test_fresh_items_have_a_prior_of_their_own() -> None:
    effects = ItemEffects(ItemPrior(0.3, fresh_mean=0.5, fresh_variance=2.0), NOISE)
    mean, variance = effects.of(effects.rows(["a", "b"]), np.array([False, True]))
    assert mean.tolist() == [0.0, 0.5]
    assert variance.tolist() == [0.3, 2.0]
    effects.add("ann", ["b"], np.array([0.1]), np.array([0.9]))
    mean, variance = effects.of(effects.rows(["a", "b"]), np.array([False, True]))
    assert variance[1] == pytest.approx(1 / (1 / 2.0 + 0.1 / NOISE), abs=1e-8)
    assert mean[1] == pytest.approx(variance[1] * (0.5 / 2.0 + 0.9 / NOISE), abs=1e-8)
    with pytest.raises(InvalidInput, match="above 0"):
        ItemPrior(0.0)


def test_dimensions_must_agree() -> None:
    with pytest.raises(InvalidInput, match="one dimension"):
        SharedPosterior(Prior.isotropic(2), BASE, np.eye(DIM), ItemPrior(0.1))


def _thompson(dim: int) -> Policy:
    return Thompson(shared(dim), level=0.5, floor=0.05, draws=32)


def _tradeoff(dim: int) -> Policy:
    return Tradeoff(shared(dim), epsilon=0.05, page_size=2, floor=0.05, draws=32)


@pytest.mark.parametrize(
    ("make", "check"), cases({"shared thompson": _thompson, "shared tradeoff": _tradeoff})
)
def test_policies_over_it_keep_the_laws(make: object, check: object) -> None:
    check(make)  # type: ignore[operator]


def test_candidates_of_another_user_see_the_same_items_effects() -> None:
    posterior = taught()
    asked = offered("new")
    one = posterior.about(asked)
    assert np.array_equal(one.mean, posterior.about(replace(asked, user_id="newer")).mean)


def on(day: int, decision: Decision) -> Decision:
    return replace(decision, time=NOW + timedelta(days=day))


def fading(half_life_days: float) -> SharedPosterior:
    prior = Prior(np.zeros(DIM), 0.2 * np.eye(DIM), NOISE)
    return SharedPosterior(prior, BASE, 5.0 * np.eye(DIM), ItemPrior(0.3), half_life_days=half_life_days)


def test_what_was_done_a_half_life_before_the_newest_counts_half() -> None:
    (old, was), (new, now) = shown(seed=1), shown(seed=2)
    first = int(NOW.timestamp() // (30 * 86_400) + 1) * 30 - NOW.timestamp() / 86_400  # a period begins then
    posterior = fading(30.0)
    posterior.learn(replace(old, time=NOW + timedelta(days=first + 5)), was)
    posterior.learn(replace(new, time=NOW + timedelta(days=first + 65)), now)
    moved = posterior.moved()
    precision, told = np.eye(DIM) / 0.2, moved / 0.2
    for decision, rewards, part in ((old, was, 0.25), (new, now, 1.0)):
        features = decision.features.astype(np.float64)
        rate = BASE.expected(features)
        precision = precision + part * (features.T * (rate * (1 - rate))) @ features / NOISE
        told = told + part * features.T @ (rewards - rate) / NOISE
    assert posterior.belief("ann").mean == pytest.approx(np.linalg.solve(precision, told), abs=NEAR)


def test_without_a_half_life_time_does_not_matter() -> None:
    posterior, timeless = fading(0.0), fading(0.0)
    for seed in range(4):
        decision, rewards = shown(seed=seed)
        posterior.learn(on(400 * seed, decision), rewards)
        timeless.learn(decision, rewards)
    assert equal_states(posterior.state(), timeless.state())


def test_fading_keeps_to_the_laws_of_exact_sums() -> None:
    pages = [
        (on(17 * seed, decision), rewards) for seed in range(9) for decision, rewards in [shown(seed=seed)]
    ]
    one, other = fading(30.0), fading(30.0)
    for page in pages:
        one.learn(*page)
    for page in reversed(pages):
        other.learn(*page)
    assert equal_states(one.state(), other.state())
    opened = posterior_of(one.state())
    assert np.array_equal(opened.belief("ann").mean, one.belief("ann").mean)
    for page in pages[4:]:
        opened.unlearn(*page)
    fewer = fading(30.0)
    for page in pages[:4]:
        fewer.learn(*page)
    assert equal_states(opened.state(), fewer.state())
    assert np.array_equal(opened.belief("ann").mean, fewer.belief("ann").mean)
    one.forget("ann")
    assert equal_states(one.state(), fading(30.0).state())


def test_a_half_life_is_a_number_of_days() -> None:
    for days in (-1.0, np.nan, np.inf):
        with pytest.raises(InvalidInput, match="half_life_days"):
            fading(days)


@pytest.mark.parametrize("seed", range(5))
def test_a_user_counts_for_others_unless_most_of_what_they_took_is_one_item(seed: int) -> None:
    rng = np.random.default_rng(seed)
    effects, told = ItemEffects(ItemPrior(0.3), NOISE), np.zeros((4, 2))
    names = [f"item-{row}" for row in range(4)]
    sides = set()
    for _ in range(200):
        row, sign = int(rng.choice(4, p=[0.7, 0.1, 0.1, 0.1])), 1 if rng.random() < 0.6 else -1
        reaction = np.array([0.125, rng.choice([-0.125, 0.875])])  # whole steps: nothing is rounded
        effects.add("ann", [names[row]], reaction[:1], reaction[1:], sign=sign)
        told[row] += sign * reaction
        taken = np.maximum(told.sum(axis=1), 0)
        assert effects.aside("ann") == (taken.max() > 1.5 and 2 * taken.max() > taken.sum())
        sides.add(effects.aside("ann"))
        counted = 0.0 if effects.aside("ann") else told[:, 0] / NOISE
        left = effects.of(effects.rows(names), None)[1]
        assert 1 / left - 1 / 0.3 == pytest.approx(counted, abs=1e-6)
    assert sides == {True, False}
    effects.forget("ann")
    assert equal_states(effects.state(), ItemEffects(ItemPrior(0.3), NOISE).state())


def test_what_is_believed_of_candidates_changes_with_whatever_is_learned() -> None:
    posterior, asked = shared(), offered("bob")
    before = posterior.about(asked).mean
    assert posterior.about(asked).mean.tolist() == before.tolist()
    posterior.learn(*shown("ann"))
    taught = posterior.about(asked).mean
    assert (taught != before).all()
    posterior.lean("bob", Leaning(np.zeros(1), np.full(DIM, 0.5)))
    leant = posterior.about(asked).mean
    assert (leant != taught).all()
    posterior.forget("ann")
    posterior.forget("bob")
    assert posterior.about(asked).mean.tolist() == before.tolist()
