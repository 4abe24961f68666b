"""How to fill a page: ask the policy again for every slot, or draw all slots from one pmf (Plackett-Luce)?

python benchmarks/slate.py [--seeds N] [--json OUT]

A linear-Gaussian world, 100 candidates, pages of 10, floor 2 %. The figure is how far the expected reward of the
shown items is on the way from a random page (0) to the best page (1); both ways serve the same posterior.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from honeyguide.explore.decide import draw
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.types import Candidates, Floats, Vectors
from rows import Row, arguments, report

DIM, CANDIDATES, K, PAGES, SEEN = 16, 100, 10, 100, 60
LEVELS = (0.0, 0.25, 1.0)

Fill = Callable[[Thompson, Candidates, np.random.Generator], list[int]]


def asked_for_every_slot(policy: Thompson, candidates: Candidates, rng: np.random.Generator) -> list[int]:
    """Slot j is drawn from the policy's answer on what is left."""
    left = np.arange(len(candidates))
    chosen = []
    for _ in range(K):
        drawn = draw(policy.probabilities(candidates.take(left), rng), rng)
        chosen.append(int(left[drawn]))
        left = np.delete(left, drawn)
    return chosen


def plackett_luce(policy: Thompson, candidates: Candidates, rng: np.random.Generator) -> list[int]:
    """All slots are drawn from the first slot's pmf without replacement."""
    pmf = policy.probabilities(candidates, rng)
    return [int(row) for row in rng.choice(len(pmf), size=K, replace=False, p=pmf)]


def world(seed: int) -> tuple[UserPosterior, Vectors, Floats, np.random.Generator]:
    """A posterior that has seen a little of a truth drawn from its prior, candidates, and their true values."""
    rng = np.random.default_rng(seed)
    prior = Prior(np.zeros(DIM), 0.02 * np.eye(DIM), 0.05)
    truth = rng.multivariate_normal(prior.mean, prior.covariance)
    posterior = UserPosterior(prior)
    seen = rng.uniform(-1, 1, size=(SEEN, DIM)).astype(np.float32)
    posterior.observe("user", seen, np.clip(seen @ truth + rng.normal(0, 0.22, SEEN), -1, 1))
    features = rng.uniform(-1, 1, size=(CANDIDATES, DIM)).astype(np.float32)
    return posterior, features, features @ truth, rng


def score(fill: Fill, level: float, seed: int) -> tuple[float, float]:
    """(how far from random to best, milliseconds a page) in one world."""
    posterior, features, value, rng = world(seed)
    policy = Thompson(posterior, level=level, floor=0.02, draws=64)
    candidates = Candidates("user", tuple(map(str, range(CANDIDATES))), features)
    start = time.perf_counter()
    shown = [value[fill(policy, candidates, rng)].sum() for _ in range(PAGES)]
    elapsed_ms = (time.perf_counter() - start) / PAGES * 1000
    worst, best = K * value.mean(), np.sort(value)[-K:].sum()
    return float((np.mean(shown) - worst) / (best - worst)), elapsed_ms


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, seeds=20)
    rows = []
    for level in LEVELS:
        pairs = [
            (score(asked_for_every_slot, level, s), score(plackett_luce, level, s))
            for s in range(options.seeds)
        ]
        for index, metric in enumerate(("random to best", "ms a page")):
            ours = [a[index] for a, _ in pairs]
            theirs = [b[index] for _, b in pairs]
            rows.append(Row.of(f"slate level {level:g}", metric, ours, "one pmf (Plackett-Luce)", theirs))
    report(rows, options)


if __name__ == "__main__":
    main()
