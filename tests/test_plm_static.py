"""The static encoder keeps the laws of encoders, and its table is what the closed form says."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from tokenizers import Tokenizer

from honeyguide import artifacts
from honeyguide.artifacts import Artifact
from honeyguide.checks import encoder as laws
from honeyguide.checks.encoder import CHECKS_ENCODER, EncoderCheck
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm import static
from honeyguide.plm.distill.table import (
    TablePlan,
    distil_table,
    fitted_table,
    frequent_words,
    likeness,
    main_directions,
    reads_by_words,
    ridge,
    token_shares,
    token_texts,
    with_words,
)
from honeyguide.plm.static import STATIC, StaticEncoder, add_rows
from honeyguide.types import Encoder, Vectors
from tests.tiny_bert import PIECES, WORDS, tiny_artifact, tiny_encoder

PLAN = TablePlan(dims=None, words=3, held_out=0.2, max_tokens=64)


def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(tiny_artifact().folder / "tokenizer.json"))


def texts(n: int = 200, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = [*WORDS, "pizzas", "winery"]
    return [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(n)]


@cache
def stored() -> Artifact:
    home = Path(mkdtemp(prefix="static-"))
    distil_table(home / "models", tiny_encoder(), tokenizer(), texts(), PLAN, cache=home / "cache")
    return artifacts.load(home / "models", STATIC)


def static_encoder() -> StaticEncoder:
    return StaticEncoder.load(stored())


@pytest.mark.parametrize("check", CHECKS_ENCODER, ids=lambda check: check.__name__)
def test_the_static_encoder_keeps_the_law(check: EncoderCheck) -> None:
    check(static_encoder)


def test_a_vector_does_not_depend_on_the_batch_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [*laws.TEXTS, *laws.AWKWARD, *texts()] * 2
    together = static_encoder().encode(every)
    np.testing.assert_array_equal(np.concatenate([static_encoder().encode([one]) for one in every]), together)
    monkeypatch.setattr(static, "_SLICE", 7)
    monkeypatch.setattr(static, "_GATHER", 5)
    monkeypatch.setattr(static, "_REMEMBERED", 10)  # forgets all it knows at nearly every slice
    np.testing.assert_array_equal(static_encoder().encode(every), together)


def test_a_vector_is_the_sum_of_its_tokens_rows() -> None:
    encoder, table = static_encoder(), stored().arrays["table"].astype(np.float64)
    own = Tokenizer.from_file(str(stored().folder / "tokenizer.json"))
    for text in [*laws.TEXTS, *texts(20)]:
        wanted = table[own.encode(text, add_special_tokens=False).ids].sum(0)
        norm = np.linalg.norm(wanted)
        np.testing.assert_allclose(
            encoder.encode([text])[0], wanted / norm if norm else 0 * wanted, atol=1e-5
        )


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=30))
def test_rows_are_added_up_as_in_a_loop(ids: list[list[int]]) -> None:
    table = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    counts = np.array([len(some) for some in ids], dtype=np.int64)
    flat = np.array([i for some in ids for i in some], dtype=np.int64)
    out = np.zeros((len(ids), 3), np.float32)
    add_rows(table, flat, counts, out=out)
    for row, some in zip(out, ids, strict=True):
        np.testing.assert_allclose(row, table[some].sum(0) if some else 0, atol=1e-5)


def test_only_the_first_tokens_are_read() -> None:
    kept = "milk " * PLAN.max_tokens
    one, other = static_encoder().encode([kept, kept + "dog food"])
    np.testing.assert_array_equal(one, other)


def test_reading_by_words_says_what_reading_whole_texts_says() -> None:
    assert stored().meta["by_words"] is True
    whole = StaticEncoder.load(replace(stored(), meta={**stored().meta, "by_words": False}))
    every = [*laws.TEXTS, *laws.AWKWARD, *laws.BLANK, *texts(), "a\tmilk\nof\x1cwine\x85 ", "  milk  a "]
    np.testing.assert_array_equal(whole.encode(every), static_encoder().encode(every))


def test_a_tokenizer_that_looks_across_words_is_told_apart() -> None:
    from tokenizers import Regex, models, normalizers

    words = tokenizer()
    assert reads_by_words(words, texts())
    across = Tokenizer(models.WordLevel({"[UNK]": 0, "redwine": 1}, "[UNK]"))
    across.normalizer = normalizers.Replace(Regex(" "), "")
    assert not reads_by_words(across, ["red wine"])


class Linear:
    """A teacher whose vectors are means of secret rows: a table can say exactly what it says."""

    dim, version = 12, "linear"

    def __init__(self) -> None:
        self._tokenizer = with_words(tokenizer(), ())
        self._rows = np.random.default_rng(3).normal(size=(self._tokenizer.get_vocab_size(), 12))

    def encode(self, texts: Sequence[str]) -> Vectors:
        found = token_shares(self._tokenizer, texts, 1000) @ self._rows.astype(np.float32)
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(np.divide(found, norms, out=np.zeros_like(found), where=norms > 0), np.float32)


def test_fitting_brings_unseen_texts_near_to_the_teacher(tmp_path: Path) -> None:
    teacher: Encoder = Linear()
    unseen = texts(100, seed=9)
    wanted = teacher.encode(unseen)

    def cosine(ridge: float) -> float:
        plan = replace(PLAN, words=0, ridge=ridge, held_out=0.0)
        models = tmp_path / str(ridge)
        distil_table(models, teacher, tokenizer(), texts(400), plan, cache=tmp_path / "cache")
        found = StaticEncoder.load(artifacts.load(models, STATIC)).encode(unseen)
        return float((found * wanted).sum(1).mean())

    fitted, begun = cosine(1e-4), cosine(math.inf)
    assert fitted > 0.97
    assert fitted > begun + 0.02


def test_ridge_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    design = rng.random((40, 9)) * (rng.random((40, 9)) < 0.4)
    wanted = rng.normal(size=(40, 5))
    exact = np.linalg.solve(design.T @ design + 0.1 * np.eye(9), design.T @ wanted)
    found = ridge(csr_matrix(design.astype(np.float32)), wanted.astype(np.float32), 0.1, 100)
    np.testing.assert_allclose(found, exact, atol=2e-3)
    nothing = ridge(csr_matrix(design.astype(np.float32)), np.zeros((40, 5), np.float32), 0.1, 100)
    assert not nothing.any()


def test_what_no_text_holds_stays_where_it_began() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 4)).astype(np.float32)
    shares = csr_matrix(np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0]], np.float32))
    wanted = rng.normal(size=(2, 4)).astype(np.float32)
    begun = fitted_table(rows, shares, wanted, replace(PLAN, ridge=math.inf))
    fitted = fitted_table(rows, shares, wanted, replace(PLAN, ridge=1e-3))
    np.testing.assert_array_equal(fitted[3:], begun[3:])
    assert np.abs(shares @ fitted - wanted).max() < 0.2 * np.abs(shares @ begun - wanted).max()


def test_the_main_directions_keep_most_of_the_products() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(200, 10)) * np.array([4, 3, 2, 1, *[0.1] * 6])).astype(np.float32)
    kept = main_directions(vectors, 4)
    np.testing.assert_allclose(kept.T @ kept, np.eye(4), atol=1e-5)
    short = vectors @ kept
    assert likeness(short, vectors) > 0.999
    assert main_directions(vectors, None).shape == main_directions(vectors, 99).shape == (10, 10)


def test_words_of_the_shop_have_a_row_each_and_say_first_what_the_teacher_says_of_them() -> None:
    found = frequent_words(tokenizer(), texts(), 3)
    assert set(found) == {"pizzas", "winery"}
    own = with_words(tokenizer(), found)
    assert len(own.encode("winery", add_special_tokens=False).ids) == 1
    assert token_texts(own)[-len(found) :] == list(found)
    assert frequent_words(tokenizer(), texts(), 10**6) == ()
    pieces = token_texts(tokenizer())
    place = tokenizer().get_vocab()
    assert [pieces[place[token]] for token in ("[SEP]", "##a", "milk")] == ["", "a", "milk"]
    assert len(pieces) == len(set(PIECES) | set(WORDS)) + 5


def test_special_tokens_say_nothing() -> None:
    assert not static_encoder().encode(["[SEP] [CLS][PAD]", "冷"]).any()


def test_what_is_made_already_is_not_made_again(tmp_path: Path) -> None:
    class Counting:
        dim, version = 32, tiny_encoder().version
        calls = 0

        def encode(self, texts: Sequence[str]) -> Vectors:
            Counting.calls += 1
            return tiny_encoder().encode(texts)

    def make(plan: TablePlan) -> str:
        return distil_table(
            tmp_path / "models", Counting(), tokenizer(), texts(50), plan, cache=tmp_path / "cache"
        )

    first = make(PLAN)
    calls = Counting.calls
    assert make(PLAN) == first
    assert make(replace(PLAN, rarity=1e-2)) != first
    assert Counting.calls == calls  # the teacher's vectors are kept from one plan to the next


def test_the_card_says_what_was_kept() -> None:
    card = (stored().folder / "README.md").read_text()
    assert "mean cosine to the teacher's vectors, held-out texts" in card
    assert tiny_artifact().version in card


def test_the_vectors_are_of_few_components_where_wanted(tmp_path: Path) -> None:
    plan = replace(PLAN, dims=8)
    distil_table(tmp_path, tiny_encoder(), tokenizer(), texts(), plan, cache=tmp_path / "cache")
    narrow = StaticEncoder.load(artifacts.load(tmp_path, STATIC))
    assert narrow.dim == 8
    assert narrow.encode(texts(5)).shape == (5, 8)
    assert likeness(narrow.encode(texts()), static_encoder().encode(texts())) > 0.9


@pytest.mark.parametrize(
    "wrong", [{"dims": 0}, {"words": -1}, {"rarity": 0.0}, {"ridge": 0.0}, {"rounds": 0}, {"held_out": 1.0}]
)
def test_plans_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=r"at least|above"):
        replace(PLAN, **wrong)  # type: ignore[arg-type]


def test_no_text_a_small_table_and_a_damaged_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no text to distil from"):
        distil_table(tmp_path, tiny_encoder(), tokenizer(), ["", " "], PLAN, cache=tmp_path)
    with pytest.raises(InvalidInput, match="a row for each"):
        StaticEncoder(np.zeros((2, 3), np.float32), tokenizer(), version="", max_tokens=1, by_words=True)
    with pytest.raises(DamagedArtifact, match="anew"):
        StaticEncoder.load(replace(stored(), folder=tmp_path))


def test_one_text_is_enough(tmp_path: Path) -> None:
    plan = replace(PLAN, held_out=0.0, dims=4)
    distil_table(tmp_path, tiny_encoder(), tokenizer(), ["milk"], plan, cache=tmp_path / "cache")
    assert StaticEncoder.load(artifacts.load(tmp_path, STATIC)).encode(["milk", "dog food"]).any(1).all()


def test_it_serves_without_torch_and_without_onnx() -> None:
    code = (
        "import sys, honeyguide.plm.static\n"
        "print(sorted({'torch', 'transformers', 'onnxruntime', 'scipy'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
