"""Bringing a journal from one store to another."""

from __future__ import annotations

from dataclasses import replace

from honeyguide.errors import InvalidInput, UnknownDecision
from honeyguide.journal.protocol import Entry, Erased, Journal
from honeyguide.types import Event

_BATCH = 500  # records at once: about 7 MB of decisions


def copy_journal(source: Journal, target: Journal) -> int:
    """Append everything in `source` to `target`, in order; how many entries were new there.

    Cut off, it can be done again: what is there counts once. Offsets are the same in a target that was empty, unless
    a user was erased from the source, or old entries were dropped: of them not even the times are copied, nor the
    state that stands for them. Feedback on a page that was dropped is copied as an event of its own. InvalidInput,
    JournalError.
    """
    new = after = 0
    while records := source.read(after, _BATCH):
        entries = [record.entry for record in records if not isinstance(record.entry, Erased)]
        try:
            new += target.append(entries)
        except InvalidInput:  # a page is not there, or its feedback was copied without it
            new += target.append([_standing_alone(entry, source) for entry in entries])
        after = records[-1].offset
    return new


def _standing_alone(entry: Entry, source: Journal) -> Entry:
    """The entry, without the page that it speaks of where that was dropped."""
    if isinstance(entry, Event) and entry.decision_id is not None:
        try:
            source.decision(entry.decision_id)
        except UnknownDecision:
            return replace(entry, decision_id=None)
    return entry
