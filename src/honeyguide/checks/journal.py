"""The laws of a journal: run them over yours with `check_journal(place)`.

`place()` gives a fresh place, and what it returns opens the journal there: calling it again opens the same
journal once more. A journal that lives in memory returns the same one each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from honeyguide.checks.journal_age import (
    check_dropping_keeps_what_was_learned,
    check_what_is_dropped_leaves_nothing,
)
from honeyguide.checks.journal_at_once import check_a_batch_sent_again_meanwhile, check_appenders_at_once
from honeyguide.checks.journal_samples import MakeJournal as MakeJournal
from honeyguide.checks.journal_samples import journal_entries as journal_entries
from honeyguide.checks.journal_samples import opened, require_entries
from honeyguide.checks.journal_samples import require_raises as require_raises
from honeyguide.checks.journal_samples import same_entry as same_entry
from honeyguide.checks.journal_samples import sample_decision as sample_decision
from honeyguide.checks.journal_samples import sample_entries as sample_entries
from honeyguide.checks.journal_samples import sample_feedback as sample_feedback
from honeyguide.checks.journal_samples import sample_learner as sample_learner
from honeyguide.checks.policy import equal_states, require
from honeyguide.errors import HoneyguideError, InvalidInput, UnknownDecision
from honeyguide.explore.thompson import Thompson
from honeyguide.journal.learner import Learner
from honeyguide.journal.protocol import Counts, Entry, Erased, Erasure, Journal, Record, subject_of
from honeyguide.types import Decision

JournalCheck = Callable[[MakeJournal], None]


def check_journal(place: Callable[[], MakeJournal]) -> None:
    """Run every law, each in a place of its own."""
    for check in CHECKS_JOURNAL:
        check(place())


def check_what_is_read_is_what_was_appended(make: MakeJournal) -> None:
    """Entries come back equal to the bit, by reading and by id, also after reopening."""
    entries = sample_entries()
    with opened(make) as journal:
        require(journal.append(entries) == len(entries), "append must say how many entries were new")
        require_entries(journal, entries)
    with opened(make) as journal:
        require_entries(journal, entries)
        for entry in entries:
            if isinstance(entry, Decision):
                found = journal.decision(entry.decision_id)
                require(same_entry(found, entry), "a decision must come back to the bit by its id")


def check_acknowledged_entries_stay(make: MakeJournal) -> None:
    """Each append that returned is there when the journal is opened again."""
    entries = sample_entries()
    for count, entry in enumerate(entries, start=1):
        with opened(make) as journal:
            journal.append([entry])
        with opened(make) as journal:
            require(journal.end() == count, f"{count} entries were acknowledged, the end is {journal.end()}")
            require_entries(journal, entries[:count])


def check_an_id_counts_once(make: MakeJournal) -> None:
    """The same content under the same id has one effect: in one batch, in the next, and after reopening."""
    entries = sample_entries()
    with opened(make) as journal:
        new = journal.append([entry for entry in entries for _ in range(2)])
        require(new == len(entries), f"{len(entries)} ids are new, append said {new}")
        require(journal.append(entries) == 0, "entries that are already there are not new")
    with opened(make) as journal:
        require(journal.append(entries[:1]) == 0, "entries that are already there are not new")
        require(journal.append(journal_entries(journal)) == 0, "what was read is already there")
        require_entries(journal, entries)


def check_another_content_is_refused(make: MakeJournal) -> None:
    """An id that is there with another content raises InvalidInput and changes nothing."""
    decision = sample_decision(0)
    feedback = sample_feedback(decision, 0)
    nudged = decision.pmf.copy()
    nudged[0] = np.nextafter(nudged[0], 1.0)
    with opened(make) as journal:
        journal.append([decision, feedback])
        for other in (replace(decision, pmf=nudged), replace(feedback, value=0.2)):
            _require_refused(journal, [sample_decision(1), other], InvalidInput)
        twice = [sample_decision(1), replace(sample_decision(1), surface="home")]
        _require_refused(journal, twice, InvalidInput)
        require_entries(journal, [decision, feedback])


def check_append_is_all_or_nothing(make: MakeJournal) -> None:
    """A batch with one bad entry leaves no trace, and its good entries can be appended later."""
    good, orphan = sample_decision(1), sample_feedback(sample_decision(2), 0)
    with opened(make) as journal:
        journal.append([sample_decision(0)])
        _require_refused(journal, [good, sample_feedback(good, 0), orphan], UnknownDecision)
        require(journal.append([]) == 0, "an empty batch adds nothing")
        require(journal.append([good]) == 1, "a refused batch must not keep an id")
    with opened(make) as journal:
        require_entries(journal, [sample_decision(0), good])


def check_order(make: MakeJournal) -> None:
    """Offsets start above 0 and rise in the order of the appends; reading in parts gives the whole."""
    entries = sample_entries()
    with opened(make) as journal:
        require(journal.end() == 0 and not journal.read(), "a new journal is empty and ends at 0")
        for entry in entries:
            journal.append([entry])
        records = journal.read()
        offsets = [record.offset for record in records]
        require(offsets[0] > 0 and sorted(set(offsets)) == offsets, f"offsets must rise, got {offsets}")
        require(offsets[-1] == journal.end(), "the end is the offset of the last entry")
        require_entries(journal, entries)
        parts: list[Record] = []
        while part := journal.read(parts[-1].offset if parts else 0, 4):
            require(len(part) <= 4, f"at most 4 records were asked for, got {len(part)}")
            parts.extend(part)
        require(
            [record.offset for record in parts] == offsets, "reading in parts must give every record once"
        )
        others = [record.offset for record in records if not isinstance(record.entry, Decision)]
        found = journal.read(decisions=False)
        require([record.offset for record in found] == others, "decisions can be left out, and nothing else")
        one = journal.read(others[0], 1, decisions=False)
        require([record.offset for record in one] == others[1:2], "the limit counts what is read")
        for after, limit in ((-1, 1), (0, 0)):
            require_raises(partial(journal.read, after, limit), InvalidInput)


def check_feedback_needs_its_decision(make: MakeJournal) -> None:
    """Feedback comes after its decision, on an item that it showed, by the user that it was made for."""
    decision = sample_decision(0)
    feedback = sample_feedback(decision, 0)
    hidden = next(item for item in decision.candidates.item_ids if item not in decision.item_ids)
    with opened(make) as journal:
        _require_refused(journal, [feedback], UnknownDecision)
        _require_refused(journal, [feedback, decision], UnknownDecision)
        journal.append([decision, feedback])  # in one batch, in this order, they belong together
        for wrong in (replace(feedback, item_id=hidden), replace(feedback, user_id="bob")):
            _require_refused(journal, [replace(wrong, event_id="new")], InvalidInput)
        require_entries(journal, [decision, feedback])


def check_unknown_decision(make: MakeJournal) -> None:
    """A decision that is not there raises UnknownDecision; an event's id is no decision's."""
    decision = sample_decision(0)
    with opened(make) as journal:
        journal.append([decision, sample_feedback(decision, 0)])
        for name in ("nobody-made-this", sample_feedback(decision, 0).event_id, ""):
            require_raises(partial(journal.decision, name), UnknownDecision)
            require_raises(partial(journal.locate, name), UnknownDecision)
        require(journal.locate(decision.decision_id) == journal.read()[0].offset, "locate gives the offset")


def check_counts(make: MakeJournal) -> None:
    """Decisions, events, erased entries and changes of items are counted."""
    entries = sample_entries()
    with opened(make) as journal:
        require(journal.counts() == Counts(0, 0, 0), "a new journal counts nothing")
        journal.append(entries)
        require(journal.counts() == Counts(9, 7, 0, 2), f"9, 7 and 2 changes, got {journal.counts()}")


def check_state_is_kept_with_its_offset(make: MakeJournal) -> None:
    """State and offset are those of one save: the last that was acknowledged."""
    states = [{"a": np.array([[number, -0.0]]), "b": np.array([], dtype=np.int64)} for number in (1.5, 2.5)]
    with opened(make) as journal:
        require(journal.load_state() is None, "a new journal has no state")
        journal.append(sample_entries())
        for offset, state in zip((3, 7), states, strict=True):
            journal.save_state(offset, state)
    with opened(make) as journal:
        for offset in (-1, journal.end() + 1):
            require_raises(partial(journal.save_state, offset, states[0]), InvalidInput)
        stored = journal.load_state()
        require(stored is not None, "a saved state must be there after reopening")
        if stored is not None:
            require(stored[0] == 7, f"the state was saved at offset 7, got {stored[0]}")
            require(equal_states(stored[1], states[1]), "the state must come back to the bit")


def check_erase_leaves_nothing(make: MakeJournal) -> None:
    """Of an erased user only the times stay; the others' entries and offsets are as they were."""
    entries = sample_entries()
    with opened(make) as journal:
        journal.append(entries)
        before = journal.read()
        journal.save_state(1, {"a": np.zeros(1)})
        require(journal.erase("bob") == Erasure(3, 3), "the receipt counts 3 decisions and 3 events")
        require(journal.erase("bob") == Erasure(0, 0), "there is nothing to erase twice")
        require(journal.load_state() is None, "a saved state may hold what was erased: it goes too")
    with opened(make) as journal:
        _require_erased(before, journal.read(), "bob")
        require(
            journal.counts() == Counts(6, 4, 6, 2), f"6, 4, 6 erased and 2 changes, got {journal.counts()}"
        )
        require_raises(partial(journal.decision, "decision-1"), UnknownDecision)
        _require_refused(journal, [sample_feedback(sample_decision(1, "bob"), 0, number=1)], UnknownDecision)
        journal.append([sample_decision(100, "bob")])
        require(journal.read()[-1].offset > before[-1].offset, "an erased offset is never used again")
        kept = {"a": np.ones(1)}
        require(journal.erase("bob", kept=(2, kept)) == Erasure(1, 0), "the receipt counts 1 decision")
    with opened(make) as journal:
        stored = journal.load_state()
        whole = stored is not None and stored[0] == 2 and equal_states(stored[1], kept)
        require(whole, "a state that never met the user takes the place of the saved one")


