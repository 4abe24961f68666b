"""How to fill a page? Ask the policy again for every slot, or draw all slots from what one asking gives?

python benchmarks/slate.py [--seeds N] [--json OUT]

A linear-Gaussian world, 100 candidates, pages of 10, floor 2 %, Thompson sampling with 64 draws at three levels. Five
ways from the same posterior to a page, each with exact propensities for every slot given those before it:

one set          what serves: shares of wins among what is left, for every slot over the same joint draws
every slot       the policy is asked again on what is left: shares of wins over fresh draws
one pmf          the shares of wins of the first slot, drawn without replacement (Plackett-Luce)
shares of pages  the same from shares of being among the ten best of a draw
one draw         one posterior draw fills the page, best first, but for the floor; a slot's propensity is the share
                 of the draws, weighed by how well they explain the slots before, that would put the item there

"random to best" is how far the expected reward of the shown items is on the way from a random page (0) to the best
page (1). At first all serve a posterior that has seen 60 rewards and learns no more. In "learning" each starts from
the prior, learns from its own pages, and the figure is over all 40 of them: what is missing to 1 is its regret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from honeyguide.explore.decide import draw
from honeyguide.explore.page import Slots, rest, slots_of
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.shares import with_floor
from honeyguide.explore.thompson import Thompson, drawn_scores
from honeyguide.types import Candidates, Floats, Rows, Vectors
from rows import Row, arguments, report

DIM, CANDIDATES, K, PAGES, SEEN, LEARNING = 16, 100, 10, 60, 60, 40
LEVELS = (0.0, 0.25, 1.0)
NOISE = 0.22

Fill = Callable[[Thompson, Candidates, int, np.random.Generator], tuple[Rows, Floats]]
"""(policy, candidates, k, rng) -> (k,) rows and (k,) propensities given the slots before."""


def one_set(
    policy: Thompson, candidates: Candidates, k: int, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """Slot j is drawn from shares of wins among what is left, over one set of draws for the page."""
    return slot_by_slot(slots_of(policy, candidates, rng, policy.level), k, rng)


def every_slot(
    policy: Thompson, candidates: Candidates, k: int, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """Slot j is drawn from the policy's answer on what is left, over fresh draws."""

    def ask(page: Sequence[int]) -> tuple[Rows, Floats]:
        left, asked = rest(candidates, page)
        return left, policy.probabilities(asked, rng)

    return slot_by_slot(ask, k, rng)


def slot_by_slot(ask: Slots, k: int, rng: np.random.Generator) -> tuple[Rows, Floats]:
    """A page out of answers for its slots."""
    chosen, propensities = list[int](), []
    for _ in range(k):
        left, pmf = ask(chosen)
        drawn = draw(pmf, rng)
        chosen.append(int(left[drawn]))
        propensities.append(pmf[drawn])
    return np.array(chosen), np.array(propensities)


def plackett_luce(
    policy: Thompson, candidates: Candidates, k: int, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """All slots are drawn from the first slot's pmf without replacement."""
    return without_replacement(policy.probabilities(candidates, rng), k, rng)


def shares_of_pages(
    policy: Thompson, candidates: Candidates, k: int, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """The same from how often an item is among the k best of a draw."""
    scores = drawn_scores(policy.posterior, candidates, rng, level=policy.level, draws=policy.draws)
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    shares = np.bincount(best.ravel(), minlength=len(candidates)) / best.size
    return without_replacement(with_floor(shares, policy.floor), k, rng)


def one_draw(
    policy: Thompson, candidates: Candidates, k: int, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """One of the draws fills the page; which one it is stays hidden, so slots are drawn as they would tell it."""
    scores = drawn_scores(policy.posterior, candidates, rng, level=policy.level, draws=policy.draws).copy()
    weights = np.full(len(scores), 1 / len(scores))
    free = np.ones(len(candidates), dtype=np.bool_)
    chosen, propensities = [], []
    for _ in range(k):
        best, even = scores.argmax(axis=1), policy.floor / free.sum()
        pmf = (1 - policy.floor) * np.bincount(best, weights=weights, minlength=len(free)) + even * free
        row = draw(pmf, rng)
        chosen.append(row)
        propensities.append(pmf[row])
        weights *= (1 - policy.floor) * (best == row) + even
        weights /= weights.sum()
        free[row] = False
        scores[:, row] = -np.inf
    return np.array(chosen), np.array(propensities)


def without_replacement(pmf: Floats, k: int, rng: np.random.Generator) -> tuple[Rows, Floats]:
    """One after the other in proportion to what is left of the pmf."""
    chosen, propensities, left = [], [], pmf.copy()
    for _ in range(k):
        row = draw(left, rng)
        chosen.append(row)
        propensities.append(left[row] / left.sum())
        left[row] = 0.0
    return np.array(chosen), np.array(propensities)


RIVALS: dict[str, Fill] = {
    "every slot": every_slot,
    "one pmf (Plackett-Luce)": plackett_luce,
    "shares of pages": shares_of_pages,
    "one draw": one_draw,
}


def world(seed: int, seen: int) -> tuple[UserPosterior, Vectors, Floats, np.random.Generator]:
    """A posterior that has seen a little of a truth drawn from its prior, candidates, and their true values."""
    rng = np.random.default_rng(seed)
    prior = Prior(np.zeros(DIM), 0.02 * np.eye(DIM), 0.05)
    truth = rng.multivariate_normal(prior.mean, prior.covariance)
    posterior = UserPosterior(prior)
    x = rng.uniform(-1, 1, size=(seen, DIM)).astype(np.float32)
    posterior.observe("user", x, np.clip(x @ truth + rng.normal(0, NOISE, seen), -1, 1))
    features = rng.uniform(-1, 1, size=(CANDIDATES, DIM)).astype(np.float32)
    return posterior, features, features @ truth, rng


def score(fill: Fill, level: float, seed: int, *, learns: bool) -> tuple[float, float]:
    """(how far from random to best, milliseconds of one core a page) in one world."""
    posterior, features, value, rng = world(seed, 0 if learns else SEEN)
    policy = Thompson(posterior, level=level, floor=0.02, draws=64)
    candidates = Candidates("user", tuple(map(str, range(CANDIDATES))), features)
    earned, spent, pages = 0.0, 0.0, LEARNING if learns else PAGES
    for _ in range(pages):
        start = time.process_time()
        page, _ = fill(policy, candidates, K, rng)
        spent += time.process_time() - start
        earned += value[page].sum() / pages
        if learns:
            rewards = np.clip(value[page] + rng.normal(0, NOISE, K), -1, 1)
            posterior.observe("user", features[page], rewards)
    worst, best = K * value.mean(), np.sort(value)[-K:].sum()
    return float((earned - worst) / (best - worst)), spent / pages * 1000


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, seeds=20)
    rows = []
    for level in LEVELS:
        for learns, metrics in ((False, ("random to best", "ms a page")), (True, ("learning",))):
            ours = [score(one_set, level, s, learns=learns) for s in range(options.seeds)]
            for rival, fill in RIVALS.items():
                theirs = [score(fill, level, s, learns=learns) for s in range(options.seeds)]
                for at, metric in enumerate(metrics):
                    pair = ([one[at] for one in ours], rival, [one[at] for one in theirs])
                    rows.append(Row.of(f"slate level {level:g}", metric, *pair))
    report(rows, options)


if __name__ == "__main__":
    main()
