"""Safe files: nothing damaged is loaded, and no failed save takes anything away."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide import artifacts
from honeyguide.artifacts import Artifact, load, load_last_good, pack_strings, save, unpack_strings
from honeyguide.errors import DamagedArtifact, InvalidInput, NoArtifact
from honeyguide.types import State

NAME = "taxonomy"


def arrays(seed: int = 0) -> State:
    rng = np.random.default_rng(seed)
    return {"vectors": rng.normal(size=(3, 2)).astype(np.float32), "rows": rng.integers(9, size=4)}


def store(root: Path, seed: int = 0) -> str:
    return save(root, NAME, arrays(seed), {"seed": seed}, {"names.json": b'["a", "b"]'})


def everything(root: Path) -> dict[str, bytes]:
    """Every file under `root` and what it holds."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def same(artifact: Artifact, seed: int) -> bool:
    expected = arrays(seed)
    return artifact.meta == {"seed": seed} and all(
        artifact.arrays[key].dtype == expected[key].dtype
        and np.array_equal(artifact.arrays[key], expected[key])
        for key in expected
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    version = store(tmp_path)
    loaded = load(tmp_path, NAME)
    assert same(loaded, 0)
    assert (loaded.name, loaded.version) == (NAME, version)
    assert (loaded.folder / "names.json").read_bytes() == b'["a", "b"]'


def test_equal_content_is_an_equal_version_and_other_content_another(tmp_path: Path) -> None:
    first = store(tmp_path)
    before = everything(tmp_path)
    assert store(tmp_path) == first
    assert everything(tmp_path) == before
    assert store(tmp_path / "elsewhere") == first
    reversed_keys = dict(reversed(list(arrays().items())))
    assert save(tmp_path, NAME, reversed_keys, {"seed": 0}, {"names.json": b'["a", "b"]'}) == first
    others = {
        store(tmp_path, 1),
        save(tmp_path, NAME, arrays(), {"seed": 9}),
        save(tmp_path, NAME, arrays(), {"seed": 0}, {"names.json": b'["a", "c"]'}),
    }
    assert len(others | {first}) == 4


@pytest.mark.parametrize("file", ["manifest.json", "arrays.safetensors", "names.json"])
def test_a_damaged_byte_anywhere_is_refused_and_the_previous_version_is_kept(
    tmp_path: Path, file: str
) -> None:
    store(tmp_path, 0)
    version = store(tmp_path, 1)
    path = tmp_path / NAME / version / file
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x01]) + sound[place + 1 :])
        with pytest.raises(DamagedArtifact, match=file):
            load(tmp_path, NAME)
        kept, damage = load_last_good(tmp_path, NAME)
        assert same(kept, 0)
        assert file in str(damage)


@pytest.mark.parametrize("file", ["manifest.json", "arrays.safetensors", "names.json"])
@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: data + b" ", lambda data: b"", None])
def test_a_cut_longer_empty_or_missing_file_is_refused(
    tmp_path: Path, file: str, harm: Callable[[bytes], bytes] | None
) -> None:
    path = tmp_path / NAME / store(tmp_path) / file
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(DamagedArtifact, match=file):
        load(tmp_path, NAME)


def test_with_no_sound_version_left_the_damage_is_raised(tmp_path: Path) -> None:
    only = store(tmp_path)
    (tmp_path / NAME / only / "names.json").write_bytes(b"")
    with pytest.raises(DamagedArtifact):
        load_last_good(tmp_path, NAME)


def test_a_sound_current_version_comes_without_a_complaint(tmp_path: Path) -> None:
    store(tmp_path, 0)
    store(tmp_path, 1)
    kept, damage = load_last_good(tmp_path, NAME)
    assert same(kept, 1)
    assert damage is None


