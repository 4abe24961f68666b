"""A prior is learned, not assumed: empirical Bayes over the users of the log."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.explore.posterior import Prior
from honeyguide.types import Floats, Progress, Vectors, silent


@dataclass(frozen=True, slots=True, eq=False)
class UserSums:
    """Sufficient statistics of u users: Σ x xᵀ (u, d, d), Σ r x (u, d), Σ r² (u,), and how many rows (u,)."""

    xx: Floats
    xr: Floats
    rr: Floats
    n: Floats

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
        )


def learn_prior(
    sums: UserSums, *, rounds: int = 60, ridge: float = 1e-4, progress: Progress = silent
) -> Prior:
    """The prior under which the users' rewards are most likely, by expectation-maximisation.

    Model: w_u ~ N(mean, covariance), r = x·w_u + N(0, noise). Laird & Ware 1982, "Random-effects models for
    longitudinal data". `ridge` keeps a direction nobody varies in from becoming exactly certain.
    """
    users, d = sums.xr.shape
    if users == 0 or sums.n.sum() == 0:
        raise InvalidInput("a prior needs at least one user with one observation: import more events")
    total = sums.xx.sum(axis=0) + ridge * np.eye(d)
    mean = np.linalg.solve(total, sums.xr.sum(axis=0))
    noise = max(float((sums.rr.sum() - mean @ sums.xr.sum(axis=0)) / sums.n.sum()), ridge)
    covariance = 0.1 * np.eye(d)
    for turn in range(rounds):
        mean, covariance, noise = _em_step(sums, mean, covariance, noise, ridge)
        progress(turn + 1, rounds)
    return Prior(mean, covariance, noise)


def _em_step(
    sums: UserSums, mean: Floats, covariance: Floats, noise: float, ridge: float
) -> tuple[Floats, Floats, float]:
    precision = np.linalg.inv(covariance)
    spread = np.linalg.inv(precision + sums.xx / noise)  # (u, d, d): each user's posterior covariance
    w = np.einsum("uij,uj->ui", spread, precision @ mean + sums.xr / noise)
    new_mean = w.mean(axis=0)
    deviation = w - new_mean
    new_covariance = spread.mean(axis=0) + deviation.T @ deviation / len(w)
    fit = sums.rr - 2 * np.einsum("ui,ui->u", w, sums.xr) + np.einsum("ui,uij,uj->u", w, sums.xx, w)
    slack = np.einsum("uij,uji->u", sums.xx, spread)
    new_noise = max(float((fit + slack).sum() / sums.n.sum()), ridge)
    symmetric = (new_covariance + new_covariance.T) / 2 + ridge * np.eye(len(mean))
    return new_mean, symmetric, new_noise
