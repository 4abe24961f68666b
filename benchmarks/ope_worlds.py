"""Small shops whose policies' true values are known, to see which off-policy estimator to trust where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import permutations
from math import perm

import numpy as np

from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.shares import with_floor
from honeyguide.types import Candidates, Decision, Floats, Plan, Policy, Vectors

TIME = datetime(2026, 1, 1, tzinfo=UTC)
MOOD = 0.5  # a user's rewards are multiplied by 1 - MOOD or 1 + MOOD
LOGGED, TARGET = 0, 1  # the features by which the logger and the target rank
_ENUMERATED = 500
_DRAWN = 3000


class Soft(Uniform):
    """Draws by exp(feature / temperature), with a floor: its pages are no rankings, as Thompson's are not."""

    name = "soft"

    def __init__(self, column: int, *, temperature: float, floor: float) -> None:
        self.column, self.temperature, self.floor = column, temperature, floor

    def plan(self, candidates: Candidates) -> Plan:
        """The feature is what is expected."""
        return Plan(0.5, "soft", candidates.features[:, self.column].astype(np.float64))

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,)."""
        scores = candidates.features[:, self.column].astype(np.float64) / self.temperature
        weight = np.exp(scores - scores.max())
        return with_floor(weight / weight.sum(), self.floor)


@dataclass(frozen=True, eq=False)
class World:
    """`visits` kinds of visit among `n` candidates, pages of `k`; each user comes a few times.

    What an item earns is a curve over what its features say, falling down the page, and `lift` times as much under
    the visit's best item. Logger and target rank by what is known of it with errors of their own.
    """

    name: str
    k: int
    n: int
    pages: int
    logger: Policy
    target: Policy
    lift: float = 1.0
    visits: int = 5
    each: int = 5

    def shops(self) -> tuple[Floats, Vectors]:
        """(what items earn (visits, n), features (visits, n, 4)), the same at every call."""
        return _shops(self.visits, self.n)

    def expected(self, visit: int, rows: list[int]) -> Floats:
        """(k,): what a page earns on average over moods."""
        earns = self.shops()[0][visit]
        best = int(earns.argmax())
        lifted = [self.lift if slot and rows[slot - 1] == best else 1.0 for slot in range(len(rows))]
        return np.asarray(earns[rows] * 0.93 ** np.arange(len(rows)) * lifted)

    def candidates(self, visit: int, user: str) -> Candidates:
        """What is to be decided among."""
        return Candidates(user, _names(self.n), self.shops()[1][visit])

    def log(self, seed: int) -> tuple[list[Decision], list[Floats]]:
        """Logged pages and their rewards, each 0 or 1 a slot."""
        rng = np.random.default_rng(seed)
        decisions, rewards = [], []
        for number in range(self.pages):
            user = number // self.each
            mood = 1 + MOOD * (-1) ** np.random.default_rng([seed, user]).integers(2)
            decision = self._page(self.logger, f"{seed}/{number:06}", f"user-{user}", rng)
            visit = int(decision.surface)
            chance = np.minimum(mood * self.expected(visit, decision.chosen.tolist()), 1.0)
            decisions.append(decision)
            rewards.append((rng.random(self.k) < chance).astype(np.float64))
        return decisions, rewards

    def truth(self) -> float:
        """What the target earns a page: by going through all pages, or from many that are drawn of it."""
        if perm(self.n, self.k) <= _ENUMERATED:
            return float(np.mean([sum(self._worths(visit)) for visit in range(self.visits)]))
        rng = np.random.default_rng(12345)
        drawn = (self._page(self.target, str(number), "anybody", rng) for number in range(_DRAWN))
        return float(
            np.mean([self.expected(int(page.surface), page.chosen.tolist()).sum() for page in drawn])
        )

    def _worths(self, visit: int) -> Iterator[float]:
        candidates, rng = self.candidates(visit, "anybody"), np.random.default_rng(0)
        for rows in permutations(range(self.n), self.k):
            chance = 1.0
            for slot, row in enumerate(rows):
                left = [other for other in range(self.n) if other not in rows[:slot]]
                chance *= float(self.target.probabilities(candidates.take(left), rng)[left.index(row)])
            yield chance * float(self.expected(visit, list(rows)).sum())

    def _page(self, policy: Policy, name: str, user: str, rng: np.random.Generator) -> Decision:
        visit = int(rng.integers(self.visits))
        request = Request(name, TIME, surface=str(visit))
        return decide(policy, self.candidates(visit, user), k=self.k, request=request, rng=rng)


@cache
def _shops(visits: int, n: int) -> tuple[Floats, Vectors]:
    rng = np.random.default_rng(7)
    taste = rng.normal(size=(visits, n))
    other = rng.normal(size=(visits, n))
    earns = 0.25 / (1 + np.exp(-1.5 * taste - 0.7 * np.sin(2 * other) + 1.5))
    known = [
        0.7 * taste + 0.7 * rng.normal(size=(visits, n)),
        0.9 * taste + 0.4 * rng.normal(size=(visits, n)),
    ]
    return earns, np.stack([*known, taste, other], axis=2).astype(np.float32)


@cache
def _names(n: int) -> tuple[str, ...]:
    return tuple(f"item-{row}" for row in range(n))


ONE_SLOT = World("one slot", 1, 8, 200, Soft(LOGGED, temperature=1.0, floor=0.2), Ranked(TARGET, floor=0.2))
SHORT = World(
    "three slots alone", 3, 7, 400, Ranked(LOGGED, floor=0.6), Soft(TARGET, temperature=1.0, floor=0.4)
)
SOFT = World(
    "three slots, soft log",
    3,
    7,
    400,
    Soft(LOGGED, temperature=1.0, floor=0.3),
    Soft(TARGET, temperature=0.7, floor=0.3),
)
LIFTING = World(
    "three slots, one lifts the next",
    3,
    7,
    400,
    Ranked(LOGGED, floor=0.6),
    Soft(TARGET, temperature=1.0, floor=0.4),
    lift=2.0,
)
TEN_RANKED = World(
    "ten slots, floor 2 %", 10, 60, 400, Ranked(LOGGED, floor=0.02), Ranked(TARGET, floor=0.02)
)
TEN_NEAR = World(
    "ten slots, a little bolder",
    10,
    60,
    400,
    Ranked(LOGGED, floor=0.02),
    Soft(LOGGED, temperature=0.15, floor=0.02),
)
TEN_SOFT = World(
    "ten slots, a bold log",
    10,
    60,
    400,
    Soft(LOGGED, temperature=0.3, floor=0.02),
    Ranked(LOGGED, floor=0.02),
)
WORLDS = (ONE_SLOT, SHORT, SOFT, LIFTING, TEN_RANKED, TEN_NEAR, TEN_SOFT)
