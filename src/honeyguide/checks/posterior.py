"""The laws of a posterior: simulation-based calibration, what a stranger may be, joint draws, exact sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare

from honeyguide.checks.policy import equal_states, require
from honeyguide.explore.kinds import Kinds
from honeyguide.explore.posterior import Prior
from honeyguide.types import Floats, State, Vectors


class Posterior(Protocol):
    """What the checks need of a posterior."""

    prior: Kinds

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


MakePosterior = Callable[[Kinds], Posterior]
PosteriorCheck = Callable[[MakePosterior], None]

DIM = 4
WORLDS = 800
DRAWS = 99


def check_posterior(make: MakePosterior) -> None:
    """Run every law; `make(prior)` builds a fresh posterior under that prior, of one kind of users or of more."""
    for check in CHECKS_POSTERIOR:
        check(make)


def some_prior(seed: int = 0, noise_variance: float = 0.04) -> Prior:
    """A prior with correlated weights, small enough that rewards stay within their range."""
    root = np.random.default_rng(seed).normal(size=(DIM, DIM)) * 0.12
    return Prior(np.full(DIM, 0.05), root @ root.T + 0.01 * np.eye(DIM), noise_variance)


def some_kinds(noise_variance: float = 0.04) -> Kinds:
    """Two kinds of users far apart, the rarer of which varies more."""
    means = np.full((2, DIM), 0.05) + np.array([[0.15], [-0.3]]) * np.array([1.0, -1.0, 1.0, 0.0])
    covariances = np.stack([0.003 * np.eye(DIM), some_prior().covariance])
    return Kinds(np.array([0.7, 0.3]), means, covariances, noise_variance)


def check_simulation_based_calibration(make: MakePosterior) -> None:
    """The truth's rank among posterior draws is uniform over worlds drawn from the prior, be it one kind or two.

    Talts et al. 2018, arXiv 1804.06788.
    """
    # of the kinds so little is seen that they stay in doubt
    for prior, seen in ((some_prior(), 12), (some_kinds(), 1)):
        ranks = _ranks(make, prior, seen=seen, rng=np.random.default_rng(11))
        _require_uniform(ranks, f"posterior of {len(prior)} kind(s)")


def check_zero_history_is_calibrated(make: MakePosterior) -> None:
    """What is foreseen of users nobody has met holds for them: the truth's rank is uniform with nothing seen."""
    for prior in (some_prior(), some_kinds()):
        ranks = _ranks(make, prior, seen=0, rng=np.random.default_rng(13))
        _require_uniform(ranks, f"prior of {len(prior)} kind(s)")


def check_mean_is_bayes_rule(make: MakePosterior) -> None:
    """The mean is that of the prior's own draws, each counting by how likely it makes what was seen.

    Ranks do not show it: a posterior that learns too little from what it sees is calibrated, too.
    """
    rng = np.random.default_rng(14)
    features = rng.uniform(-1, 1, size=(2, DIM)).astype(np.float32)
    rewards = np.array([0.5, -0.4])
    for prior in (some_prior(), some_kinds()):
        drawn = prior.sample(200_000, rng)
        misfit = ((rewards - drawn @ features.T) ** 2).sum(axis=1)
        counts = np.exp(-0.5 * (misfit - misfit.min()) / prior.noise_variance)
        expected = counts @ drawn / counts.sum()
        error = np.sqrt(((counts[:, None] * (drawn - expected)) ** 2).sum(axis=0)) / counts.sum()
        posterior = make(prior)
        posterior.observe("user", features, rewards)
        probes = np.eye(DIM, dtype=np.float32)
        found = posterior.draw_scores("user", probes, 2, np.random.default_rng(0), scale=0.0)[0]
        off = np.abs(found - expected) / error
        require(
            bool((off < 5).all()),
            f"the mean is {off.max():.1f} standard errors off with {len(prior)} kind(s)",
        )


def _ranks(make: MakePosterior, prior: Kinds, *, seen: int, rng: np.random.Generator) -> NDArray[np.int64]:
    ranks = np.empty(WORLDS, dtype=np.int64)
    for w, truth in enumerate(prior.sample(WORLDS, rng)):
        features = rng.uniform(-1, 1, size=(seen, DIM)).astype(np.float32)
        noise = rng.normal(scale=np.sqrt(prior.noise_variance), size=seen)
        posterior = make(prior)
        if seen:
            posterior.observe("user", features, np.clip(features @ truth + noise, -1, 1))
        probe = rng.uniform(-1, 1, size=(1, DIM)).astype(np.float32)
        draws = posterior.draw_scores("user", probe, DRAWS, rng)[:, 0]
        ranks[w] = int((draws < (probe @ truth)[0]).sum())
    return ranks


def _require_uniform(ranks: NDArray[np.int64], what: str) -> None:
    counts = np.bincount(ranks * 10 // (DRAWS + 1), minlength=10)
    p_value = float(chisquare(counts).pvalue)
    require(p_value > 1e-4, f"{what} is not calibrated: ranks {counts.tolist()}, p = {p_value:.2g}")


def check_draws_are_joint(make: MakePosterior) -> None:
    """Where x3 = x1 + x2, every draw scores item 3 as the sum of items 1 and 2."""
    features = np.array([[1, 0, 0, 0.5], [0, 1, 0, -0.5], [1, 1, 0, 0]], dtype=np.float32)
    for prior in (some_prior(), some_kinds()):
        posterior = make(prior)
        posterior.observe("user", features, np.array([0.3, 0.1, 0.5]))
        scores = posterior.draw_scores("user", features, 50, np.random.default_rng(0))
        require(scores.shape == (50, 3), f"scores must be (draws, n), got {scores.shape}")
        together = bool(np.allclose(scores[:, 0] + scores[:, 1], scores[:, 2]))
        require(together, "items were not scored under one draw")


def check_scale_zero_is_the_mean(make: MakePosterior) -> None:
    """At scale 0 every draw is the mean; spread grows in proportion to the scale."""
    features = np.eye(DIM, dtype=np.float32)
    for prior in (some_prior(), some_kinds()):
        posterior = make(prior)
        still = posterior.draw_scores("user", features, 8, np.random.default_rng(0), scale=0.0)
        require(bool(np.allclose(still, prior.mean)), "draws at scale 0 must all be the mean")
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
    for prior in (some_prior(), some_kinds()):
        _require_exact_sums(make, prior)


def _require_exact_sums(make: MakePosterior, prior: Kinds) -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, DIM)).astype(np.float32)
    rewards = rng.uniform(-1, 1, size=60)
    whole, shuffled = make(prior), make(prior)
    whole.observe("user", features, rewards)
    for row in rng.permutation(60):
        shuffled.observe("user", features[[row]], rewards[[row]])
    require(equal_states(whole.state(), shuffled.state()), "the order of observations changed the state")
    fresh = make(prior).state()
    whole.retract("user", features, rewards)
    require(equal_states(whole.state(), fresh), "retracting everything must leave nothing")
    shuffled.forget("user")
    require(equal_states(shuffled.state(), fresh), "a forgotten user left a trace")


CHECKS_POSTERIOR: tuple[PosteriorCheck, ...] = (
    check_simulation_based_calibration,
    check_zero_history_is_calibrated,
    check_mean_is_bayes_rule,
    check_draws_are_joint,
    check_scale_zero_is_the_mean,
    check_users_are_separate,
    check_sums_are_exact,
)
