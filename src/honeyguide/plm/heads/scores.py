"""How good predictions are: figures up to 1, higher is better, all without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from honeyguide.types import Floats, Rows


def accuracy(guessed: Rows, true: Rows) -> float:
    """The share that was guessed right."""
    return float((guessed == true).mean())


def macro_f1(guessed: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Mean over classes, of those that occur or were guessed, of the F1 score; both arguments (n, classes)."""
    both = (guessed & true).sum(0)
    either = guessed.sum(0) + true.sum(0)
    some = either > 0
    return float((2 * both[some] / either[some]).mean()) if some.any() else 0.0


def r_squared(guessed: Floats, true: Floats) -> float:
    """1 less the share of the variance that is not explained, the mean over columns; both arguments (n, k)."""
    left = ((guessed - true) ** 2).sum(0)
    there = ((true - true.mean(0)) ** 2).sum(0)
    return float((1 - left / np.maximum(there, 1e-12)).mean())


def average_precision(scores: Floats, true: NDArray[np.bool_]) -> float:
    """Mean over classes that occur of the area under precision and recall; both arguments (n, classes)."""
    found = []
    for column in range(true.shape[1]):
        if true[:, column].any():
            hits = true[np.argsort(-scores[:, column], kind="stable"), column]
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            found.append(float(precision[hits].mean()))
    return float(np.mean(found)) if found else 0.0


def ndcg(scores: Floats, gains: Floats, k: int) -> float:
    """Discounted gain of the k best by score, over that of the k best by gain (Järvelin and Kekäläinen 2002).

    What is worth least of all counts 0, so that a list in reverse order scores well below 1.
    """
    worth = gains - gains.min()
    best = _discounted(np.sort(worth)[::-1][:k])
    got = _discounted(worth[np.argsort(-scores, kind="stable")[:k]])
    return float(got / best) if best > 0 else 1.0


def ordered(scores: Floats, gains: Floats) -> float:
    """Of the pairs that differ in gain, the share that the scores order right; ties count half."""
    first, second = np.nonzero(gains[:, None] > gains[None, :])
    gap = scores[first] - scores[second]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean()) if len(first) else 1.0


def _discounted(gains: Floats) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())
