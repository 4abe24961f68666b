"""A server that crashes, a line that is cut at the worst moment, and one that falls silent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

import pytest

from honeyguide.checks.journal import journal_entries, sample_decision, sample_feedback
from honeyguide.errors import JournalAway, JournalError
from honeyguide.journal.protocol import Counts, Entry, id_of
from tests.postgres_proxy import Proxy, proxy

if TYPE_CHECKING:
    from honeyguide.journal.postgres import PostgresJournal
    from tests.postgres_server import PostgresServer

T = TypeVar("T")


def soon(call: Callable[[], T]) -> T:
    """What it gives once the server is found again, which is tried for every half second."""
    start = time.monotonic()
    while True:
        try:
            return call()
        except JournalAway:
            assert time.monotonic() - start < 10
            time.sleep(0.05)


@pytest.fixture
def line(postgres: PostgresServer) -> Iterator[Proxy]:
    # the path of a socket must be short
    with tempfile.TemporaryDirectory() as folder, proxy(Path(folder), postgres.folder) as line:
        yield line


@pytest.fixture
def journal(postgres: PostgresServer, line: Proxy) -> Iterator[PostgresJournal]:
    from honeyguide.journal.postgres import PostgresJournal

    with closing(PostgresJournal(line.through(postgres.url()))) as journal:
        journal.append([sample_decision(0)])
        yield journal


def test_a_line_that_is_cut_before_the_commit_is_not_noticed(journal: PostgresJournal, line: Proxy) -> None:
    line.close_lines()
    assert journal.end() == 1
    line.close_lines()
    assert journal.append([sample_decision(1)]) == 1
    line.close_lines()
    journal.save_state(2, {})
    line.close_lines()
    assert journal.erase("ann").decisions == 2
    assert journal.counts() == Counts(0, 0, 2)
    assert len(journal.read()) == 2


def test_a_commit_that_was_never_heard_can_be_sent_again(journal: PostgresJournal, line: Proxy) -> None:
    for fault, stored in (("before", 0), ("after", 2)):
        end = journal.end()
        decision = sample_decision(end)
        entries: list[Entry] = [decision, sample_feedback(decision, 0)]
        line.fault = fault  # type: ignore[assignment]
        with pytest.raises(JournalError, match="Send the same again"):
            journal.append(entries)
        assert journal.append(entries) == 2 - stored
        assert journal.append(entries) == 0
        assert journal.end() == end + 2


def test_an_erasure_that_was_never_answered_is_learned_of_by_opening_again(
    journal: PostgresJournal, line: Proxy
) -> None:
    line.fault = "after"
    with pytest.raises(JournalError, match="not known"):
        journal.erase("ann")
    with pytest.raises(JournalError, match="Open it again"):
        journal.read()


def test_a_server_that_falls_silent_is_given_up(postgres: PostgresServer, line: Proxy) -> None:
    from honeyguide.journal.postgres import PostgresJournal

    url = line.through(postgres.url())
    PostgresJournal(url).close()  # makes the tables, for which a busy disk may need its time
    with closing(PostgresJournal(url, timeout_s=0.5)) as journal:
        line.fault = "silent"
        with pytest.raises(JournalError, match="does not answer"):
            journal.append([sample_decision(1)])
        line.fault = "none"
        # the lock of the one given up is free again
        assert soon(lambda: journal.append([sample_decision(1)])) == 1


@pytest.mark.slow
def test_a_server_that_crashes_again_and_again_loses_nothing_it_had_acknowledged(
    postgres: PostgresServer,
) -> None:
    from honeyguide.journal.postgres import PostgresJournal

    acknowledged: list[str] = []
    failures: list[JournalError] = []
    done = False
    with closing(PostgresJournal(postgres.url())) as journal:

        def serve() -> None:
            while not done:
                decision = sample_decision(len(acknowledged))
                try:
                    journal.append([decision, sample_feedback(decision, 0)])
                except JournalError as error:
                    failures.append(error)
                    time.sleep(0.05)  # then the same again: whether it was stored may not be known
                else:
                    acknowledged.append(decision.decision_id)

        writer = Thread(target=serve)
        writer.start()
        for _ in range(2):
            before = len(acknowledged)
            while len(acknowledged) < before + 20:
                writer.join(0.01)
            postgres.crash()
            postgres.start()
        before = len(acknowledged)
        while len(acknowledged) == before:
            writer.join(0.01)
        done = True
        writer.join()
        assert failures
        found = [id_of(entry) for entry in journal_entries(journal)]
        assert found[::2] == acknowledged
        assert len(set(found)) == len(found) == journal.end() == 2 * len(acknowledged)
