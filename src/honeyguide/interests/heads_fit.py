"""How heads are learned: weights, calibration, what the sequence model may add, and how good it all is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit, log_expit, log_softmax, softmax

from honeyguide.interests.heads import Head
from honeyguide.interests.heads_quality import HeadQuality, head_quality
from honeyguide.types import Floats, Rows, Vectors

FOLDS = 5
_RIDGE = 1e-4  # of standardised weights, beside the mean loss
_STEPS = 50
_SMALL = 1e-6  # a step that changes no weight by more is the last
_FLAT = 1e-12  # keeps the equations solvable where something is the same for all
_ALONE = np.array([1.0, 0.0, 0.0])
_CHOICES = 30  # of fewer nothing is learned
_CERTAIN = np.array([25.0, 1.0, 1.0])
"""How surely the head's log-odds count once and the two FOLLOWS not at all, as precisions."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadExamples:
    """Candidates of past pages and whether the event came: `signs` (r, d), `follows` (r, 2), `came` (r,).

    `user` (r,) int64 says whose page it was; `weight` (r,) for how many candidates a row stands: where only some of
    those are kept for which nothing came, each counts for those left out, so that no chance is too high.
    """

    signs: Vectors
    follows: Vectors
    came: NDArray[np.bool_]
    user: Rows
    weight: Floats

    def __len__(self) -> int:
        return len(self.came)


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """Events that no model learned from, each among candidates: those of choice i lie at `starts[i]:starts[i + 1]`.

    `signs` (r, d) and `follows` (r, 2) of the candidates; `taken` (c,) says which row of r it was.
    """

    signs: Vectors
    follows: Vectors
    starts: Rows
    taken: Rows

    def __len__(self) -> int:
        return len(self.taken)


@dataclass(frozen=True, slots=True)
class Following:
    """Whether what the sequence model says is `used`: by how much, in nats, it made `choices` likelier.

    `gain` is the mean and `error` its standard error, on choices that its weights were not learned from.
    """

    choices: int
    gain: float
    error: float
    used: bool


def learn_head(
    examples: HeadExamples, choices: Choices | None, *, seed: int = 0
) -> tuple[Head, HeadQuality, Following | None]:
    """The head of one kind, and how good its chances are for users that were not learned from.

    Each fifth of the users is held out once; the log-odds given to them calibrate the whole, and each fifth's are
    judged as the other four calibrate them. What the sequence model says is no part of what is judged: it learned
    from these pages.
    """
    fold = _folds(examples.user, seed)
    apart = np.zeros(len(examples))
    for part in range(FOLDS):
        learned = _fit(examples, fold != part)
        apart[fold == part] = _log_odds(examples.signs[fold == part], learned)
    judged = np.zeros(len(examples))
    for part in range(FOLDS):
        inside = fold == part
        slope, shift = calibrated(apart[~inside], examples.came[~inside], examples.weight[~inside])
        judged[inside] = expit(slope * apart[inside] + shift)
    quality = head_quality(judged, examples.came, examples.weight)
    slope, shift = calibrated(apart, examples.came, examples.weight)
    bias, weights = _fit(examples, np.ones(len(examples), dtype=np.bool_))
    head = Head(slope * bias + shift, slope * weights, np.zeros(2))
    if choices is None or not len(choices):
        return head, quality, None
    weights, following = follow(choices, head)
    return (_following(head, examples, weights) if following.used else head), quality, following


def calibrated(log_odds: Floats, came: NDArray[np.bool_], weight: Floats) -> tuple[float, float]:
    """Slope and shift that make log-odds (r,) say how often it came (Platt 1999)."""
    given = np.column_stack([log_odds, np.ones(len(log_odds))])
    slope, shift = _logistic(given, came, weight, np.zeros(2), np.array([1.0, 0.0]))
    return float(slope), float(shift)


def _folds(user: Rows, seed: int) -> Rows:
    users, at = np.unique(user, return_inverse=True)
    return np.asarray(np.random.default_rng(seed).permutation(len(users)) % FOLDS)[at]


