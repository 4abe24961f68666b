"""The trade-off: how much to explore, decided anew for every request.

A level is worth what its page is expected to earn now, plus what it teaches for the visits still to come:

    worth(level) = value(level) + payoff x (remaining visits - 1) x (taught(level) - taught(0))

value   expected reward of the page under the posterior mean, so exploring shows its price here
taught  what a later page is expected to earn more for what one such page would teach: the best page under the mean
        that will be believed then, less the best one under the mean now (the value of sample information); what is an
        item's own counts for everybody who is shown it
payoff  what explored slots have earned against what the model had promised for them, relative to the
        exploited slots: measured continuously from the feedback, so a shop where exploring cannot pay turns it off

The level with the highest worth wins among those that keep the promise to the shop: a page never expects less than
(1 - epsilon) of the exploit-only page, and while the rewards so far are below (1 - epsilon) of what exploit-only
is estimated to have earned, nothing is explored at all (conservative exploration: Wu et al. 2016, arXiv 1602.04282;
value of information: Ryzhov, Powell & Frazier 2012).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dtrtrs

from honeyguide.errors import InvalidInput
from honeyguide.explore.about import About
from honeyguide.explore.believing import less_penalty
from honeyguide.explore.common_noise import CommonNoise
from honeyguide.explore.ledger import Ledger, Totals
from honeyguide.explore.page import OnLeft
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import posterior_of
from honeyguide.explore.shares import check_floor
from honeyguide.explore.thompson import thompson_page, thompson_pmf
from honeyguide.types import Candidates, Decision, Floats, Plan, Rows, State

LEVELS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""The levels a request chooses among: 0 is exploit-only, 1 acts on the posterior's full width."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What each of the levels promises for one request; both run over LEVELS.

    What a page teaches that costs more than the shop allows is not asked: nan.
    """

    value: Floats
    taught: Floats

    def cost(self) -> Floats:
        """The share of the exploit-only page's expected reward that each level gives up."""
        return np.asarray(np.maximum(1 - self.value / max(self.value[0], 1e-9), 0.0))

    def allowed(self, epsilon: float) -> NDArray[np.bool_]:
        """Which levels give up at most this share; exploit-only always does."""
        allowed = self.cost() <= epsilon
        allowed[0] = True
        return np.asarray(allowed)


