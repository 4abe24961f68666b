"""A catalogue of nothing, of one text, of one without end, of many scripts: every stage reads it or says why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.errors import InvalidInput
from honeyguide.plm.adapt import Plan, adapt
from honeyguide.plm.compact import Cuts, compact
from honeyguide.plm.corpus import ItemPairs
from honeyguide.plm.distill.transformer import StudentPlan, distil_student
from honeyguide.plm.files import COMPACT, ENCODER, LANGUAGE_MODEL, STUDENT
from honeyguide.plm.forms import Form, store_encoder
from honeyguide.plm.pretrain import Reading, Weights
from honeyguide.plm.serving import open_encoder
from honeyguide.plm.train.schedule import Schedule
from tests.tiny_bert import MAX_TOKENS, save_tiny_bert

LONG = "red wine " * 111_112  # a million characters
SCRIPTS = [
    "rote Grütze & crème brûlée",
    "красное вино",
    "冷凍ピザ 赤ワイン",
    "نبيذ أحمر wine",
    "🍕🍷 pizza 👩‍👩‍👧‍👦",
    "\u202ered\u200b wine\x00",
    "half \ud800 a character",
    "   ",
    "ﬁne ＷＩＮＥ",
]
AWKWARD = {
    "one text": ["red wine"],
    "the same text twice": ["red wine", "red wine"],
    "a million characters": [LONG, "frozen pizza", "milk"],
    "many scripts": SCRIPTS,
}
NOBODY = ItemPairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
SOON = Schedule(2, eval_every=1, seed=1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_bert(tmp_path_factory.mktemp("bert")))


def adapted(
    checkpoint: str, texts: Sequence[str], folder: Path, weights: Weights, pairs: ItemPairs = NOBODY
) -> str:
    reading = Reading(max_tokens=MAX_TOKENS, batch_tokens=64, pairs=4, items=4)
    plan = Plan(checkpoint, weights, SOON, reading, precision="float32", trackers=())
    models = folder / "models"
    adapt(models, plan, texts=texts, items=texts, pairs=pairs, key="k", scratch=folder / "scratch")
    return str(artifacts.load(models, LANGUAGE_MODEL).folder)


def student_of(checkpoint: str) -> StudentPlan:
    return StudentPlan(
        checkpoint,
        layers=1,
        width=None,
        schedule=SOON,
        max_tokens=MAX_TOKENS,
        batch_tokens=64,
        precision="float32",
    )


@pytest.mark.parametrize("texts", AWKWARD.values(), ids=AWKWARD)
def test_hidden_words_are_learned_of_it(checkpoint: str, texts: list[str], tmp_path: Path) -> None:
    adapted(checkpoint, texts, tmp_path, Weights(masked=1.0))
    made = artifacts.load(tmp_path / "models", LANGUAGE_MODEL)
    assert np.isfinite(made.arrays["curve.loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("texts", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("kind", ["int8", "static"])
def test_it_is_read_in_every_form(checkpoint: str, texts: list[str], kind: str, tmp_path: Path) -> None:
    form = Form(kind, tolerance=0.99)
    store_encoder(
        tmp_path / "models", checkpoint, form, max_tokens=MAX_TOKENS, texts=texts, cache=tmp_path / "cache"
    )
    encoder = open_encoder(artifacts.load(tmp_path / "models", ENCODER))
    vectors = encoder.encode(texts)
    assert vectors.shape == (len(texts), encoder.dim)
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.all(np.isclose(lengths, 1, atol=1e-3) | (lengths == 0))
    np.testing.assert_allclose(encoder.encode(texts[:1])[0], vectors[0], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("texts", AWKWARD.values(), ids=AWKWARD)
def test_it_is_distilled_and_cut(checkpoint: str, texts: list[str], tmp_path: Path) -> None:
    distil_student(tmp_path / "models", student_of(checkpoint), texts=texts, scratch=tmp_path / "scratch")
    student = str(artifacts.load(tmp_path / "models", STUDENT).folder)
    compact(
        tmp_path / "models",
        student,
        Cuts(vocabulary=True),
        texts=texts,
        pairs=NOBODY,
        max_tokens=MAX_TOKENS,
        seed=0,
    )
    cut = str(artifacts.load(tmp_path / "models", COMPACT).folder)
    store_encoder(tmp_path / "models", cut, Form(), max_tokens=MAX_TOKENS, texts=texts)
    assert np.isfinite(open_encoder(artifacts.load(tmp_path / "models", ENCODER)).encode(texts)).all()


def test_of_no_text_nothing_can_be_learned_and_it_says_so(checkpoint: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no text to adapt .*: give items titles or descriptions"):
        adapted(checkpoint, [], tmp_path, Weights(masked=1.0))
    with pytest.raises(InvalidInput, match="no such pair"):
        adapted(checkpoint, ["red wine", "milk"], tmp_path, Weights(masked=0.0, neighbours=1.0))
    with pytest.raises(InvalidInput, match="text"):
        distil_student(tmp_path / "models", student_of(checkpoint), texts=[], scratch=tmp_path / "scratch")
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").iterdir())
