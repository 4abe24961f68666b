"""A bit of a stored file flips: it is never loaded, the error names file and remedy, and the old version serves."""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from honeyguide import artifacts
from honeyguide.errors import DamagedArtifact, NotReady
from honeyguide.serve.renewal import Renewal
from honeyguide.shop.models import load_fitted
from honeyguide.shop.releases import POLICY
from honeyguide.shop.workspace import Workspace
from tests.fitted import copy_of, fitted_shop
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
    sound = {home.name: _content(models, home.name) for home in models.iterdir()}
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


def test_a_catalogue_that_cannot_be_read_is_told_by_its_name(folder: Path) -> None:
    workspace, rng, refused = Workspace.at(folder), Random(5), []
    sound = workspace.items.read_bytes()
    for _ in range(rounds(10, 100)):
        # the texts and the layout; DuckDB has several errors for them
        at = rng.randrange(len(sound))
        workspace.items.write_bytes(sound[:at] + bytes([sound[at] ^ 255]) + sound[at + 1 :])
        try:
            load_fitted(workspace.models, workspace.items)
        except DamagedArtifact as error:
            refused.append(str(error))
        except NotReady:  # it can be read, and says something else
            continue
    assert refused
    assert all(str(workspace.items) in said for said in refused)


def _fitted_aside(folder: Path, before: str, aside: Path, turn: int) -> tuple[Path, str]:
    """A newer policy that nobody points to yet."""
    stored = artifacts.load(folder / "models", POLICY, before)
    version = artifacts.save(aside, POLICY, stored.arrays, {**stored.meta, "turn": turn})
    return Path(shutil.copytree(aside / POLICY / version, folder / "models" / POLICY / version)), version


def test_what_serves_goes_on_when_a_new_fit_is_damaged(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    options = Renewal.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(options, "every_s", 0.2)
    caplog.set_level(logging.ERROR, "honeyguide.serve")
    rng, damaged = Random(6), rounds(2, 25)
    pointer, before = (
        folder / "models" / POLICY / artifacts.POINTER,
        artifacts.current(folder / "models", POLICY),
    )
    with served(folder) as it:
        for turn in range(damaged):
            new, version = _fitted_aside(folder, before, tmp_path / "aside", turn)
            path = rng.choice(sorted(new.iterdir()))
            _flip(path, rng)
            caplog.clear()
            text = f'{{"version": "{version}", "previous": "{before}"}}'
            artifacts.write_atomically(pointer, text.encode())
            start = time.monotonic()
            while not caplog.records:
                assert it.decide(k=2)["model_version"].endswith(before)
                assert time.monotonic() - start < 30
            said = caplog.records[0].__dict__["facts"]["said"]
            assert str(path) in said
            assert "honeyguide fit" in said
            assert it.client.get("/v1/models").json()["model_version"].endswith(before)
    record_property("damaged fits that did not take over", damaged)
