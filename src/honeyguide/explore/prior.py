"""A prior is learned, not assumed: empirical Bayes over the users of the log.

Model: user u is of a kind k, w_u ~ N(mean_k, covariance_k), r = x·w_u + N(0, noise). With one kind this is Laird &
Ware 1982, "Random-effects models for longitudinal data"; with several, a mixture of them. How many is chosen in
`kinds_chosen.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.special import ndtr

from honeyguide.errors import InvalidInput
from honeyguide.explore.kinds import Kinds, softmax
from honeyguide.explore.posterior import Prior
from honeyguide.types import Floats, Progress, Rows, Vectors, silent

RIDGE = 1e-6
_BLOCK = 1024  # users whose covariances are held at once


@dataclass(frozen=True, slots=True, eq=False)
class UserSums:
    """Sufficient statistics of u users: Σ x xᵀ (u, d, d), Σ r x (u, d), Σ r² (u,), and how many rows (u,).

    `x` (u, d) and `r` (u,) are plain sums: no prior is learned from them, but it is judged by them.
    """

    xx: Floats
    xr: Floats
    rr: Floats
    n: Floats
    x: Floats
    r: Floats

    @classmethod
    def of(
        cls, features: Vectors, rewards: Floats, starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> UserSums:
        """Sums over rows starts[u]:starts[u + 1] of `features` (rows, d) and `rewards` (rows,) for each user."""
        pairs = list(pairwise(starts))
        parts = [(features[a:b].astype(np.float64), rewards[a:b]) for a, b in pairs]
        d = features.shape[1]
        return cls(
            xx=np.array([x.T @ x for x, _ in parts]).reshape(-1, d, d),
            xr=np.array([x.T @ r for x, r in parts]).reshape(-1, d),
            rr=np.array([r @ r for _, r in parts]),
            n=np.diff(starts).astype(np.float64),
            x=np.array([x.sum(axis=0) for x, _ in parts]).reshape(-1, d),
            r=np.array([r.sum() for _, r in parts]),
        )

    def __len__(self) -> int:
        return len(self.n)

    def of_users(self, users: Rows) -> UserSums:
        """The sums of some users."""
        some = (self.xx, self.xr, self.rr, self.n, self.x, self.r)
        return UserSums(*(each[users] for each in some))

    def less(self, shifts: Floats) -> UserSums:
        """The sums of what is left of the users' rewards where each has weights `shifts` (u, d)."""
        told = np.einsum("uij,uj->ui", self.xx, shifts)
        rr = self.rr - 2 * (self.xr * shifts).sum(axis=1) + (told * shifts).sum(axis=1)
        return UserSums(self.xx, self.xr - told, rr, self.n, self.x, self.r - (self.x * shifts).sum(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """A kind of n users is held to as much of `towards` as `strength` users would hold it: small kinds are like all.

    The normal-inverse-Wishart prior: the more strength, the nearer the kinds are to `towards` itself.
    """

    towards: Prior
    strength: float


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What a prior makes of users, added up: all that a round of learning needs of them.

    Over users, weighted by how likely each kind is theirs: `n` (k,) of them, `first` (k, d) and `second` (k, d, d)
    moments of their weights, `crossed` Σ w·(Σ r x). `likelihood` is the log likelihood of all their rewards.
    """

    n: Floats
    first: Floats
    second: Floats
    crossed: float
    likelihood: float

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.n + other.n,
            self.first + other.first,
            self.second + other.second,
            self.crossed + other.crossed,
            self.likelihood + other.likelihood,
        )


def learn_prior(
    sums: UserSums,
    *,
    centred: bool = False,
    rounds: int = 60,
    ridge: float = RIDGE,
    progress: Progress = silent,
) -> Prior:
    """The Gaussian under which the users' rewards are most likely, by expectation-maximisation.

    `ridge` keeps a direction nobody varies in from becoming exactly certain. With `centred` the mean is 0: rewards
    are what is left of a base rate then, which says what users have in common.
    """
    users, d = sums.xr.shape
    if users == 0 or sums.n.sum() == 0:
        raise InvalidInput("a prior needs at least one user with one observation: import more events")
    total = sums.xx.sum(axis=0) + ridge * np.eye(d)
    mean = np.zeros(d) if centred else np.linalg.solve(total, sums.xr.sum(axis=0))
    noise = max(float((sums.rr.sum() - mean @ sums.xr.sum(axis=0)) / sums.n.sum()), ridge)
    kinds: Kinds = Prior(mean, 0.1 * np.eye(d), noise)
    for turn in range(rounds):
        kinds = _maximised(sums, kinds, moments(sums, kinds), None, ridge, centred=centred)
        progress(turn + 1, rounds)
    return Prior(kinds.means[0], kinds.covariances[0], kinds.noise_variance)


def learn_kinds(
    sums: UserSums,
    pull: Pull,
    shares: Floats,
    *,
    rounds: int = 30,
    ridge: float = RIDGE,
    progress: Progress = silent,
) -> Kinds:
    """The kinds under which the users' rewards are most likely, all of them alike at first and held to `pull`.

    `shares` (u, k) say how much of each kind every user is taken for to begin with.
    """
    one, k = pull.towards, shares.shape[1]
    alike = Kinds(
        np.full(k, 1 / k), one.means.repeat(k, axis=0), one.covariances.repeat(k, axis=0), one.noise_variance
    )
    kinds = _maximised(sums, alike, moments(sums, alike, shares), pull, ridge)
    for turn in range(1, rounds):
        kinds = _maximised(sums, kinds, moments(sums, kinds), pull, ridge)
        progress(turn + 1, rounds)
    return kinds


def moments(sums: UserSums, kinds: Kinds, shares: Floats | None = None) -> Moments:
    """What `kinds` make of the users; `shares` (u, k) stand for how likely each kind is, where they are given."""
    parts = []
    for start in range(0, len(sums), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(sums)))
        some = sums.of_users(block)
        weighed = [_weigh(some, kinds, kind, covariances=True) for kind in range(len(kinds))]
        evidence = np.stack([each.evidence for each in weighed], axis=1) + np.log(kinds.weights)
        part = softmax(evidence) if shares is None else shares[block]
        means = np.stack([each.means for each in weighed], axis=1)
        spread = [np.tensordot(part[:, kind], each.lower, 1) for kind, each in enumerate(weighed)]
        parts.append(
            Moments(
                n=part.sum(axis=0),
                first=np.einsum("uk,ukd->kd", part, means),
                second=_symmetric(np.array(spread))
                + np.array([(means[:, k].T * part[:, k]) @ means[:, k] for k in range(len(kinds))]),
                crossed=float(np.einsum("uk,ukd,ud->", part, means, some.xr, optimize=True)),
                likelihood=float(log_sum(evidence).sum()),
            )
        )
    return sum(parts[1:], start=parts[0])


def weigh(sums: UserSums, kinds: Kinds) -> tuple[Floats, Floats]:
    """(u, k) log likelihoods of each user's rewards under each kind; (u, k, d) the mean of their weights in it."""
    found = [_weigh(sums, kinds, kind, covariances=False) for kind in range(len(kinds))]
    return np.stack([each.evidence for each in found], axis=1), np.stack(
        [each.means for each in found], axis=1
    )


def foresee(sums: UserSums, kinds: Kinds, log_weights: Floats | None = None) -> tuple[Floats, Floats]:
    """(u,) the log likelihood of each user's rewards, and (u,) in 0..1 where in what was foreseen their mean lies.

    `log_weights` (u, k) are of the kinds, each user's own; those of `kinds` where they are not given.
    """
    chances = (
        np.broadcast_to(np.log(kinds.weights), (len(sums), len(kinds)))
        if log_weights is None
        else log_weights
    )
    mean = sums.x / sums.n[:, None]
    variance = np.einsum("ui,kij,uj->uk", mean, kinds.covariances, mean, optimize=True)
    deviation = np.sqrt(variance + kinds.noise_variance / sums.n[:, None])
    place = (np.exp(chances) * ndtr(((sums.r / sums.n)[:, None] - mean @ kinds.means.T) / deviation)).sum(
        axis=1
    )
    return log_sum(weigh(sums, kinds)[0] + chances), np.asarray(place)


def log_sum(logits: Floats) -> Floats:
    """(n,): the logarithm of what (n, k) add up to once their logarithms are undone."""
    most = logits.max(axis=1)
    return np.asarray(most + np.log(np.exp(logits - most[:, None]).sum(axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class _Weighed:
    """Users under one kind: `evidence` (u,), `means` (u, d), `lower` halves (u, d, d) of their covariances."""

    evidence: Floats
    means: Floats
    lower: Floats


def _weigh(sums: UserSums, kinds: Kinds, kind: int, *, covariances: bool) -> _Weighed:
    users, d = sums.xr.shape
    noise, mean = kinds.noise_variance, kinds.means[kind]
    precision = np.linalg.inv(kinds.covariances[kind])
    precision = (precision + precision.T) / 2
    shift = precision @ mean + sums.xr / noise
    together = precision + sums.xx / noise
    means, halves = np.empty((users, d)), np.empty(users)
    lower = np.empty((users if covariances else 0, d, d))
    for user in range(users):  # at these sizes a loop over LAPACK is faster than numpy's batches
        factor, _ = dpotrf(together[user], lower=1)
        means[user] = dpotrs(factor, shift[user], lower=1)[0]
        halves[user] = np.log(factor.diagonal()).sum()
        if covariances:
            lower[user] = dpotri(factor, lower=1)[0]
    same = float(mean @ precision @ mean + np.linalg.slogdet(kinds.covariances[kind])[1])
    explained = (shift * means).sum(axis=1) - 2 * halves
    evidence = -0.5 * (sums.n * np.log(2 * np.pi * noise) + sums.rr / noise + same - explained)
    return _Weighed(evidence, means, lower)


def _maximised(
    sums: UserSums, kinds: Kinds, found: Moments, pull: Pull | None, ridge: float, *, centred: bool = False
) -> Kinds:
    """The kinds that fit the moments best, and the noise that is left over."""
    k, d = kinds.means.shape
    n, first, second = found.n, found.first, found.second
    if pull is not None:
        held, mean = pull.strength, pull.towards.means[0]
        n, first = n + held, first + held * mean
        second = second + held * (pull.towards.covariances[0] + np.outer(mean, mean))
    means = np.zeros_like(first) if centred else first / n[:, None]
    covariances = second / n[:, None, None] - means[:, :, None] * means[:, None, :]
    precisions = np.linalg.inv(kinds.covariances)
    told = np.einsum("kij,kji->", precisions, found.second)
    told -= np.einsum("ki,kij,kj->", found.first, precisions, kinds.means)
    misfit = sums.rr.sum() - found.crossed + kinds.noise_variance * (found.n.sum() * d - told)
    return Kinds(
        weights=(found.n + 1) / (len(sums) + k),
        means=means,
        covariances=(covariances + covariances.transpose(0, 2, 1)) / 2 + ridge * np.eye(d),
        noise_variance=max(float(misfit / sums.n.sum()), ridge),
    )


def _symmetric(lower: Floats) -> Floats:
    """(k, d, d): whole matrices of their lower halves."""
    below = np.tril(lower, -1)
    return np.asarray(np.tril(lower) + below.transpose(0, 2, 1))
