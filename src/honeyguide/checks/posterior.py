"""The laws of a posterior: simulation-based calibration, joint draws, exact sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from scipy.stats import chisquare

from honeyguide.checks.policy import equal_states, require
from honeyguide.explore.posterior import Prior
from honeyguide.types import Floats, State, Vectors


class Posterior(Protocol):
    """What the checks need of a posterior."""

    prior: Prior

    def draw_scores(
        self, user_id: str, features: Vectors, draws: int, rng: np.random.Generator, *, scale: float = 1.0
    ) -> Floats:
        """(draws, n): row i scores every item under the same draw."""
        ...

    def observe(self, user_id: str, features: Vectors, rewards: Floats) -> None:
        """Add observations."""
        ...

    def retract(self, user_id: str, features: Vectors, rewards: Floats) -> None:
        """Take observations back."""
        ...

    def forget(self, user_id: str) -> None:
        """Unlearn a user."""
        ...

    def state(self) -> State:
        """Named arrays."""
        ...

    @property
    def users(self) -> Iterator[str]:
        """Everyone observed."""
        ...


MakePosterior = Callable[[Prior], Posterior]
PosteriorCheck = Callable[[MakePosterior], None]

DIM = 4
WORLDS = 400
DRAWS = 99


def check_posterior(make: MakePosterior) -> None:
    """Run every law; `make(prior)` builds a fresh posterior under that prior."""
    for check in CHECKS_POSTERIOR:
        check(make)


def some_prior(seed: int = 0, noise_variance: float = 0.04) -> Prior:
    """A prior with correlated weights, small enough that rewards stay within their range."""
    root = np.random.default_rng(seed).normal(size=(DIM, DIM)) * 0.12
    return Prior(np.full(DIM, 0.05), root @ root.T + 0.01 * np.eye(DIM), noise_variance)


def check_simulation_based_calibration(make: MakePosterior) -> None:
    """The truth's rank among posterior draws is uniform over worlds drawn from the prior.

    Talts et al. 2018, arXiv 1804.06788.
    """
    prior = some_prior()
    rng = np.random.default_rng(11)
    ranks = np.empty(WORLDS, dtype=int)
    for w in range(WORLDS):
        truth = rng.multivariate_normal(prior.mean, prior.covariance)
        features = rng.uniform(-1, 1, size=(12, DIM)).astype(np.float32)
        noise = rng.normal(scale=np.sqrt(prior.noise_variance), size=12)
        posterior = make(prior)
        posterior.observe("user", features, np.clip(features @ truth + noise, -1, 1))
        probe = rng.uniform(-1, 1, size=(1, DIM)).astype(np.float32)
        draws = posterior.draw_scores("user", probe, DRAWS, rng)[:, 0]
        ranks[w] = int((draws < (probe @ truth)[0]).sum())
    counts = np.bincount(ranks * 10 // (DRAWS + 1), minlength=10)
    p_value = float(chisquare(counts).pvalue)
    require(p_value > 1e-4, f"posterior is not calibrated: ranks {counts.tolist()}, p = {p_value:.2g}")


def check_draws_are_joint(make: MakePosterior) -> None:
    """Where x3 = x1 + x2, every draw scores item 3 as the sum of items 1 and 2."""
    posterior = make(some_prior())
    features = np.array([[1, 0, 0, 0.5], [0, 1, 0, -0.5], [1, 1, 0, 0]], dtype=np.float32)
    posterior.observe("user", features, np.array([0.3, 0.1, 0.5]))
    scores = posterior.draw_scores("user", features, 50, np.random.default_rng(0))
    require(scores.shape == (50, 3), f"scores must be (draws, n), got {scores.shape}")
    require(
        bool(np.allclose(scores[:, 0] + scores[:, 1], scores[:, 2])), "items were not scored under one draw"
    )


def check_scale_zero_is_the_mean(make: MakePosterior) -> None:
    """At scale 0 every draw is the mean; spread grows in proportion to the scale."""
    posterior = make(some_prior())
    features = np.eye(DIM, dtype=np.float32)
    still = posterior.draw_scores("user", features, 8, np.random.default_rng(0), scale=0.0)
    require(bool(np.allclose(still, still[0])), "draws at scale 0 must not vary")
    full = posterior.draw_scores("user", features, 8, np.random.default_rng(0), scale=1.0) - still
    half = posterior.draw_scores("user", features, 8, np.random.default_rng(0), scale=0.5) - still
    require(bool(np.allclose(half * 2, full)), "spread must be proportional to the scale")


def check_users_are_separate(make: MakePosterior) -> None:
    """What one user does says nothing about another, and somebody unknown is the prior."""
    posterior = make(some_prior())
    features = np.eye(DIM, dtype=np.float32)
    before = posterior.draw_scores("other", features, 4, np.random.default_rng(0))
    posterior.observe("user", features, np.full(DIM, 0.9))
    after = posterior.draw_scores("other", features, 4, np.random.default_rng(0))
    require(np.array_equal(before, after), "one user's feedback moved another user's posterior")


def check_sums_are_exact(make: MakePosterior) -> None:
    """Any order, any split into pages, retracted and forgotten: equal to the bit."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, DIM)).astype(np.float32)
    rewards = rng.uniform(-1, 1, size=60)
    whole, shuffled = make(some_prior()), make(some_prior())
    whole.observe("user", features, rewards)
    for row in rng.permutation(60):
        shuffled.observe("user", features[[row]], rewards[[row]])
    require(equal_states(whole.state(), shuffled.state()), "the order of observations changed the state")
    fresh = make(some_prior()).state()
    whole.retract("user", features, rewards)
    require(equal_states(whole.state(), fresh), "retracting everything must leave nothing")
    shuffled.forget("user")
    require(equal_states(shuffled.state(), fresh), "a forgotten user left a trace")


CHECKS_POSTERIOR: tuple[PosteriorCheck, ...] = (
    check_simulation_based_calibration,
    check_draws_are_joint,
    check_scale_zero_is_the_mean,
    check_users_are_separate,
    check_sums_are_exact,
)
