"""Each head's loss is what a loop computes, its score what it claims, and it is made again from what it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.heads.head import Feeding, Head, Reader, each_text
from honeyguide.plm.heads.known import head_from
from honeyguide.plm.heads.labels import Classification, Labelled, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Judged, Pairs, Ranking, Retrieval
from honeyguide.plm.heads.scores import average_precision, macro_f1, ndcg, ordered, r_squared
from honeyguide.plm.heads.tags import Tagged, TokenClassification
from honeyguide.plm.objectives.contrastive import Contrastive
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.loop import Feed
from honeyguide.plm.words import first_tokens, words_of
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


def test_tags_are_learned_at_the_first_token_of_each_word(reader: Reader, feeding: Feeding) -> None:
    texts = ("red qxz wine", "milk", "frozen pizza and hand soap and milk and dog food", "")
    tags = ((1, 2, 0), (1,), (0, 1, 0, 0, 1, 0, 1, 0, 1, 1), ())
    head = stirred(TokenClassification(["o", "item", "odd"], DIM))
    feed = head.feed(Tagged(texts, tags), feeding)
    words: list[tuple[str, int]] = []
    total, count = 0.0, 0
    for number in range(feed.order.per_epoch):
        batch = taken(feed, number)
        flat = batch["ids"].flatten()
        with torch.no_grad():
            states = reader.states(batch["ids"], batch["mask"]).flatten(0, 1).numpy().astype(np.float64)
        for place, tag in zip(batch["places"].tolist(), batch["targets"].tolist(), strict=True):
            words.append((str(feeding.tokenizer.id_to_token(int(flat[place]))), tag))
            said = states[place] @ head.out.weight.detach().numpy().T + head.out.bias.detach().numpy()
            total -= float(said[tag] - np.log(np.exp(said).sum()))
            count += 1
        with torch.no_grad():
            assert float(head.loss(reader, batch)) * len(batch["places"]) == pytest.approx(total, rel=1e-4)
        total = 0.0
    assert ("q", 2) in words  # the word that is no word of the vocabulary, by its first letter
    assert count == 14  # ten tokens fit, and all of these words are within them
    assert sorted(tag for _, tag in words) == sorted(tag for row in tags for tag in row)


def test_a_word_is_told_what_its_first_token_says(reader: Reader, feeding: Feeding) -> None:
    head = stirred(TokenClassification(["o", "item", "odd"], DIM))
    (told,) = head.predict(reader, ["red qxz wine"], feeding, CPU)
    text = tokens_of(["red qxz wine"], feeding.tokenizer).text(0, 10)
    assert len(text) == 5  # red q ##x ##z wine
    ids, mask = (torch.from_numpy(array) for array in feeding.padded([text]))
    with torch.no_grad():
        every = head.logits(reader, ids, mask).softmax(2)[0].numpy()
    np.testing.assert_allclose(told, every[[1, 2, 5]], atol=1e-6)


def test_words_that_are_cut_off_are_not_learned_and_get_zeros(reader: Reader, backbone: Backbone) -> None:
    short = Feeding.of(backbone, max_tokens=5)
    head = stirred(TokenClassification(["o", "item"], DIM))
    feed = head.feed(Tagged(("milk milk milk milk milk",), ((1, 1, 1, 1, 1),)), short)
    assert len(feed.batch(0)["places"]) == 3
    (told,) = head.predict(reader, ["milk milk milk milk milk"], short, CPU)
    np.testing.assert_allclose(told[:3].sum(1), 1, rtol=1e-6)
    assert not told[3:].any()


@given(st.text(alphabet="ab \t\u00a0é.ßx", max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_every_word_begins_where_its_first_token_does(text: str, rng: Any) -> None:
    """Tokens cut anywhere, with or without the white space before them."""
    offsets, place = [], 0
    while place < len(text):
        end = min(len(text), place + rng.randint(1, 3))
        piece = text[place:end]
        if len(words_of(piece)) > 1 or (piece.strip() and piece != piece.rstrip()):
            end = place + 1  # a token has no white space within or behind it
        offsets.append((place, end))
        place = end
    first = first_tokens(text, offsets)
    assert len(first) == len(words_of(text))
    for word, token in zip(words_of(text), first.tolist(), strict=True):
        start, end = offsets[token]
        assert word.startswith(text[start:end].strip())
        assert text[start:end].strip()
    assert first.tolist() == sorted(set(first.tolist()))
    assert first_tokens(text, []).tolist() == [-1] * len(first)


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
