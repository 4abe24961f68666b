"""A backup is whole or not there; what is restored from it is what was backed up, byte for byte and bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event as Flag

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.cli.app import main
from honeyguide.data.item import Item
from honeyguide.errors import InvalidFile, InvalidInput, NotReady
from honeyguide.journal.codec import encode
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Erased
from honeyguide.shop.backup import Contents, back_up
from honeyguide.shop.restoring import restore
from honeyguide.shop.workspace import Workspace
from honeyguide.types import State
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.postgres_server import PostgresServer
from tests.serve_fixture import served
from tests.shop_fixture import NOW
from tests.soak import rounds


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    (folder / "cache" / "junk").write_text("can be made anew")
    fitted_anew(folder, 1)
    return folder


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    """A folder on another disk, so to say."""
    folder = tmp_path / "safe"
    folder.mkdir()
    return folder


def _used(shop: Path, store: str | None = None) -> State:
    """Pages, feedback and an erasure; what was learned."""
    with Honeyguide.open(shop, store=store, clock=lambda: NOW) as opened:
        for turn in range(6):
            page = opened.decide(f"user-{turn}", k=3, now=NOW + timedelta(days=turn))
            opened.feedback(page.decision_id, page.item_ids[0], "purchase", now=NOW + timedelta(days=turn))
        opened.put_items([Item("sku-new", title="dog food 99", category="Shop > dog food")], now=NOW)
        opened.erase("user-2")
        return opened.policy.state()


def _back_up(shop: Path, file: Path, store: str | None = None) -> Contents:
    return back_up(Workspace.at(shop), file, made=NOW, store=store)


def _tree(folder: Path) -> dict[str, bytes]:
    """Every file but the journal's, locks and what is in the cache."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name[0] != "." and not path.name.startswith("journal.db")
        if "cache" not in path.relative_to(folder).parts
    }


def _entries(place: Path | str) -> list[tuple[int, bytes]]:
    journal = open_journal(place)
    found = [
        (one.offset, str(one.entry.time).encode() if isinstance(one.entry, Erased) else encode(one.entry))
        for one in journal.read()
    ]
    journal.close()
    return found


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_what_is_restored_is_what_was_backed_up(shop: Path, safe: Path) -> None:
    state = _used(shop)
    held = _back_up(shop, safe / "shop.backup")
    assert (held.decisions, held.events, held.items, held.erased, held.end) == (5, 5, 1, 2, 13)
    assert (safe / "shop.backup").stat().st_mode & 0o077 == 0
    again = safe / "again"
    assert restore(safe / "shop.backup", again, now=NOW) == held
    assert _tree(again) == _tree(shop)
    assert _entries(again / "journal.db") == _entries(shop / "journal.db")
    assert not any((again / "cache").iterdir())
    with Honeyguide.open(again, clock=lambda: NOW) as opened:
        assert _same(opened.policy.state(), state)
        page = opened.decide("user-1", k=5, decision_id="after")
    with Honeyguide.open(shop, clock=lambda: NOW) as opened:
        assert opened.decide("user-1", k=5, decision_id="after").item_ids == page.item_ids
    assert sorted(path.name for path in safe.iterdir()) == ["again", "shop.backup"]


def test_a_backup_while_it_serves_is_one_moment_of_it(shop: Path, safe: Path) -> None:
    done = Flag()
    with served(shop) as it, ThreadPoolExecutor(2) as pool:

        def ask(seed: int) -> list[int]:
            codes = []
            while not done.is_set():
                page = it.decide(f"user-{seed}", k=2)
                codes.append(it.feedback(page).status_code)
            return codes

        asked = [pool.submit(ask, seed) for seed in range(2)]
        time.sleep(0.3)
        acknowledged = it.shop.journal.end()
        held = _back_up(shop, safe / "one.backup")
        later = it.shop.journal.end()
        done.set()
        assert {code for one in asked for code in one.result()} == {200}
    assert acknowledged <= held.end <= later
    restore(safe / "one.backup", safe / "again", now=NOW)
    assert _entries(safe / "again" / "journal.db") == _entries(shop / "journal.db")[: held.end]
    with Honeyguide.open(safe / "again", clock=lambda: NOW) as opened:
        before = opened.policy.state()
        opened.journal.save_state(0, {})
    with Honeyguide.open(safe / "again", clock=lambda: NOW) as opened:
        assert _same(opened.policy.state(), before)


def test_any_damage_is_found_and_leaves_nothing(shop: Path, safe: Path) -> None:
    _used(shop)
    file, again = safe / "shop.backup", safe / "again"
    _back_up(shop, file)
    sound, expected = file.read_bytes(), _tree(shop)
    dice = random.Random(7)
    refused = 0
    turns = rounds(24, 400)
    for turn in range(turns):
        at = dice.randrange(len(sound))
        damaged = bytearray(sound)
        damaged[at] ^= 1 << dice.randrange(8)
        file.write_bytes(damaged if turn % 3 else sound[:at])
        try:
            restore(file, again, now=NOW)
        except InvalidFile:
            refused += 1
            assert not again.exists()
        else:  # padding of the tar file, or a time or owner in it, which nobody reads
            assert _tree(again) == expected
            again.rename(safe / f"sound-{turn}")
        assert not list(safe.glob(".*"))
    assert refused >= 0.8 * turns
    file.write_bytes(b"no tar at all" * 1000)
    with pytest.raises(InvalidFile, match="no backup, or damaged"):
        restore(file, again, now=NOW)


