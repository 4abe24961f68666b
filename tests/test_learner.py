"""The learner is a fold: what it has learned depends on what the journal says, and on nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.checks.journal import journal_entries, sample_decision, sample_feedback
from honeyguide.checks.policy import equal_states
from honeyguide.errors import InvalidInput, JournalError
from honeyguide.journal.learner import Learner, LearnerStats
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.protocol import Entry
from honeyguide.types import Decision, Event, Floats
from tests.journal_tally import WINDOW, Tally, decisions, expected_tally, grade, new_learner

DECISION = sample_decision(0)
ITEMS = [("ann", item) for item in DECISION.item_ids]
HOURS = WINDOW / timedelta(hours=1)


def learned(entries: Sequence[Entry]) -> Learner[Tally]:
    journal = MemoryJournal()
    journal.append(entries)
    learner = new_learner()
    learner.catch_up(journal)
    return learner


def tick(hours: float) -> Event:
    """Something that happens elsewhere, by which time goes on."""
    return Event(f"tick-{hours}", DECISION.time + timedelta(hours=hours), "zoe", "search")


def rewards(learner: Learner[Tally]) -> list[int | None]:
    """256 x the reward learned for each slot of DECISION; None where it was not learned."""
    policy = learner.policy
    return [policy.reward[key] if policy.shown[key] else None for key in ITEMS]


def test_an_open_slot_without_reaction_is_not_learned() -> None:
    assert rewards(learned([DECISION, tick(HOURS)])) == [None, None, None]


def test_a_reaction_teaches_its_slot_at_once() -> None:
    assert rewards(learned([DECISION, sample_feedback(DECISION, 1, "click")])) == [None, 64, None]


def test_a_dismissal_teaches_at_once_that_the_item_earns_nothing() -> None:
    assert rewards(learned([DECISION, sample_feedback(DECISION, 1, "dismiss")])) == [None, 0, None]


def test_an_impression_is_no_reaction() -> None:
    assert rewards(learned([DECISION, sample_feedback(DECISION, 1, "impression")])) == [None, None, None]


def test_silence_is_learned_when_the_window_closes() -> None:
    assert rewards(learned([DECISION, sample_feedback(DECISION, 2), tick(HOURS + 0.01)])) == [0, 0, 256]


def test_a_page_with_a_reaction_to_every_item_has_nothing_left_to_learn() -> None:
    feedback = [sample_feedback(DECISION, slot, "cart") for slot in range(3)]
    assert rewards(learned([DECISION, *feedback, tick(HOURS + 1)])) == [128, 128, 128]


@pytest.mark.parametrize("kinds", [("click", "purchase"), ("purchase", "click")])
def test_the_best_reaction_counts_once(kinds: tuple[str, str]) -> None:
    feedback = [sample_feedback(DECISION, 0, kind) for kind in kinds]  # type: ignore[arg-type]
    learner = learned([DECISION, *feedback])
    assert rewards(learner) == [256, None, None]
    assert learner.policy.shown["ann", DECISION.item_ids[0]] == 1
    assert learner.stats == LearnerStats(decisions=1, rewarded=1)


def test_late_feedback_corrects_a_settled_slot() -> None:
    late = sample_feedback(DECISION, 0, hours=3)
    learner = learned([DECISION, tick(HOURS + 1), late])
    assert rewards(learner) == [256, 0, 0]
    assert learner.policy.shown["ann", DECISION.item_ids[0]] == 1
    assert learner.stats == LearnerStats(decisions=1, rewarded=1, late=1)


@pytest.mark.parametrize(
    ("hours", "counts"), [(-3.0, True), (0.0, True), (HOURS, True), (HOURS + 0.01, False)]
)
def test_the_window_reaches_to_its_end_and_a_clock_that_is_behind_loses_nothing(
    hours: float, counts: bool
) -> None:
    learner = learned([DECISION, sample_feedback(DECISION, 0, hours=hours)])
    assert (rewards(learner)[0] == 256) == counts
    assert learner.stats.ignored == (not counts)


def test_a_decision_that_arrives_when_its_window_is_over_is_settled_at_once() -> None:
    assert rewards(learned([tick(HOURS + 1), DECISION])) == [0, 0, 0]


def test_silent_slots_of_a_page_are_learned_in_one_update_in_order_of_closing() -> None:
    calls: list[tuple[str, int]] = []

    class Spy(Tally):
        def update(self, decision: Decision, rewards: Floats) -> None:
            calls.append((decision.decision_id, len(rewards)))
            super().update(decision, rewards)

    journal = MemoryJournal()
    journal.append([sample_decision(2, hours=2), sample_decision(1, hours=1), DECISION, tick(HOURS + 9)])
    Learner(Spy(), grade=grade, window=WINDOW).catch_up(journal)
    assert calls == [("decision-0", 3), ("decision-1", 3), ("decision-2", 3)]


def test_settle_all_is_an_entry_of_that_time() -> None:
    journal = MemoryJournal()
    journal.append([DECISION])
    learner, ticked = new_learner(), learned([DECISION, tick(HOURS + 1)])
    learner.catch_up(journal)
    learner.settle_all(tick(HOURS + 1).time, journal)
    assert rewards(learner) == [0, 0, 0]
    assert learner.watermark_us == ticked.watermark_us
    assert equal_states(learner.policy.state(), ticked.policy.state())


def test_a_record_is_folded_once() -> None:
    journal = MemoryJournal()
    journal.append([DECISION, sample_feedback(DECISION, 0)])
    learner = new_learner()
    assert learner.catch_up(journal) == 2
    before = learner.state()
    assert learner.catch_up(journal) == 0
    for record in journal.read():
        learner.fold(record, journal)
    assert equal_states(learner.state(), before)


@pytest.mark.parametrize("late", [False, True])
def test_a_refused_update_can_be_tried_again(late: bool) -> None:
    class Refuses(Tally):
        willing = False

        def update(self, decision: Decision, rewards: Floats) -> None:
            if not self.willing:
                raise InvalidInput("not now")
            super().update(decision, rewards)

    entries: list[Entry] = [DECISION, sample_feedback(DECISION, 0), tick(HOURS + 1)]
    if late:
        entries = [entries[2], *entries[:2]]
    journal = MemoryJournal()
    journal.append(entries)
    learner = Learner(Refuses(), grade=grade, window=WINDOW)
    for willing in (False, False, True):
        learner.policy.willing = willing
        if willing:
            learner.catch_up(journal)
        else:
            with pytest.raises(InvalidInput):
                learner.catch_up(journal)
    assert equal_states(learner.state(), learned(entries).state())


def test_a_learner_that_starts_later_leaves_what_was_decided_before_alone() -> None:
    later = sample_decision(1, hours=1)
    journal = MemoryJournal()
    journal.append([DECISION, later, sample_feedback(DECISION, 0), sample_feedback(later, 0)])
    learner = new_learner().start_after(1)
    learner.catch_up(journal)
    assert learner.stats == LearnerStats(decisions=1, rewarded=1, ignored=1)
    assert equal_states(learner.policy.state(), learned([later, sample_feedback(later, 0)]).policy.state())


def test_changed_rules_begin_again_where_the_stored_learner_had_begun() -> None:
    journal = MemoryJournal()
    journal.append([DECISION, sample_decision(1), sample_feedback(sample_decision(1), 0)])
    old = new_learner().start_after(1)
    old.catch_up(journal)
    changed = Learner(Tally(), grade=grade, window=2 * WINDOW)
    assert changed.restore(old.state(), journal).offset == 1
    assert new_learner().restore(old.state(), journal).offset == 3


def test_a_state_of_another_journal_is_refused() -> None:
    state = learned([DECISION]).state()
    with pytest.raises(JournalError, match="another journal"):
        new_learner().restore(state, MemoryJournal())


@pytest.mark.parametrize("window", [timedelta(0), timedelta(-1)])
def test_a_window_has_a_length(window: timedelta) -> None:
    with pytest.raises(InvalidInput, match="window"):
        Learner(Tally(), grade=grade, window=window)


@pytest.mark.parametrize("reward", [-0.1, 1.1, float("nan")])
def test_a_grade_lies_between_0_and_1(reward: float) -> None:
    with pytest.raises(InvalidInput, match="grade"):
        Learner(Tally(), grade=lambda kind: reward, window=WINDOW)


def test_a_learner_starts_at_an_offset() -> None:
    with pytest.raises(InvalidInput, match="offset"):
        new_learner().start_after(-1)


def test_an_erased_user_was_never_there() -> None:
    pages = decisions(["ann", "bob", "ann", "bob"], hours_apart=12)
    entries: list[Entry] = [*pages, *(sample_feedback(page, 0) for page in pages)]
    journal = MemoryJournal()
    journal.append(entries)
    learner = new_learner()
    learner.catch_up(journal)
    journal.erase("bob")
    learner.erase("bob")
    assert "bob" not in {user for user, _ in learner.policy.shown}
    assert learner.stats == LearnerStats(decisions=2, rewarded=2)
    refolded = new_learner()
    refolded.catch_up(journal)
    assert equal_states(refolded.state(), learner.state())
    journal.append([tick(500)])
    learner.catch_up(journal)  # the erased user's open pages do not come due
    assert equal_states(learner.policy.state(), expected_tally(journal_entries(journal), 2**60).state())


def test_an_id_may_return_after_its_user_was_erased() -> None:
    journal = MemoryJournal()
    journal.append([DECISION])
    learner = new_learner()
    learner.catch_up(journal)
    journal.erase("ann")
    learner.erase("ann")
    journal.append([replace(DECISION, time=DECISION.time + timedelta(hours=1)), tick(HOURS + 0.5)])
    learner.catch_up(journal)
    assert rewards(learner) == [None, None, None]
    journal.append([tick(HOURS + 1.5)])
    learner.catch_up(journal)
    assert rewards(learner) == [0, 0, 0]


KINDS = ("view", "click", "cart", "purchase", "dismiss", "impression")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from(KINDS), st.integers(-5, 60))),
    st.randoms(use_true_random=False),
)
def test_the_order_of_feedback_is_irrelevant(
    reactions: list[tuple[int, int, str, int]], random: object
) -> None:
    pages = decisions(["ann", "bob", "ann", "cai", "bob"], hours_apart=12)
    feedback: list[Entry] = [
        sample_feedback(pages[page], slot, kind, hours=hours, number=hours)  # type: ignore[arg-type]
        for page, slot, kind, hours in reactions
    ]
    shuffled = feedback * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    early = learned([*pages, *sorted(feedback, key=lambda event: event.time), tick(200)])
    late = learned([*pages, tick(200), *shuffled])
    expected = expected_tally([*pages, *feedback], early.watermark_us)
    assert equal_states(early.policy.state(), expected.state())
    assert equal_states(late.policy.state(), expected.state())
    assert np.array_equal(early.state()["slots.reward"], late.state()["slots.reward"])
