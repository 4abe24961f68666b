"""How a user leans: what they had done before their first page says which kind they may be.

A gate (multinomial logistic, as in Jacobs et al. 1991, "Adaptive mixtures of local experts") gives each user weights
of the kinds of their own, and a linear map shifts the kinds' means. Both are learned in one step of
expectation-maximisation from the population's kinds: on users held out more steps were worse, on a real shop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from honeyguide.explore.kinds import Kinds, Leaning, softmax
from honeyguide.explore.prior import UserSums, foresee, log_sum, weigh
from honeyguide.types import Floats, Rows

_STEPS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """What was read of u users before their first page.

    `vectors` (u, h), of which each component says little, `counts` (u, c), of which each says a lot, and
    `known` (u,): who had done anything by then.
    """

    vectors: Floats
    counts: Floats
    known: NDArray[np.bool_]

    def of_users(self, users: Rows) -> Reads:
        """What was read of some users."""
        return Reads(self.vectors[users], self.counts[users], self.known[users])


@dataclass(frozen=True, slots=True, eq=False)
class Leaner:
    """Tells from what was read of users how they lean, against strangers: `kinds` are those of a stranger.

    `centre` and `scale` (h + c,) make what is read comparable. A user's log odds of the kinds move by their row, 1
    and what was read, times `gate` (h + c + 1, k), the means by the same times `slope` (h + c + 1, d).
    """

    kinds: Kinds
    centre: Floats
    scale: Floats
    gate: Floats
    slope: Floats

    @classmethod
    def learn(cls, sums: UserSums, kinds: Kinds, reads: Reads, ridge: float) -> Self:
        """The map under which users that are read lean best from the population's `kinds`, weights held by `ridge`.

        Users of whom nothing was read make up the strangers: their kinds are the population's, held by `ridge` too.
        """
        centre, scale = _usual(reads)
        rows = np.concatenate([_rows(reads, centre, scale), ~reads.known[:, None]], axis=1)
        evidence, means = weigh(sums, kinds)
        log_weights = np.log(kinds.weights)
        shares = softmax(evidence + log_weights)
        gate = _logistic(rows, shares, log_weights, ridge)
        inner = rows.T @ rows + ridge * np.eye(rows.shape[1])
        slope = np.linalg.solve(inner, rows.T @ np.einsum("uk,ukd->ud", shares, means - kinds.means))
        stranger = Kinds(
            softmax(log_weights + gate[-1]), kinds.means + slope[-1], kinds.covariances, kinds.noise_variance
        )
        # who is known has no part in what strangers differ by
        gate[0] -= gate[-1]
        slope[0] -= slope[-1]
        return cls(stranger, centre, scale, gate[:-1], slope[:-1])

    def log_weights(self, reads: Reads) -> Floats:
        """(u, k): the log weights of the kinds for each user; a stranger's where nothing was read."""
        moved = np.log(self.kinds.weights) + _rows(reads, self.centre, self.scale) @ self.gate
        return np.asarray(moved - log_sum(moved)[:, None])

    def shifts(self, reads: Reads) -> Floats:
        """(u, d): how far each user's means lie from a stranger's."""
        return _rows(reads, self.centre, self.scale) @ self.slope

    def of(self, reads: Reads) -> list[Leaning | None]:
        """How each user leans; None for those of whom nothing was read."""
        found = zip(self.log_weights(reads), self.shifts(reads), reads.known, strict=True)
        return [Leaning(weights, shift) if known else None for weights, shift, known in found]

    def foresee(self, sums: UserSums, reads: Reads) -> tuple[Floats, Floats]:
        """(u,) twice, given what was read of them: see `foresee`."""
        return foresee(sums.less(self.shifts(reads)), self.kinds, self.log_weights(reads))


def _usual(reads: Reads) -> tuple[Floats, Floats]:
    """(h + c,) twice: the mean of what was read, and what to divide by so that one ridge suits all of it."""
    seen = np.concatenate([reads.vectors, reads.counts], axis=1)[reads.known]
    scale = np.maximum(seen.std(axis=0), 1e-6)
    scale[: reads.vectors.shape[1]] *= np.sqrt(reads.vectors.shape[1])
    return seen.mean(axis=0), scale


def _rows(reads: Reads, centre: Floats, scale: Floats) -> Floats:
    """(u, h + c + 1): 1 and what was read; all 0 where nothing was."""
    seen = (np.concatenate([reads.vectors, reads.counts], axis=1) - centre) / scale
    rows = np.concatenate([np.ones((len(seen), 1)), seen], axis=1)
    return np.where(reads.known[:, None], rows, 0.0)


def _logistic(rows: Floats, shares: Floats, log_weights: Floats, ridge: float) -> Floats:
    """(r, k): the coefficients under which `shares` (u, k) are most likely, beside `log_weights`, with a ridge."""
    shape = (rows.shape[1], len(log_weights))

    def loss(flat: Floats) -> tuple[float, Floats]:
        gate = flat.reshape(shape)
        logits = rows @ gate + log_weights
        logits -= log_sum(logits)[:, None]
        value = -(shares * logits).sum() + 0.5 * ridge * (gate**2).sum()
        return float(value), (rows.T @ (np.exp(logits) - shares) + ridge * gate).ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return np.asarray(found.x.reshape(shape))
