"""The encoder that serves keeps the laws of encoders, and so the suite is tested against broken ones."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.checks import encoder as laws
from honeyguide.checks.encoder import CHECKS_ENCODER, EncoderCheck
from honeyguide.checks.policy import LawBroken
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.types import Vectors
from tests.tiny_bert import MAX_TOKENS, tiny_artifact, tiny_encoder


@pytest.mark.parametrize("check", CHECKS_ENCODER, ids=lambda check: check.__name__)
def test_the_onnx_encoder_keeps_the_law(check: EncoderCheck) -> None:
    check(tiny_encoder)


def test_a_batch_size_of_one_and_of_many_agree() -> None:
    texts = [*laws.TEXTS, *laws.AWKWARD] * 3
    one = OnnxEncoder.load(tiny_artifact(), threads=1, batch_size=1).encode(texts)
    many = OnnxEncoder.load(tiny_artifact(), threads=1, batch_size=64).encode(texts)
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_only_the_first_tokens_are_read() -> None:
    kept = "milk " * (MAX_TOKENS - 2)
    one, other = tiny_encoder().encode([kept, kept + "dog food"])
    np.testing.assert_array_equal(one, other)


def test_the_version_is_that_of_the_artefact() -> None:
    assert tiny_encoder().version == tiny_artifact().version
    assert tiny_encoder().dim == 32


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"threads": -1}])
def test_settings_that_cannot_be_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="at least"):
        OnnxEncoder.load(tiny_artifact(), **setting)


def test_a_folder_without_a_graph_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(DamagedArtifact, match="honeyguide fit"):
        OnnxEncoder.load(replace(tiny_artifact(), folder=tmp_path))


def test_what_serves_loads_no_training_library() -> None:
    code = (
        "import sys, honeyguide.plm.encoder, honeyguide.plm.vectors, honeyguide.retrieve.exact, "
        "honeyguide.interests.taxonomy\n"
        "print(sorted({'torch', 'transformers', 'sklearn', 'onnx'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


class Sound:
    """A bag of hashed words, broken below in one way at a time."""

    dim = 16
    version = "words-1"

    def encode(self, texts: Sequence[str]) -> Vectors:
        if isinstance(texts, str):
            raise InvalidInput(f"got the bare string {texts!r}")
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                seed = list(word[:50].encode("utf-8", "surrogatepass"))
                vectors[row] += np.random.default_rng(seed).normal(size=self.dim)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.divide(vectors, norms, out=vectors, where=norms > 0))


class WrongDtype(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(texts).astype(np.float64)


class WrongDim(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(texts)[:, 1:]


class EmptyIsFlat(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(texts) if len(texts) else np.zeros(0, dtype=np.float32)


class NotNormalised(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(texts) * np.float32(1.1)


class AlwaysZero(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(texts) * np.float32(0)


class BlankIsNan(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode(texts)
        vectors[~vectors.any(axis=1)] = np.nan
        return vectors


class BlankIsSomething(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode([text if text.strip() else "nothing" for text in texts])


class ChokesOnHalfCharacters(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        _ = [text.encode() for text in texts]
        return super().encode(texts)


class ChokesOnLength(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        if any(len(text) > 5_000 for text in texts):
            raise ValueError("too long")
        return super().encode(texts)


class DeafToWords(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(["same " * len(text.split()) for text in texts])


class SortsByLength(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(texts if isinstance(texts, str) else sorted(texts, key=len))


class CentresTheBatch(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode(texts)
        if len(vectors) > 1:
            vectors -= np.float32(0.1) * vectors.mean(axis=0)
        return vectors


class NoiseEachTime(Sound):
    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode(texts)
        return vectors + self._rng.normal(size=vectors.shape, scale=1e-4).astype(np.float32)


class TakesAString(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        return super().encode(list(texts))


class EmptiesTheList(Sound):
    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode(texts)
        if isinstance(texts, list):
            texts.clear()
        return vectors


class HandsOutItsCache(Sound):
    def __init__(self) -> None:
        self._cache: dict[tuple[str, ...], Vectors] = {}

    def encode(self, texts: Sequence[str]) -> Vectors:
        return self._cache.setdefault(tuple(texts), super().encode(texts))


class VersionPerLoad(Sound):
    loads = 0

    def __init__(self) -> None:
        VersionPerLoad.loads += 1
        self.version = f"words-{VersionPerLoad.loads}"


CAUGHT: list[tuple[Callable[[], Sound], EncoderCheck]] = [
    (WrongDtype, laws.check_shape_and_dtype),
    (WrongDtype, laws.check_nothing_gives_no_rows),
    (WrongDim, laws.check_shape_and_dtype),
    (EmptyIsFlat, laws.check_nothing_gives_no_rows),
    (NotNormalised, laws.check_unit_norm_or_zero),
    (AlwaysZero, laws.check_unit_norm_or_zero),
    (BlankIsNan, laws.check_finite),
    (BlankIsNan, laws.check_blank_gives_zero),
    (BlankIsSomething, laws.check_blank_gives_zero),
    (ChokesOnHalfCharacters, laws.check_any_text_is_read),
    (ChokesOnLength, laws.check_any_text_is_read),
    (DeafToWords, laws.check_texts_differ),
    (SortsByLength, laws.check_order),
    (CentresTheBatch, laws.check_batch_is_irrelevant),
    (NoiseEachTime, laws.check_duplicates_agree),
    (TakesAString, laws.check_bare_string_refused),
    (EmptiesTheList, laws.check_inputs_unchanged),
    (HandsOutItsCache, laws.check_inputs_unchanged),
    (VersionPerLoad, laws.check_equal_versions_agree),
]


@pytest.mark.parametrize(
    ("make", "check"), [pytest.param(m, c, id=f"{getattr(m, '__name__', m)}:{c.__name__}") for m, c in CAUGHT]
)
def test_a_broken_encoder_is_caught(make: Callable[[], Sound], check: EncoderCheck) -> None:
    with pytest.raises(LawBroken):
        check(make)


def test_every_law_catches_something_and_the_sound_encoder_passes() -> None:
    assert {check for _, check in CAUGHT} == set(CHECKS_ENCODER)
    laws.check_encoder(Sound)
