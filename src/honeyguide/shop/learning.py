"""What an open shop takes from its journal: what its policies learned, what users did, and what items there are."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from honeyguide.config import Settings
from honeyguide.interests.users import History
from honeyguide.journal.learner import Learner
from honeyguide.journal.protocol import Counts, Erasure, ItemChange, Journal, Record
from honeyguide.shop.arms import Arms
from honeyguide.shop.models import Fitted
from honeyguide.shop.policies import like, serving
from honeyguide.shop.split import everybody, experiment_split
from honeyguide.shop.stock import Stock, read_by
from honeyguide.shop.view import View
from honeyguide.types import Decision, Event, State

_FITTED_AS = "shop.fitted_as"
_WAITING = 200  # events of one user that wait to be folded, at the most: some 20 ms of a page for them
_BATCH = 500  # journal records read at once: about 7 MB of decisions
_EVENTS = 5_000  # the same without decisions
_WAY = 2  # of turning pages into sums: what another way has learned is not gone on with, but learned anew


class Learning:
    """A fold of the journal that goes on where the last one was saved, unless the shop or its settings changed."""

    def __init__(self, settings: Settings, fitted: Fitted, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._as_fitted = self._view = View.of(settings, fitted)
        self.stock = Stock()
        self._folded: dict[str, History] = {}
        self._unfolded: dict[str, list[Event]] = {}
        self._feedback: dict[str, Event] = {}
        self._events_read = self._saved_at = 0
        self._split = experiment_split(settings) or everybody(serving(settings.explore))
        self._learner = self._open_learner()
        self.catch_up()

    @property
    def arms(self) -> Arms:
        """The policies as they have learned so far."""
        return self._learner.policy

    @property
    def view(self) -> View:
        """The shop after all changes of items that were read."""
        if self._view.changes != self.stock.changes:
            self._view = self._as_fitted.stocked(self.stock)
        return self._view

    @property
    def as_fitted(self) -> Fitted:
        """The shop as it was fitted."""
        return self._as_fitted.fitted

    def history(self, user_id: str) -> History:
        """What is known of the user: the fitted history and everything the journal holds since."""
        for event in self._unfolded.pop(user_id, ()):
            self._fold(event)
        return self._known(user_id)

    def feedback(self, event_id: str) -> Event | None:
        """The feedback of this id that was recorded first."""
        return self._feedback.get(event_id)

    def catch_up(self) -> None:
        """Take in what the journal holds beyond what was read."""
        self._recall()
        while records := self._journal.read(self._learner.offset, _BATCH):
            for record in records:
                self._learner.fold(record, self._journal)
                self._take_in(record)

    def _recall(self) -> None:
        """Take in what users did up to where the learner stands: a saved state holds what pages taught, not that."""
        while self._events_read < self._learner.offset:
            records = self._journal.read(self._events_read, _EVENTS, decisions=False)
            for record in records:
                if record.offset <= self._learner.offset:
                    self._take_in(record)
            if len(records) < _EVENTS or records[-1].offset > self._learner.offset:
                self._events_read = self._learner.offset

    def behind(self) -> int:
        """How many entries of the journal are not yet learned from."""
        return max(self._journal.end() - self._learner.offset, 0)

    def erase(self, user_id: str) -> Erasure:
        """Remove a user from the journal, and unlearn them to the bit; nothing changes where that fails."""
        left = self._learner.without(user_id, self._journal)
        # what was learned of the others has to stay there: their entries may be dropped already
        erasure = self._journal.erase(user_id, kept=self._stored(left))
        self._learner, self._saved_at = left, left.offset
        self._folded.pop(user_id, None)
        self._unfolded.pop(user_id, None)
        self._feedback = {name: event for name, event in self._feedback.items() if event.user_id != user_id}
        return erasure

    def take_over(self, fitted: Fitted) -> None:
        """Go on from the same fit without an erased user."""
        self._as_fitted = self._view = View.of(self._settings, fitted)

    def drop(self, before: datetime) -> Counts:
        """Drop the journal's entries of before that time; what was learned of them stays, to the bit."""
        return self._journal.drop(
            before, kept=self._stored(self._learner.without_pages(before, self._journal))
        )

    @property
    def unsaved(self) -> int:
        """How many entries were learned since that was stored."""
        return self._learner.offset - self._saved_at

    def save(self) -> None:
        """Store what was learned beside its journal offset."""
        offset, state = self._stored(self._learner)
        self._journal.save_state(offset, state)
        self._saved_at = offset

    def _stored(self, learner: Learner[Arms]) -> tuple[int, State]:
        return learner.offset, {**learner.state(), _FITTED_AS: self._stamp}

    def _open_learner(self) -> Learner[Arms]:
        settings, fitted = self._settings, self.as_fitted
        arms = Arms.made(
            self._split,
            fitted.policy_state,
            settings.explore,
            seed=settings.seed,
            like=like(fitted.items),
        )
        learner = Learner(
            arms,
            grade=settings.labels.grade,
            window=timedelta(days=settings.labels.window_days),
            own=self._seen_alike,
        )
        stored = self._journal.load_state()
        if stored is not None:
            state = dict(stored[1])
            fitted_as = state.pop(_FITTED_AS, np.empty(0))
            if np.array_equal(fitted_as, self._stamp):  # else it was fitted anew, or the settings changed
                self._saved_at = stored[0]
                return learner.restore(state, self._journal)
        self._saved_at = fitted.journal_offset
        return learner.start_after(fitted.journal_offset)

    def _seen_alike(self, decision: Decision) -> bool:
        """Whether a page's features mean what they mean now: pages are decided while another fit goes on."""
        return decision.model_version.partition(".")[0] == self.as_fitted.version.partition(".")[0]

    @property
    def _stamp(self) -> NDArray[np.uint8]:
        items, _, _ = self.as_fitted.version.partition(".")
        text = f"{items} {self.as_fitted.fitted_as} {self._settings.explore} {self._split} {_WAY}"
        return np.frombuffer(text.encode(), dtype=np.uint8)

    def _take_in(self, record: Record) -> None:
        """Once, however often it is read."""
        if record.offset <= self._events_read:
            return
        entry = record.entry
        if isinstance(entry, Event):
            self._remember(entry)
        # the fit has taken in what was there then
        elif isinstance(entry, ItemChange) and record.offset > self.as_fitted.journal_offset:
            self.stock.fold(read_by(self.as_fitted, entry))
        self._events_read = record.offset

    def _remember(self, event: Event) -> None:
        if event.decision_id is not None:
            self._feedback[event.event_id] = event
        # by what was there when it was written: else what is known would depend on when it is asked about
        if event.item_id is not None and not self._knows(event.item_id):
            return
        # most of who did something is not asked for at once, and folding is what an event costs most
        waiting = self._unfolded.setdefault(event.user_id, [])
        waiting.append(event)
        if len(waiting) == _WAITING:
            self.history(event.user_id)

    def _knows(self, item_id: str) -> bool:
        return item_id in self.as_fitted.catalog or item_id in self.stock.puts

    def _known(self, user_id: str) -> History:
        folded = self._folded.get(user_id) or self.as_fitted.histories.get(user_id)
        return folded or self._as_fitted.model.start()

    def _fold(self, event: Event) -> None:
        self._folded[event.user_id] = self.view.model.fold(self._known(event.user_id), event)
