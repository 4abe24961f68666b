"""A posterior per interest of a user: exact beside the weights, kept only where past pages show that they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from honeyguide.checks.policy import PolicyCheck, equal_states
from honeyguide.errors import InvalidInput
from honeyguide.explore.base_rate import BaseRate, Linearised
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.common_noise import CommonNoise
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.foresight import VARIANCES, PagesTold, widened
from honeyguide.explore.interest_effects import InterestEffects
from honeyguide.explore.item_effects import ItemPrior
from honeyguide.explore.learned import PageRows, learn_posterior
from honeyguide.explore.posterior import Prior
from honeyguide.explore.shared import SharedPosterior, posterior_of
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.types import Candidates, Decision, Floats, Policy, Rows
from tests.grid import NEAR
from tests.policy_cases import cases

DIM, NOISE, VARIANCE = 3, 0.8, 0.5
BASE = BaseRate(np.array([0.5, -1.0, 0.25]), -1.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SURE = 1e9
"""A precision of what everybody shares that leaves nothing to learn of it."""


def several(dim: int = DIM, *, variance: float = VARIANCE, half_life_days: float = 0.0) -> SharedPosterior:
    """A posterior that has met nobody, of users whose interests differ; of items nothing is their own."""
    base = BASE if dim == DIM else BaseRate(np.linspace(-0.5, 0.5, dim), -2.0)
    prior = Prior(np.zeros(dim), 0.3 * np.eye(dim), NOISE)
    known, items = SURE * np.eye(dim), ItemPrior(1e-12)
    return SharedPosterior(
        prior, base, known, items, half_life_days=half_life_days, interest_variance=variance
    )


def offered(user: str = "ann", *, seed: int = 0, n: int = 8) -> Candidates:
    features = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    groups = np.arange(n, dtype=np.int64) % 4
    return Candidates(user, tuple(f"item-{row}" for row in range(n)), features, groups=groups)


def shown(user: str = "ann", *, seed: int = 0, day: int = 0) -> tuple[Decision, Floats]:
    rng = np.random.default_rng(seed)
    request = Request(f"{user}-{seed}", NOW + timedelta(days=day))
    decision = decide(Uniform(), offered(user, seed=seed), k=4, request=request, rng=rng)
    return decision, rng.integers(2, size=4).astype(np.float64)


def in_one_vector(pages: list[tuple[Decision, Floats]], asked: Candidates) -> tuple[Floats, Floats]:
    """Means (n,) and covariance (n, n) of the candidates' rewards with a weight for every feature and interest."""

    def wide(features: Floats, groups: Rows) -> Floats:
        return np.column_stack([features, np.eye(4)[groups]])

    precision: Floats = np.diag([1 / 0.3] * DIM + [1 / VARIANCE] * 4)
    pulled: Floats = np.zeros(DIM + 4)
    for decision, rewards in pages:
        assert decision.candidates.groups is not None
        told = Linearised.of(BASE.expected(decision.features), np.ones(len(rewards)))
        x, r = told.rows(
            wide(decision.features.astype(np.float64), decision.candidates.groups[decision.chosen]), rewards
        )
        precision = precision + x.T @ x / NOISE
        pulled = pulled + x.T @ r / NOISE
    assert asked.groups is not None
    rate = BASE.expected(asked.features)
    moved = (rate * (1 - rate))[:, None] * wide(asked.features.astype(np.float64), asked.groups)
    return rate + moved @ np.linalg.solve(precision, pulled), moved @ np.linalg.inv(precision) @ moved.T


def test_beliefs_are_those_of_one_vector_with_a_weight_for_every_interest() -> None:
    posterior, pages = several(), [shown(seed=seed) for seed in range(6)]
    for page in pages:
        posterior.learn(*page)
    asked = offered(seed=77)
    means, covariance = in_one_vector(pages, asked)
    about = posterior.about(asked)
    assert about.mean == pytest.approx(means, abs=NEAR)
    root = about.root()
    assert root.T @ root == pytest.approx(covariance, abs=NEAR)
    assert about.variance() == pytest.approx(np.diag(covariance), abs=NEAR)
    draws = about.draws(40_000, np.random.default_rng(0))
    assert np.cov(draws.T) == pytest.approx(covariance, abs=4e-3)
    by_weights, _ = about.spread(CommonNoise(40_000, seed=1))
    assert np.cov(by_weights.T) == pytest.approx(covariance, abs=4e-3)


def test_a_liked_interest_lifts_its_items_alone() -> None:
    posterior = several()
    asked = replace(offered(), features=np.zeros((8, DIM), dtype=np.float32))
    request = Request("one", NOW)
    page = decide(Uniform(), asked, k=8, request=request, rng=np.random.default_rng(0))
    groups = np.arange(8) % 4
    before = posterior.about(asked).mean
    posterior.learn(page, (groups[page.chosen] == 2).astype(np.float64))
    lifted = posterior.about(asked).mean > before
    assert lifted.tolist() == (groups == 2).tolist()


