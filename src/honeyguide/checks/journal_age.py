"""Laws of dropping what is old: it is gone, the rest is as it was, and what was learned of it stays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import numpy as np

from honeyguide.checks.journal_samples import (
    TIME,
    MakeJournal,
    opened,
    require_raises,
    same_entry,
    sample_decision,
    sample_entries,
    sample_feedback,
    sample_learner,
)
from honeyguide.checks.policy import equal_states, require
from honeyguide.errors import InvalidInput, UnknownDecision
from honeyguide.explore.thompson import Thompson
from honeyguide.journal.learner import Learner
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.protocol import Counts, Entry, ItemChange, Record, subject_of
from honeyguide.types import State

_OLD = TIME + timedelta(hours=20, minutes=30)  # between the third decision and the feedback on it


def check_what_is_dropped_leaves_nothing(make: MakeJournal) -> None:
    """What is older goes, as far as the state that stands for it; the rest and the offsets are as they were."""
    state = {"a": np.ones(2)}
    with opened(make) as journal:
        journal.append(sample_entries())
        before, end = journal.read(), journal.end()
        require_raises(partial(journal.drop, _OLD, kept=(end + 1, state)), InvalidInput)
        require(
            journal.drop(_OLD, kept=(1, state)) == Counts(1, 0, 0), "nothing goes that no state stands for"
        )
        journal.erase("bob")
        gone = journal.drop(_OLD, kept=(end, state))
        require(gone == Counts(1, 1, 3), f"2 of ann and cai, 3 of nobody are old, got {gone}")
        require(journal.drop(_OLD, kept=(end, state)) == Counts(0, 0, 0), "there is nothing to drop twice")
    with opened(make) as journal:
        _require_rest(before, journal.read())
        require(journal.counts() == Counts(4, 3, 3, 2), f"4, 3, 3 and 2 are left, got {journal.counts()}")
        stored = journal.load_state()
        require(stored is not None and stored[0] == end, "the state that stands for them is kept")
        require_raises(partial(journal.decision, "decision-2"), UnknownDecision)
        late = sample_feedback(sample_decision(2, "cai", hours=20), 1, number=1)
        require_raises(partial(journal.append, [late]), UnknownDecision)
        journal.drop(TIME + timedelta(days=99), kept=(end, state))
    with opened(make) as journal:
        require(journal.end() == end, "the end stays where everything is dropped")
        left = [record.entry for record in journal.read()]
        require(all(isinstance(one, ItemChange) for one in left) and len(left) == 2, "changes of items stay")
        journal.append([sample_decision(100)])
        require(journal.read()[-1].offset == end + 1, "a dropped offset is never used again")


def check_dropping_keeps_what_was_learned(make: MakeJournal) -> None:
    """State and tail give what the whole journal would have, to the bit, also when a user is erased after that."""
    entries = sample_entries()
    page = sample_decision(50, "cai", hours=100)
    after: list[Entry] = [page, sample_feedback(page, 1), sample_decision(51, "bob", hours=90)]
    with opened(make) as journal:
        journal.append(entries)
        live = sample_learner()
        live.catch_up(journal)
        kept = live.without_pages(_OLD, journal)
        require(equal_states(kept.policy.state(), live.policy.state()), "dropping must unlearn nothing")
        journal.drop(_OLD, kept=(kept.offset, kept.state()))
    with opened(make) as journal:
        journal.append(after)
        restored = _restored(journal.load_state(), make)
        _require_learned(restored, [*entries, *after])
        left = restored.without("bob", journal)
        journal.erase("bob", kept=(left.offset, left.state()))
    others = [entry for entry in (*entries, *after) if subject_of(entry) != "bob"]
    _require_learned(_restored(_stored(make), make), others)


def _require_rest(before: Sequence[Record], after: Sequence[Record]) -> None:
    rest = [one for one in before if one.entry.time >= _OLD or isinstance(one.entry, ItemChange)]
    require([record.offset for record in after] == [record.offset for record in rest], "the rest must stay")
    for old, new in zip(rest, after, strict=True):
        same = same_entry(new.entry, old.entry) or new.entry.time == old.entry.time
        require(same, f"the rest must be as it was, got {new.entry!r}")


def _stored(make: MakeJournal) -> tuple[int, State] | None:
    with opened(make) as journal:
        return journal.load_state()


def _restored(stored: tuple[int, State] | None, make: MakeJournal) -> Learner[Thompson]:
    require(stored is not None, "the state that stands for what was dropped must be kept")
    with opened(make) as journal:
        learner = sample_learner() if stored is None else sample_learner().restore(stored[1], journal)
        learner.catch_up(journal)
    return learner


def _require_learned(learner: Learner[Thompson], entries: Sequence[Entry]) -> None:
    whole = MemoryJournal()
    whole.append(entries)
    other = sample_learner()
    other.catch_up(whole)
    same = equal_states(learner.policy.state(), other.policy.state())
    require(same, "what was learned must be what the whole journal teaches, to the bit")
