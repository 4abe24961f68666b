"""An interval for a mean whose values come in clusters: whole users are resampled, never their single visits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats

_BLOCK = 4_000_000  # cells of the resampling table that are held at once


def bootstrap_mean(
    values: Floats,
    clusters: NDArray[Any],
    rng: np.random.Generator,
    resamples: int,
    *,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """(mean, low, high) of (n,) values, the interval by resampling whole clusters.

    `clusters` is (n,), any labels that can be sorted: values with the same label stay together. For the
    difference of two policies on the same visits pass the (n,) differences: the interval is then paired.

    >>> bootstrap_mean(np.array([1.0, 1.0, 3.0]), np.array(["a", "a", "a"]), np.random.default_rng(0), 100)
    Traceback (most recent call last):
        ...
    honeyguide.errors.InvalidInput: a bootstrap needs at least 2 clusters, got 1
    >>> bootstrap_mean(np.array([2.0, 2.0, 2.0]), np.array([7, 7, 9]), np.random.default_rng(0), 100)
    (2.0, 2.0, 2.0)
    """
    if values.ndim != 1 or values.shape != clusters.shape or not np.isfinite(values).all():
        raise InvalidInput(
            f"values and clusters must be (n,) and finite, got shapes {values.shape} and {clusters.shape}"
        )
    if resamples < 2 or not 0 < level < 1:
        raise InvalidInput(f"resamples must be at least 2 and level within 0..1, got {resamples}, {level}")
    labels, code = np.unique(clusters, return_inverse=True)
    if len(labels) < 2:
        raise InvalidInput(f"a bootstrap needs at least 2 clusters, got {len(labels)}")
    # a mean over resampled clusters is a ratio of sums: nothing more than each cluster's sum and size is needed
    sums = np.stack([np.bincount(code, weights=values), np.bincount(code)], axis=1)
    drawn = np.concatenate([times @ sums for times in _resamples(len(labels), rng, resamples)])
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def _resamples(clusters: int, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Blocks of (at most `resamples`, clusters): how often each cluster was drawn."""
    step = max(1, _BLOCK // clusters)
    even = np.full(clusters, 1 / clusters)
    for start in range(0, resamples, step):
        times = rng.multinomial(clusters, even, size=min(step, resamples - start))
        yield times.astype(np.float64)
