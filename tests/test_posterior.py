"""The posterior keeps its laws, and broken ones are caught."""

from typing import Any

import numpy as np
import pytest

from honeyguide.checks import posterior as laws
from honeyguide.checks.policy import LawBroken
from honeyguide.checks.posterior import CHECKS_POSTERIOR, PosteriorCheck, some_prior
from honeyguide.errors import InvalidInput
from honeyguide.explore.kinds import Belief, Kinds
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.prior import UserSums, learn_prior
from honeyguide.types import Floats, State, Vectors
from tests.grid import NEAR


@pytest.mark.parametrize("check", CHECKS_POSTERIOR, ids=lambda check: check.__name__)
def test_posterior_keeps_the_law(check: PosteriorCheck) -> None:
    check(UserPosterior)


class WrongNoise(UserPosterior):
    def __init__(self, prior: Kinds) -> None:
        super().__init__(Kinds(prior.weights, prior.means, prior.covariances, prior.noise_variance * 6))


class HalfVariance(UserPosterior):
    def draw_scores(
        self, user_id: str, features: Vectors, draws: int, rng: Any, *, scale: float = 1.0
    ) -> Floats:
        return super().draw_scores(user_id, features, draws, rng, scale=scale * 0.5)


class KindsNeverUpdated(UserPosterior):
    """Learns within the kinds, but not which of them a user is of."""

    def belief(self, user_id: str) -> Belief:
        found = super().belief(user_id)
        return Belief.of(self.prior.weights, found.means, found.roots)


class LikeliestKindOnly(UserPosterior):
    def belief(self, user_id: str) -> Belief:
        found = super().belief(user_id)
        best = [int(found.weights.argmax())]
        return Belief.of(np.ones(1), found.means[best], found.roots[best])


class MomentsOnly(UserPosterior):
    """Draws from one Gaussian that has the moments of all kinds together."""

    def belief(self, user_id: str) -> Belief:
        found = super().belief(user_id)
        return Belief.of(np.ones(1), found.mean[None], found.root[None])


class PrecisionNeverUpdated(UserPosterior):
    def _statistics(self, features: Vectors, rewards: Floats, looked: Floats | None = None) -> Any:
        statistics = super()._statistics(features, rewards, looked)
        statistics[:, :-1] = 0
        return statistics


class DrawPerItem(UserPosterior):
    def draw_scores(
        self, user_id: str, features: Vectors, draws: int, rng: Any, *, scale: float = 1.0
    ) -> Floats:
        columns = [
            super(DrawPerItem, self).draw_scores(user_id, features[[i]], draws, rng, scale=scale)
            for i in range(len(features))
        ]
        return np.concatenate(columns, axis=1)


class ScaleIgnored(UserPosterior):
    def draw_scores(
        self, user_id: str, features: Vectors, draws: int, rng: Any, *, scale: float = 1.0
    ) -> Floats:
        return super().draw_scores(user_id, features, draws, rng)


class OneForAll(UserPosterior):
    def observe(self, user_id: str, features: Vectors, rewards: Floats) -> None:
        super().observe("everybody", features, rewards)

    def belief(self, user_id: str) -> Any:
        return super().belief("everybody")


class FloatSums(UserPosterior):
    """Adds floats, so the order shows in the last bit."""

    def __init__(self, prior: Kinds) -> None:
        super().__init__(prior)
        self.sums = np.zeros(prior.dim)

    def observe(self, user_id: str, features: Vectors, rewards: Floats) -> None:
        super().observe(user_id, features, rewards)
        for x, r in zip(features.astype(np.float64), rewards, strict=True):
            self.sums = self.sums + x * r

    def state(self) -> State:
        return {**super().state(), "sums": self.sums}


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (WrongNoise, laws.check_simulation_based_calibration),
        (HalfVariance, laws.check_simulation_based_calibration),
        (KindsNeverUpdated, laws.check_mean_is_bayes_rule),
        (WrongNoise, laws.check_mean_is_bayes_rule),
        (LikeliestKindOnly, laws.check_simulation_based_calibration),
        (LikeliestKindOnly, laws.check_zero_history_is_calibrated),
        (MomentsOnly, laws.check_zero_history_is_calibrated),
        (HalfVariance, laws.check_zero_history_is_calibrated),
        (PrecisionNeverUpdated, laws.check_simulation_based_calibration),
        (DrawPerItem, laws.check_draws_are_joint),
        (ScaleIgnored, laws.check_scale_zero_is_the_mean),
        (OneForAll, laws.check_users_are_separate),
        (FloatSums, laws.check_sums_are_exact),
    ],
)
def test_a_broken_posterior_is_caught(broken: type[UserPosterior], check: PosteriorCheck) -> None:
    with pytest.raises(LawBroken):
        check(broken)