def check_replay_is_live(make: MakeJournal) -> None:
    """Learning entry by entry, from a saved state on, and from the start give one state, to the bit."""
    entries = sample_entries()
    with opened(make) as journal:
        live = sample_learner()
        for number, entry in enumerate(entries):
            journal.append([entry])
            live.catch_up(journal)
            live.catch_up(journal)
            if number == len(entries) // 2:
                journal.save_state(live.offset, live.state())
        _require_same_learning(journal, live)
    with opened(make) as journal:
        stored = journal.load_state()
        require(stored is not None, "a saved state must be there after reopening")
        if stored is not None:
            restored = sample_learner().restore(stored[1], journal)
            require(restored.offset == stored[0], "the state must stand at the offset saved with it")
            restored.catch_up(journal)
            _require_same_learning(journal, restored)
        journal.erase("bob")
        live.erase("bob")
        _require_same_learning(journal, live)


CHECKS_JOURNAL: tuple[JournalCheck, ...] = (
    check_what_is_read_is_what_was_appended,
    check_acknowledged_entries_stay,
    check_an_id_counts_once,
    check_another_content_is_refused,
    check_append_is_all_or_nothing,
    check_order,
    check_feedback_needs_its_decision,
    check_unknown_decision,
    check_counts,
    check_state_is_kept_with_its_offset,
    check_erase_leaves_nothing,
    check_replay_is_live,
    check_what_is_dropped_leaves_nothing,
    check_dropping_keeps_what_was_learned,
    check_appenders_at_once,
    check_a_batch_sent_again_meanwhile,
)


def _require_refused(journal: Journal, entries: Sequence[Entry], error: type[HoneyguideError]) -> None:
    before = journal.end(), journal.counts()
    require_raises(partial(journal.append, entries), error)
    require((journal.end(), journal.counts()) == before, "a refused batch must leave no trace")


def _require_erased(before: Sequence[Record], after: Sequence[Record], user: str) -> None:
    offsets = [record.offset for record in before]
    require([record.offset for record in after] == offsets, "erasing must leave the offsets as they were")
    for old, new in zip(before, after, strict=True):
        mine = not isinstance(old.entry, Erased) and subject_of(old.entry) == user
        left = Erased(old.entry.time) if mine else old.entry
        require(same_entry(new.entry, left), f"of an erased user only the time stays, got {new.entry!r}")


def _require_same_learning(journal: Journal, live: Learner[Thompson]) -> None:
    replayed = sample_learner()
    replayed.catch_up(journal)
    require(equal_states(replayed.state(), live.state()), "replay must give the live state, to the bit")
