"""The exported rewards are the ones that the learner learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.config import Labels
from honeyguide.errors import NotReady
from honeyguide.explore.baselines import Uniform
from honeyguide.export.log import DecisionLog
from honeyguide.journal.learner import Learner
from honeyguide.journal.memory import MemoryJournal
from honeyguide.types import Decision, EventKind, Floats
from tests.export_fixture import NOW, WINDOW, feedback, page

GRADE = Labels().grade
KINDS: tuple[EventKind, ...] = ("view", "click", "cart", "purchase", "dismiss", "impression")
REACTIONS = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 2), st.sampled_from(KINDS), st.integers(0, 24 * 16).map(float)
    ),
    max_size=20,
    unique=True,
)


class Remembers(Uniform):
    """What was learned of each slot, when all is said."""

    def __init__(self) -> None:
        self.learned: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    def update(self, decision: Decision, rewards: Floats) -> None:
        for item_id, reward in zip(decision.item_ids, rewards.tolist(), strict=True):
            self.learned[decision.decision_id, item_id].append(reward)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        for item_id, reward in zip(decision.item_ids, rewards.tolist(), strict=True):
            self.learned[decision.decision_id, item_id].remove(reward)


def read(journal: MemoryJournal) -> DecisionLog:
    return DecisionLog.read(journal, grade=GRADE, window=WINDOW, now=NOW)


def journal_with(
    reactions: Sequence[tuple[int, int, EventKind, float]], *, days: float = 0.0
) -> MemoryJournal:
    journal = MemoryJournal()
    decisions = [page(number, k=3, policy=Uniform(), days=days) for number in range(6)]
    events = [
        feedback(decisions[i], decisions[i].item_ids[slot], kind, hours=h) for i, slot, kind, h in reactions
    ]
    journal.append([*decisions, *events])
    return journal


@settings(max_examples=60, deadline=None)
@given(REACTIONS)
def test_rewards_are_those_that_the_learner_ends_with(
    reactions: list[tuple[int, int, EventKind, float]],
) -> None:
    journal = journal_with(reactions)
    policy = Remembers()
    learner = Learner(policy, grade=GRADE, window=WINDOW)
    learner.catch_up(journal)
    learner.settle_all(NOW, journal)
    exported = {
        (found.decision.decision_id, item_id): [reward]
        for found in read(journal).settled()
        for item_id, reward in zip(found.decision.item_ids, found.rewards.tolist(), strict=True)
    }
    assert exported == policy.learned


def test_the_reaction_that_is_told_is_the_first_that_reached_the_best_grade() -> None:
    journal = journal_with([(0, 0, "click", 1.0), (0, 0, "purchase", 9.0), (0, 0, "purchase", 5.0)])
    first = next(iter(read(journal).pages()))
    found = first.reactions[0]
    assert found is not None
    assert (found.kind, found.reward) == ("purchase", 1.0)
    assert found.time_us == int((first.decision.time + timedelta(hours=5)).timestamp() * 1_000_000)
    assert first.reactions[1:] == (None, None)


def test_a_page_is_settled_when_its_window_is_over_and_not_at_its_last_moment() -> None:
    journal = MemoryJournal()
    journal.append([page(0, k=1, policy=Uniform(), days=60 - 14), page(1, k=1, policy=Uniform(), days=30)])
    at_its_last_moment = page(0, k=1, policy=Uniform(), days=60 - 14).time + WINDOW
    log = DecisionLog.read(journal, grade=GRADE, window=WINDOW, now=at_its_last_moment)
    assert [found.settled for found in log.pages()] == [False, True]
    assert log.waiting[0] == log.unsettled == 1


def test_a_log_of_which_nothing_is_settled_says_until_when() -> None:
    with pytest.raises(NotReady, match=r"of 6 logged decisions none is older than 14 days.*--now"):
        read(journal_with([], days=59)).settled()


def test_what_is_appended_during_an_export_stays_out_of_it() -> None:
    journal = journal_with([])
    log = read(journal)
    journal.append([page(77, k=1, policy=Uniform())])
    assert len(list(log.pages())) == log.decisions == 6


def test_an_erased_user_is_in_no_export() -> None:
    journal = journal_with([])
    journal.erase("user-3")
    users = [found.decision.user_id for found in read(journal).pages()]
    assert users == [f"user-{n}" for n in (0, 1, 2, 4, 5)]


def test_progress_rises_to_the_whole_over_both_passes() -> None:
    journal = journal_with([(0, 0, "click", 1.0)])
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    log = DecisionLog.read(journal, grade=GRADE, window=WINDOW, now=NOW, progress=progress)
    assert np.allclose([len(found.rewards) for found in log.pages(progress)], 3)
    assert told == [(step, 14) for step in range(1, 15)]