def test_older_periods_count_less() -> None:
    posterior = several(half_life_days=10.0)
    posterior.learn(*shown(seed=1, day=0))
    posterior.learn(*shown(seed=2, day=40))
    told = posterior.interests.told("ann")
    plain = several()
    plain.learn(*shown(seed=1))
    plain.learn(*shown(seed=2))
    of_all = plain.interests.told("ann")
    assert told is not None
    assert of_all is not None
    assert (told.precision < of_all.precision).all()
    posterior.about(offered())  # sums by period stay a proper belief


def test_a_variance_that_is_none_is_refused() -> None:
    for variance in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="0 or more"):
            InterestEffects(variance, NOISE, DIM)


def test_without_differences_nothing_is_kept_and_older_states_open() -> None:
    posterior = several(variance=0.0)
    posterior.learn(*shown())
    assert not list(posterior.interests)
    older = {name: value for name, value in posterior.state().items() if not name.startswith("tastes.")}
    assert equal_states(posterior_of(older).state(), posterior.state())


def tradeoff(dim: int) -> Policy:
    return Tradeoff(several(dim), epsilon=0.1, page_size=3, floor=0.05, draws=64)


@pytest.mark.parametrize(("make", "check"), cases({"tradeoff": tradeoff}))
def test_policies_keep_their_laws(make: Callable[[int], Policy], check: PolicyCheck) -> None:
    check(make)


def pages_of(differ: float, *, seed: int, users: int = 100) -> PageRows:
    """Pages of users whose weights do not differ, but whose interests do, by this standard deviation."""
    rng, pages, items = np.random.default_rng(seed), 8, 12
    rows = users * pages * items
    features = rng.normal(size=(rows, DIM)).astype(np.float32)
    interests = np.tile(np.repeat(np.arange(4), items // 4), users * pages)
    user = np.repeat(np.arange(users), pages * items)
    tastes = differ * rng.standard_normal((users, 4))
    logits = features @ BASE.weights - 1.0 + tastes[user, interests]
    rewards = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    return PageRows(
        features,
        rewards,
        np.arange(users + 1) * pages * items,
        rng.integers(400, size=rows),
        interests=interests,
        pages=np.repeat(np.arange(users * pages), items),
    )


@pytest.mark.parametrize("seed", range(2))
def test_the_variance_is_learned_where_there_is_one(seed: int) -> None:
    learned, _ = learn_posterior(pages_of(0.9, seed=seed), None, seed=seed)
    assert learned.interests.variance in VARIANCES
    assert 0.3 <= learned.interests.variance <= 1.6
    alike, _ = learn_posterior(pages_of(0.0, seed=seed), None, seed=seed)
    assert alike.interests.variance == 0.0


def test_a_prior_that_is_too_narrow_for_what_comes_next_is_widened() -> None:
    """Weights that are worth three times the deviation which the prior says."""
    pages = pages_of(0.0, seed=3)
    rng, users = np.random.default_rng(3), len(pages.starts) - 1
    own = 0.9 * rng.standard_normal((users, DIM))
    logits = pages.features @ BASE.weights - 1.0
    logits = logits + (pages.features * np.repeat(own, 8 * 12, axis=0)).sum(axis=1)
    rewards = (rng.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    rate, looked = BASE.expected(pages.features), np.ones(len(logits))
    told = Linearised.of(rate, looked).scores(rewards)
    assert pages.interests is not None
    assert pages.pages is not None
    rows = PagesTold(pages.features, rewards, rate, looked, *told, pages.interests, pages.pages)
    for variance, wide in ((0.09, True), (0.8, False)):
        prior = Prior(np.zeros(DIM), variance * np.eye(DIM), NOISE)
        found = widened(rows, pages.starts, prior, seed=0)
        assert (found.covariances[0, 0, 0] > variance) == wide
        assert found.covariances[0, 0, 0] < 2.5


def test_without_interests_or_pages_none_is_learned() -> None:
    for unknown in ({"interests": None}, {"pages": None}):
        learned, _ = learn_posterior(replace(pages_of(0.9, seed=0, users=20), **unknown), None, seed=0)  # type: ignore[arg-type]
        assert learned.interests.variance == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_where_interests_differ_it_pays_to_know(seed: int) -> None:
    earned = []
    for variance in (1.5, 0.0):
        policy = Thompson(several(variance=variance), level=0.0, floor=0.05, draws=2)
        tastes = 1.5 * np.random.default_rng(seed).standard_normal((20, 4))
        earned.append(sum(_lived(policy, f"user-{user}", own, seed) for user, own in enumerate(tastes)))
    assert earned[0] > 1.05 * earned[1]


def _lived(policy: Policy, user: str, tastes: Floats, seed: int) -> float:
    """What twelve pages of three, out of twelve items, earn of a user in expectation."""
    earned = 0.0
    for nth in range(12):
        rng = np.random.default_rng([seed, nth, *user.encode()])
        asked = offered(user, seed=int(rng.integers(10**6)), n=12)
        page = decide(policy, asked, k=3, request=Request(f"{user}-{nth}", NOW), rng=rng)
        logits = page.features @ BASE.weights - 1.0 + tastes[page.chosen % 4]
        chance = 1 / (1 + np.exp(-logits))
        policy.update(page, (rng.random(3) < chance).astype(np.float64))
        earned += float(chance.sum())
    return earned
