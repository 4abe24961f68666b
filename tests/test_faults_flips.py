"""A bit of a stored file flips: it is never loaded, the error names file and remedy, and the old version serves."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from honeyguide import artifacts
from honeyguide.errors import DamagedArtifact
from honeyguide.serve.renewal import Renewal
from honeyguide.shop import releases
from honeyguide.shop.models import load_fitted
from honeyguide.shop.releases import POLICY, RELEASE
from honeyguide.shop.workspace import Workspace
from tests.fitted import copy_of, fitted_anew, fitted_shop
from tests.serve_fixture import served
from tests.soak import rounds


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def _flip(path: Path, rng: Random) -> bytes:
    """Flip one bit; what the file held before."""
    before = path.read_bytes()
    damaged = bytearray(before)
    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    path.write_bytes(damaged)
    return before


def _content(models: Path, name: str) -> str:
    """A hash of all that is loaded."""
    artifact = artifacts.load(models, name)
    digest = hashlib.sha256(repr((artifact.version, sorted(artifact.meta.items()))).encode())
    for key, array in sorted(artifact.arrays.items()):
        digest.update(repr((key, array.dtype, array.shape)).encode() + array.tobytes())
    return digest.hexdigest()


def test_a_flipped_bit_is_never_loaded(folder: Path, record_property: Callable[[str, object], None]) -> None:
    models, rng, refused = folder / "models", Random(3), []
    names = [home.name for home in models.iterdir() if artifacts.exists(models, home.name)]
    sound = {name: _content(models, name) for name in names}
    # of each artefact the same number, so that small files have their share
    files = {name: sorted(path for path in (models / name).rglob("*") if path.is_file()) for name in sound}
    flips = rounds(100, 1000)
    for _ in range(flips):
        name = rng.choice(sorted(sound))
        path = rng.choice(files[name])
        before = _flip(path, rng)
        try:
            assert _content(models, name) == sound[name]  # spaces in a pointer, or the version before
        except DamagedArtifact as error:
            refused.append((str(models / name), str(error)))
        path.write_bytes(before)
    assert all(home in said and "honeyguide fit" in said for home, said in refused)
    assert len(refused) > 0.9 * flips
    record_property("flips", flips)
    record_property("refused", len(refused))
    record_property("loaded with another content", 0)


def test_a_shop_with_a_flipped_bit_is_not_opened(folder: Path) -> None:
    workspace, rng = Workspace.at(folder), Random(4)
    for name in ("items", "policy", "users", "taxonomy", "sequence"):
        path = workspace.models / name / artifacts.current(workspace.models, name) / artifacts.ARRAYS
        before = _flip(path, rng)
        with pytest.raises(DamagedArtifact, match="honeyguide fit"):
            load_fitted(workspace.models, workspace.items)
        path.write_bytes(before)
    assert load_fitted(workspace.models, workspace.items).version


def test_a_catalogue_with_a_flipped_bit_is_not_served(folder: Path) -> None:
    workspace, rng = Workspace.at(folder), Random(5)
    release = releases.active(workspace.models)
    assert release is not None
    catalogue = release.items_file(workspace.models)
    for _ in range(rounds(10, 100)):
        before = _flip(catalogue, rng)
        with pytest.raises(DamagedArtifact, match="honeyguide fit") as raised:
            load_fitted(workspace.models, workspace.items)
        assert str(catalogue) in str(raised.value)
        catalogue.write_bytes(before)
    assert load_fitted(workspace.models, workspace.items).version


def _point(pointer: Path, version: str, previous: str) -> None:
    artifacts.write_atomically(pointer, f'{{"version": "{version}", "previous": "{previous}"}}'.encode())


def test_what_serves_goes_on_when_a_new_fit_is_damaged(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    options = Renewal.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(options, "every_s", 0.2)
    caplog.set_level(logging.ERROR, "honeyguide.serve")
    rng, damaged, models = Random(6), rounds(2, 25), folder / "models"
    pointer, serving = models / RELEASE / artifacts.POINTER, artifacts.current(models, RELEASE)
    before = artifacts.current(models, POLICY)
    with served(folder) as it:
        for turn in range(damaged):
            release = fitted_anew(folder, turn)
            path = rng.choice(sorted((models / POLICY / release.parts[POLICY]).iterdir()))
            sound = _flip(path, rng)
            caplog.clear()
            _point(pointer, release.release_id, serving)
            start = time.monotonic()
            while not caplog.records:
                assert it.decide(k=2)["model_version"].endswith(before)
                assert time.monotonic() - start < 30
            said = caplog.records[0].__dict__["facts"]["said"]
            assert str(path) in said
            assert "honeyguide fit" in said
            assert it.client.get("/v1/models").json()["model_version"].endswith(before)
            _point(pointer, serving, serving)
            path.write_bytes(sound)
    record_property("damaged fits that did not take over", damaged)
