"""Beliefs under several kinds of users are Bayes' rule, add up exactly, and are forgotten whole."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from honeyguide.checks.policy import equal_states
from honeyguide.checks.posterior import DIM, some_kinds, some_prior
from honeyguide.errors import InvalidInput
from honeyguide.explore.kinds import Kinds, Leaning
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.explore.tradeoff import Tradeoff
from honeyguide.types import Floats, Vectors
from tests.grid import NEAR

LEANING = Leaning(np.log(np.array([0.2, 0.8])), np.array([0.1, 0.0, -0.2, 0.05]))


def observed(seed: int = 0, rows: int = 7) -> tuple[Vectors, Floats]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, size=(rows, DIM)).astype(np.float32), rng.uniform(-1, 1, size=rows)


def test_one_kind_is_one_gaussian_to_the_bit() -> None:
    prior = some_prior()
    alone = UserPosterior(prior)
    as_kinds = UserPosterior(
        Kinds(np.ones(1), prior.mean[None], prior.covariance[None], prior.noise_variance)
    )
    for posterior in (alone, as_kinds):
        posterior.observe("ann", *observed())
    assert equal_states(alone.state(), as_kinds.state())
    assert np.array_equal(alone.belief("ann").mean, as_kinds.belief("ann").mean)
    drawn = [
        each.draw_scores("ann", observed()[0], 9, np.random.default_rng(1)) for each in (alone, as_kinds)
    ]
    assert np.array_equal(drawn[0], drawn[1])


def test_which_kind_it_is_by_hand() -> None:
    """A reward of 1 for x = 1 has variance 1 + 1 under both kinds, and means 0 and 1: odds of e^(-1/4) to 1."""
    kinds = Kinds(np.full(2, 0.5), np.array([[0.0], [1.0]]), np.ones((2, 1, 1)), 1.0)
    posterior = UserPosterior(kinds)
    posterior.observe("ann", np.ones((1, 1), dtype=np.float32), np.ones(1))
    belief = posterior.belief("ann")
    less = np.exp(-0.25) / (1 + np.exp(-0.25))
    assert belief.weights == pytest.approx([less, 1 - less])
    assert belief.means[:, 0] == pytest.approx(
        [0.5, 1.0]
    )  # half way between what was thought and what was seen
    assert belief.covariance[0, 0] == pytest.approx(0.5 + less * (1 - less) * 0.25)


def test_the_squares_of_rewards_cancel() -> None:
    """Weights out of A and b alone are those of the density of the rewards themselves."""
    kinds = some_kinds()
    features, rewards = observed()
    x = features.astype(np.float64)
    density = [
        multivariate_normal(x @ m, x @ c @ x.T + kinds.noise_variance * np.eye(len(x))).pdf(rewards)
        for m, c in zip(kinds.means, kinds.covariances, strict=True)
    ]
    expected = kinds.weights * density
    posterior = UserPosterior(kinds)
    posterior.observe("ann", features, rewards)
    assert posterior.belief("ann").weights == pytest.approx(expected / expected.sum(), abs=NEAR)


@pytest.mark.parametrize("leaning", [None, Leaning(np.log(np.array([0.9, 0.1])), np.array([0.2]))])
def test_the_posterior_is_what_integrating_gives(leaning: Leaning | None) -> None:
    kinds = Kinds(np.array([0.3, 0.7]), np.array([[-0.5], [0.4]]), np.array([[[0.05]], [[0.3]]]), 0.2)
    features, rewards = np.array([[0.8], [0.3], [-1.0]], dtype=np.float32), np.array([0.1, -0.2, 0.3])
    w = np.linspace(-6, 6, 200_001)
    shift, log_weights = (
        (0.0, np.log(kinds.weights)) if leaning is None else (leaning.shift[0], leaning.log_weights)
    )
    prior = sum(
        np.exp(log_weights[k]) * norm(kinds.means[k, 0] + shift, np.sqrt(kinds.covariances[k, 0, 0])).pdf(w)
        for k in range(2)
    )
    density = prior * np.exp(-0.5 * ((rewards - w[:, None] * features[:, 0]) ** 2).sum(axis=1) / 0.2)
    density /= density.sum()
    mean = (density * w).sum()
    posterior = UserPosterior(kinds)
    if leaning is not None:
        posterior.lean("ann", leaning)
    posterior.observe("ann", features, rewards)
    belief = posterior.belief("ann")
    assert belief.mean[0] == pytest.approx(mean, abs=NEAR)
    assert belief.covariance[0, 0] == pytest.approx((density * (w - mean) ** 2).sum(), abs=NEAR)
    drawn = np.sort(belief.sample(40_000, np.random.default_rng(0))[:, 0])
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        at = drawn[round(share * len(drawn))]
        assert density[w <= at].sum() == pytest.approx(share, abs=0.012)  # 4 standard errors at most


def test_moments_are_those_of_the_draws() -> None:
    posterior = UserPosterior(some_kinds())
    features, rewards = observed(rows=1)
    posterior.observe("ann", features, rewards)
    belief = posterior.belief("ann")
    drawn = belief.sample(60_000, np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx(belief.mean, abs=0.005)
    assert np.cov(drawn.T) == pytest.approx(belief.covariance, abs=0.003)
    assert belief.variance(features)[0] == pytest.approx((drawn @ features[0]).var(), rel=0.03)


def test_equal_noise_gives_each_kind_its_share_of_the_draws() -> None:
    kinds = Kinds(np.array([0.25, 0.75]), np.array([[-9.0], [9.0]]), np.full((2, 1, 1), 1e-4), 1.0)
    belief = UserPosterior(kinds).belief("nobody")
    noise = np.random.default_rng(0).standard_normal((1, 40))
    away = belief.spread(noise)
    assert (away[0] + belief.mean[0] < 0).sum() == 10
    assert np.array_equal(away, belief.spread(noise))


def test_order_pages_and_retractions_leave_a_leaning_user_the_same() -> None:
    features, rewards = observed(rows=12)
    whole, pieces = UserPosterior(some_kinds()), UserPosterior(some_kinds())
    for posterior in (whole, pieces):
        posterior.lean("ann", LEANING)
    whole.observe("ann", features, rewards)
    for row in np.random.default_rng(0).permutation(12):
        pieces.observe("ann", features[[row]], rewards[[row]])
    assert equal_states(whole.state(), pieces.state())
    assert np.array_equal(whole.belief("ann").mean, pieces.belief("ann").mean)
    # taken back whole and observed again: nothing of how the user leans is lost on the way
    pieces.retract("ann", features, rewards)
    assert list(pieces.users) == []
    pieces.observe("ann", features, rewards)
    assert equal_states(whole.state(), pieces.state())


def test_the_forgotten_are_strangers_again() -> None:
    fresh = UserPosterior(some_kinds())
    posterior = UserPosterior(some_kinds())
    posterior.lean("ann", LEANING)
    assert not np.allclose(posterior.belief("ann").mean, fresh.belief("ann").mean)
    assert np.allclose(posterior.belief("ben").mean, some_kinds().mean)
    posterior.observe("ann", *observed())
    posterior.forget("ann")
    assert equal_states(posterior.state(), fresh.state())
    assert np.array_equal(posterior.belief("ann").mean, fresh.belief("ann").mean)


def test_what_is_stored_is_what_is_opened() -> None:
    posterior = UserPosterior(some_kinds())
    posterior.observe("ann", *observed())
    posterior.observe("ben", *observed(1))
    posterior.lean("ben", LEANING)
    posterior.lean("cid", LEANING)  # nothing was observed of cid yet
    opened = UserPosterior.from_state(posterior.state())
    assert equal_states(opened.state(), posterior.state())
    for user in ("ann", "ben", "cid", "nobody"):
        assert np.array_equal(opened.belief(user).mean, posterior.belief(user).mean)


def test_a_state_of_before_there_were_kinds_opens() -> None:
    prior = some_prior()
    old = {
        "prior.mean": prior.mean,
        "prior.covariance": prior.covariance,
        "prior.noise_variance": np.array([prior.noise_variance]),
        "users.names": np.frombuffer(b"ann", dtype=np.uint8),
        "users.offsets": np.array([0, 3]),
        "users.stats": np.zeros((1, DIM, DIM + 1), dtype=np.int64),
    }
    assert np.array_equal(
        UserPosterior.from_state(old).belief("ann").mean, UserPosterior(prior).belief("ann").mean
    )
    assert set(UserPosterior.from_state(old).state()) == set(old)


def test_a_leaning_that_does_not_fit_is_refused_and_leaves_no_trace() -> None:
    posterior = UserPosterior(some_kinds())
    with pytest.raises(InvalidInput, match=r"\(2,\) and shift \(4,\)"):
        posterior.lean("ann", Leaning(np.zeros(3), np.zeros(DIM)))
    assert equal_states(posterior.state(), UserPosterior(some_kinds()).state())


def test_kinds_say_what_does_not_fit() -> None:
    means, covariances = np.zeros((2, 3)), np.stack([np.eye(3)] * 2)
    with pytest.raises(InvalidInput, match="sum to 1"):
        Kinds(np.array([0.5, 0.6]), means, covariances, 0.1)
    with pytest.raises(InvalidInput, match="above 0"):
        Kinds(np.array([0.0, 1.0]), means, covariances, 0.1)
    with pytest.raises(InvalidInput, match=r"\(2, 3, 3\)"):
        Kinds(np.array([0.5, 0.5]), means, np.eye(3)[None], 0.1)
    with pytest.raises(InvalidInput, match="noise_variance"):
        Kinds(np.array([0.5, 0.5]), means, covariances, np.nan)


def test_policies_come_back_with_their_kinds() -> None:
    posterior = UserPosterior(some_kinds())
    posterior.lean("ann", LEANING)
    for policy in (
        Thompson(posterior, level=0.5, floor=0.05, draws=16),
        Tradeoff(posterior, epsilon=0.1, page_size=2, floor=0.05, draws=16),
    ):
        assert equal_states(type(policy).from_state(policy.state()).state(), policy.state())
    assert len(Prior.isotropic(2)) == 1
