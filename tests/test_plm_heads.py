"""Each head's loss is what a loop computes, and a head is made again from what it tells of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.heads.head import Feeding, Head, Reader, each_text
from honeyguide.plm.heads.known import head_from
from honeyguide.plm.heads.labels import Classification, Labelled, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Judged, Pairs, Ranking, Retrieval
from honeyguide.plm.heads.tags import TokenClassification
from honeyguide.plm.objectives.contrastive import Contrastive
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.feeds import Feed
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
def reader(backbone: Backbone) -> Reader:
    return Reader(backbone.model.base_model, backbone.pooling).eval()


@pytest.fixture
def feeding(backbone: Backbone) -> Feeding:
    return Feeding.of(backbone, max_tokens=12, batch_tokens=64, seed=1)


def stirred(head: Any) -> Any:
    """The head with weights that say something, not dropping anything."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return head.eval()


def taken(feed: Feed, number: int = 0) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(column) for name, column in feed.batch(number).items()}


def whole(head: Head[Any], reader: Reader, feed: Feed) -> tuple[float, Mapping[str, torch.Tensor]]:
    batch = taken(feed)
    with torch.no_grad():
        return float(head.loss(reader, batch)), batch


def vectors(reader: Reader, batch: Mapping[str, torch.Tensor], name: str = "") -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return reader.vectors(batch[f"{name}ids"], batch[f"{name}mask"]).numpy().astype(np.float64)


def outputs(head: Any, found: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    weight, bias = head.out.weight.detach().numpy(), head.out.bias.detach().numpy()
    return np.asarray(math.sqrt(DIM) * found @ weight.T.astype(np.float64) + bias)


def test_every_example_is_fed_once_an_epoch_with_its_own_target(backbone: Backbone, feeding: Feeding) -> None:
    targets = np.arange(len(TEXTS)) % 3
    feed = Classification(["a", "b", "c"], DIM).feed(Labelled(TEXTS, targets), feeding)
    tokens = tokens_of(TEXTS, feeding.tokenizer)
    seen = []
    for number in range(feed.order.per_epoch):
        batch = feed.batch(number)
        for ids, mask, target in zip(batch["ids"], batch["mask"], batch["targets"], strict=True):
            text = tuple(int(token) for token in ids[1 : int(mask.sum()) - 1])
            seen.append((text, int(target)))
    wanted = [(tuple(int(t) for t in tokens.text(row, 10)), int(targets[row])) for row in range(len(TEXTS))]
    assert sorted(seen) == sorted(wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classification_is_smoothed_cross_entropy(reader: Reader, feeding: Feeding, smoothing: float) -> None:
    head = stirred(Classification(["a", "b", "c"], DIM, label_smoothing=smoothing))
    loss, batch = whole(head, reader, head.feed(Labelled(TEXTS, np.arange(7) % 3), feeding))
    said = outputs(head, vectors(reader, batch))
    total = 0.0
    for row, target in zip(said, batch["targets"].tolist(), strict=True):
        logs = row - np.log(np.exp(row).sum())
        wanted = [smoothing / 3 + (1 - smoothing) * (place == target) for place in range(3)]
        total -= float(np.dot(wanted, logs))
    assert loss == pytest.approx(total / len(said), rel=1e-5)


def test_a_label_that_is_there_counts_as_often_as_its_weight_says(reader: Reader, feeding: Feeding) -> None:
    head = stirred(MultiLabel(["x", "y"], DIM, positive_weights=[3.0, 0.5]))
    targets = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1], [1, 1]])
    loss, batch = whole(head, reader, head.feed(Labelled(TEXTS, targets), feeding))
    said = 1 / (1 + np.exp(-outputs(head, vectors(reader, batch))))
    total = 0.0
    for row, true in zip(said, batch["targets"].tolist(), strict=True):
        for p, there, weight in zip(row, true, (3.0, 0.5), strict=True):
            total -= weight * math.log(p) if there else math.log(1 - p)
    assert loss == pytest.approx(total / said.size, rel=1e-5)


def test_balancing_weights_let_both_answers_count_the_same() -> None:
    targets = np.array([[1, 0]] * 2 + [[0, 0]] * 6 + [[0, 1]] * 8)
    weights = np.array(MultiLabel.balancing(targets))
    np.testing.assert_allclose(weights * targets.sum(0), len(targets) - targets.sum(0))
    assert MultiLabel.balancing(np.array([[0], [0]])) == [2.0]
    assert MultiLabel.balancing(np.eye(100)[:, :1]) == [20.0]


def test_regression_learns_in_units_of_the_spread_and_speaks_in_the_targets_own(
    reader: Reader, feeding: Feeding
) -> None:
    targets = np.array([[200.0], [100.0], [300.0], [150.0], [250.0], [100.0], [300.0]])
    head = stirred(Regression.of(["price"], DIM, targets))
    loss, batch = whole(head, reader, head.feed(Labelled(TEXTS, targets), feeding))
    said = outputs(head, vectors(reader, batch))
    units = (batch["targets"].numpy() - targets.mean()) / targets.std()
    assert loss == pytest.approx(float(((said - units) ** 2).mean()), rel=1e-5)
    told = np.stack(head.predict(reader, TEXTS, feeding, CPU))
    ids, mask = feeding.padded([tokens_of([TEXTS[2]], feeding.tokenizer).text(0, 10)])
    one = {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}
    wanted = outputs(head, vectors(reader, one)) * targets.std() + targets.mean()
    np.testing.assert_allclose(told[2], wanted[0], rtol=1e-4)


