"""Scores are what they claim, and wishes and examples that make no sense are told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.heads.head import Feeding
from honeyguide.plm.heads.known import head_from
from honeyguide.plm.heads.labels import Classification, Labelled, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Judged, Pairs, Ranking, Retrieval
from honeyguide.plm.heads.scores import average_precision, macro_f1, ndcg, ordered, r_squared
from honeyguide.plm.heads.tags import Tagged, TokenClassification
from tests.tiny_bert import save_tiny_bert

CPU = torch.device("cpu")
TEXTS = (
    "red wine",
    "frozen pizza",
    "dog food for a dog",
    "hand soap",
    "shampoo for dry hair",
    "organic milk",
    "",
)
DIM = 32


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(str(save_tiny_bert(tmp_path_factory.mktemp("bert"))), "encoder")


@pytest.fixture
def feeding(backbone: Backbone) -> Feeding:
    return Feeding.of(backbone, max_tokens=12, batch_tokens=64, seed=1)


def test_scores_by_hand() -> None:
    guessed = np.array([[1, 0], [1, 0], [0, 1]], dtype=bool)
    true = np.array([[1, 0], [0, 1], [0, 1]], dtype=bool)
    assert macro_f1(guessed, true) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert macro_f1(np.zeros((2, 1), bool), np.zeros((2, 1), bool)) == 0.0
    assert r_squared(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]])) == 1.0
    assert r_squared(np.array([[1.5], [1.5]]), np.array([[1.0], [2.0]])) == 0.0
    scores = np.array([[0.9], [0.8], [0.7]])
    assert average_precision(scores, np.array([[True], [False], [True]])) == pytest.approx((1 + 2 / 3) / 2)
    assert ordered(np.array([3.0, 2.0, 2.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx((1 + 1 + 0.5) / 3)
    gains = np.array([2.0, 1.0, 0.0])
    assert ndcg(np.array([3.0, 2.0, 1.0]), gains, 10) == 1.0
    backwards = 0 + 1 / math.log2(3) + 2 / math.log2(4)
    assert ndcg(np.array([1.0, 2.0, 3.0]), gains, 10) == pytest.approx(backwards / (2 + 1 / math.log2(3)))
    assert ndcg(np.array([1.0, 2.0, 3.0]), gains, 1) == 0.0
    assert ndcg(np.array([1.0, 2.0]), np.array([1.0, 1.0]), 10) == 1.0


def test_recall_counts_what_is_found_among_what_is_offered() -> None:
    rng = np.random.default_rng(3)
    near = [row for row in rng.normal(size=(40, 6)).astype(np.float32)]
    first, second = rng.integers(0, 40, 60), rng.integers(5, 40, 60)
    recalls = []
    for row in set(first.tolist()):
        wanted = {int(b) for a, b in zip(first, second, strict=True) if a == row}
        offered = sorted(set(second.tolist()) - {row}, key=lambda other: -float(near[other] @ near[row]))
        recalls.append(len(wanted & set(offered[:10])) / min(10, len(wanted)))
    examples = Pairs(tuple(map(str, range(40))), first, second)
    assert 0.1 < np.mean(recalls) < 0.9
    assert Retrieval().score(near, examples)["recall@10"] == pytest.approx(float(np.mean(recalls)))


def test_wishes_and_examples_that_make_no_sense_are_told(feeding: Feeding) -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: Classification(["a"], DIM), "two classes"),
        (lambda: Classification(["a", "a"], DIM), "distinct"),
        (lambda: Classification(["a", "b"], DIM, label_smoothing=1.0), "label_smoothing"),
        (lambda: Classification(["a", "b"], DIM, dropout=1.0), "dropout"),
        (lambda: MultiLabel(["a"], DIM, positive_weights=[0.0]), "positive_weights"),
        (lambda: Regression(["a"], DIM, spread=[0.0]), "spread above 0"),
        (lambda: Regression.of(["a"], DIM, np.ones((3, 1))), "never changes"),
        (lambda: TokenClassification(["a"], DIM), "two tags"),
        (lambda: Ranking(DIM, form="best"), "listwise or pairwise"),  # type: ignore[arg-type]
        (lambda: Ranking(DIM, scale=0.0), "scale"),
        (lambda: Retrieval(temperature=0.0), "temperature"),
        (lambda: Labelled(("a",), np.array([1, 2])), "every text needs a target"),
        (lambda: Labelled(("a",), np.array([[np.nan]])), "finite"),
        (lambda: Tagged(("a b",), ((1,),)), "2 words and 1 tags"),
        (lambda: Pairs(("a",), np.array([0]), np.array([1])), r"rows must lie in 0\.\.0"),
        (lambda: Pairs(("a",), np.array([], int), np.array([], int)), "at least one"),
        (lambda: Judged(("a", "b"), np.array([0]), np.array([1]), np.array([np.inf])), "finite relevance"),
        (lambda: Classification(["a", "b"], DIM).feed(Labelled(("x",), np.array([2])), feeding), "0 to 1"),
        (
            lambda: Classification(["a", "b"], DIM).feed(Labelled(("x",), np.array([0.5])), feeding),
            "integers",
        ),
        (lambda: Classification(["a", "b"], DIM).feed(Labelled((), np.array([], int)), feeding), "empty"),
        (lambda: MultiLabel(["a"], DIM).feed(Labelled(("x",), np.array([[2]])), feeding), "0 and 1"),
        (lambda: Regression(["a"], DIM).feed(Labelled(("x",), np.array([2.0])), feeding), r"\(n, 1\)"),
        (lambda: TokenClassification(["a", "b"], DIM).feed(Tagged(("x",), ((2,),)), feeding), "0 to 1"),
        (lambda: TokenClassification(["a", "b"], DIM).feed(Tagged(("",), ((),)), feeding), "no word"),
        (
            lambda: Ranking(DIM).feed(Judged(("a", "b"), np.array([0]), np.array([1]), np.ones(1)), feeding),
            "nothing to rank",
        ),
    ]
    for make, words in cases:
        with pytest.raises(InvalidInput, match=words):
            make()
    with pytest.raises(DamagedArtifact, match="no head"):
        head_from({"kind": "magic", "labels": []}, {}, DIM)
    with pytest.raises(InvalidInput, match="another model"):
        head_from(Retrieval().about(), {"odd": np.zeros(1, np.float32)}, DIM)
