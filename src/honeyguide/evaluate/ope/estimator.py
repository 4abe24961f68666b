"""What all off-policy estimators share: the log in a fixed order, the refusal to answer, and the interval."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import copysign, inf
from typing import ClassVar, Literal, get_args

import numpy as np

from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.evaluate.confidence import check_level, empirical_bernstein, error_of, student_interval
from honeyguide.evaluate.ope.asking import Answer, ask
from honeyguide.evaluate.ope.pages import Pages, check_log, kish, pages_of
from honeyguide.types import Decision, Estimate, Floats, Policy

IntervalKind = Literal["t", "bootstrap", "bernstein"]
_SAME = 1e-9  # of an error: what rounding leaves of none


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicy(ABC):
    """An estimator of what a target would have earned per page, with an interval clustered by user.

    `level` is the interval's confidence; `min_effective_n` the effective sample size and `min_mean_weight` the mean
    weight below which NoSupport is raised: weights average 1 where the log could show all that the target would.
    `seed` is the root of the streams that a target policy draws from. `clip` caps every weight: this narrows the
    interval and pulls the value towards what was logged (for rewards of 0 or more, IPS then errs downwards),
    and the interval does not cover that bias. None, the default, does not clip. `slots` looks at no more than the
    first so many slots of every page: a product of ten ratios says little about anything.

    `interval` is "t", the estimate's influences summed up by user, with their skewness allowed for; "bootstrap", by
    how many of their own errors `resamples` logs of users drawn with replacement are off (bootstrap-t: Hall 1988);
    or, for one slot and weights that are not self-normalised, "bernstein", which needs no large numbers: it knows
    the highest weight there could have been, and that rewards lie in 0..1.
    """

    level: float = 0.95
    min_effective_n: float = 30.0
    min_mean_weight: float = 0.5
    clip: float | None = None
    slots: int | None = None
    seed: int = 0
    interval: IntervalKind = "t"
    resamples: int = 500

    slotwise: ClassVar[bool] = False
    """Exact only where what a slot earns does not depend on the other slots of its page."""
    modelled: ClassVar[bool] = False
    """Asks a reward model, so that a page's own luck does not count in full."""
    unbiased: ClassVar[bool] = True
    """Right in the long run, however wrong its model is."""
    linear: ClassVar[bool] = False
    """The mean over pages of what each is worth by itself, which never is below 0."""

    def __post_init__(self) -> None:
        check_level(self.level)
        if not self.min_effective_n > 0:
            raise InvalidInput(f"min_effective_n must be above 0, got {self.min_effective_n}")
        if not self.min_mean_weight >= 0:
            raise InvalidInput(f"min_mean_weight must be 0 or more, got {self.min_mean_weight}")
        if self.clip is not None and not self.clip > 0:
            raise InvalidInput(f"clip must be above 0, or None not to clip, got {self.clip}")
        if self.slots is not None and self.slots < 1:
            raise InvalidInput(f"slots must be at least 1, or None for whole pages, got {self.slots}")
        if self.interval not in get_args(IntervalKind) or self.resamples < 10:
            raise InvalidInput(
                f"interval must be one of {', '.join(get_args(IntervalKind))}, of at least 10 resamples, "
                f"got {self.interval}, {self.resamples}"
            )
        if self.interval == "bernstein" and not self.linear:
            raise InvalidInput("interval 'bernstein' is for IPS and IIPS: choose t or bootstrap")

    def estimate(
        self, decisions: Sequence[Decision], rewards: Sequence[Floats], target: Policy | None
    ) -> Estimate:
        """The target's mean reward per page (of its first `slots` slots).

        `rewards[i]` is (k,), one per item that `decisions[i]` showed; `target=None` is the logged policy
        itself. The order of the decisions does not matter. NoSupport where the log cannot tell, InvalidInput
        for rewards or decisions that are no log of whole pages.
        """
        check_log(decisions, rewards)
        return self.judge(decisions, rewards, [self.ask(decision, target) for decision in decisions])

    def ask(self, decision: Decision, target: Policy | None) -> Answer:
        """What the target would do on this page, as far as this estimator looks."""
        return ask(self._top(decision), target, seed=self.seed, whole=self.slotwise)

    def judge(
        self, decisions: Sequence[Decision], rewards: Sequence[Floats], answers: Sequence[Answer]
    ) -> Estimate:
        """The same from answers that were asked for at their time: of a target that learns as the log goes on."""
        return self._judge(decisions, rewards, answers, gain=False)

    def gain(
        self, decisions: Sequence[Decision], rewards: Sequence[Floats], answers: Sequence[Answer]
    ) -> Estimate:
        """By how much the target earns more per page than what was logged did: narrower than two estimates apart."""
        return self._judge(decisions, rewards, answers, gain=True)

    def _judge(
        self,
        decisions: Sequence[Decision],
        rewards: Sequence[Floats],
        answers: Sequence[Answer],
        *,
        gain: bool,
    ) -> Estimate:
        check_log(decisions, rewards)
        # sums in one fixed order, so that the answer does not depend on the order given, not even in its last bit
        order = sorted(range(len(decisions)), key=lambda i: decisions[i].decision_id)
        log = [self._top(decisions[i]) for i in order]
        given = [answers[i] for i in order]
        weights = [self._weights(answer) for answer in given]
        effective_n = self._supported(weights)
        if self.clip is not None:
            weights = [np.minimum(weight, self.clip) for weight in weights]
        pages = pages_of(log, [rewards[i][: self.slots] for i in order], weights)
        pages = self._modelled(pages, log, given)
        value, influence = self._versus(pages, gain=gain)
        low, high = self._interval(pages, value, influence, given, gain=gain)
        return Estimate(value, low, high, len(log), effective_n)

    def _versus(self, pages: Pages, *, gain: bool) -> tuple[float, Floats]:
        value, influence = self._value(pages)
        if not gain:
            return value, influence
        earned = pages.per_page(pages.reward)
        return value - float(earned.mean()), influence - (earned - earned.mean()) / pages.n

    @abstractmethod
    def _weights(self, answer: Answer) -> Floats:
        """(k,): the weight of each slot's reward."""

    @abstractmethod
    def _value(self, pages: Pages) -> tuple[float, Floats]:
        """The value, and each page's (n,) influence on it: what the value's error is the sum of."""

    def _modelled(self, pages: Pages, log: list[Decision], answers: list[Answer]) -> Pages:
        """The pages with what a reward model expects, where one is asked."""
        return pages

    def _counted(self, weights: Floats) -> Floats:
        """(n,) weights of one position, as they count in the end."""
        return weights if self.clip is None else np.minimum(weights, self.clip)

    def _top(self, decision: Decision) -> Decision:
        k = len(decision.chosen)
        return decision if self.slots is None or self.slots >= k else decision.only(range(self.slots))

    def _mass(self, weights: Floats) -> float:
        """The mean of (n,) weights of one position, as the log supports the target by it."""
        return float(weights.mean())

    def _worth(self, weights: Floats) -> Floats:
        """(n,) weights of one position, of which Kish's effective sample size is taken."""
        return self._counted(weights)

    def _supported(self, weights: list[Floats]) -> float:
        # equal weights look like a perfect sample to Kish even where all of them are tiny because the log never
        # shows what the target would: only their mean tells
        positions = _by_position(weights) if self.slotwise else [np.array([one[-1] for one in weights])]
        mass = float(np.mean([self._mass(position) for position in positions]))
        if mass < self.min_mean_weight:
            raise NoSupport(
                f"the log shows too little of what the target would: the weights of {len(weights)} pages average "
                f"{mass:.3g} and should average 1. Log more, with a higher floor, or compare fewer slots"
            )
        effective_n = min(kish(self._worth(position)) for position in positions)
        if effective_n < self.min_effective_n:
            raise NoSupport(
                f"{len(weights)} pages are worth only {effective_n:.1f} under the target, of the "
                f"{self.min_effective_n:g} that min_effective_n asks for. Log more, with a higher floor, or "
                "compare fewer slots"
            )
        return effective_n

    def _interval(
        self, pages: Pages, value: float, influence: Floats, answers: list[Answer], *, gain: bool
    ) -> tuple[float, float]:
        clusters = int(pages.user.max()) + 1
        if clusters < 2:
            raise NoSupport("all pages belong to one user, so nothing is known of how users differ: log more")
        if self.interval == "bootstrap":
            return self._bootstrap(pages, value, influence, gain=gain)
        if self.interval == "bernstein":
            if gain:
                raise InvalidInput("interval 'bernstein' bounds no differences: choose t or bootstrap")
            return self._bernstein(pages, clusters, answers)
        found = student_interval(value, pages.per_user(influence), level=self.level)
        return found.low, found.high

    def _bootstrap(self, pages: Pages, value: float, influence: Floats, *, gain: bool) -> tuple[float, float]:
        rng, error = np.random.default_rng(self.seed), error_of(pages.per_user(influence))
        clusters = int(pages.user.max()) + 1
        off = []
        for _ in range(self.resamples):
            drawn = pages.of_users(rng.integers(clusters, size=clusters))
            found, parts = self._versus(drawn, gain=gain)
            own = error_of(drawn.per_user(parts))
            off.append((found - value) / own if own > _SAME * error else copysign(inf, found - value))
        off.sort()
        outside = max(int((1 - self.level) / 2 * (self.resamples + 1)), 1)
        least, most = off[outside - 1], off[-outside]
        if error > 0 and inf in (-least, most):
            raise NoSupport(
                "too few users have a reward that counts: many a log of users drawn again has no spread. Log more"
            )
        return (value - most * error, value - least * error) if error > 0 else (value, value)

    def _bernstein(self, pages: Pages, clusters: int, answers: list[Answer]) -> tuple[float, float]:
        if len(pages.page) != pages.n or pages.reward.min() < 0 or pages.reward.max() > 1:
            raise InvalidInput("interval 'bernstein' is for one slot with rewards in 0..1: set slots=1")
        # users are the independent ones: the value is the mean over them of a share of what their pages are worth
        share = clusters / pages.n
        most = float(np.bincount(pages.user).max()) * max(answer.largest for answer in answers)
        worth = pages.per_user(pages.weight * pages.reward) * share
        found = empirical_bernstein(worth, level=self.level, high=max(most * share, float(worth.max())))
        return found.low, found.high


def _by_position(weights: list[Floats]) -> list[Floats]:
    """(pages that have it,) weights of each position."""
    longest = max(map(len, weights))
    return [np.array([one[slot] for one in weights if len(one) > slot]) for slot in range(longest)]
