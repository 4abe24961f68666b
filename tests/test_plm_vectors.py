"""A catalogue is encoded once: what is cached is neither encoded again nor trusted blindly."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.plm import vectors as module
from honeyguide.plm.vectors import catalogue_vectors
from honeyguide.types import Vectors


class Counting:
    """Encodes a text as its length and first letter, and remembers what it was asked."""

    dim = 2

    def __init__(self, version: str = "1", fails_after: int | None = None) -> None:
        self.version = version
        self.asked: list[str] = []
        self.fails_after = fails_after

    def encode(self, texts: Sequence[str]) -> Vectors:
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise KeyboardInterrupt
        self.asked += texts
        return np.array([[len(text), ord(text[:1] or "\0")] for text in texts], dtype=np.float32)


TEXTS = ["milk", "bread", "milk", "", "\ud800", "bread", "wine"]


@pytest.fixture(autouse=True)
def small_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FLUSH", 3)


def test_row_i_belongs_to_text_i(tmp_path: Path) -> None:
    vectors = catalogue_vectors(Counting(), TEXTS, cache=tmp_path)
    np.testing.assert_array_equal(vectors, Counting().encode(TEXTS))
    assert vectors.dtype == np.float32
    assert catalogue_vectors(Counting(), [], cache=tmp_path).shape == (0, 2)


def test_each_distinct_text_is_encoded_once_and_never_again(tmp_path: Path) -> None:
    encoder = Counting()
    first = catalogue_vectors(encoder, TEXTS, cache=tmp_path)
    assert sorted(encoder.asked) == sorted(set(TEXTS))
    again = Counting()
    np.testing.assert_array_equal(catalogue_vectors(again, TEXTS[::-1], cache=tmp_path), first[::-1])
    assert again.asked == []


def test_a_changed_catalogue_costs_only_what_is_new(tmp_path: Path) -> None:
    catalogue_vectors(Counting(), TEXTS, cache=tmp_path)
    encoder = Counting()
    vectors = catalogue_vectors(encoder, ["cheese", "wine"], cache=tmp_path)
    assert encoder.asked == ["cheese"]
    np.testing.assert_array_equal(vectors, Counting().encode(["cheese", "wine"]))


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(10)]
    interrupted = Counting(fails_after=6)
    with pytest.raises(KeyboardInterrupt):
        catalogue_vectors(interrupted, texts, cache=tmp_path)
    resumed = Counting()
    vectors = catalogue_vectors(resumed, texts, cache=tmp_path)
    assert sorted(interrupted.asked + resumed.asked) == texts
    np.testing.assert_array_equal(vectors, Counting().encode(texts))


def test_another_encoder_finds_nothing_of_ours(tmp_path: Path) -> None:
    catalogue_vectors(Counting("1"), TEXTS, cache=tmp_path)
    other = Counting("2")
    catalogue_vectors(other, TEXTS, cache=tmp_path)
    assert len(other.asked) == len(set(TEXTS))


@pytest.mark.parametrize("where", [0, 40, -1, None])
def test_a_damaged_file_is_computed_anew(tmp_path: Path, where: int | None) -> None:
    catalogue_vectors(Counting(), TEXTS, cache=tmp_path)
    damaged = sorted((tmp_path / "1").glob("*.safetensors"))[0]
    data = bytearray(damaged.read_bytes())
    if where is None:
        data = data[:10]  # cut off
    else:
        data[where] ^= 1
    damaged.write_bytes(data)
    encoder = Counting()
    np.testing.assert_array_equal(catalogue_vectors(encoder, TEXTS, cache=tmp_path), Counting().encode(TEXTS))
    assert 0 < len(encoder.asked) < len(set(TEXTS))
    mended = Counting()
    catalogue_vectors(mended, TEXTS, cache=tmp_path)
    assert mended.asked == []


def test_a_file_of_another_shape_is_computed_anew(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    module._store(tmp_path / "1", [b"k" * 16, b"l" * 16], np.zeros((2, 3), dtype=np.float32))
    encoder = Counting()
    catalogue_vectors(encoder, TEXTS, cache=tmp_path)
    assert len(encoder.asked) == len(set(TEXTS))


def test_progress_counts_distinct_texts(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    catalogue_vectors(
        Counting(), TEXTS, cache=tmp_path, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(0, 5), (3, 5), (5, 5)]


def test_a_bare_string_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="bare string"):
        catalogue_vectors(Counting(), "milk", cache=tmp_path)
