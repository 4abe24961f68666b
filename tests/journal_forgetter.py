"""A process that drops the older half of a journal as soon as it has said that it will: to be killed."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import timedelta

from honeyguide.checks.journal_samples import TIME
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Entry, Journal
from tests.journal_tally import busy_day, new_learner

BEFORE = TIME + timedelta(hours=300)


def filled(journal: Journal) -> list[Entry]:
    """600 hours of pages and events, appended to the journal."""
    entries = busy_day(["ann", "bob", "cai"])
    journal.append(entries)
    return entries


def main(place: str) -> None:
    with closing(open_journal(place)) as journal:
        learner = new_learner()
        stored = journal.load_state()
        if stored is not None:
            learner = learner.restore(stored[1], journal)
        learner.catch_up(journal)
        kept = learner.without_pages(BEFORE, journal)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        journal.drop(BEFORE, kept=(kept.offset, kept.state()))


if __name__ == "__main__":
    main(sys.argv[1])
