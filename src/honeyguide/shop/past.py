"""The log seen as pages that might have been: what a policy would have known, and what it would have earned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from honeyguide.config import Settings
from honeyguide.data.labels.visits import Outcomes, Visits, outcomes, visits
from honeyguide.data.table import EventTable
from honeyguide.interests.sequence.histories import READ, tokens_of
from honeyguide.interests.sequence.recent import NOTHING, Recent
from honeyguide.interests.users import DAY_US, MILLI, History, ShopperModel
from honeyguide.shop.candidates import CandidateSource
from honeyguide.types import EVENT_KINDS, EventKind, Progress, Rows, Vectors

_READ = np.isin(EVENT_KINDS, READ)
MAX_PAGES = 10
"""Pages per user: the newest ones; their reward windows do not overlap, so no purchase is counted twice."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Past pages as a regression: features (rows, d), rewards (rows,), items (rows,), users' first rows (u + 1,).

    `time_us` (rows,) are the times of the pages that the rows are of, and `first_us` (u,) those of the users' first
    pages, epoch microseconds.
    """

    users: tuple[str, ...]
    features: Vectors
    rewards: NDArray[np.float64]
    items: Rows
    time_us: Rows
    starts: NDArray[np.int64]
    first_us: NDArray[np.int64]
    pages: int


@dataclass(frozen=True, eq=False)
class PastPages:
    """The log seen as visits: what was known before each, and what the user took after it."""

    table: EventTable
    model: ShopperModel
    weight: NDArray[np.int64]
    visits: Visits
    outcomes: Outcomes
    window_us: int

    @classmethod
    def of(cls, table: EventTable, model: ShopperModel, settings: Settings) -> PastPages:
        """The visits of the log whose reward window has closed."""
        grades = np.array([round(settings.labels.grade(kind) * MILLI) for kind in EVENT_KINDS])
        weight = np.where(table.item >= 0, grades[table.kind], 0)
        seen = visits(table, origin_us=int(table.time_us.min()) // DAY_US * DAY_US, period_days=7.0)
        full = seen.with_full_window(int(table.time_us.max()), settings.labels.window_days)
        found = outcomes(table, full, grade=settings.labels.grade, window_days=settings.labels.window_days)
        window_us = round(settings.labels.window_days * DAY_US)
        return cls(table, model, weight, full, found, window_us)

    def history(self, user: int, before_us: int | None = None) -> History:
        """What the user had done before that moment (or at all)."""
        mine = self.table.events_of(user)
        if before_us is not None:
            mine = mine[: np.searchsorted(self.table.time_us[mine], before_us, side="right")]
        recent = self._recent(mine)
        mine = mine[self.weight[mine] > 0]
        rows = self.table.item[mine].astype(np.int64)
        return History.of(rows, self.weight[mine], self.table.time_us[mine], recent)

    def histories(self) -> dict[str, History]:
        """What every user of the log had done in all."""
        return {user: self.history(row) for row, user in enumerate(self.table.users)}

    def _recent(self, mine: NDArray[np.int64]) -> Recent:
        sequence = self.model.sequence
        if sequence is None:
            return NOTHING
        read = mine[(self._token[mine] >= 0) & _READ[self.table.kind[mine]]]
        read = read[-sequence.network.shape.longest :]
        return Recent.of(self._token[read], self.table.kind[read], self.table.time_us[read])

    @cached_property
    def _token(self) -> NDArray[np.int64]:
        return tokens_of(self.table, len(self.model.catalog))

    def came_for(self, kind: EventKind) -> list[Rows]:
        """For each visit the items that such an event came for within the reward window."""
        found = outcomes(
            self.table,
            self.visits,
            grade=lambda name: float(name == kind),
            window_days=self.window_us / DAY_US,
        )
        return np.split(found.item.astype(np.int64), found.starts[1:-1])

    def examples(self, source: CandidateSource, seed: int, progress: Progress) -> Examples | None:
        """For every chosen visit: the candidates as they would have been, and what they would have earned.

        None where no visit has a closed reward window after it.
        """
        rng = np.random.default_rng(seed)
        chosen = self._spaced()
        features, rewards, items, times = [], [], list[Rows](), list[Rows]()
        counts = np.zeros(len(self.table.users), dtype=np.int64)
        first_us = np.full(len(self.table.users), np.iinfo(np.int64).max)
        scratch = np.zeros(len(self.model.items))
        for done, visit in enumerate(chosen):
            user, time_us = int(self.visits.user[visit]), int(self.visits.time_us[visit])
            history = self.history(user, time_us)
            rows = source.rows(history, time_us, rng)
            part = slice(*self.outcomes.starts[visit : visit + 2])
            scratch[self.outcomes.item[part]] = self.outcomes.reward[part]
            features.append(self.model.features(history, rows, time_us))
            rewards.append(scratch[rows])
            items.append(rows)
            times.append(np.full(len(rows), time_us, dtype=np.int64))
            scratch[self.outcomes.item[part]] = 0.0
            counts[user] += len(rows)
            first_us[user] = min(first_us[user], time_us)
            progress(done + 1, len(chosen))
        if not features:
            return None
        used = np.flatnonzero(counts)
        return Examples(
            users=tuple(self.table.users[u] for u in used),
            features=np.concatenate(features),
            rewards=np.concatenate(rewards),
            items=np.concatenate(items),
            time_us=np.concatenate(times),
            starts=np.cumsum([0, *counts[used]], dtype=np.int64),
            first_us=first_us[used],
            pages=len(chosen),
        )

    def _spaced(self) -> NDArray[np.int64]:
        """Visits by user, newest first thinned out so that reward windows do not overlap, in user order."""
        chosen: list[int] = []
        by_user = np.lexsort((-self.visits.time_us, self.visits.user))
        user, last, taken = -1, 0, 0
        for visit in by_user:
            time_us = int(self.visits.time_us[visit])
            if self.visits.user[visit] != user:
                user, last, taken = int(self.visits.user[visit]), time_us + self.window_us, 0
            if taken < MAX_PAGES and last - time_us >= self.window_us:
                chosen.append(int(visit))
                last, taken = time_us, taken + 1
        return np.array(chosen, dtype=np.int64)
