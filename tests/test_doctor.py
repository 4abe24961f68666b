"""The doctor finds each thing that is broken, names what to do, and says of a sound shop that it is sound."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from honeyguide import Honeyguide, artifacts
from honeyguide.cli.app import main
from honeyguide.journal.codec import encode, to_us
from honeyguide.journal.open import open_journal
from honeyguide.shop import learning, releases
from honeyguide.shop.doctor.check import Check
from honeyguide.shop.doctor.examine import examine
from honeyguide.shop.doctor.folder import space
from honeyguide.shop.doctor.journal import clock, database
from honeyguide.shop.releases import POLICY, RELEASE
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Event
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.postgres_server import PostgresServer
from tests.serve_fixture import served
from tests.shop_fixture import NOW

LATER = NOW + timedelta(days=30)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("used"))
    _use(folder)
    return folder


@pytest.fixture
def shop(used: Path, tmp_path: Path) -> Path:
    return copy_of(used, tmp_path)


def _use(folder: Path, store: str | None = None) -> None:
    with Honeyguide.open(folder, store=store, clock=lambda: NOW) as opened:
        for turn in range(6):
            page = opened.decide(f"user-{turn}", k=3, now=NOW + timedelta(days=turn))
            opened.feedback(page.decision_id, page.item_ids[0], "purchase", now=NOW + timedelta(days=turn))
        opened.erase("user-4")


def _found(folder: Path, store: str | None = None) -> dict[str, Check]:
    return {one.name: one for one in examine(Workspace.at(folder), now=LATER, store=store)}


def test_a_sound_shop_is_sound_also_while_it_is_served(shop: Path) -> None:
    with served(shop) as it:
        it.feedback(it.decide())
        found = _found(shop)
    assert {one.state for one in found.values()} == {"ok"}
    assert "to the bit" in found["what was learned"].said
    assert "14 entries" in found["journal"].said
    assert all(one.said for one in found.values())


def _flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _damaged_part(folder: Path) -> None:
    models = folder / "models"
    _flip(models / POLICY / artifacts.current(models, POLICY) / artifacts.ARRAYS)


def _damaged_old_part(folder: Path) -> None:
    newer = fitted_anew(folder, 1)
    _flip(folder / "models" / POLICY / newer.parts[POLICY] / artifacts.ARRAYS)


def _no_release(folder: Path) -> None:
    shutil.rmtree(folder / "models" / RELEASE)


def _mixed(folder: Path) -> None:
    """Heads of other facts of items, in a release that can be opened."""
    models = folder / "models"
    stored = artifacts.load(models, "heads")
    artifacts.save(models, "heads", stored.arrays, {**stored.meta, "items": "another"})
    releases.activate(models, releases.record(models, folder / "data/clean/items.parquet", made=NOW).number)


def _unknown_setting(folder: Path) -> None:
    path = folder / "honeyguide.toml"
    path.write_text(path.read_text() + '\n[journl]\nstore = ""\n')


def _damaged_entry(folder: Path) -> None:
    """A bit of an entry's body: SQLite sees nothing wrong with it, the entry's checksum does."""
    with apsw.Connection(str(folder / "journal.db")) as opened:
        (body,) = opened.execute("SELECT body FROM entries WHERE offset = 3").fetchone()  # type: ignore[misc]
        flipped = body[:-1] + bytes([body[-1] ^ 1])
        opened.execute("UPDATE entries SET body = ? WHERE offset = 3", (flipped,))


def _no_database(folder: Path) -> None:
    (folder / "journal.db").write_bytes(b"no journal at all" * 1000)


def _feedback_without_a_page(folder: Path) -> None:
    event = Event("e-lost", NOW, "user-1", "click", item_id="sku-1", decision_id="nowhere")
    with apsw.Connection(str(folder / "journal.db")) as opened:
        values = (2, "e-lost", "user-1", to_us(NOW), encode(event))
        opened.execute(
            "INSERT INTO entries (kind, id, user_id, time_us, body) VALUES (?, ?, ?, ?, ?)", values
        )


def _another_state(folder: Path) -> None:
    """A state that the journal does not teach."""
    with closing(open_journal(folder / "journal.db")) as journal:
        stored = journal.load_state()
        assert stored is not None
        offset, state = stored
        name = next(key for key in sorted(state) if key.startswith("policy.") and state[key].size)
        changed = state[name].copy()
        changed.flat[0] += 1
        journal.save_state(offset, {**state, name: changed})


def _of_a_time_to_come(folder: Path) -> None:
    with Honeyguide.open(folder, clock=lambda: LATER + timedelta(days=2)) as opened:
        opened.decide("user-1", k=1)


def _readable_keys(folder: Path) -> None:
    (folder / "keys.json").write_text("{}")
    (folder / "keys.json").chmod(0o644)


def _killed_job(folder: Path) -> None:
    (folder / "models" / POLICY / ".staging-abc").mkdir()


_CASES: list[tuple[Callable[[Path], None], dict[str, str], str]] = [
    (_damaged_part, {"artefacts": "broken", "release": "broken"}, "honeyguide models rollback"),
    (_damaged_old_part, {"artefacts": "warning"}, "does not serve"),
    (_no_release, {"release": "warning"}, "honeyguide fit"),
    (_mixed, {"release": "broken"}, "honeyguide fit"),
    (_unknown_setting, {"settings": "broken"}, "Mend that line"),
    (_damaged_entry, {"journal": "broken"}, "honeyguide restore"),
    (_no_database, {"journal": "broken"}, "Mend that"),
    (_feedback_without_a_page, {"journal": "broken"}, "honeyguide restore"),
    (_another_state, {"what was learned": "broken"}, "Report this"),
    (_of_a_time_to_come, {"clock": "broken"}, "NTP"),
    (_readable_keys, {"permissions": "warning"}, "chmod 600"),
    (_killed_job, {"locks": "warning"}, "rm -r"),
]


@pytest.mark.parametrize(("spoil", "wrong", "remedy"), _CASES, ids=[case[0].__name__[1:] for case in _CASES])
def test_what_is_wrong_is_found_and_nothing_else(
    shop: Path, spoil: Callable[[Path], None], wrong: dict[str, str], remedy: str
) -> None:
    spoil(shop)
    found = _found(shop)
    assert {name: one.state for name, one in found.items() if one.state != "ok"} == wrong
    assert remedy in found[next(iter(wrong))].remedy


def test_a_folder_that_cannot_be_written_to_is_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.access
    models = shop / "models"
    # root may write everywhere, so a test that runs as root has to be told otherwise
    monkeypatch.setattr(os, "access", lambda path, mode: path != models and real(path, mode))
    found = _found(shop)["permissions"]
    assert (found.state, str(models) in found.said) == ("broken", True)


def test_room_on_the_disk(shop: Path) -> None:
    workspace = Workspace.at(shop)
    size = workspace.journal.stat().st_size
    assert space(workspace, free=10**12).state == "ok"
    assert space(workspace, free=(100 << 20) - 1).state == "broken"
    with workspace.journal.open("ab") as file:
        file.truncate((60 << 20) + size)
    assert space(workspace, free=110 << 20).state == "warning"


def test_a_clock_of_long_ago_is_told() -> None:
    assert clock(datetime(1970, 1, 1, tzinfo=UTC), None).state == "broken"
    assert clock(LATER, LATER + timedelta(minutes=1)).state == "ok"


def test_a_job_that_runs_is_not_taken_for_a_killed_one(shop: Path) -> None:
    _killed_job(shop)
    with Workspace.at(shop).alone("fit"):
        found = _found(shop)["locks"]
    assert (found.state, found.said) == ("ok", "running now: fit")


def test_what_a_database_promises(shop: Path, postgres: PostgresServer) -> None:
    store = postgres.url()
    _use(shop, store)
    found = _found(shop, store)
    assert "12 entries" in found["journal"].said
    assert "to the bit" in found["what was learned"].said
    assert found["PostgreSQL"].state in ("ok", "warning")
    sound = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "wal_recycle": "off"}
    assert [one.state for one in database(sound)] == ["ok"]
    for key, value, state in (
        ("fsync", "off", "broken"),
        ("full_page_writes", "off", "broken"),
        ("synchronous_commit", "off", "broken"),
        ("synchronous_commit", "local", "warning"),
        ("wal_recycle", "on", "warning"),
    ):
        (told,) = database({**sound, key: value})
        assert (told.state, key in told.said, bool(told.remedy)) == (state, True, True)


def test_a_database_that_is_away_is_told(shop: Path, tmp_path: Path) -> None:
    found = _found(shop, f"postgresql://nobody@/nothing?host={tmp_path}&connect_timeout=2")
    assert found["journal"].state == "broken"


def test_the_command_says_a_line_for_each_and_fails_where_something_is_broken(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str, code: int) -> str:
        with pytest.raises(SystemExit) as done:
            main(["doctor", str(shop), "--now", LATER.isoformat(), *words])
        assert done.value.code == code
        return capsys.readouterr().out

    said = run(code=0).splitlines()
    assert [line.split(maxsplit=1)[0] for line in said[:-1]] == ["ok"] * 9
    _damaged_part(shop)
    told = json.loads(run("--json", code=1))
    assert told["sound"] is False
    assert {one["name"] for one in told["checks"] if one["state"] == "broken"} == {"artefacts", "release"}
    assert all(one["remedy"] for one in told["checks"] if one["state"] != "ok")


def test_what_was_dropped_for_its_age_is_no_fault(shop: Path) -> None:
    with Honeyguide.open(shop, clock=lambda: LATER) as opened:
        opened.decide("user-1", k=1)
        assert opened.forget(timedelta(days=27)).decisions
    found = _found(shop)
    assert {one.state for one in found.values()} == {"ok"}
    assert "were dropped" in found["what was learned"].said


def test_a_state_of_other_settings_is_no_fault(shop: Path) -> None:
    path = shop / "honeyguide.toml"
    path.write_text(path.read_text().replace("epsilon = 0.05", "epsilon = 0.1"))
    found = _found(shop)["what was learned"]
    assert (found.state, "will not be used" in found.said) == ("ok", True)


def test_a_state_that_was_learned_in_another_way_is_learned_anew(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [f"sku-{number}" for number in range(1, 5)]
    with Honeyguide.open(shop, clock=lambda: LATER) as opened:
        opened.decide("user-1", k=3)  # closes the windows of the pages before
        learned = opened.decide("user-1", k=3, candidates=asked).plan
    _another_state(shop)
    monkeypatch.setattr(learning, "_WAY", learning._WAY + 1)
    assert "will not be used" in _found(shop)["what was learned"].said
    with Honeyguide.open(shop, clock=lambda: LATER) as opened:
        again = opened.decide("user-1", k=3, candidates=asked).plan
    assert again.scores.tolist() == learned.scores.tolist()
