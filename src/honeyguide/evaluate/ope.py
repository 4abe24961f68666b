"""Off-policy evaluation: what another policy would have earned on the pages that were logged.

The reward of slot j may depend on the slots above it, never on those below, so it is weighted by how much
likelier the target is to fill slots 0..j as logged: the product over l <= j of target(l | slots before) over
the logged propensity (reward-interaction IPS: McInerney et al. 2020, arXiv 2007.12986).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.explore.decide import stream
from honeyguide.types import Decision, Estimate, Floats, Policy, Rows

MIN_MEAN_WEIGHT = 0.5
"""Weights average 1 where the log could show all that the target would; below this it has not."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pages:
    """A weighted log, one entry per slot: `page`, `slot`, `reward`, `weight` are (m,), `user` is (n,)."""

    user: Rows
    page: Rows
    slot: Rows
    reward: Floats
    weight: Floats

    @property
    def n(self) -> int:
        return len(self.user)

    def per_page(self, values: Floats) -> Floats:
        """(n,): (m,) values of slots added up over their page."""
        return np.bincount(self.page, weights=values, minlength=self.n).astype(np.float64)

    def per_slot(self, values: Floats) -> Floats:
        """(longest page,): (m,) values added up over all pages, position by position."""
        return np.bincount(self.slot, weights=values).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighted(ABC):
    """What IPS and SNIPS share: the weights, the refusal to answer, and the interval.

    `level` is the interval's confidence; `min_effective_n` the effective sample size below which NoSupport is
    raised; `seed` the root of the streams that a target policy draws from. `clip` caps every weight: this
    narrows the interval and pulls the value towards what was logged (for rewards of 0 or more, IPS then
    errs downwards), and the interval does not cover that bias. None, the default, does not clip. `slots` looks
    at no more than the first so many slots of every page: a product of ten ratios says little about anything.
    """

    level: float = 0.95
    min_effective_n: float = 30.0
    clip: float | None = None
    slots: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise InvalidInput(f"level must lie between 0 and 1, got {self.level}")
        if not self.min_effective_n > 0:
            raise InvalidInput(f"min_effective_n must be above 0, got {self.min_effective_n}")
        if self.clip is not None and not self.clip > 0:
            raise InvalidInput(f"clip must be above 0, or None not to clip, got {self.clip}")
        if self.slots is not None and self.slots < 1:
            raise InvalidInput(f"slots must be at least 1, or None for whole pages, got {self.slots}")

    def estimate(
        self, decisions: Sequence[Decision], rewards: Sequence[Floats], target: Policy | None
    ) -> Estimate:
        """The target's mean reward per page (of its first `slots` slots), with an interval clustered by user.

        `rewards[i]` is (k,), one per item that `decisions[i]` showed; `target=None` is the logged policy
        itself. The order of the decisions does not matter. NoSupport where the log cannot tell, InvalidInput
        for rewards or decisions that are no log of whole pages.
        """
        if not decisions:
            raise NoSupport("there are no logged decisions: serve some first")
        _check_log(decisions, rewards)
        # sums in one fixed order, so that the answer does not depend on the order given, not even in its last bit
        order = sorted(range(len(decisions)), key=lambda i: decisions[i].decision_id)
        log = [decisions[i].only(range(len(decisions[i].chosen))[: self.slots]) for i in order]
        weights = [self._weights(decision, target) for decision in log]
        last = np.array([weight[-1] for weight in weights])
        effective_n = self._supported(last)
        pages = _pages(log, [rewards[i][: self.slots] for i in order], weights, self.clip)
        value, influence = self._value(pages)
        half = self._half_width(pages, influence)
        return Estimate(value, value - half, value + half, len(log), effective_n)

    @abstractmethod
    def _value(self, pages: _Pages) -> tuple[float, Floats]:
        """The value, and each page's (n,) influence on it: what the value's error is the sum of."""

    def _weights(self, decision: Decision, target: Policy | None) -> Floats:
        if target is None:
            return np.ones(len(decision.chosen))
        return importance_weights(decision, target, seed=self.seed)

    def _supported(self, last: Floats) -> float:
        # equal weights look like a perfect sample to Kish even where all of them are tiny because the log never
        # shows what the target would: only their mean tells
        if last.mean() < MIN_MEAN_WEIGHT:
            raise NoSupport(
                f"the log shows too little of what the target would: the weights of {len(last)} pages average "
                f"{last.mean():.3g} and should average 1. Log more, with a higher floor, or compare fewer slots"
            )
        final = np.minimum(last, np.inf if self.clip is None else self.clip)
        effective_n = kish(final)
        if effective_n < self.min_effective_n:
            raise NoSupport(
                f"{len(last)} pages are worth only {effective_n:.1f} under the target, of the "
                f"{self.min_effective_n:g} that min_effective_n asks for. Log more, with a higher floor, or "
                "compare fewer slots"
            )
        return effective_n

    def _half_width(self, pages: _Pages, influence: Floats) -> float:
        sums = np.bincount(pages.user, weights=influence)
        if len(sums) < 2:
            raise NoSupport("all pages belong to one user, so nothing is known of how users differ: log more")
        clusters = len(sums)
        variance = clusters / (clusters - 1) * float((sums**2).sum())
        return float(student_t.ppf((1 + self.level) / 2, clusters - 1) * np.sqrt(variance))