def test_the_posterior_is_bayes_rule() -> None:
    prior = some_prior()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)).astype(np.float32)
    r = rng.uniform(-1, 1, 30)
    posterior = UserPosterior(prior)
    posterior.observe("ann", x, r)
    x64 = x.astype(np.float64)
    precision = np.linalg.inv(prior.covariance) + x64.T @ x64 / prior.noise_variance
    shift = np.linalg.inv(prior.covariance) @ prior.mean + x64.T @ r / prior.noise_variance
    belief = posterior.belief("ann")
    assert np.allclose(belief.mean, np.linalg.solve(precision, shift), atol=NEAR)
    assert np.allclose(belief.covariance, np.linalg.inv(precision), atol=NEAR)
    assert np.allclose(
        belief.variance(x), np.einsum("nd,de,ne->n", x64, np.linalg.inv(precision), x64), atol=NEAR
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9, -65.0])
def test_features_that_cannot_be_added_exactly_are_refused(bad: float) -> None:
    posterior = UserPosterior(Prior.isotropic(2))
    with pytest.raises(InvalidInput, match="features"):
        posterior.observe("ann", np.array([[1, bad]], dtype=np.float32), np.array([0.1]))
    assert list(posterior.users) == []


def test_a_prior_is_recovered_from_many_users() -> None:
    rng = np.random.default_rng(4)
    d, users, rows = 3, 400, 40
    mean = np.array([0.2, -0.1, 0.05])
    root = np.array([[0.3, 0, 0], [0.1, 0.2, 0], [0.0, 0.05, 0.1]])
    weights = mean + rng.normal(size=(users, d)) @ root.T
    x = rng.normal(size=(users * rows, d)).astype(np.float32)
    r = np.einsum("nd,nd->n", x.astype(np.float64), np.repeat(weights, rows, axis=0))
    r += rng.normal(scale=0.3, size=len(r))
    starts = np.arange(0, users * rows + 1, rows)
    prior = learn_prior(UserSums.of(x, r, starts))
    assert np.allclose(prior.mean, mean, atol=0.05)
    assert np.allclose(prior.covariance, root @ root.T, atol=0.02)
    assert prior.noise_variance == pytest.approx(0.09, rel=0.05)


def test_a_prior_needs_somebody() -> None:
    with pytest.raises(InvalidInput, match="at least one user"):
        learn_prior(UserSums.of(np.zeros((0, 2), dtype=np.float32), np.zeros(0), np.array([0])))


@pytest.mark.parametrize("covariance", [np.zeros((2, 2)), -np.eye(2)])
def test_a_prior_that_is_no_covariance_is_refused(covariance: Floats) -> None:
    with pytest.raises(InvalidInput, match="positive definite"):
        UserPosterior(Prior(np.zeros(2), covariance, 0.1))


def test_a_prior_says_what_does_not_fit() -> None:
    with pytest.raises(InvalidInput, match=r"\(2, 2\)"):
        Prior(np.zeros(2), np.eye(3), 0.1)
    with pytest.raises(InvalidInput, match="noise_variance"):
        Prior(np.zeros(2), np.eye(2), 0.0)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\(k, 2\)"):
        UserPosterior(Prior.isotropic(2)).observe("ann", np.ones((1, 3), dtype=np.float32), np.array([0.1]))


def test_a_sum_that_would_overflow_is_refused_and_leaves_no_trace() -> None:
    posterior = UserPosterior(Prior.isotropic(1))
    features = np.full((1 << 17, 1), 64.0, dtype=np.float32)
    rewards = np.zeros(1 << 17)
    for _ in range(2):
        posterior.observe("ann", features, rewards)
    before = {key: value.copy() for key, value in posterior.state().items()}
    with pytest.raises(InvalidInput, match="too many observations"):
        posterior.observe("ann", features, rewards)
    assert all(np.array_equal(before[key], value) for key, value in posterior.state().items())
