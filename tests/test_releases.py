"""A release is whole or refused; what serves after a roll-back is what its own replay of the journal gives."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide, artifacts
from honeyguide.errors import DamagedArtifact, NotReady, UnknownRelease
from honeyguide.fit import fit
from honeyguide.shop import releases
from honeyguide.shop.honeyguide import Honeyguide as Shop
from honeyguide.shop.models import histories_from
from honeyguide.shop.releases import ITEMS, POLICY, USERS
from honeyguide.shop.workspace import Workspace
from honeyguide.types import State
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.shop_fixture import NOW, SPLIT


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def _open(shop: Path) -> Shop:
    return Honeyguide.open(shop, clock=lambda: NOW)


def _traffic(opened: Shop, name: str) -> None:
    for turn in range(4):
        page = opened.decide(
            f"user-{turn}", k=3, decision_id=f"{name}-{turn}", now=NOW + timedelta(days=turn)
        )
        opened.feedback(page.decision_id, page.item_ids[turn % 3], "purchase", now=NOW + timedelta(days=turn))


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_after_a_roll_back_the_state_is_the_replay_under_that_release(shop: Path) -> None:
    models = shop / "models"
    with _open(shop) as first:
        _traffic(first, "first")
    newer = fitted_anew(shop, 1)
    releases.activate(models, newer.number)
    with _open(shop) as second:
        assert second.fitted.release == newer
        _traffic(second, "second")

    assert releases.roll_back(models).number == newer.number - 1
    with _open(shop) as again:
        state = again.policy.state()
        assert again.fitted.version != newer.model_version
        again.journal.save_state(0, {})  # the next one has nothing to begin with but the journal
    with _open(shop) as replayed:
        assert _same(replayed.policy.state(), state)
        assert replayed.journal.counts().decisions == 8


def test_a_release_has_a_catalogue_of_its_own(shop: Path) -> None:
    import duckdb

    workspace = Workspace.at(shop)
    before = releases.active(workspace.models)
    assert before is not None
    fewer = shop / "fewer.parquet"
    duckdb.sql(f"COPY (SELECT * FROM '{workspace.items}' WHERE item_id <> 'sku-47') TO '{fewer}'")
    shutil.move(fewer, workspace.items)
    with _open(shop) as opened:  # what was cleaned anew is of no account before the next fit
        assert len(opened.fitted.catalog) == 48
        assert opened.popular(k=2)
        assert opened.similar("sku-47", k=2)


@pytest.mark.slow
def test_a_fit_is_taken_back_with_all_that_belongs_to_it(shop: Path) -> None:
    workspace = Workspace.at(shop)
    with _open(shop) as opened:
        before = opened.decide("user-1", k=5, decision_id="page", now=NOW).item_ids
        version = opened.fitted.version
        opened.journal.erase("user-1")
    fit(workspace, now=NOW, until=SPLIT + timedelta(weeks=2))
    with _open(shop) as opened:
        assert opened.fitted.version != version
    releases.roll_back(workspace.models)
    with _open(shop) as opened:
        assert opened.fitted.version == version
        assert opened.decide("user-1", k=5, decision_id="page", now=NOW).item_ids == before


def test_a_fit_that_changed_nothing_makes_no_release(shop: Path) -> None:
    workspace = Workspace.at(shop)
    before = releases.all_of(workspace.models)
    fit(workspace, now=NOW + timedelta(days=1), until=SPLIT)
    assert releases.all_of(workspace.models) == before


def test_what_is_damaged_or_unknown_is_not_activated(shop: Path) -> None:
    models = shop / "models"
    served = releases.active_id(models)
    newer = fitted_anew(shop, 1)
    path = models / POLICY / newer.parts[POLICY] / artifacts.ARRAYS
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(DamagedArtifact, match="arrays"):
        releases.activate(models, newer.number)
    with pytest.raises(UnknownRelease, match=r"no release 7\. Kept are, the newest first: 2, 1"):
        releases.activate(models, 7)
    with pytest.raises(NotReady, match="nothing to roll back to"):
        releases.roll_back(models)
    assert releases.active_id(models) == served


def test_so_many_are_kept_and_never_fewer_than_serve(shop: Path) -> None:
    models = shop / "models"
    served = releases.active(models)
    assert served is not None
    made = [fitted_anew(shop, turn) for turn in range(1, 5)]
    gone = releases.prune(models, 2)
    assert gone == (made[1], made[0])
    assert releases.all_of(models) == (made[3], made[2], served)
    for one in (made[3], made[2], served):
        releases.verify(models, one)
    kept = set(artifacts.versions(models, POLICY))
    assert made[0].parts[POLICY] not in kept
    assert {one.parts[POLICY] for one in (made[3], made[2], served)} <= kept
    assert releases.prune(models, 2) == ()


def test_a_roll_back_brings_nobody_back_who_was_erased(shop: Path) -> None:
    models = shop / "models"
    newer = fitted_anew(shop, 1)
    releases.activate(models, newer.number)
    with _open(shop) as opened:
        assert len(opened.history("user-1").rows)
        opened.erase("user-1")
        assert not opened.outdated
        version = opened.fitted.version
    assert len(releases.all_of(models)) == 2
    for name in (USERS, POLICY):
        for path in (models / name).rglob("*.safetensors"):
            for part in path.read_bytes().split(b"user-1")[1:]:
                assert part[:1].isdigit(), path
    rolled = releases.roll_back(models)
    assert rolled.parts[ITEMS] == newer.parts[ITEMS]
    with _open(shop) as opened:
        assert opened.fitted.version != version
        assert len(opened.history("user-1").rows) == 0
        assert len(opened.history("user-2").rows)


def test_nobody_is_left_in_a_first_release_that_is_yet_to_serve(shop: Path) -> None:
    models = shop / "models"
    (models / releases.RELEASE / artifacts.POINTER).unlink()
    assert (releases.active(models), len(releases.all_of(models))) == (None, 1)
    with _open(shop) as opened:
        assert "user-1" in opened.fitted.histories
        opened.erase("user-1")
    first = releases.all_of(models)[0]
    assert "user-1" not in histories_from(artifacts.load(models, USERS, first.parts[USERS]).arrays)
    releases.activate(models, first.number)
    with _open(shop) as opened:
        assert "user-1" not in opened.fitted.histories


def test_a_damaged_release_that_does_not_serve_goes_with_an_erasure(shop: Path) -> None:
    models = shop / "models"
    newer = fitted_anew(shop, 1)
    fitted_anew(shop, 2)
    path = models / POLICY / newer.parts[POLICY] / artifacts.ARRAYS
    path.write_bytes(b"damaged")
    with _open(shop) as opened:
        opened.erase("user-1")
    assert newer.number not in [one.number for one in releases.all_of(models)]
    assert not path.exists()
    assert len(releases.all_of(models)) == 2
