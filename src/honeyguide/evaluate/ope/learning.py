"""What a policy that learns as it goes would have earned: it lives through the log, as far as the log can show it.

The other estimators judge a policy as it is. Here it meets the first slot of one logged page after the other and
keeps a page with a chance in proportion to how much likelier than the logger it is to show that item. It learns from
what it keeps and from nothing else, so that it has lived through a draw of just those pages that it would have met
itself. Of a log that was drawn evenly it keeps a page as often as it draws the logged item.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput, NoSupport
from honeyguide.evaluate.confidence import check_level, student_interval
from honeyguide.evaluate.ope.asking import Answer, ask
from honeyguide.evaluate.ope.model import RewardModel, Ridge, expected_by
from honeyguide.evaluate.ope.pages import Pages, check_log, pages_of
from honeyguide.explore.decide import stream
from honeyguide.types import Decision, Estimate, Floats, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionReplay:
    """The mean reward of the pages that were kept (Li et al. 2011, arXiv 1003.5956), unbiased for those first steps.

    How many are kept hangs on the log: with even chances one in as many as there are candidates. NoSupport where they
    are fewer than `least_kept`. `effective_n` of the estimate is how many were. `level` is the interval's confidence,
    clustered by user; `seed` the root of the streams in which pages are kept.
    """

    level: float = 0.95
    least_kept: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.level, self.least_kept)

    def estimate(self, decisions: Sequence[Decision], rewards: Sequence[Floats], target: Policy) -> Estimate:
        """What `target` would have earned in first slots while it learned; it is taught nothing itself."""
        lived = _live(decisions, rewards, target, None, self.seed)
        _check_kept(lived, self.least_kept)
        earned, users = lived.pages.reward, np.unique(lived.pages.user[lived.kept])
        value = float(earned[lived.kept].mean())
        parts = lived.pages.per_user(lived.kept * (earned - value) / lived.kept.sum())[users]
        return _estimate(lived, value, parts, self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoublyRobustReplay:
    """Every page counts, kept or not, by what the policy would show there (Dudík et al. 2012, arXiv 1210.4862).

    Far narrower than rejection, and as unbiased. A `quantile` of, say, 0.05 keeps more pages: so many of those met so
    far may be likelier under the policy than there is room for, which lets it learn faster and biases its history.
    `model` is learned from other users' pages; the rest is as for `RejectionReplay`.
    """

    level: float = 0.95
    least_kept: int = 30
    seed: int = 0
    quantile: float | None = None
    model: RewardModel = field(default_factory=Ridge)

    def __post_init__(self) -> None:
        _check(self.level, self.least_kept)
        if self.quantile is not None and not 0 <= self.quantile < 1:
            raise InvalidInput(f"quantile must be in 0..1, or None to be unbiased, got {self.quantile}")

    def estimate(self, decisions: Sequence[Decision], rewards: Sequence[Floats], target: Policy) -> Estimate:
        """What `target` would have earned in first slots while it learned; it is taught nothing itself."""
        lived = _live(decisions, rewards, target, self.quantile, self.seed)
        _check_kept(lived, self.least_kept)
        pages = lived.pages
        expected, shown = expected_by(self.model, pages, lived.log, lived.answers)
        worth = expected + pages.weight * (pages.reward - shown)
        share = lived.room / lived.room.sum()  # where it keeps more it takes fewer pages to a step
        value = float(share @ worth)
        return _estimate(lived, value, pages.per_user(share * (worth - value)), self.level)


@dataclass(frozen=True, slots=True, eq=False)
class _Life:
    """The pages met, in the order of time, with what the policy would do there by then.

    `kept` (n,) says which it learned from, `room` (n,) the chance to keep one that it shows as often as the logger.
    """

    log: list[Decision]
    pages: Pages
    answers: list[Answer]
    kept: NDArray[np.bool_]
    room: Floats


def _live(
    decisions: Sequence[Decision],
    rewards: Sequence[Floats],
    target: Policy,
    quantile: float | None,
    seed: int,
) -> _Life:
    check_log(decisions, rewards)
    in_time = sorted(range(len(decisions)), key=lambda i: (decisions[i].time, decisions[i].decision_id))
    free = [i for i in in_time if not decisions[i].pinned[0]]
    if not free:
        raise NoSupport("the shop has pinned the first slot of every page: nothing was decided there")
    log, earned = [decisions[i].only([0]) for i in free], [rewards[i][:1] for i in free]
    learner = type(target).from_state(target.state())
    never_more = min(float(one.pmf[one.pmf > 0].min()) for one in log)
    answers, kept, room = [], [], []
    met: list[float] = []  # how much likelier the logger was, of every page so far, ascending
    for decision, reward in zip(log, earned, strict=True):
        fits = never_more if quantile is None or not met else min(met[int(quantile * len(met))], 1.0)
        answer = ask(decision, learner, seed=seed, whole=False)
        ratio = float(answer.ratio[0])
        keep = stream(seed, f"replay:{decision.decision_id}").random() < fits * ratio
        if keep:
            learner.update(decision, reward)
        insort(met, 1 / ratio if ratio > 0 else np.inf)
        answers.append(answer)
        kept.append(keep)
        room.append(fits)
    pages = pages_of(log, earned, [answer.ratio for answer in answers])
    return _Life(log, pages, answers, np.array(kept), np.array(room))


def _estimate(lived: _Life, value: float, parts: Floats, level: float) -> Estimate:
    found = student_interval(value, parts, level=level)
    return Estimate(value, found.low, found.high, lived.pages.n, float(lived.kept.sum()))


def _check(level: float, least_kept: int) -> None:
    check_level(level)
    if least_kept < 2:
        raise InvalidInput(f"least_kept must be at least 2, got {least_kept}")


def _check_kept(lived: _Life, least: int) -> None:
    kept = int(lived.kept.sum())
    users = len(np.unique(lived.pages.user[lived.kept]))
    if kept < least or users < 2:
        raise NoSupport(
            f"of {lived.pages.n} pages a policy that learns could keep {kept} of {users} users, and least_kept asks "
            f"for {least}: log more, with chances that are more even, or ask what the policy as it is would earn (DR)"
        )
