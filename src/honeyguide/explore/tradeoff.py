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
from scipy.linalg.lapack import dpotrf, dtrtrs

from honeyguide.errors import InvalidInput
from honeyguide.explore.about import About
from honeyguide.explore.believing import less_penalty
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
    """What each of the levels promises for one request; all tuples run over LEVELS."""

    value: Floats
    taught: Floats

    def cost(self) -> Floats:
        """The share of the exploit-only page's expected reward that each level gives up."""
        return np.asarray(np.maximum(1 - self.value / max(self.value[0], 1e-9), 0.0))


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
        # one set of standard normal draws serves every request: levels are compared on common random numbers
        self._noise = np.random.default_rng(seed).standard_normal((posterior.prior.dim, max(draws // 2, 2)))

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
        # each (draws, n): how far draws are from the mean
        weights, items = about.spread(self._noise, np.random.default_rng(self.seed))
        first = np.argpartition(-scores, k - 1)[:k]
        reached = _shown(scores + weights + items, k) > 0  # by the highest level: the rest is on no page
        reached[first] = True
        near = np.flatnonzero(reached)
        if about.reach is not None:  # an item that few have seen yet is taken to be like the rest
            about = replace(about, reach=np.maximum(about.reach, about.reach.mean()))
        best = np.searchsorted(near, np.sort(first))
        return _outlook(about.take(near), scores[near], weights[:, near], items[:, near], best)


def _outlook(about: About, scores: Floats, weights: Floats, items: Floats, first: Rows) -> Outlook:
    """Of the items that may be on a page: the best page under the mean is `first` (k,), draws are (draws, n)."""
    often = np.zeros((len(LEVELS), len(scores)))
    often[0, first] = 1
    for row, level in enumerate(LEVELS[1:], 1):
        often[row] = _shown(scores + level * (weights + items), len(first))
    contenders = np.flatnonzero(often[-1])
    # to how many others it matters what the items are
    others = 0.0 if about.reach is None else float(about.reach[contenders].mean())
    taught = [
        _gain(scores + u * weights + z * items, first)
        + (others * _gain(scores + z * items, first) if others else 0.0)
        for u, z in np.sqrt(_told(about, contenders, often))
    ]
    return Outlook(often @ scores, np.array(taught))


def choose_level(
    outlook: Outlook, scores: Floats, remaining_visits: float, payoff: float, epsilon: float
) -> Plan:
    """The plan with the highest worth among the levels whose expected cost stays within epsilon."""
    cost = outlook.cost()
    future = max(remaining_visits - 1, 0.0)
    lesson = payoff * future * np.maximum(outlook.taught - outlook.taught[0], 0.0)
    allowed = cost <= epsilon
    allowed[0] = True
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
    """(n,): how often each item is on the best page of k, of those for every row of scores (draws, n); ties share."""
    kth = np.partition(scores, -k, axis=1)[:, -k]
    page = scores >= kth[:, None]
    return np.asarray((page * (k / page.sum(axis=1, keepdims=True))).mean(axis=0))


def _gain(then: Floats, first: Rows) -> float:
    """How much more than the page `first` (k,) the best page earns, in the mean over rows of scores (draws, n)."""
    k = len(first)
    best = np.partition(then, -k, axis=1)[:, -k:].sum()
    return float(best - then[:, first].sum()) / len(then)


def _told(about: About, contenders: Rows, often: Floats) -> Floats:
    """(levels, 2): which share of the contenders' variance a page of each level removes on average.

    First of what the user makes of it, then of what is the items' own. A level shows every item as `often`
    (levels, n) says, and so much of an observation of it is expected.
    """
    root = about.root()  # rootᵀ·root is what the user's unknowns move together
    own = np.zeros(root.shape[1]) if about.own is None else about.own
    target = root[:, contenders]
    before = max(float((target**2).sum()), 1e-12), max(float(own[contenders].sum()), 1e-12)
    shares = np.empty((len(often), 2))
    shares[:, 1] = 1 - (own / (1 + often * own / about.noise))[:, contenders].sum(axis=1) / before[1]
    for row, each in enumerate(often):
        seen = np.flatnonzero(each)
        shares[row, 0] = _removed(root[:, seen] * np.sqrt(each[seen] / about.noise[seen]), target) / before[0]
    return np.clip(shares, 0.0, 1.0)


def _removed(observed: Floats, target: Floats) -> float:
    """What (d, m) observations of unit noise remove of the sum of squares of (d, t); the smaller matrix is solved."""
    d, m = observed.shape
    if m < d:
        factor, _ = dpotrf(np.eye(m) + observed.T @ observed, lower=1)
        return float((dtrtrs(factor, observed.T @ target, lower=1)[0] ** 2).sum())
    factor, _ = dpotrf(np.eye(d) + observed @ observed.T, lower=1)
    return float((target**2).sum() - (dtrtrs(factor, target, lower=1)[0] ** 2).sum())
