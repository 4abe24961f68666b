"""Other processes: killed ones lose nothing that was acknowledged, and what one erases no other reads."""

import random
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from honeyguide.checks.journal import journal_entries, sample_decision
from honeyguide.checks.policy import equal_states
from honeyguide.errors import JournalError
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import id_of
from honeyguide.journal.sqlite import SqliteJournal
from tests.journal_tally import new_learner

ROOT = Path(__file__).parent.parent
MANY = 10**6


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet."""
    if request.param == "sqlite":
        return str(tmp_path / "journal.db")
    return str(request.getfixturevalue("postgres").url())


def writer(place: str, first: int, count: int) -> Popen[str]:
    command = [sys.executable, "-m", "tests.journal_writer", place, str(first), str(count)]
    return Popen(command, cwd=ROOT, stdout=PIPE, text=True)


def killed_after(process: Popen[str], lines: int) -> list[str]:
    """The ids that a writer had acknowledged when it was killed, some lines after it was ready."""
    assert process.stdout is not None
    with process:
        said = [process.stdout.readline() for _ in range(lines + 1)]
        process.kill()
        said += process.stdout.readlines()
    # a line cut short by the kill was not said
    return [line.strip() for line in said[1:] if line.endswith("\n")]


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_it_had_acknowledged(place: str) -> None:
    rng = random.Random(3)
    acknowledged: list[str] = []
    for turn in range(3):
        acknowledged += killed_after(writer(place, turn * MANY, MANY), rng.randint(0, 60))
        journal = open_journal(place)
        found = [id_of(entry) for entry in journal_entries(journal)]
        assert set(acknowledged) <= set(found)
        assert len(set(found)) == len(found)
        refolded = new_learner()
        refolded.catch_up(journal)
        stored = journal.load_state()
        if stored is not None:
            restored = new_learner().restore(stored[1], journal)
            assert restored.offset == stored[0]
            restored.catch_up(journal)
            assert equal_states(restored.state(), refolded.state())
        journal.close()
    assert len(acknowledged) > 20


def test_a_journal_that_was_open_during_another_ones_erasure_reads_no_further(place: str) -> None:
    mine, other = (open_journal(place) for _ in range(2))
    mine.append([sample_decision(0, "ann"), sample_decision(1, "bob")])
    learner = new_learner()
    learner.catch_up(mine)
    other.erase("bob")
    assert mine.append([sample_decision(2, "ann")]) == 1
    for action in (lambda: learner.catch_up(mine), lambda: mine.save_state(learner.offset, learner.state())):
        with pytest.raises(JournalError, match="Open it again"):
            action()
    assert other.load_state() is None
    assert len(other.read()) == 3
    mine.close()
    other.close()


def test_a_writer_waits_for_another_and_then_says_so(tmp_path: Path) -> None:
    mine = SqliteJournal(tmp_path / "journal.db", busy_timeout_s=0.05)
    other = SqliteJournal(tmp_path / "journal.db")
    with other._writing(), pytest.raises(JournalError, match="another process"):
        mine.append([sample_decision(0)])
    assert mine.append([sample_decision(0)]) == 1
    mine.close()
    other.close()