def test_a_member_that_would_lie_elsewhere_is_refused(shop: Path, safe: Path) -> None:
    import io
    import tarfile

    for name, kind in (("../out", tarfile.REGTYPE), ("/out", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)):
        with tarfile.open(safe / "evil.backup", "w") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, 0, "/etc"
            tar.addfile(info, io.BytesIO())
        with pytest.raises(InvalidFile, match="no file that a backup holds"):
            restore(safe / "evil.backup", safe / "again", now=NOW)
    assert sorted(path.name for path in safe.iterdir()) == ["evil.backup"]


def test_nothing_is_overwritten_unless_that_is_said(shop: Path, safe: Path) -> None:
    file = safe / "shop.backup"
    _back_up(shop, file)
    with pytest.raises(InvalidInput, match="--force"):
        _back_up(shop, file)
    with pytest.raises(InvalidInput, match="another disk"):
        _back_up(shop, shop / "shop.backup")
    with pytest.raises(InvalidInput, match="--force"):
        restore(file, shop, now=NOW)
    (safe / "other").mkdir()
    (safe / "other" / "letter").write_text("mine")
    with pytest.raises(InvalidInput, match="no workspace"):
        restore(file, safe / "other", now=NOW, replace=True)
    with Honeyguide.open(shop, clock=lambda: NOW) as opened:
        opened.decide("user-1", k=1)
        with pytest.raises(NotReady, match="open in another process"):
            restore(file, shop, now=NOW, replace=True)
    before = _tree(shop)
    restore(file, shop, now=NOW, replace=True)
    (aside,) = shop.parent.glob("shop.replaced-*")
    assert _tree(aside) == _tree(shop) == before
    with Honeyguide.open(aside) as kept, Honeyguide.open(shop) as restored:
        assert (kept.journal.end(), restored.journal.end()) == (1, 0)


_RESTORE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from honeyguide.shop.restoring import restore
print("begins", flush=True)
restore(Path(sys.argv[1]), Path(sys.argv[2]), now=datetime(2026, 1, 1, tzinfo=UTC))
print("through", flush=True)
"""


@pytest.mark.slow
def test_whoever_is_killed_while_restoring_leaves_a_whole_shop_or_none(shop: Path, safe: Path) -> None:
    _used(shop)
    file, again = safe / "shop.backup", safe / "again"
    _back_up(shop, file)
    for wait in (0.0, 0.02, 0.05, 0.1):
        command = [sys.executable, "-c", _RESTORE, str(file), str(again)]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        assert running.stdout.readline() == "begins\n"
        time.sleep(wait)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        assert not again.exists() or _tree(again) == _tree(shop)
        if again.exists():
            again.rename(safe / f"whole-{wait}")
    restore(file, again, now=NOW)  # what the killed ones left does not stand in its way
    assert _tree(again) == _tree(shop)
    assert not list(safe.glob(".*"))


@pytest.fixture
def database(postgres: PostgresServer) -> str:
    return postgres.url()


def test_the_journal_of_a_database_is_in_it_and_goes_into_another(
    shop: Path, safe: Path, database: str, postgres: PostgresServer
) -> None:
    state = _used(shop, database)
    file = safe / "shop.backup"
    held = _back_up(shop, file, database)
    assert (held.from_database, held.end, held.erased) == (True, 13, 2)
    # into a file: every entry at its offset, the places of who was erased too
    restore(file, safe / "again", now=NOW)
    assert _entries(safe / "again" / "journal.db") == _entries(database)
    with Honeyguide.open(safe / "again", clock=lambda: NOW) as opened:
        assert _same(opened.policy.state(), state)
    # into another database: every entry, in order; a cut-off restore is gone on with
    other = postgres.url()
    journal, source = open_journal(other), open_journal(database)
    journal.append([one.entry for one in source.read(0, 4) if not isinstance(one.entry, Erased)])
    journal.close()
    source.close()
    restore(file, safe / "there", now=NOW, store=other)
    assert not (safe / "there" / "journal.db").exists()
    kept = [blob for _, blob in _entries(database)]
    assert [blob for _, blob in _entries(other)] == [blob for blob in kept if b"+00:00" not in blob[:40]]
    with Honeyguide.open(shop, store=other, clock=lambda: NOW) as opened:
        opened.decide("user-9", k=1, decision_id="another page")
    with pytest.raises(InvalidInput, match="another journal"):
        restore(file, safe / "third", now=NOW, store=other)
    assert not (safe / "third").exists()


def test_the_commands_say_what_they_did(shop: Path, safe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, again = str(safe / "shop.backup"), str(safe / "again")

    def run(*words: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as done:
            main([*words])
        said = capsys.readouterr()
        assert done.value.code == code, said.err
        return said.out + said.err

    assert "journal entries" in run("backup", str(shop), file)
    assert "--force" in run("backup", str(shop), file, code=3)
    assert '"end": 0' in run("backup", str(shop), file, "--force", "--json")
    assert "erase them again" in run("restore", file, again)
    assert "--force" in run("restore", file, again, code=3)
    assert again in run("restore", file, again, "--force", "--json")
