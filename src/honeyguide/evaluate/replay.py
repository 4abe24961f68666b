"""Replay: policies meet the log's later visits one after the other, and see only what they showed.

Each visit is a decision: sampled, journalled with its propensities, rewarded by what the user really took within
the reward window, and learned from when that happened. What was not shown stays hidden: it neither trains the
policy nor enters the history that the features are made of.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from honeyguide.config import Settings
from honeyguide.data.labels.visits import Outcomes, Visits
from honeyguide.data.table import from_us
from honeyguide.evaluate.new_interests import FirstTouches, discovered
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.interests.users import History
from honeyguide.journal.learner import Learner
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.protocol import Entry, Erased, Journal, Record
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.explain import Explainer
from honeyguide.shop.models import Fitted
from honeyguide.shop.offer import offer
from honeyguide.shop.policies import like, make_policy
from honeyguide.types import EVENT_KINDS, Decision, Event, EventKind, Policy, Progress, silent

_GROUP = 250  # visits between two writes of the journal that is kept


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """The visits to replay, in time order, what each user took after each, and what they had taken to before."""

    visits: Visits
    outcomes: Outcomes
    users: tuple[str, ...]
    touches: FirstTouches

    def __len__(self) -> int:
        return len(self.visits.user)


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRun:
    """How one policy did: per visit (v,) the reward of its page, discoveries, level and expectations."""

    policy: str
    reward: NDArray[np.float64]
    discoveries: NDArray[np.float64]
    interests: NDArray[np.float64]
    """Interests new to the user that the page made them discover, each of a user once."""
    level: NDArray[np.float64]
    expected: NDArray[np.float64]
    """Expected reward of the page that was shown, under the posterior mean of the moment."""
    expected_exploit: NDArray[np.float64]
    """The same of the page that exploit-only would have shown."""
    explored: NDArray[np.float64]
    """How many of the shown items exploit-only would not have shown."""
    expected_offered: NDArray[np.float64]
    """Expected reward of all candidates together."""
    offered: NDArray[np.float64]
    """What all candidates together would have earned."""


class Replay:
    """One policy on the traffic, through the same candidates, sampler, journal and learner that serve.

    `keep` is a journal on disk that gets every entry as well, in groups: a replay can be run again, so it need
    not wait for the disk at each decision.
    """

    def __init__(
        self,
        fitted: Fitted,
        traffic: Traffic,
        settings: Settings,
        policy_name: str,
        *,
        keep: Journal | None = None,
    ) -> None:
        self.settings = settings
        self.traffic = traffic
        self.fitted = fitted
        self.model = fitted.shopper_model(settings)
        self.source = CandidateSource(self.model, size=settings.explore.candidates)
        self.explainer = Explainer(self.model, fitted.taxonomy)
        policy = make_policy(
            policy_name, fitted.policy_state, settings.explore, seed=settings.seed, like=like(fitted.items)
        )
        self.journal = MemoryJournal()
        self.keep = keep
        self.learner: Learner[Policy] = Learner(
            policy, grade=settings.labels.grade, window=timedelta(days=settings.labels.window_days)
        )
        self.histories: dict[str, History] = {}
        # what will be revealed: (time, id, feedback, what the history learns)
        self._pending: list[tuple[int, str, Event, Event]] = []
        grade = settings.labels.grade
        self._purchase = grade("purchase")
        self._discovered: set[tuple[int, int]] = set()
        self._kind_worth: dict[float, EventKind] = {grade(kind): kind for kind in EVENT_KINDS}

    def run(self, progress: Progress = silent) -> PolicyRun:
        """Meet every visit in time order."""
        columns = np.zeros((len(self.traffic), 9))
        for visit in range(len(self.traffic)):
            self._reveal(int(self.traffic.visits.time_us[visit]))
            decision = self.decide(visit)
            self._learn([decision])
            columns[visit] = self._reward(visit, decision)
            if visit % _GROUP == 0:
                self._keep()
            progress(visit + 1, len(self.traffic))
        self._reveal(None)
        self._keep()
        return PolicyRun(self.learner.policy.name, *columns.T)

    def decide(self, visit: int) -> Decision:
        """The page for one visit."""
        user = self.traffic.users[int(self.traffic.visits.user[visit])]
        time_us = int(self.traffic.visits.time_us[visit])
        history = self.history(user)
        explore = self.settings.explore
        decision_id = f"{user}@{time_us}"
        rng = stream(self.settings.seed, decision_id)
        rows = self.source.rows(history, time_us, rng)
        horizon, moves = explore.horizon_days, self.fitted.transitions
        candidates = offer(self.model, user, history, rows, time_us, horizon_days=horizon, transitions=moves)
        return decide(
            self.learner.policy,
            candidates,
            k=min(explore.k, len(candidates)),
            request=Request(decision_id, from_us(time_us), "replay", "0", self.fitted.version),
            rng=rng,
            explain=self.explainer.of(history, rows, candidates.features, time_us),
        )

    def history(self, user: str) -> History:
        """What is known of the user by now: the fitted history and what this policy's pages revealed."""
        if user not in self.histories:
            self.histories[user] = self.fitted.histories.get(user, self.model.start())
        return self.histories[user]

    def _reward(self, visit: int, decision: Decision) -> tuple[float, ...]:
        found = self.traffic.outcomes
        part = slice(*found.starts[visit : visit + 2])
        row_of = {int(row): index for index, row in enumerate(found.item[part])}
        reward = discoveries = 0.0
        reactions: list[tuple[int, float]] = []
        for slot, item_id in enumerate(decision.item_ids):
            index = row_of.get(self.fitted.catalog.row(item_id))
            if index is None:
                continue
            reward += float(found.reward[part][index])
            discoveries += float(found.discovery[part][index])
            reactions.append((int(found.item[part][index]), float(found.reward[part][index])))
            kind = self._kind_worth[float(found.reward[part][index])]
            self._schedule(decision, slot, kind, int(found.time_us[part][index]))
        scores = decision.plan.scores
        offered = self.fitted.catalog.rows(decision.candidates.item_ids)
        return (
            reward,
            discoveries,
            self._new_interests(visit, reactions),
            decision.plan.level,
            float(scores[decision.chosen].sum()),
            float(scores[decision.exploit_rows].sum()),
            float(decision.explored.sum()),
            float(scores.sum()),
            float(sum(found.reward[part][row_of[row]] for row in row_of.keys() & set(offered.tolist()))),
        )

    def _new_interests(self, visit: int, reactions: Sequence[tuple[int, float]]) -> float:
        """How many interests the (row, reward) of a page made the user discover, of those not yet discovered."""
        touches, visits = self.traffic.touches, self.traffic.visits
        user, rows = int(visits.user[visit]), np.array([row for row, _ in reactions], dtype=np.int64)
        new = touches.new(user, rows, int(visits.time_us[visit]))
        leaves = touches.leaf[rows].tolist()
        of_new = [
            (leaf, reward) for leaf, (_, reward), is_new in zip(leaves, reactions, new, strict=True) if is_new
        ]
        found = {(user, leaf) for leaf in discovered(of_new, purchase=self._purchase)} - self._discovered
        self._discovered |= found
        return float(len(found))

    def _schedule(self, decision: Decision, slot: int, kind: EventKind, time_us: int) -> None:
        item_id = decision.item_ids[slot]
        feedback = Event(
            event_id=f"{decision.decision_id}#{slot}",
            time=from_us(time_us),
            user_id=decision.user_id,
            kind=kind,
            item_id=item_id,
            decision_id=decision.decision_id,
            position=slot,
        )
        # two pages may have shown the item before one purchase: each page earns it, the history counts it once
        once = replace(feedback, event_id=f"{decision.user_id}:{item_id}:{time_us}", decision_id=None)
        heapq.heappush(self._pending, (time_us, feedback.event_id, feedback, once))

    def _reveal(self, until_us: int | None) -> None:
        revealed: list[Entry] = []
        while self._pending and (until_us is None or self._pending[0][0] <= until_us):
            _, _, feedback, once = heapq.heappop(self._pending)
            self.histories[once.user_id] = self.model.fold(self.history(once.user_id), once)
            revealed.append(feedback)
        self._learn(revealed)

    def _learn(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        first = self.journal.end() + 1
        self.journal.append(entries)
        for offset, entry in enumerate(entries, start=first):  # nobody else writes to this journal
            self.learner.fold(Record(offset, entry), self.journal)

    def _keep(self) -> None:
        """Write what the lasting journal lacks, many entries to a commit."""
        if self.keep is not None:
            self.keep.append(
                [
                    entry
                    for record in self.journal.read(self.keep.end())
                    if not isinstance(entry := record.entry, Erased)
                ]
            )