def test_saving_again_mends_a_damaged_version(tmp_path: Path) -> None:
    version = store(tmp_path)
    (tmp_path / NAME / version / "names.json").write_bytes(b"rubbish")
    assert store(tmp_path) == version
    assert same(load(tmp_path, NAME), 0)


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_crash_in_the_middle_of_a_save_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """The first replace puts the version in place, the second moves the pointer."""
    store(tmp_path, 0)
    pointer = (tmp_path / NAME / artifacts.POINTER).read_bytes()
    calls: list[object] = []
    sound = os.replace

    def crash(source: Any, target: Any) -> None:
        calls.append(target)
        if len(calls) == fails_at:
            raise OSError("the disk is gone")
        sound(source, target)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="the disk is gone"):
        store(tmp_path, 1)
    monkeypatch.undo()
    assert (tmp_path / NAME / artifacts.POINTER).read_bytes() == pointer
    assert same(load(tmp_path, NAME), 0)
    assert not [path for path in (tmp_path / NAME).iterdir() if path.name.startswith(".")], "litter"
    store(tmp_path, 1)
    assert same(load(tmp_path, NAME), 1)


def test_a_crash_while_a_damaged_version_is_mended_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, 0)
    version = store(tmp_path, 1)
    (tmp_path / NAME / version / "names.json").write_bytes(b"rubbish")

    def crash(source: Any, target: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="the disk is gone"):
        store(tmp_path, 1)
    monkeypatch.undo()
    kept, damage = load_last_good(tmp_path, NAME)
    assert same(kept, 0)
    assert damage is not None


def test_the_pointer_is_the_old_or_the_new_never_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pointer"
    artifacts.write_atomically(path, b"old")
    seen: list[bytes] = []
    sound = os.fsync

    def look(handle: int) -> None:
        seen.append(path.read_bytes())
        sound(handle)

    monkeypatch.setattr(os, "fsync", look)
    artifacts.write_atomically(path, b"new")
    assert seen == [b"old", b"new"], "fsync of the file before the replace, of the folder after it"
    assert [entry.name for entry in tmp_path.iterdir()] == ["pointer"]


def test_a_newer_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / NAME / store(tmp_path)
    manifest = json.loads((folder / artifacts.MANIFEST).read_bytes())
    text = json.dumps({**manifest, "format": artifacts.FORMAT + 1}).encode()
    version = sha256(text).hexdigest()[:12]
    folder.rename(folder.with_name(version))
    (folder.with_name(version) / artifacts.MANIFEST).write_bytes(text)
    with pytest.raises(DamagedArtifact, match=r"newer.*Upgrade"):
        load(tmp_path, NAME, version)


def test_a_version_that_is_pointed_to_is_verified_first(tmp_path: Path) -> None:
    first, second = store(tmp_path, 0), store(tmp_path, 1)
    artifacts.activate(tmp_path, NAME, first)
    assert artifacts.current(tmp_path, NAME) == first
    (tmp_path / NAME / second / "names.json").write_bytes(b"rubbish")
    with pytest.raises(DamagedArtifact):
        artifacts.activate(tmp_path, NAME, second)
    assert artifacts.current(tmp_path, NAME) == first
    assert artifacts.versions(tmp_path, NAME) == sorted([first, second])


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"version": 3}', b"\xff\xfe\x00"])
def test_a_damaged_pointer_is_refused(tmp_path: Path, text: bytes) -> None:
    store(tmp_path)
    (tmp_path / NAME / artifacts.POINTER).write_bytes(text)
    with pytest.raises(DamagedArtifact, match=artifacts.POINTER):
        load(tmp_path, NAME)


def test_a_damaged_byte_in_the_pointer_never_loads_what_was_not_saved(tmp_path: Path) -> None:
    store(tmp_path, 0)
    store(tmp_path, 1)
    path = tmp_path / NAME / artifacts.POINTER
    sound = path.read_bytes()
    for place, bit in product(range(len(sound)), range(8)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1 << bit]) + sound[place + 1 :])
        assert outcome(tmp_path) in ("damaged", 0, 1)


