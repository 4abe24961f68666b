"""Whatever happens to a journal and its learner, live learning, replay and an independent model agree."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from honeyguide.checks.journal import MakeJournal, journal_entries, sample_decision, sample_feedback
from honeyguide.checks.journal_samples import TIME
from honeyguide.checks.policy import equal_states
from honeyguide.journal.codec import to_us
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Counts, Entry, subject_of
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.types import Decision
from tests.journal_tally import WINDOW, expected_tally, new_learner

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

USERS = ("ann", "bob", "cai")
KINDS = ("view", "click", "cart", "purchase", "dismiss", "impression")


class Shop(RuleBasedStateMachine):
    """A journal, a live learner beside it, and the list of what should be in the journal."""

    def __init__(self, place: Callable[[], MakeJournal]) -> None:
        super().__init__()
        self.open = place()
        self.journal = self.open()
        self.learner = new_learner()
        self.entries: list[Entry] = []
        self.dropped: list[Entry] = []
        self.ever_dropped = False
        self.made = 0
        self.watermark_us = -(2**62)

    def teardown(self) -> None:
        self.journal.close()

    @property
    def pages(self) -> list[Decision]:
        return [entry for entry in self.entries if isinstance(entry, Decision)]

    def append(self, entry: Entry) -> None:
        self.journal.append([entry])
        self.learner.catch_up(self.journal)
        self.entries.append(entry)
        self.watermark_us = max(self.watermark_us, to_us(entry.time))

    @rule(user=st.sampled_from(USERS), hours=st.integers(0, 300))
    def decide(self, user: str, hours: int) -> None:
        self.made += 1
        self.append(sample_decision(self.made, user, hours=hours))

    @precondition(lambda self: self.pages)
    @rule(data=st.data(), slot=st.integers(0, 2), kind=st.sampled_from(KINDS), hours=st.integers(-2, 60))
    def react(self, data: st.DataObject, slot: int, kind: str, hours: int) -> None:
        self.made += 1
        page = data.draw(st.sampled_from(self.pages))
        self.append(sample_feedback(page, slot, kind, hours=hours, number=self.made))  # type: ignore[arg-type]

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        assert self.journal.append([data.draw(st.sampled_from(self.entries))]) == 0
        assert self.learner.catch_up(self.journal) == 0

    @rule()
    def snapshot(self) -> None:
        self.journal.save_state(self.learner.offset, self.learner.state())

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = self.open()
        stored = self.journal.load_state()
        fresh = new_learner()
        self.learner = fresh if stored is None else fresh.restore(stored[1], self.journal)
        self.learner.catch_up(self.journal)

    @rule(user=st.sampled_from(USERS))
    def erase(self, user: str) -> None:
        left = self.learner.without(user, self.journal)
        self.journal.erase(user, kept=(left.offset, left.state()))
        self.learner = left
        self.entries = [entry for entry in self.entries if subject_of(entry) != user]
        self.dropped = [entry for entry in self.dropped if subject_of(entry) != user]

    @rule(hours=st.integers(0, 300))
    def drop(self, hours: int) -> None:
        before = TIME + timedelta(hours=hours)
        kept = self.learner.without_pages(before, self.journal)
        if self.journal.drop(before, kept=(kept.offset, kept.state())) == Counts(0, 0, 0):
            return
        self.learner, self.ever_dropped = kept, True
        self.dropped += [entry for entry in self.entries if entry.time < before]
        self.entries = [entry for entry in self.entries if entry.time >= before]
        self.watermark_us = max(self.watermark_us, to_us(before + WINDOW))

    @invariant()
    def the_journal_holds_what_was_acknowledged(self) -> None:
        found = journal_entries(self.journal)
        assert [(type(entry), entry.time) for entry in found] == [
            (type(entry), entry.time) for entry in self.entries
        ]

    @invariant()
    def live_is_replay(self) -> None:
        stored = self.journal.load_state()
        begins = [new_learner()] if not self.ever_dropped else []
        begins += [] if stored is None else [new_learner().restore(stored[1], self.journal)]
        assert begins
        for replayed in begins:
            replayed.catch_up(self.journal)
            assert equal_states(self.learner.state(), replayed.state())

    @invariant()
    def what_was_learned_is_what_the_model_says(self) -> None:
        expected = expected_tally([*self.dropped, *self.entries], self.watermark_us)
        assert equal_states(self.learner.policy.state(), expected.state())
        assert self.learner.watermark_us == self.watermark_us


def check_any_day(place: Callable[[], MakeJournal], examples: int = 25) -> None:
    """Shops that anything happens to, each in a place of its own."""

    class Placed(Shop):
        def __init__(self) -> None:
            super().__init__(place)

    quietly = [HealthCheck.too_slow]
    steps = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=quietly
    )
    run_state_machine_as_test(Placed, settings=steps)


@pytest.mark.slow
def test_in_memory() -> None:
    def place() -> MakeJournal:
        journal = MemoryJournal()
        return lambda: journal

    check_any_day(place)


@pytest.mark.slow
def test_sqlite(tmp_path: Path) -> None:
    files = count()

    def place() -> MakeJournal:
        return partial(SqliteJournal, tmp_path / f"journal-{next(files)}.db")

    check_any_day(place)


@pytest.mark.slow
def test_postgres(postgres: "PostgresServer") -> None:
    check_any_day(lambda: partial(open_journal, postgres.url()), examples=12)