class Tradeoff:
    """Thompson sampling whose level is chosen per request; `epsilon` is all that the shop sets."""

    def __init__(
        self,
        posterior: UserPosterior,
        *,
        epsilon: float,
        page_size: int,
        floor: float,
        draws: int,
        seed: int = 0,
    ) -> None:
        if not 0 <= epsilon <= 1:
            raise InvalidInput(f"epsilon must lie in 0..1, got {epsilon}")
        self.name = "tradeoff"
        self.posterior = posterior
        self.epsilon = epsilon
        self.page_size = page_size
        self.floor = check_floor(floor)
        self.draws = draws
        self.seed = seed
        self.ledger = Ledger()
        self._noise = CommonNoise(
            max(draws // 2, 2), seed
        )  # half of what a page is drawn with tells levels apart

    def plan(self, candidates: Candidates) -> Plan:
        """The level with the highest worth among those that keep the promise, and the reason in words."""
        about = self.posterior.about(candidates)
        scores = less_penalty(about.mean, candidates)
        totals = self.ledger.totals
        if totals.shortfall(self.epsilon) > 0:
            return Plan(0.0, f"exploit-only: earnings are below the promised {1 - self.epsilon:.0%}", scores)
        outlook = self._outlook(about, scores)
        return choose_level(outlook, scores, candidates.remaining_visits, totals.payoff, self.epsilon)

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,): Thompson win-shares at the given level, or at the one this request deserves."""
        chosen = self.plan(candidates).level if level is None else level
        return thompson_pmf(self.posterior, candidates, rng, level=chosen, floor=self.floor, draws=self.draws)

    def page(self, candidates: Candidates, rng: np.random.Generator, *, level: float) -> OnLeft:
        """Win-shares among what is left, for every slot over the same joint draws."""
        return thompson_page(self.posterior, candidates, rng, level=level, floor=self.floor, draws=self.draws)

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Add the rewards to the user's statistics and to the account of what exploring earned."""
        self.posterior.learn(decision, rewards)
        self.ledger.add(decision, rewards)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        self.posterior.unlearn(decision, rewards)
        self.ledger.subtract(decision, rewards)

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit."""
        self.posterior.forget(user_id)
        self.ledger.forget(user_id)

    def state(self) -> State:
        """The posterior, the ledger and the policy's own settings."""
        settings = np.array([self.epsilon, self.floor])
        whole = np.array([self.page_size, self.draws, self.seed])
        mine = {"tradeoff.settings": settings, "tradeoff.whole": whole}
        return {**mine, **self.posterior.state(), **self.ledger.state()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is."""
        epsilon, floor = (float(value) for value in state["tradeoff.settings"])
        page_size, draws, seed = (int(value) for value in state["tradeoff.whole"])
        posterior = posterior_of(state)
        policy = cls(posterior, epsilon=epsilon, page_size=page_size, floor=floor, draws=draws, seed=seed)
        policy.ledger = Ledger.from_state(state)
        return policy

    def totals(self) -> Totals:
        """What exploring and exploiting have earned so far."""
        return self.ledger.totals

    def _outlook(self, about: About, scores: Floats) -> Outlook:
        k = min(self.page_size, len(scores))
        weights, items = about.spread(self._noise)  # each (draws, n): how far draws are from the mean
        first = np.argpartition(-scores, k - 1)[:k]
        reached = _shown(scores + weights + items, k) > 0  # by the highest level: the rest is on no page
        reached[first] = True
        near = np.flatnonzero(reached)
        if about.reach is not None:  # an item that few have seen yet is taken to be like the rest
            about = replace(about, reach=np.maximum(about.reach, about.reach.mean()))
        best = np.searchsorted(near, np.sort(first))
        return _outlook(
            about.take(near), scores[near], (weights[:, near], items[:, near]), best, self.epsilon
        )


def _outlook(
    about: About, scores: Floats, spread: tuple[Floats, Floats], first: Rows, epsilon: float
) -> Outlook:
    """Of the items that may be on a page, of which `first` (k,) are the best under the mean.

    `spread` are (draws, n) deviations by what is the user's, and by what is the items' own.
    """
    weights, items = spread
    often = np.zeros((len(LEVELS), len(scores)))
    often[0, first] = 1
    often[1:] = _shown(scores + np.array(LEVELS[1:])[:, None, None] * (weights + items), len(first))
    found = Outlook(often @ scores, np.full(len(LEVELS), np.nan))
    asked = np.flatnonzero(found.allowed(epsilon))
    contenders = np.flatnonzero(often[-1])
    # to how many others it matters what the items are
    others = 0.0 if about.reach is None else float(about.reach[contenders].mean())
    u, z = np.sqrt(_told(about, contenders, often[asked])).T[:, :, None, None]
    own = scores + z * items
    found.taught[asked] = _gain(own + u * weights, first) + (others * _gain(own, first) if others else 0.0)
    return found


def choose_level(
    outlook: Outlook, scores: Floats, remaining_visits: float, payoff: float, epsilon: float
) -> Plan:
    """The plan with the highest worth among the levels whose expected cost stays within epsilon."""
    cost = outlook.cost()
    future = max(remaining_visits - 1, 0.0)
    lesson = payoff * future * np.maximum(outlook.taught - outlook.taught[0], 0.0)
    allowed = outlook.allowed(epsilon)
    worth = np.where(allowed, outlook.value + lesson, -np.inf)
    best = int(worth.argmax())
    if best == 0:
        return Plan(0.0, "exploit-only: exploring would teach less than it costs here", scores)
    reason = (
        f"explores at {LEVELS[best]:g}: expects to give up {cost[best]:.1%} now, "
        f"{future:.0f} more visits expected, measured pay-off {payoff:.2f}"
    )
    if not allowed.all() and best == int(np.flatnonzero(allowed).max()):
        reason += f", held by the promised {1 - epsilon:.0%}"
    return Plan(LEVELS[best], reason, scores)


def _shown(scores: Floats, k: int) -> Floats:
    """(..., n): how often each item is on the best page of k, over rows of scores (..., draws, n); ties share."""
    kth = np.partition(scores, -k, axis=-1)[..., -k]
    page = scores >= kth[..., None]
    return np.asarray((page * (k / page.sum(axis=-1, keepdims=True))).mean(axis=-2))


def _gain(then: Floats, first: Rows) -> Floats:
    """(...,): how much more than the page `first` the best one earns, in the mean of scores (..., draws, n)."""
    k = len(first)
    best = np.partition(then, -k, axis=-1)[..., -k:].sum(axis=-1)
    return np.asarray((best - then[..., first].sum(axis=-1)).mean(axis=-1))


def _told(about: About, contenders: Rows, often: Floats) -> Floats:
    """(levels, 2): which share of the contenders' variance a page of each level removes on average.

    First of what the user makes of it, then of what is the items' own. A level shows every item as `often`
    (levels, n) says, and so much of an observation of it is expected.
    """
    root = np.ascontiguousarray(about.root().T)  # root·rootᵀ is what the user's unknowns move together
    own = np.zeros(len(root)) if about.own is None else about.own
    target = root[contenders]
    before = max(float(np.vdot(target, target)), 1e-12), max(float(own[contenders].sum()), 1e-12)
    shares = np.empty((len(often), 2))
    shares[:, 1] = 1 - (own / (1 + often * own / about.noise))[:, contenders].sum(axis=1) / before[1]
    for row, weight in enumerate(np.sqrt(often / about.noise)):
        seen = np.flatnonzero(weight)
        shares[row, 0] = _removed(root[seen] * weight[seen, None], target) / before[0]
    return np.clip(shares, 0.0, 1.0)


def _removed(observed: Floats, target: Floats) -> float:
    """What (m, d) observations of unit noise remove of the sum of squares of (t, d); the smaller matrix is solved."""
    m, d = observed.shape
    if m < d:
        known = _whitened(observed @ observed.T, target @ observed.T)
        return float(np.vdot(known, known))
    left = _whitened(observed.T @ observed, target)
    return float(np.vdot(target, target) - np.vdot(left, left))


def _whitened(told: Floats, rows: Floats) -> Floats:
    """(m, t): L⁻¹·rowsᵀ of (t, m) rows, where L·Lᵀ is the identity and what (m, m) was told."""
    told.flat[:: len(told) + 1] += 1
    factor, _ = dpotrf(told.T, lower=1, overwrite_a=1)  # transposed, and so in the order that LAPACK reads
    return np.asarray(dtrtrs(factor, rows.T, lower=1)[0])