def test_retrieval_is_the_contrastive_objective(reader: Reader, feeding: Feeding) -> None:
    pairs = Pairs(TEXTS[:6], np.array([0, 1, 2, 3, 4]), np.array([1, 2, 3, 4, 1]))
    for correct in (True, False):
        head = Retrieval(temperature=0.1, correct=correct)
        loss, batch = whole(head, reader, head.feed(pairs, feeding))
        objective = Contrastive(reader.base, reader.pooling, temperature=0.1, correct=correct).eval()
        with torch.no_grad():
            assert loss == float(objective(**batch))


JUDGED = Judged(
    TEXTS[:6],
    query=np.array([0, 0, 0, 1, 1, 1, 2, 2]),
    item=np.array([1, 2, 3, 3, 4, 5, 4, 5]),
    relevance=np.array([3.0, 1.0, 2.0, 1.0, 1.0, 2.5, 2.0, 2.0]),
)


@pytest.mark.parametrize("form", ["listwise", "pairwise"])
def test_ranking_is_what_a_loop_over_queries_computes(reader: Reader, feeding: Feeding, form: Any) -> None:
    head = stirred(Ranking(DIM, form=form, scale=7.0))
    feed = head.feed(JUDGED, Feeding(feeding.tokenizer, feeding.special, 12, 4096, seed=0))
    assert [len(group) for group in feed.groups] == [3, 3]  # the third query has nothing to put into an order
    loss, batch = whole(head, reader, feed)
    queries, items = vectors(reader, batch), vectors(reader, batch, "item_")
    turn = head.turn.weight.detach().numpy().astype(np.float64)
    owner, relevance = batch["owner"].numpy(), batch["relevance"].numpy()
    scores = 7.0 * ((queries + queries @ turn.T)[owner] * items).sum(1)
    losses = []
    for query in range(len(queries)):
        s, r = scores[owner == query], relevance[owner == query]
        if form == "listwise":
            wanted, logs = np.exp(r) / np.exp(r).sum(), s - np.log(np.exp(s).sum())
            losses.append(-float(wanted @ logs))
        else:
            pairs = [(i, j) for i in range(len(s)) for j in range(len(s)) if r[i] > r[j]]
            losses.append(float(np.mean([np.log1p(np.exp(s[j] - s[i])) for i, j in pairs])))
    assert loss == pytest.approx(float(np.mean(losses)), rel=1e-4)


def test_an_untaught_ranking_is_the_cosine(reader: Reader, feeding: Feeding) -> None:
    head = Ranking(DIM)
    a, b = torch.nn.functional.normalize(
        torch.randn(2, 5, DIM, generator=torch.Generator().manual_seed(0)), dim=2
    )
    torch.testing.assert_close(head.scores(a, b), 10 * (a * b).sum(1))


def heads() -> list[Head[Any]]:
    return [
        Classification(["a", "b"], DIM, dropout=0.3, label_smoothing=0.1),
        MultiLabel(["x", "y", "z"], DIM, positive_weights=[1, 2, 3]),
        Regression(["price"], DIM, mean=[3.0], spread=[2.0]),
        TokenClassification(["o", "b"], DIM, label_smoothing=0.2),
        Ranking(DIM, form="pairwise", scale=4.0),
        Retrieval(temperature=0.2, correct=False),
    ]


@pytest.mark.parametrize("head", heads(), ids=lambda head: head.kind)
def test_a_head_comes_back_from_what_it_says_of_itself(
    reader: Reader, feeding: Feeding, head: Head[Any]
) -> None:
    stirred(head)
    again = head_from(head.about(), head.arrays(), DIM).eval()
    assert again.about() == head.about()
    assert vars(again).keys() == vars(head).keys()
    for a, b in zip(
        head.predict(reader, TEXTS, feeding, CPU), again.predict(reader, TEXTS, feeding, CPU), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("head", heads(), ids=lambda head: head.kind)
def test_what_is_said_of_a_text_does_not_depend_on_the_others(
    reader: Reader, feeding: Feeding, head: Head[Any]
) -> None:
    stirred(head)
    together = head.predict(reader, [*TEXTS, *TEXTS[::-1]], feeding, CPU)
    for place, text in enumerate(TEXTS):
        (alone,) = head.predict(reader, [text], feeding, CPU)
        np.testing.assert_allclose(together[place], alone, atol=1e-5)
        np.testing.assert_allclose(together[-1 - place], alone, atol=1e-5)
    assert head.predict(reader, [], feeding, CPU) == []


def test_no_batch_is_wider_than_asked_for(backbone: Backbone) -> None:
    feeding = Feeding.of(backbone, max_tokens=16, batch_tokens=40)
    tokens = tokens_of(["milk " * n for n in range(1, 30)], feeding.tokenizer)
    shapes = []

    def compute(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        shapes.append(ids.shape)
        return mask.sum(1, keepdim=True)

    told = each_text(tokens, feeding, compute, CPU)
    assert [int(values[0]) for values in told] == [min(n, 14) + 2 for n in range(1, 30)]
    assert max(rows * width for rows, width in shapes) <= 40
    assert len(shapes) < 16
