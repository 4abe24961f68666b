"""Kinds of users: a mixture of Gaussians over what a user's weights may be, and exact beliefs under it.

Under each kind the posterior is Gaussian. How likely each kind is, given what was seen, follows from the marginal
likelihood of the user's rewards; as the kinds share one noise variance, all in it that would need the rewards
themselves is the same for every kind and cancels: A = Σ x xᵀ and b = Σ r x say all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dtrtri

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Vectors


@dataclass(frozen=True, eq=False)
class Kinds:
    """What is believed of a user nobody has met: k kinds, and the noise of one reward, which they share.

    `weights` (k,) sum to 1, `means` (k, d), `covariances` (k, d, d).
    """

    weights: Floats
    means: Floats
    covariances: Floats
    noise_variance: float

    def __post_init__(self) -> None:
        k, d = self.means.shape
        if self.weights.shape != (k,) or not np.isclose(self.weights.sum(), 1) or (self.weights <= 0).any():
            raise InvalidInput(
                f"weights must be {k} numbers above 0 that sum to 1, got {self.weights.tolist()}"
            )
        if self.covariances.shape != (k, d, d):
            raise InvalidInput(f"covariances must be ({k}, {d}, {d}), got {self.covariances.shape}")
        if not (self.noise_variance > 0 and np.isfinite(self.noise_variance)):
            raise InvalidInput(f"noise_variance must be positive and finite, got {self.noise_variance}")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def dim(self) -> int:
        """How many features an item has."""
        return int(self.means.shape[1])

    @property
    def mean(self) -> Floats:
        """(d,): the mean of the weights over all kinds."""
        return mixture_mean(self.weights, self.means)

    @property
    def covariance(self) -> Floats:
        """(d, d): the covariance of the weights over all kinds, what lies between their means included."""
        return mixture_covariance(self.weights, self.means, self.covariances)

    def sample(self, users: int, rng: np.random.Generator) -> Floats:
        """(users, d): the weights of users drawn from it."""
        kind = rng.choice(len(self), users, p=self.weights)
        roots = np.linalg.cholesky(self.covariances)
        noise = rng.standard_normal((users, self.dim))
        return np.asarray(self.means[kind] + np.einsum("uij,uj->ui", roots[kind], noise))


@dataclass(frozen=True, slots=True, eq=False)
class Leaning:
    """How the prior of one user differs from a stranger's: the kinds' log weights (k,), the means' shift (d,)."""

    log_weights: Floats
    shift: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """One user's posterior: k kinds with weights (k,), means (k, d), and roots (k, d, d).

    rootᵀ·root is a covariance. `mean` (d,) and `root` (d, d) are of all kinds together: the exact first two moments,
    which with more than one kind are not those of a Gaussian.
    """

    mean: Floats
    root: Floats
    weights: Floats
    means: Floats
    roots: Floats

    @classmethod
    def of(cls, weights: Floats, means: Floats, roots: Floats) -> Self:
        """The belief in these kinds, with its moments."""
        if len(weights) == 1:
            return cls(means[0], roots[0], weights, means, roots)
        covariance = mixture_covariance(weights, means, roots.transpose(0, 2, 1) @ roots)
        root = np.asarray(np.linalg.cholesky(covariance).T, dtype=np.float64)
        return cls(mixture_mean(weights, means), root, weights, means, roots)

    def sample(self, draws: int, rng: np.random.Generator, *, scale: float = 1.0) -> Floats:
        """(draws, d): joint draws of the weights, first a kind, then in it; their spread times `scale`."""
        noise = rng.standard_normal((len(self.mean), draws))
        kinds = None if len(self.weights) == 1 else rng.choice(len(self.weights), draws, p=self.weights)
        return np.asarray(self.mean + scale * self._deviations(noise, kinds).T)

    def spread(self, noise: Floats) -> Floats:
        """(d, draws): standard normal `noise` (d, draws) turned into deviations from the mean.

        The kinds share the draws by their weights, in order, so that equal noise gives comparable deviations.
        """
        draws = noise.shape[1]
        if len(self.weights) == 1:
            return self._deviations(noise, None)
        kinds = np.searchsorted(self.weights.cumsum()[:-1], (np.arange(draws) + 0.5) / draws, side="right")
        return self._deviations(noise, kinds)

    def _deviations(self, noise: Floats, kinds: NDArray[np.int64] | None) -> Floats:
        if kinds is None:
            return self.root.T @ noise
        found = (self.means - self.mean)[kinds].T
        for kind in np.unique(kinds):
            mine = kinds == kind
            found[:, mine] += self.roots[kind].T @ noise[:, mine]
        return found

    def score_root(self, features: Floats) -> Floats:
        """(d, n): a matrix R with RᵀR the covariance of the (n, d) items' expected rewards."""
        return self.root @ features.T

    def variance(self, features: Vectors) -> Floats:
        """(n,): how uncertain the expected reward of each item is."""
        return np.asarray((self.score_root(features.astype(np.float64)) ** 2).sum(axis=0))

    @property
    def covariance(self) -> Floats:
        """(d, d): the posterior covariance of the weights."""
        return self.root.T @ self.root


class Believer:
    """Turns a user's A and b into what is believed of them, under kinds whose precisions are inverted once."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self._precisions = np.array([_invert(covariance) for covariance in kinds.covariances])
        self._shifts = np.einsum("kij,kj->ki", self._precisions, kinds.means)
        self._log_weights = np.log(kinds.weights)
        self._halves = 0.5 * np.linalg.slogdet(self._precisions)[1]

    def believe(self, xx: Floats, xr: Floats, leaning: Leaning | None = None) -> Belief:
        """The belief after Σ x xᵀ (d, d) and Σ r x (d,), both divided by the noise variance."""
        priors, starts, log_odds = self._shifts, self.kinds.means, self._log_weights
        if leaning is not None:
            priors, starts = priors + self._precisions @ leaning.shift, starts + leaning.shift
            log_odds = leaning.log_weights
        factors = np.linalg.cholesky(self._precisions + xx)
        # inverted once: every draw and every slot then costs one small product
        roots = np.array([dtrtri(factor.T)[0].T for factor in factors])  # transposed, as LAPACK has it: upper
        pulls = priors + xr
        means = np.einsum("kji,kj->ki", roots, np.einsum("kij,kj->ki", roots, pulls))
        if len(self.kinds) == 1:
            return Belief.of(np.ones(1), means, roots)
        evidence = self._halves - np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        evidence += 0.5 * ((pulls * means).sum(axis=1) - (starts * priors).sum(axis=1))
        return Belief.of(softmax(log_odds + evidence), means, roots)


def mixture_mean(weights: Floats, means: Floats) -> Floats:
    """(d,): the mean over kinds of weights (k,) with means (k, d)."""
    return np.asarray(weights @ means)


def mixture_covariance(weights: Floats, means: Floats, covariances: Floats) -> Floats:
    """(d, d): the covariance over kinds: what is within them, and what lies between their means."""
    if len(weights) == 1:
        return np.asarray(covariances[0])
    between = means - mixture_mean(weights, means)
    return np.asarray(np.tensordot(weights, covariances, 1) + (between.T * weights) @ between)


def softmax(logits: Floats) -> Floats:
    """(..., k): chances in proportion to e^logits."""
    found = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(found / found.sum(axis=-1, keepdims=True))


def _invert(matrix: Floats) -> Floats:
    try:
        inverse = cho_solve(cho_factor(matrix, lower=True), np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        raise InvalidInput(
            "the prior covariance must be positive definite: add a ridge to its diagonal"
        ) from None
    return np.asarray((inverse + inverse.T) / 2)
