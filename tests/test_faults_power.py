"""The power goes at any moment: what was acknowledged is there when it is back, and nothing is there by half."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import apsw
import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.checks.journal_samples import journal_entries, same_entry, sample_decision, sample_feedback
from honeyguide.checks.policy import equal_states
from honeyguide.errors import JournalError
from honeyguide.journal import sqlite
from honeyguide.journal.protocol import Entry
from honeyguide.journal.schema import connect
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.types import Decision, Event
from tests.faulty_disk import faulty_disk
from tests.journal_tally import new_learner
from tests.soak import rounds

USERS = ("ann-of-the-north", "bob-of-the-south", "cai-of-the-west")


@dataclass
class World:
    """What was acknowledged, and what was asked for when the power went."""

    acknowledged: list[Entry] = field(default_factory=list)
    asked: list[Entry] = field(default_factory=list)
    """What the journal would hold had the last call been answered."""
    number: int = 0

    def attempt(self, then: list[Entry], call: Callable[[], object]) -> None:
        """Do it; when it is acknowledged, `then` is what there is."""
        self.asked = then
        call()
        self.acknowledged = then

    def work(self, path: Path, rng: Random) -> None:
        """Use a journal until the power goes."""
        journal, learner = SqliteJournal(path), new_learner()
        try:
            for turn in range(1000):
                what = rng.random()
                if what < 0.75:
                    batch = self._batch(rng)
                    self.attempt(self.acknowledged + batch, partial(journal.append, batch))
                elif what < 0.9:
                    learner.catch_up(journal)
                    journal.save_state(learner.offset, learner.state())
                elif what < 0.95 or turn < 5:
                    journal.close()
                    journal = SqliteJournal(path)
                else:
                    user = rng.choice(USERS)
                    left = [entry for entry in self.acknowledged if _users([entry]) != {user}]
                    self.attempt(left, partial(journal.erase, user))
                    learner.erase(user)
        finally:
            journal.close()

    def _batch(self, rng: Random) -> list[Entry]:
        batch: list[Entry] = []
        for _ in range(rng.randint(1, 4)):
            decision = sample_decision(self.number, rng.choice(USERS), hours=self.number)
            batch.append(decision)
            if rng.random() < 0.5:
                batch.append(sample_feedback(decision, rng.randrange(3)))
            self.number += 1
        return batch


def _same(found: list[Entry], expected: list[Entry]) -> bool:
    return len(found) == len(expected) and all(map(same_entry, found, expected))


def _users(entries: list[Entry]) -> set[str]:
    return {entry.user_id for entry in entries if isinstance(entry, Decision | Event)}


def _bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def _check(world: World, folder: Path) -> None:
    """Open what the power left."""
    journal = SqliteJournal(folder / "journal.db")
    found = journal_entries(journal)
    assert _same(found, world.acknowledged) or _same(found, world.asked)
    stored, refolded = journal.load_state(), new_learner()
    refolded.catch_up(journal)
    if stored is not None:
        restored = new_learner().restore(stored[1], journal)
        assert restored.offset == stored[0]
        restored.catch_up(journal)
        assert equal_states(restored.state(), refolded.state())
    assert journal.append([sample_decision(10**6)]) == 1
    assert journal._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    journal.close()
    gone = _users(world.acknowledged) - _users(found)
    held = _bytes_of(folder)
    assert not any(user.encode() in held for user in gone)  # an erasure that is done is done whole


def _cut(seed: int, home: Path) -> int:
    """One life and its end; how many entries were acknowledged."""
    rng, world = Random(seed), World()
    home.mkdir()
    with faulty_disk(pages=rng.choice((1, 10, 1000))) as disk:
        disk.steps = int(math.exp(rng.uniform(0, math.log(3000))))
        with pytest.raises(JournalError):
            world.work(home / "journal.db", rng)
        left = disk.lose_power(rng, home / "left")
    _check(world, left)
    return len(world.acknowledged)


# SQLite goes on for a while with a disk that fails, and what fails then is not raised but told
_TOLD = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@_TOLD
def test_the_journal_outlives_a_power_cut_at_any_moment(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seeds = rounds(25, 500)
    kept = sum(_cut(seed, tmp_path / f"{seed}") for seed in range(seeds))
    assert kept > 20 * seeds
    record_property("cuts", seeds)
    record_property("acknowledged entries found again", kept)


@_TOLD
def test_a_journal_that_does_not_wait_for_the_disk_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hasty(path: Path, busy_timeout_s: float) -> apsw.Connection:
        connection = connect(path, busy_timeout_s)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    monkeypatch.setattr(sqlite, "connect", hasty)
    with pytest.raises(AssertionError):
        sum(_cut(seed, tmp_path / f"{seed}") for seed in range(25))


def test_all_that_an_artefact_consists_of_is_on_the_disk_before_it_is_pointed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        steps.append(("sync", os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    def moved(source: str | Path, target: str | Path) -> None:
        steps.append(("move", str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved)
    version = artifacts.save(tmp_path, "thing", {"a": np.arange(3.0)}, {}, {"text.json": b"{}"})
    home = tmp_path / "thing"
    moves = [place for place, (what, _) in enumerate(steps) if what == "move"]
    assert [steps[place][1] for place in moves] == [str(home / version), str(home / "CURRENT")]
    (staged, pointed), synced_so_far = moves, [place for what, place in steps if what == "sync"]
    before = [place for _, place in steps[:staged]]
    files = {Path(place).name for place in before if Path(place).parent.parent == home}
    assert files == {"arrays.safetensors", "manifest.json", "text.json"}
    assert Path(before[-1]).parent == home  # the folder that holds their names
    between = [place for _, place in steps[staged + 1 : pointed]]
    assert {str(home), str(tmp_path)} <= set(between[:-1])
    assert Path(between[-1]).name.startswith(".CURRENT")
    assert synced_so_far[-1] == str(home)
