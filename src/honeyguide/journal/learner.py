"""The learner folds the journal into a policy: no clock, no order of arrival, nothing learned twice.

A decision opens its slots. Feedback within the window teaches its slot at once, and a better reaction replaces a
lesser one. When the window closes, a slot without reaction is learned with reward 0; feedback that arrives after
that still corrects it. Feedback that names a page came after it, also where two clocks say otherwise. Time is the
watermark, the latest time in the entries read so far. Decisions are not held:
they are read back from the journal by id, so what is kept in memory does not grow with their features.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from honeyguide.errors import InvalidInput, JournalError, UnknownDecision
from honeyguide.journal.codec import to_us
from honeyguide.journal.memo import LearnerStats, Memo, Page, Rules
from honeyguide.journal.protocol import Journal, Record
from honeyguide.types import EVENT_KINDS, Decision, Event, Floats, Grade, State

_POLICY = "policy."
_BATCH = 500  # records read at once: about 7 MB of decisions


class Learnable(Protocol):
    """What the learner needs of a policy; updates commute and `retract` undoes one, both to the bit."""

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Learn the (k,) rewards of what was shown; a refused update leaves no trace."""
        ...

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update."""
        ...

    def forget(self, user_id: str) -> None:
        """Unlearn a user."""
        ...

    def state(self) -> State:
        """Everything learnt."""
        ...

    def from_state(self, state: State) -> Self:
        """The policy whose `state()` this is."""
        ...


P = TypeVar("P", bound=Learnable)


class Learner(Generic[P]):
    """Teaches `policy` what the journal says, with `grade` for rewards and `window` for how long they count.

    Decisions that are not its `own` teach it nothing, such as those whose features came of another fit.
    """

    def __init__(
        self,
        policy: P,
        *,
        grade: Grade,
        window: timedelta,
        own: Callable[[Decision], bool] = lambda decision: True,
    ) -> None:
        if window <= timedelta(0):
            raise InvalidInput(f"window must be above 0, got {window}")
        grades: dict[str, float] = {kind: float(grade(kind)) for kind in EVENT_KINDS}
        for kind, reward in grades.items():
            if not 0 <= reward <= 1:
                raise InvalidInput(f"the grade of {kind!r} must lie in 0..1, got {reward}")
        self.policy = policy
        self._rules = Rules(window // timedelta(microseconds=1), grades)
        self._grade = grade
        self._window = window
        self._own = own
        self._resume(Memo())

    @property
    def offset(self) -> int:
        """The offset of the last record folded."""
        return self._memo.offset

    @property
    def watermark_us(self) -> int:
        """The latest time seen, in microseconds since 1970."""
        return self._memo.watermark_us

    @property
    def stats(self) -> LearnerStats:
        """What was learned from so far."""
        return self._memo.stats

    def start_after(self, offset: int) -> Self:
        """A learner with the same policy that begins after `offset`: what was decided before is not its own."""
        if offset < 0:
            raise InvalidInput(f"offset must be 0 or more, got {offset}")
        learner = self._anew(self.policy)
        learner._resume(Memo(start=offset, offset=offset))
        return learner

    def restore(self, state: State, journal: Journal) -> Self:
        """A learner that goes on where `state()` was taken, equal to the bit.

        Where window or grades have changed since, the state is of no use: the learner begins again, with the
        present policy, where that one had begun. JournalError where the state is not of this journal.
        """
        memo, rules = Memo.from_state(state)
        if memo.offset > journal.end():
            raise JournalError(
                f"the saved state stands at offset {memo.offset}, the journal ends at {journal.end()}: "
                "it is another journal's. Learn from the start"
            )
        if rules != self._rules:
            return self.start_after(memo.start)
        mine = {key.removeprefix(_POLICY): state[key] for key in state if key.startswith(_POLICY)}
        learner = self._anew(self.policy.from_state(mine))
        learner._resume(memo)
        return learner

    def state(self) -> State:
        """The policy, every slot still open or rewarded, watermark and offset: all that the next fold needs."""
        policy = {_POLICY + key: array for key, array in self.policy.state().items()}
        return {**self._memo.state(self._rules), **policy}

    def catch_up(self, journal: Journal) -> int:
        """Fold what the journal holds beyond `offset`; how many records that were."""
        folded = 0
        while records := journal.read(self.offset, _BATCH):
            for record in records:
                self.fold(record, journal)
            folded += len(records)
        return folded

    def fold(self, record: Record, journal: Journal) -> None:
        """Learn from one record; one that was folded before has no effect.

        Where the policy refuses an update the record counts as not folded, and can be folded later.
        """
        if record.offset <= self.offset:
            return
        entry = record.entry
        self._settle_until(to_us(entry.time), journal)
        if isinstance(entry, Decision):
            if self._own(entry):
                self._open(entry)
        elif isinstance(entry, Event) and entry.decision_id is not None:
            self._react(entry, entry.decision_id, journal)
        self._memo.offset = record.offset

    def settle_all(self, now: datetime, journal: Journal) -> None:
        """Close every window that is over at `now`, as if the journal's last entry were of that time."""
        self._settle_until(to_us(now), journal)

    def erase(self, user_id: str) -> None:
        """Unlearn a user to the bit; goes together with `Journal.erase`."""
        self.policy.forget(user_id)
        self._memo.forget(user_id)

    def without(self, user_id: str, journal: Journal) -> Self:
        """A learner that never met this user, beside this one."""
        learner = self.restore(self.state(), journal)
        learner.erase(user_id)
        return learner

    def without_pages(self, before: datetime, journal: Journal) -> Self:
        """A learner that knows no page of before that time, and all that was learned of them, beside this one.

        Its policy is equal to the bit; it goes together with `Journal.drop`. Where the journal has stood still for so
        long that some of these windows are open, they are closed first.
        """
        learner = self.restore(self.state(), journal)
        learner.settle_all(before + self._window, journal)
        learner._memo.drop(to_us(before) + self._rules.window_us)
        return learner

    def _anew(self, policy: P) -> Self:
        return type(self)(policy, grade=self._grade, window=self._window, own=self._own)

    def _resume(self, memo: Memo) -> None:
        self._memo = memo
        self._due = [(page.close_us, name) for name, page in memo.pages.items() if not page.settled]
        heapq.heapify(self._due)

    def _open(self, decision: Decision) -> None:
        close_us = to_us(decision.time) + self._rules.window_us
        if close_us < self.watermark_us:  # it arrives late: its window is over already
            self._learn_silence(decision, range(len(decision.chosen)))
        else:
            self._memo.pages[decision.decision_id] = Page(decision.user_id, close_us)
            heapq.heappush(self._due, (close_us, decision.decision_id))
        self._memo.count(decision.user_id, decisions=1)

    def _settle_until(self, time_us: int, journal: Journal) -> None:
        self._memo.watermark_us = max(self._memo.watermark_us, time_us)
        while self._due and self._due[0][0] < self._memo.watermark_us:
            close_us, name = self._due[0]
            page = self._memo.pages.get(name)
            if page is not None and not page.settled and page.close_us == close_us:  # else it was erased
                decision = journal.decision(name)
                slots = range(len(decision.chosen))
                self._learn_silence(decision, [slot for slot in slots if slot not in page.rewards])
                self._memo.settle(name)
            heapq.heappop(self._due)

    def _learn_silence(self, decision: Decision, slots: Sequence[int]) -> None:
        if slots:
            self.policy.update(decision.only(slots), np.zeros(len(slots)))

    def _react(self, event: Event, name: str, journal: Journal) -> None:
        try:
            decision = journal.decision(name)
        except (
            UnknownDecision
        ):  # its page was old, and was dropped: a learner that began before has learned it
            self._memo.count(event.user_id, ignored=1)
            return
        page = self._page(decision, journal)
        after_us = to_us(event.time) - to_us(decision.time)
        if page is None or after_us > self._rules.window_us:
            self._memo.count(event.user_id, ignored=1)
            return
        reward = self._rules.grades[event.kind]
        if event.kind == "impression" and not reward:
            return  # that a page was seen is no reaction to it
        late = page.settled
        gained = self._raise(page, decision, decision.item_ids.index(str(event.item_id)), reward)
        self._memo.count(event.user_id, rewarded=gained, late=int(late))

    def _page(self, decision: Decision, journal: Journal) -> Page | None:
        """The page of a decision; None where it was decided before this learner began, or is not its own."""
        page = self._memo.pages.get(decision.decision_id)
        if page is not None:
            return page
        if not self._own(decision) or journal.locate(decision.decision_id) <= self._memo.start:
            return None
        return Page(decision.user_id, to_us(decision.time) + self._rules.window_us, settled=True)

    def _raise(self, page: Page, decision: Decision, slot: int, reward: float) -> int:
        """Set a slot's reward where it is higher than what it was; 1 where the slot had none before."""
        old = page.rewards.get(slot, 0.0 if page.settled else None)
        if old is not None and reward <= old:
            return 0
        part = decision.only([slot])
        self.policy.update(part, np.array([reward]))  # first, as it may be refused: nothing has changed then
        if old is not None:
            self.policy.retract(part, np.array([old]))
        page.rewards[slot] = reward
        self._memo.pages[decision.decision_id] = page
        return int(reward > 0 and not old)


__all__ = ["Learnable", "Learner", "LearnerStats"]
