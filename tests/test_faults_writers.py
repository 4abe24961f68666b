"""Eight processes write to one journal at once: no entry is lost or there twice, and offsets have no gaps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import pytest

from honeyguide.checks.journal import journal_entries
from honeyguide.checks.policy import equal_states
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Counts, id_of
from tests.journal_tally import new_learner
from tests.soak import rounds

ROOT = Path(__file__).parent.parent
WRITERS = 8
MANY = 10**6


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is yet."""
    if request.param == "sqlite":
        return str(tmp_path / "journal.db")
    return str(request.getfixturevalue("postgres").url())


@pytest.mark.slow
def test_eight_processes_at_once_lose_nothing_and_leave_no_gap(
    place: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    count = rounds(12, 500)
    command = [sys.executable, "-m", "tests.journal_writer", place]
    # all of them find nothing there and make it
    with ExitStack() as files:
        heard = [files.enter_context((tmp_path / f"{number}.txt").open("w")) for number in range(WRITERS)]
        running = [
            Popen([*command, str(number * MANY), str(count)], cwd=ROOT, stdout=file)
            for number, file in enumerate(heard)
        ]
    reader = open_journal(place)
    offset = 0
    while running[0].poll() is None:
        for record in reader.read(offset):
            assert record.offset == offset + 1  # who reads on misses nothing
            offset = record.offset
        time.sleep(0.05)
    assert [process.wait() for process in running] == [0] * WRITERS
    said = [line for file in heard for line in Path(file.name).read_text().splitlines()[1:]]
    assert reader.counts() == Counts(WRITERS * count, WRITERS * count, 0)
    seen = journal_entries(reader)
    assert sorted(id_of(entry) for entry in seen) == sorted(said)
    assert [record.offset for record in reader.read()] == list(range(1, 2 * WRITERS * count + 1))
    stored, anew = reader.load_state(), new_learner()
    assert stored is not None
    anew.catch_up(reader)
    restored = new_learner().restore(stored[1], reader)
    restored.catch_up(reader)
    assert equal_states(restored.state(), anew.state())
    reader.close()
    record_property("entries of eight processes", len(seen))
