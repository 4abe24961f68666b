"""Bringing a journal from one store to another."""

from __future__ import annotations

from honeyguide.journal.protocol import Erased, Journal

_BATCH = 500  # records at once: about 7 MB of decisions


def copy_journal(source: Journal, target: Journal) -> int:
    """Append everything in `source` to `target`, in order; how many entries were new there.

    Cut off, it can be done again: what is there counts once. Offsets are the same in a target that was empty, unless
    a user was erased from the source: of them not even the times are copied. InvalidInput, JournalError.
    """
    new = after = 0
    while records := source.read(after, _BATCH):
        new += target.append([record.entry for record in records if not isinstance(record.entry, Erased)])
        after = records[-1].offset
    return new
