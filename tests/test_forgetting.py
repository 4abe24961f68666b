"""What is old is dropped: what was learned of it stays, to the bit, and nothing else of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.checks.journal import journal_entries, sample_decision, sample_feedback
from honeyguide.cli.app import main
from honeyguide.errors import InvalidInput, InvalidSettings, UnknownDecision
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.move import copy_journal
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Counts, Erasure, id_of
from honeyguide.types import Event, State
from tests.fitted import copy_of, fitted_shop
from tests.journal_tally import new_learner
from tests.shop_fixture import NOW

ROOT = Path(__file__).parent.parent
USERS = ("user-1", "passer-by", "user-2", "passer-by", "user-1")
AGE = timedelta(days=35)


@pytest.fixture
def shops(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of one fitted shop with the same journal: pages every 10 days, each bought from."""
    fitted = fitted_shop(tmp_path_factory.getbasetemp())
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    both = copy_of(fitted, tmp_path / "one"), copy_of(fitted, tmp_path / "other")
    for shop in both:
        with _open(shop) as opened:
            for turn, user in enumerate(USERS):
                _visit(opened, turn, user)
    return both


def _open(shop: Path) -> Honeyguide:
    return Honeyguide.open(shop, clock=lambda: NOW)


def _visit(opened: Honeyguide, turn: int, user: str) -> None:
    now = NOW + timedelta(days=10 * turn)
    ids = [f"sku-{6 * turn + at}" for at in range(5)]
    page = opened.decide(user, k=3, decision_id=f"d-{turn}", now=now, candidates=ids)
    opened.feedback(page.decision_id, page.item_ids[turn % 3], "purchase", now=now + timedelta(hours=1))
    opened.record([Event(f"e-{turn}", now, user, "view", item_id="sku-3")])


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


LATER = NOW + timedelta(days=40)


def test_what_was_learned_stays_and_goes_on_as_if_nothing_had_been_dropped(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as kept:
        assert kept.forget(AGE, now=LATER) == Counts(1, 2, 0)
        with pytest.raises(UnknownDecision):
            kept.journal.decision("d-0")
        assert kept.forget(AGE, now=LATER) == Counts(0, 0, 0)
    for turn in (6, 7):  # from the state that was stored, twice
        with _open(shops[0]) as kept, _open(shops[1]) as whole:
            assert _same(kept.policy.state(), whole.policy.state())
            whole_page = whole.decide("user-2", k=3, decision_id=f"d-{turn}", now=LATER)
            kept.record([whole_page])
            for opened in (kept, whole):
                opened.feedback(f"d-{turn}", whole_page.item_ids[0], "purchase", now=LATER)
            assert _same(kept.policy.state(), whole.policy.state())


def test_who_is_erased_after_that_was_never_there(shops: tuple[Path, Path]) -> None:
    kept = _open(shops[0])
    with _open(shops[1]) as whole:
        kept.forget(timedelta(days=25), now=LATER)  # a page of each goes
        for user in ("user-1", "passer-by"):
            kept.erase(user)
            whole.erase(user)
        state = whole.policy.state()
        assert _same(kept.policy.state(), state)
    kept.journal.close()  # as if it were killed now: what the erasure stored has to do
    with _open(shops[0]) as again:
        assert _same(again.policy.state(), state)
        assert again.erase("user-2") == Erasure(1, 2)
    files = [*shops[0].glob("journal.db*")]
    assert all(b"passer-by" not in path.read_bytes() for path in files)


def test_what_users_did_then_is_no_longer_known_of_them(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened:
        before = opened.history("passer-by")
        opened.forget(timedelta(days=25), now=LATER)
        after = opened.history("passer-by")
        assert len(after.rows) < len(before.rows)
    with _open(shops[0]) as again:
        assert np.array_equal(again.history("passer-by").rows, after.rows)


def test_nothing_goes_that_is_still_learned_from(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened:
        with pytest.raises(InvalidInput, match="window_days"):
            opened.forget(timedelta(days=13), now=LATER)
        assert opened.journal.counts() == Counts(5, 10, 0)


def test_a_shop_that_stood_still_forgets_its_last_pages_too(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened:
        assert opened.forget(AGE, now=NOW + timedelta(days=1000)) == Counts(5, 10, 0)
        state = opened.policy.state()
    with _open(shops[0]) as again:
        assert _same(again.policy.state(), state)
        assert again.journal.counts() == Counts(0, 0, 0)
        assert again.decide("user-1", k=2)


def test_the_command_takes_days_or_what_the_settings_say(
    shops: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    shop = str(shops[0])
    for more, code, said in (
        ([], 4, "keep_days"),
        (["--older-than", "a year"], 3, "400d"),
        (["--older-than", "35d"], 0, "1 page and 2 events"),
    ):
        with pytest.raises(SystemExit, match=str(code)):
            main(["forget", shop, *more, "--now", LATER.isoformat()])
        captured = capsys.readouterr()
        assert said in captured.out + captured.err
    _with_keep_days(shops[0], 3)
    with pytest.raises(InvalidSettings, match="window_days"):
        _open(shops[0])


def _with_keep_days(shop: Path, days: float) -> None:
    settings = shop / "honeyguide.toml"
    settings.write_text(settings.read_text().replace("keep_days = 0.0", f"keep_days = {days}"))


def test_a_journal_that_was_dropped_from_can_be_moved_and_the_moving_repeated() -> None:
    page, late = sample_decision(0), sample_feedback(sample_decision(0), 1, hours=5)
    source, target = MemoryJournal(), MemoryJournal()
    source.append([page, late, sample_decision(1, hours=6)])
    source.drop(page.time + timedelta(hours=1), kept=(3, {}))
    assert copy_journal(source, target) == 2
    assert copy_journal(source, target) == 0
    assert journal_entries(target)[0] == replace(late, decision_id=None)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "journal.db")
    return str(request.getfixturevalue("postgres").url())


def _killed(place: str) -> Iterator[int]:
    """Runs of `tests.journal_forgetter` on the journal, each killed a little later than the last."""
    command = [sys.executable, "-m", "tests.journal_forgetter", place]
    for wait_ms in (0, 3, 10, 30):
        running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        time.sleep(wait_ms / 1000)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        yield wait_ms


@pytest.mark.slow
def test_killed_while_it_drops_it_has_dropped_all_of_it_or_nothing(place: str) -> None:
    from tests.journal_forgetter import BEFORE, filled

    with closing(open_journal(place)) as journal:
        entries = filled(journal)
        whole = new_learner()
        whole.catch_up(journal)
    young = [id_of(entry) for entry in entries if entry.time >= BEFORE]
    for _ in _killed(place):
        with closing(open_journal(place)) as journal:
            found = [id_of(entry) for entry in journal_entries(journal)]
            assert found in ([id_of(entry) for entry in entries], young)
            stored = journal.load_state()
            learner = new_learner() if stored is None else new_learner().restore(stored[1], journal)
            learner.catch_up(journal)
            assert _same(learner.policy.state(), whole.policy.state())
