"""Whether a canary does harm: told from the journal, at any time, and wrong once in forty canaries that do none.

A user says one number, as in `experiment`: what the pages of their first hours under the split earned, each within
hours of it, up to a bound, once all of it is known. That the unit is the user, and that the difference is weighed by
the shares, is what lets it be looked at as often as one likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from honeyguide.evaluate import confidence
from honeyguide.evaluate.experiment import differences
from honeyguide.evaluate.results import Band
from honeyguide.journal.protocol import Record
from honeyguide.shop.split import Split, all_fixed, made_under
from honeyguide.types import Decision, Event, Grade

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Finding:
    """How a canary did: users who are judged, and its reward a user less the stable one's, where there are any."""

    users: int
    difference: Band | None = None

    @property
    def harmful(self) -> bool:
        """Whether it surely earns less."""
        return self.difference is not None and self.difference.high < 0


@dataclass(slots=True)
class _Page:
    user_id: str
    time: datetime
    rewards: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _User:
    first: datetime
    coming: float
    pages: list[_Page] = field(default_factory=list)


class Guard:
    """Folds the journal's records, and says what they tell of the second arm of a split.

    Pages of a user's first `hours` count, and reactions within as many hours of the page; a user up to `most`.
    """

    def __init__(self, split: Split, *, grade: Grade, hours: float, most: float) -> None:
        self._split = split
        self._grade = grade
        self._hours = timedelta(hours=hours)
        self._most = most
        self._users: dict[str, _User] = {}
        self._pages: dict[str, _Page] = {}
        self.offset = 0

    def fold(self, record: Record) -> None:
        """Take in one record; the journal's order is the order in which users come."""
        self.offset = record.offset
        entry = record.entry
        if isinstance(entry, Decision):
            if made_under(entry, self._split) and not all_fixed(entry):
                self._open(entry)
        elif isinstance(entry, Event) and entry.decision_id in self._pages:
            self._react(self._pages[entry.decision_id], entry)

    def finding(self, now: datetime) -> Finding:
        """What is known by `now`."""
        latest = now - 2 * self._hours
        known = sorted((user.first, name) for name, user in self._users.items() if user.first <= latest)
        if not known:
            return Finding(0)
        names = [name for _, name in known]
        second = np.array([float(self._split.arm_of(name)) for name in names])
        chance = self._split.shares[1]
        coming = np.array([self._users[name].coming for name in names])
        widest = self._most / min(chance, 1 - chance)
        found = confidence.Sequence(level=_LEVEL, low=-widest, high=widest)
        found.add(differences(np.array([self._earned(name) for name in names]), second, chance, coming))
        between = found.interval()
        ends = (found.mean, between.low, between.high)
        return Finding(len(names), Band(*(min(max(one, -self._most), self._most) for one in ends)))

    def _open(self, decision: Decision) -> None:
        coming = float(np.log1p(decision.candidates.remaining_visits))
        user = self._users.setdefault(decision.user_id, _User(decision.time, coming))
        if decision.time < user.first + self._hours:
            page = _Page(decision.user_id, decision.time)
            user.pages.append(page)
            self._pages[decision.decision_id] = page

    def _react(self, page: _Page, event: Event) -> None:
        if timedelta(0) <= event.time - page.time <= self._hours:
            item, reward = str(event.item_id), self._grade(event.kind)
            page.rewards[item] = max(reward, page.rewards.get(item, 0.0))

    def _earned(self, name: str) -> float:
        return min(sum(sum(page.rewards.values()) for page in self._users[name].pages), self._most)
