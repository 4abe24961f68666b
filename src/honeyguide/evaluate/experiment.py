"""Which arm of a split earns more: told from the journal, to be looked at as often as one likes.

The unit is the user, for the pages of one user are not independent. A user says one number: what the pages of their
first days within the split earned, up to a bound, once all of it is known. That number is x; c is what those who came
before earned of whom as many visits were expected. Who is in which arm was drawn with chances p and 1 - p, so
(x - c) / p of a user of the one arm, and -(x - c) / (1 - p) of one of the other, is on average the difference between
the arms, whoever comes when: weekdays, keen users who come first and policies that learn move x, but not that
difference where the arms are alike. A confidence sequence over these numbers holds at every look (Howard et al. 2021,
arXiv 1810.08240, with the bets of `confidence.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

import numpy as np
from scipy.stats import chisquare

from honeyguide.evaluate import confidence
from honeyguide.evaluate.results import Band
from honeyguide.shop.split import Split
from honeyguide.types import Decision, Floats

ALPHA = 0.05
"""The chance that any difference of an experiment is ever said to be there and is not."""
_LOST = 1e-4  # users shared out as unevenly as this by chance alone are hardly ever seen
_HOPELESS = 100  # times the users there are: too many to name a number

Page = tuple[Decision, Floats]
"""A decision and the (k,) rewards of its slots so far."""

_Seen = tuple[datetime, float, float]
"""Of a page its time, its reward, and the logarithm of the visits that were expected of the user."""
_Pages = dict[str, list[_Seen]]


@dataclass(frozen=True, slots=True)
class ArmResult:
    """How one arm did; rewards are None where nobody's are known yet.

    `judged` of the `users` have all their days behind them. `per_user` is what they earned, up to the bound;
    `per_decision` what a page did whose reward window is over. `difference` is to the first arm, in reward a user;
    `more_users` about how many more judged users of the whole experiment would make it clear, as it stands.
    """

    arm: str
    share: float
    users: int
    judged: int
    decisions: int
    per_user: float | None
    per_decision: float | None
    difference: Band | None = None
    verdict: str = "first"
    more_users: int | None = None


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """How the arms of a split did, the first one first.

    `level` is how sure each interval is, such that all of them hold at once with 95 %. `capped` is the share of the
    judged who reached the bound `most`. `uneven` says that users are not shared out as they should be.
    """

    name: str
    arms: tuple[ArmResult, ...]
    days: float
    most: float
    level: float
    first_day: str
    capped: float
    uneven: bool


@dataclass(frozen=True, slots=True)
class _Judged:
    first: datetime
    user_id: str
    arm: int
    reward: float
    coming: float


def judge(
    split: Split, pages: Iterable[Page], *, now: datetime, window: timedelta, days: float, most: float
) -> ExperimentReport:
    """How the arms did by `now` on the pages that were made under the split, and no others."""
    users: _Pages = {}
    for decision, rewards in pages:
        coming = float(np.log1p(decision.candidates.remaining_visits))
        users.setdefault(decision.user_id, []).append((decision.time, float(rewards.sum()), coming))
    judged = _judged(split, users, now - window - timedelta(days=days), timedelta(days=days), most)
    level = 1 - ALPHA / max(len(split.arms) - 1, 1)
    arms = tuple(
        _arm_result(split, arm, users, judged, now - window, most=most, level=level)
        for arm in range(len(split.arms))
    )
    return ExperimentReport(
        name=split.name,
        arms=arms,
        days=days,
        most=most,
        level=level,
        first_day=f"{min(map(_first, users.values())):%Y-%m-%d}" if users else "",
        capped=float(np.mean([one.reward >= most for one in judged])) if judged else 0.0,
        uneven=_uneven([arm.users for arm in arms], split.shares),
    )


def differences(rewards: Floats, second: Floats, chance: float, coming: Floats) -> Floats:
    """(n,): what each user says of the second arm's mean reward less the first's, in the order they came.

    `second` (n,) is 1 for a user of the second arm, which each was in with `chance`, and 0 for one of the first.
    `coming` (n,) was known of them before.
    """
    surprise = rewards - usual(rewards, coming)
    return np.asarray(surprise * (second / chance - (1 - second) / (1 - chance)))


def usual(rewards: Floats, coming: Floats) -> Floats:
    """(n,): what each user may be expected to earn: a line over `coming`, through those who came before them."""
    count = np.maximum(np.arange(len(rewards)), 1)
    parts = (rewards, coming, coming**2, coming * rewards)
    reward, come, square, product = ((np.cumsum(part) - part) / count for part in parts)
    spread = np.maximum(square - come**2, 0.0)
    slope = (product - come * reward) / (spread + 1 / count)  # as if one user more had said that it is flat
    highest = np.maximum.accumulate(np.append(0.0, rewards))[:-1]
    return np.asarray(np.clip(reward + slope * (coming - come), 0.0, highest))


def _judged(split: Split, users: _Pages, latest: datetime, days: timedelta, most: float) -> list[_Judged]:
    """Everybody whose first page is older than `latest`, in the order in which they came."""
    found = []
    for name, seen in users.items():
        first = _first(seen)
        if first < latest:
            earned = sum(reward for time, reward, _ in seen if time < first + days)
            coming = min(seen)[2]
            found.append(_Judged(first, name, split.arm_of(name), min(earned, most), coming))
    return sorted(found, key=lambda one: (one.first, one.user_id))


def _first(seen: list[_Seen]) -> datetime:
    return min(seen)[0]


def _arm_result(
    split: Split,
    arm: int,
    users: _Pages,
    judged: Sequence[_Judged],
    settled: datetime,
    *,
    most: float,
    level: float,
) -> ArmResult:
    mine = [seen for name, seen in users.items() if split.arm_of(name) == arm]
    earned = [one.reward for one in judged if one.arm == arm]
    pages = [reward for seen in mine for time, reward, _ in seen if time < settled]
    result = ArmResult(
        arm=split.arms[arm],
        share=split.shares[arm],
        users=len(mine),
        judged=len(earned),
        decisions=sum(map(len, mine)),
        per_user=float(np.mean(earned)) if earned else None,
        per_decision=float(np.mean(pages)) if pages else None,
    )
    return result if arm == 0 else _compared(result, split, arm, judged, most=most, level=level)


def _compared(
    result: ArmResult, split: Split, arm: int, judged: Sequence[_Judged], *, most: float, level: float
) -> ArmResult:
    both = [one for one in judged if one.arm in (0, arm)]
    if not both:
        return replace(result, verdict="not yet")
    chance = split.shares[arm] / (split.shares[0] + split.shares[arm])
    rewards = np.array([one.reward for one in both])
    second = np.array([float(one.arm == arm) for one in both])
    widest = most / min(chance, 1 - chance)
    found = confidence.Sequence(level=level, low=-widest, high=widest)
    coming = np.array([one.coming for one in both])
    found.add(differences(rewards, second, chance, coming))
    interval = found.interval()
    # what a user says goes beyond what the arms can differ by
    band = Band(*(min(max(value, -most), most) for value in (found.mean, interval.low, interval.high)))
    verdict = "better" if band.low > 0 else "worse" if band.high < 0 else "not yet"
    more = _more(band, len(judged)) if verdict == "not yet" else None
    return replace(result, difference=band, verdict=verdict, more_users=more)


def _more(band: Band, judged: int) -> int | None:
    """Widths fall with the root of the users: how many more it takes until 0 lies outside, if the mean stays."""
    towards = band.mean - band.low if band.mean > 0 else band.high - band.mean
    times = (towards / abs(band.mean)) ** 2 if band.mean else np.inf
    return ceil(judged * (times - 1)) if times <= _HOPELESS else None


def _uneven(users: Sequence[int], shares: Sequence[float]) -> bool:
    total = sum(users)
    parts = [(count, share * total) for count, share in zip(users, shares, strict=True) if share]
    if min((expected for _, expected in parts), default=0.0) < 5:
        return False
    return bool(chisquare(*zip(*parts, strict=True)).pvalue < _LOST)