def _fit(examples: HeadExamples, chosen: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Bias and weights of the signs as they are."""
    signs = examples.signs[chosen].astype(np.float64)
    weight = examples.weight[chosen]
    mean = np.average(signs, axis=0, weights=weight)
    spread = np.sqrt(np.average((signs - mean) ** 2, axis=0, weights=weight))
    scale = np.where(spread > 1e-6, spread, np.inf)  # what is the same for all says nothing
    given = np.column_stack([np.ones(len(signs)), (signs - mean) / scale])
    ridge = np.full(given.shape[1], _RIDGE)
    ridge[0] = 0.0
    found = _logistic(given, examples.came[chosen], weight, ridge, np.zeros(given.shape[1]))
    weights = found[1:] / scale
    return float(found[0] - mean @ weights), weights


def _log_odds(signs: Vectors, learned: tuple[float, Floats]) -> Floats:
    return np.asarray(learned[0] + signs @ learned[1], dtype=np.float64)


def _logistic(given: Floats, came: NDArray[np.bool_], weight: Floats, ridge: Floats, start: Floats) -> Floats:
    """(d,): the weights of `given` (r, d) that make what came likeliest, by Newton's method."""
    share = weight / weight.sum()
    sign = np.where(came, 1.0, -1.0)

    def loss(weights: Floats) -> float:
        return float(-(share @ log_expit(sign * (given @ weights))) + ridge @ weights**2)

    weights, now = start, loss(start)
    for _ in range(_STEPS):
        chances = expit(given @ weights)
        slope = given.T @ (share * (chances - came)) + 2 * ridge * weights
        bend = (given * (share * chances * (1 - chances))[:, None]).T @ given
        bend[np.diag_indices_from(bend)] += 2 * ridge + _FLAT
        step = np.linalg.solve(bend, slope)
        while (then := loss(weights - step)) > now:
            step /= 2  # what is all but certain bends so little that a whole step goes too far
            if np.abs(step).max() < _SMALL:
                return weights
        weights, now = weights - step, then
        if np.abs(step).max() < _SMALL:
            break
    return np.asarray(weights, dtype=np.float64)


def follow(choices: Choices, head: Head) -> tuple[Floats, Following]:
    """(3,): how much the head's log-odds and FOLLOWS count: 0 where these are not sure to add anything.

    They are sure to where choices that the weights were not learned from become likelier by more than twice the
    standard error of that.
    """
    given = np.column_stack([head.log_odds(choices.signs, np.zeros_like(choices.follows)), choices.follows])
    gain = np.zeros(len(choices))
    for part in range(FOLDS):
        apart = np.arange(len(choices)) % FOLDS == part
        weights = _chosen_weights(given, choices, np.flatnonzero(~apart))
        for at in np.flatnonzero(apart).tolist():
            gain[at] = _told(given @ weights, choices, at) - _told(given[:, 0], choices, at)
    mean, error = float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))
    used = len(choices) >= _CHOICES and mean > 2 * error
    weights = _chosen_weights(given, choices, np.arange(len(choices))) if used else _ALONE
    return weights, Following(len(choices), mean, error, used)


def _following(head: Head, examples: HeadExamples, weights: Floats) -> Head:
    """The head with FOLLOWS, right as often on the pages as before."""
    own, *more = weights.tolist()
    odds = own * head.log_odds(examples.signs, np.zeros_like(examples.follows)) + examples.follows @ more
    goal = examples.weight @ examples.came

    def missing(shift: float) -> float:
        return float(examples.weight @ expit(odds + shift) - goal)

    shift = float(brentq(missing, -60.0, 60.0))
    return Head(own * head.bias + shift, own * head.weights, np.array(more))


def _told(odds: Floats, choices: Choices, at: int) -> float:
    """The logarithm of the chance of what was taken in a choice."""
    first, end = choices.starts[at : at + 2]
    return float(log_softmax(odds[first:end])[choices.taken[at] - first])


def _chosen_weights(given: Floats, choices: Choices, chosen: Rows) -> Floats:
    """(3,): the weights of `given` (r, 3) that make what was taken likeliest (McFadden 1974)."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = given @ weights
        pull = _CERTAIN * (weights - _ALONE)
        total, slope = 0.5 * float(pull @ (weights - _ALONE)), pull.copy()
        for at in chosen.tolist():
            part = slice(*choices.starts[at : at + 2])
            total -= _told(odds, choices, at)
            slope += softmax(odds[part]) @ given[part] - given[choices.taken[at]]
        return total, slope

    found = minimize(loss, _ALONE, jac=True, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)