def outcome(root: Path) -> int | str:
    """Which of the two saved versions is loaded, or that it was refused."""
    try:
        kept, _ = load_last_good(root, NAME)
    except DamagedArtifact:
        return "damaged"
    return next(seed for seed in (0, 1) if same(kept, seed))


def test_saving_again_mends_a_damaged_pointer(tmp_path: Path) -> None:
    store(tmp_path, 0)
    (tmp_path / NAME / artifacts.POINTER).write_bytes(b"rubbish")
    store(tmp_path, 0)
    assert same(load(tmp_path, NAME), 0)


def test_arrays_of_any_layout_survive(tmp_path: Path) -> None:
    square = np.arange(12.0).reshape(3, 4)
    state: State = {
        "transposed": square.T,
        "strided": square[::2, ::-1],
        "empty": np.zeros((0, 5), dtype=np.int64),
        "single": np.array(7.0),
        "flags": np.array([True, False]),
        "bytes": np.frombuffer(b"abc", dtype=np.uint8),
    }
    save(tmp_path, NAME, state, {})
    loaded = load(tmp_path, NAME).arrays
    assert loaded.keys() == state.keys()
    for key, array in state.items():
        assert loaded[key].dtype == array.dtype
        np.testing.assert_array_equal(loaded[key], array)


def test_arrays_that_are_no_safetensors_are_refused_whoever_signed_them(tmp_path: Path) -> None:
    folder = tmp_path / NAME / store(tmp_path)
    manifest = json.loads((folder / artifacts.MANIFEST).read_bytes())
    manifest["files"][artifacts.ARRAYS]["sha256"] = sha256(b"rubbish").hexdigest()
    text = json.dumps(manifest).encode()
    other = folder.rename(folder.with_name(sha256(text).hexdigest()[:12]))
    (other / artifacts.MANIFEST).write_bytes(text)
    (other / artifacts.ARRAYS).write_bytes(b"rubbish")
    with pytest.raises(DamagedArtifact, match=artifacts.ARRAYS):
        load(tmp_path, NAME, other.name)


def test_what_was_never_made_is_said_to_be_missing(tmp_path: Path) -> None:
    assert not artifacts.exists(tmp_path, NAME)
    assert artifacts.versions(tmp_path, NAME) == []
    with pytest.raises(NoArtifact, match="honeyguide fit"):
        load(tmp_path, NAME)
    store(tmp_path)
    assert artifacts.exists(tmp_path, NAME)
    with pytest.raises(DamagedArtifact):
        load(tmp_path, NAME, "0123456789ab")


@pytest.mark.parametrize("file", ["../escape", "a/b", ".hidden"])
def test_a_file_name_that_leaves_the_version_is_refused(tmp_path: Path, file: str) -> None:
    store(tmp_path)
    before = everything(tmp_path)
    with pytest.raises(InvalidInput, match="plain"):
        save(tmp_path, NAME, arrays(), {}, {file: b"x"})
    assert everything(tmp_path) == before


def test_numbers_that_json_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save(tmp_path, NAME, arrays(), {"loss": float("nan")})
    assert everything(tmp_path) == {}


@given(st.lists(st.text(alphabet=st.characters(codec=None))))
def test_strings_survive_packing(strings: list[str]) -> None:
    """Any text at all: surrogates, NULs and the empty string."""
    assert unpack_strings(*pack_strings(strings)) == strings


def test_what_was_made_from_the_same_is_found_and_anything_else_is_made_anew(tmp_path: Path) -> None:
    assert artifacts.load_if_made_from(tmp_path, "a", "k") is None
    artifacts.save(tmp_path, "a", {"x": np.arange(3)}, {"key": "k"})
    found = artifacts.load_if_made_from(tmp_path, "a", "k")
    assert found is not None
    assert found.arrays["x"].tolist() == [0, 1, 2]
    assert artifacts.load_if_made_from(tmp_path, "a", "other") is None
    damaged = found.folder / artifacts.ARRAYS
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert artifacts.load_if_made_from(tmp_path, "a", "k") is None
