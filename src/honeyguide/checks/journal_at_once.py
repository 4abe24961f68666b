"""Laws of a journal that several use at once: several threads here, each with a handle of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from honeyguide.checks.journal_samples import (
    MakeJournal,
    opened,
    require_entries,
    sample_decision,
    sample_entries,
    sample_feedback,
)
from honeyguide.checks.policy import require
from honeyguide.journal.protocol import Erased, Record, id_of


def check_appenders_at_once(make: MakeJournal) -> None:
    """Of several who append at once each finds its own at once, and who reads on from an offset misses nothing."""

    def served(server: int) -> list[Record]:
        read: list[Record] = []
        with opened(make) as journal:
            for number in range(6):
                decision = sample_decision(100 * server + number)
                journal.append([decision, sample_feedback(decision, 0)])
                read += journal.read(read[-1].offset if read else 0)
                found = [name for _, name in _names(read)]
                require(decision.decision_id in found, "who was told that it is stored must find it")
        return read

    several = range(1, 5)
    with opened(make) as journal:
        with ThreadPoolExecutor(len(several)) as pool:
            reads = list(pool.map(served, several))
        whole = _names(journal.read())
    require(len(whole) == 12 * len(several), f"{12 * len(several)} were acknowledged, {len(whole)} are there")
    for read in reads:
        seen = _names(read)
        require(seen == whole[: len(seen)], "who reads on from an offset must not miss what others append")


def check_a_batch_sent_again_meanwhile(make: MakeJournal) -> None:
    """A batch that is sent again before its first sending is answered has one effect, and counts once."""
    entries = sample_entries()

    def send(_: int) -> int:
        with opened(make) as journal:
            return journal.append(entries)

    with opened(make) as journal:
        with ThreadPoolExecutor(3) as pool:
            new = list(pool.map(send, range(3)))
        require(sorted(new) == [0, 0, len(entries)], f"one sending brings {len(entries)} new ones, got {new}")
        require_entries(journal, entries)


def _names(records: list[Record]) -> list[tuple[int, str]]:
    return [
        (record.offset, id_of(record.entry)) for record in records if not isinstance(record.entry, Erased)
    ]
