"""Vectors of fewer dims: taught to be nested, or turned and cut; what serves says its dim and keeps the laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.checks.encoder import CHECKS_ENCODER, EncoderCheck
from honeyguide.errors import InvalidInput
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.compress.int8 import in_int8
from honeyguide.plm.compress.matryoshka import Matryoshka
from honeyguide.plm.compress.truncation import rotation, truncated
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.plm.export import EncoderFiles
from honeyguide.plm.files import GRAPH, TOKENIZER
from honeyguide.plm.forms import encoder_of
from honeyguide.plm.objectives.contrastive import Contrastive, PairFeed
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.loop import train
from honeyguide.plm.train.schedule import Schedule
from honeyguide.plm.train.terms import Term
from tests.tiny_bert import MAX_TOKENS, save_tiny_bert, tiny_artifact, tiny_encoder

HERE = Place(torch.device("cpu"), torch.float32)
SHELF = [
    "red wine",
    "frozen pizza",
    "dog food",
    "hand soap",
    "dry shampoo",
    "organic milk",
    "hair",
    "a conditioner",
]
TEXTS = [
    *SHELF,
    "shampoo and conditioner for dry hair",
    "milk",
    "a hand of soap, dry",
    "pizza dog",
    "wine, red",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def backbone(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), "encoder")


def feed(backbone: Backbone) -> PairFeed:
    tokens = tokens_of(SHELF, backbone.fast_tokenizer)
    first = np.array([0, 2, 4, 6, 0, 2])
    return PairFeed.of(tokens, first, first + 1, backbone.special, max_tokens=16, rows=4)


def batch_of(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(column) for name, column in feed(backbone).batch(0).items()}


@pytest.mark.parametrize("correct", [True, False])
def test_the_loss_is_the_mean_of_those_at_each_dim(backbone: Backbone, correct: bool) -> None:
    inner = Contrastive(backbone.model, "mean", temperature=0.1, correct=correct).eval()
    batch = batch_of(backbone)
    with torch.no_grad():
        whole = float(Matryoshka(inner, {32: 5.0})(**batch))
        nested = float(Matryoshka(inner, {32: 1.0, 4: 3.0})(**batch))
        assert whole == pytest.approx(float(inner(**batch)), abs=1e-6)
        a, b = (inner.vectors(batch[n], batch[f"{n}_mask"]).double().numpy() for n in ("first", "second"))

    def loss(size: int) -> float:
        x, y = (v[:, :size] / np.linalg.norm(v[:, :size], axis=1, keepdims=True) for v in (a, b))
        scores = np.where(batch["banned"].numpy() == 1, -np.inf, x @ y.T / 0.1)
        forth = scores - (batch["log_q"].numpy()[None, :] if correct else 0)
        n = range(len(x))
        there = [np.log(np.exp(forth[i]).sum()) - forth[i, i] for i in n]
        back = [np.log(np.exp(scores[:, i]).sum()) - scores[i, i] for i in n]
        return float((np.mean(there) + np.mean(back)) / 2)

    assert nested == pytest.approx(0.25 * loss(32) + 0.75 * loss(4), abs=1e-5)


@pytest.mark.slow
def test_taught_nested_the_first_dims_learn_too(checkpoint: Path, tmp_path: Path) -> None:
    backbone = open_backbone(str(checkpoint), "encoder")
    inner = Contrastive(backbone.model, "mean")
    at_four = Matryoshka(inner, {4: 1.0})

    def loss() -> float:
        with torch.no_grad():
            return float(at_four.eval()(**batch_of(backbone)))

    before = loss()
    term = Term("pairs", Matryoshka(inner, {32: 1.0, 4: 1.0}), feed(backbone))
    train([term], Schedule(100, learning_rate=2e-3), place=HERE, folder=tmp_path, key="")
    assert loss() < 0.5 * before


def test_dims_that_make_no_sense_are_told(backbone: Backbone) -> None:
    inner = Contrastive(backbone.model, "mean")
    for weights in ({}, {0: 1.0}, {33: 1.0}, {8: 0.0}):
        with pytest.raises(InvalidInput, match=r"1\.\.32"):
            Matryoshka(inner, weights)


def test_a_rotation_keeps_the_most_there_is_to_keep() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(50, 12)) * np.geomspace(1, 0.05, 12)).astype(np.float32)
    energy = np.linalg.svd(vectors.astype(np.float64), compute_uv=False) ** 2
    for dim in (1, 3, 12):
        turn = rotation(vectors, dim)
        np.testing.assert_allclose(turn.T @ turn, np.eye(dim), atol=1e-5)
        assert float((vectors @ turn).astype(np.float64).__pow__(2).sum()) == pytest.approx(
            energy[:dim].sum(), rel=1e-4
        )
        np.testing.assert_array_equal(turn, rotation(vectors.copy(), dim))
    whole = vectors @ rotation(vectors, 12)
    np.testing.assert_allclose(whole @ whole.T, vectors @ vectors.T, atol=1e-4)
    for dim in (0, 13):
        with pytest.raises(InvalidInput, match=r"1\.\.12"):
            rotation(vectors, dim)


def tiny_files() -> EncoderFiles:
    folder = tiny_artifact().folder
    return EncoderFiles(
        (folder / GRAPH).read_bytes(),
        (folder / TOKENIZER).read_bytes(),
        32,
        MAX_TOKENS,
        "tiny",
        {"query": "a "},
    )


def turn(dim: int) -> np.ndarray:
    return rotation(tiny_encoder().encode(TEXTS), dim)


def cut() -> OnnxEncoder:
    return encoder_of(truncated(tiny_files(), 6), threads=1, batch_size=4)


def turned() -> OnnxEncoder:
    return encoder_of(truncated(tiny_files(), 6, turn=turn(6)), threads=1, batch_size=4)


@pytest.mark.parametrize("make", [cut, turned])
@pytest.mark.parametrize("check", CHECKS_ENCODER, ids=lambda check: check.__name__)
def test_an_encoder_of_fewer_dims_keeps_the_law(make: type[OnnxEncoder], check: EncoderCheck) -> None:
    check(make)


def test_it_says_what_numpy_says() -> None:
    full = tiny_encoder().encode(TEXTS)
    for encoder, wanted in ((cut(), full[:, :6]), (turned(), full @ turn(6))):
        assert encoder.dim == 6
        wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
        np.testing.assert_allclose(encoder.encode(TEXTS), wanted, atol=1e-5)
    small = truncated(tiny_files(), 6)
    assert small.meta["dim"] == 6
    assert small.meta["prompts"] == {"query": "a "}


def test_turned_less_is_lost_than_cut() -> None:
    full = tiny_encoder().encode(TEXTS)

    def error(encoder: OnnxEncoder) -> float:
        vectors = encoder.encode(TEXTS)
        return float(np.square(vectors @ vectors.T - full @ full.T).sum())

    assert error(turned()) < error(cut())


def test_fewer_dims_and_8_bits_go_together() -> None:
    wanted = turned().encode(TEXTS)
    for files in (
        in_int8(truncated(tiny_files(), 6, turn=turn(6))),
        truncated(in_int8(tiny_files()), 6, turn=turn(6)),
    ):
        assert ((encoder_of(files, threads=1).encode(TEXTS) * wanted).sum(1) > 0.97).all()


def test_other_dims_are_another_key_and_wrong_ones_are_told() -> None:
    keys = [tiny_files().key, truncated(tiny_files(), 6).key, truncated(tiny_files(), 7).key]
    keys += [truncated(tiny_files(), 6, turn=turn(6)).key]
    assert len(set(keys)) == 4
    for dim in (0, 33):
        with pytest.raises(InvalidInput, match=r"1\.\.32"):
            truncated(tiny_files(), dim)
    with pytest.raises(InvalidInput, match=r"\(32, 5\)"):
        truncated(tiny_files(), 5, turn=turn(6))