class IPS(_Weighted):
    """Inverse propensity scoring: the mean over pages of the weighted sum of slot rewards; unbiased unclipped."""

    __slots__ = ()

    def _value(self, pages: _Pages) -> tuple[float, Floats]:
        earned = pages.per_page(pages.weight * pages.reward)
        value = float(earned.mean())
        return value, (earned - value) / pages.n


class SNIPS(_Weighted):
    """Self-normalised IPS: the weights of each position are divided by their mean; its interval is a delta method.

    Consistent rather than unbiased, and usually narrower; a position's mean stays in the range of its rewards.
    """

    __slots__ = ()

    def _value(self, pages: _Pages) -> tuple[float, Floats]:
        mass = pages.per_slot(pages.weight)
        if not (mass > 0).all():
            raise NoSupport(
                f"no logged page supports the target at position {int(mass.argmin()) + 1}: log more"
            )
        count = pages.per_slot(np.ones(len(pages.page)))
        mean = pages.per_slot(pages.weight * pages.reward) / mass
        value = float((count * mean).sum()) / pages.n
        slot = pages.slot
        error = (count / mass)[slot] * pages.weight * (pages.reward - mean[slot])
        return value, (pages.per_page(error + mean[slot]) - value) / pages.n


def importance_weights(decision: Decision, target: Policy, *, seed: int = 0) -> Floats:
    """(k,): how much likelier the target is to fill slots 0..j as logged; NoSupport where logging could not show.

    The target is asked just as `decide` would ask it, but from a random stream of its own: with the logger's,
    what it draws would depend on which item was drawn, and the weights would be biased.
    """
    candidates = decision.candidates
    rng = stream(seed, f"off-policy:{decision.decision_id}")
    level = target.plan(candidates).level
    left = np.arange(len(candidates))
    ratios = np.empty(len(decision.chosen))
    for slot, row in enumerate(decision.chosen):
        pmf = target.probabilities(candidates if slot == 0 else candidates.take(left), rng, level=level)
        if slot == 0:
            _check_first_slot(decision, pmf)
        place = int(np.searchsorted(left, row))
        ratios[slot] = pmf[place] / decision.propensities[slot]
        left = np.delete(left, place)
    return np.asarray(np.cumprod(ratios), dtype=np.float64)


def kish(weights: Floats) -> float:
    """Kish's effective sample size of (n,) weights: how many equal ones would tell as much; 0 where all are 0.

    >>> kish(np.array([1.0, 1.0, 1.0])), kish(np.array([1.0, 0.0, 0.0]))
    (3.0, 1.0)
    """
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _check_first_slot(decision: Decision, target: Floats) -> None:
    hidden = float(target[decision.pmf == 0].sum())
    if hidden > 0:
        raise NoSupport(
            f"decision {decision.decision_id!r} could not show what the target shows with probability "
            f"{hidden:.3g}: log with a floor"
        )


def _check_log(decisions: Sequence[Decision], rewards: Sequence[Floats]) -> None:
    if len(decisions) != len(rewards):
        raise InvalidInput(
            f"there must be one rewards array per decision, got {len(rewards)}, {len(decisions)}"
        )
    seen: set[str] = set()
    for decision, earned in zip(decisions, rewards, strict=True):
        name, k = decision.decision_id, len(decision.chosen)
        if name in seen:
            raise InvalidInput(f"decision {name!r} is in the log twice: each counts once")
        if k != decision.page_size:
            raise InvalidInput(
                f"decision {name!r} holds {k} of {decision.page_size} slots: only whole pages can be weighted"
            )
        if earned.shape != (k,) or not np.isfinite(earned).all():
            raise InvalidInput(
                f"rewards of decision {name!r} must be ({k},) and finite, got {earned.tolist()}"
            )
        seen.add(name)


def _codes(log: Sequence[Decision]) -> Rows:
    users = {user: code for code, user in enumerate(sorted({decision.user_id for decision in log}))}
    return np.array([users[decision.user_id] for decision in log], dtype=np.int64)


def _pages(
    log: Sequence[Decision], rewards: Sequence[Floats], weights: Sequence[Floats], clip: float | None
) -> _Pages:
    lengths = [len(weight) for weight in weights]
    weight = np.concatenate(weights)
    return _Pages(
        user=_codes(log),
        page=np.repeat(np.arange(len(log)), lengths),
        slot=np.concatenate([np.arange(length) for length in lengths]),
        reward=np.concatenate(rewards).astype(np.float64),
        weight=weight if clip is None else np.minimum(weight, clip),
    )
