"""The journal's decisions with what came of them.

A slot's reward is the best grade among the user's reactions to its item within the window, as the learner has it.
A page is settled when its window is over. Before that, silence is no answer yet: exports for learning leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from honeyguide.errors import NotReady
from honeyguide.journal.codec import to_us
from honeyguide.journal.protocol import Journal, Record
from honeyguide.types import Decision, Event, EventKind, Floats, Grade, Progress, silent

_BATCH = 500  # records read at once: about 7 MB of decisions
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a user did with a shown item, and what that is worth."""

    item_id: str
    kind: EventKind
    time_us: int
    reward: float


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A decision and, per slot, the best reaction to it (None: none); settled when its window is over."""

    decision: Decision
    reactions: tuple[Reaction | None, ...]
    settled: bool

    @property
    def rewards(self) -> Floats:
        """(k,) float64: 0 where nobody reacted."""
        return np.array([reaction.reward if reaction else 0.0 for reaction in self.reactions])


@dataclass(frozen=True, slots=True)
class DecisionLog:
    """The decisions up to `end`, and all reactions to them; of the decisions no more than a batch is in memory."""

    journal: Journal
    end: int
    window: timedelta
    now: datetime
    reactions: Mapping[str, tuple[Reaction, ...]]
    decisions: int
    unsettled: int
    model_versions: tuple[str, ...]
    """In the order in which they came into use."""
    width: int
    """The features of a candidate, in the latest decision; a fit may change their number."""

    @classmethod
    def read(
        cls, journal: Journal, *, grade: Grade, window: timedelta, now: datetime, progress: Progress = silent
    ) -> DecisionLog:
        """The log as the journal stands; what is appended while it is exported stays out."""
        end = journal.end()
        reactions: dict[str, tuple[Reaction, ...]] = {}
        decisions = unsettled = width = 0
        versions: dict[str, None] = {}
        for record in _records(journal, end):
            entry = record.entry
            if isinstance(entry, Decision):
                decisions += 1
                unsettled += entry.time + window >= now
                versions[entry.model_version] = None
                width = entry.candidates.features.shape[1]
            elif isinstance(entry, Event) and (reaction := _reaction(entry, grade)):
                name = str(entry.decision_id)
                reactions[name] = (*reactions.get(name, ()), reaction)
            progress(record.offset, 2 * end)
        return cls(journal, end, window, now, reactions, decisions, unsettled, tuple(versions), width)

    def pages(self, progress: Progress = silent) -> Iterator[Page]:
        """Every decision in the order of the journal."""
        for record in _records(self.journal, self.end):
            if isinstance(record.entry, Decision):
                yield self._page(record.entry)
            progress(self.end + record.offset, 2 * self.end)

    def settled(self, progress: Progress = silent) -> Iterator[Page]:
        """The pages whose rewards are final; NotReady where there are none yet."""
        if self.unsettled == self.decisions:
            raise NotReady(
                f"of {self.decisions} logged decisions none is older than {self.days:g} days, the reward window "
                "([labels] window_days): wait until one is, or name a later time with --now if no more is to come"
            )
        return (page for page in self.pages(progress) if page.settled)

    @property
    def days(self) -> float:
        """The reward window in days."""
        return self.window / timedelta(days=1)

    @property
    def waiting(self) -> tuple[int, str]:
        """How many pages `settled` leaves out, and why."""
        return (
            self.unsettled,
            f"decisions less than {self.days:g} days old: their rewards are still coming in",
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the features has to know."""
        if len(self.model_versions) < 2:
            return ()
        return (
            f"the features come from {len(self.model_versions)} model versions: they mean the same only within one",
        )

    def _page(self, decision: Decision) -> Page:
        best: dict[str, Reaction] = {}
        close_us = to_us(decision.time) + self.window // _MICROSECOND
        for reaction in self.reactions.get(decision.decision_id, ()):
            if reaction.time_us > close_us:
                continue
            rival = best.get(reaction.item_id)
            if rival is None or (reaction.reward, -reaction.time_us) > (rival.reward, -rival.time_us):
                best[reaction.item_id] = reaction
        return Page(decision, tuple(map(best.get, decision.item_ids)), decision.time + self.window < self.now)


def _reaction(event: Event, grade: Grade) -> Reaction | None:
    """None for what is no feedback, and for an impression that earns nothing: being shown is no reaction."""
    reward = grade(event.kind)
    if event.decision_id is None or event.item_id is None or (event.kind == "impression" and not reward):
        return None
    return Reaction(event.item_id, event.kind, to_us(event.time), reward)


def _records(journal: Journal, end: int) -> Iterator[Record]:
    after = 0
    while records := journal.read(after, _BATCH):
        for record in records:
            if record.offset > end:
                return
            yield record
        after = records[-1].offset
