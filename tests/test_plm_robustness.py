"""The robustness suite: what it does to queries, that it counts as evaluation does, that it tells who is fragile."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.metrics import ndcg_at_k, recall_at_k
from honeyguide.plm.robustness import (
    Perturbation,
    Retrieval,
    first_half,
    measure,
    perturbed,
    standard_perturbations,
    unfinished,
)
from honeyguide.types import Vectors
from tests.tiny_bert import WORDS, tiny_encoder

RNG = np.random.default_rng(0)


class Bag:
    """A hashed bag of what `parts` sees in a text: as robust or fragile as that."""

    dim = 128

    def __init__(self, version: str) -> None:
        self.version = version
        self.asked = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += len(texts)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            for part in self.parts(text):
                vectors[row, hashlib.blake2b(part.encode()).digest()[0] % self.dim] += 1
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-9), dtype=np.float32)

    def parts(self, text: str) -> list[str]:
        if self.version == "words as they are":
            return text.split()
        if self.version == "order and case":
            return [text]
        padded = f" {text.lower()} "
        return [padded[i : i + 3] for i in range(len(padded) - 2)]


def shop(n: int = 150) -> Retrieval:
    """Items of four words; each query is two or three of an item's words, relevant to all items that have them."""
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(80)]
    items = tuple(" ".join(rng.choice(words, 4, replace=False)) for _ in range(n))
    queries = tuple(" ".join(item.split()[: 2 + row % 2]) for row, item in enumerate(items[:60]))
    relevant = tuple(
        np.array([row for row, item in enumerate(items) if set(query.split()) <= set(item.split())])
        for query in queries
    )
    return Retrieval(queries, items, relevant)


def test_quality_is_what_evaluation_counts() -> None:
    task, encoder = shop(), Bag("words as they are")
    found = measure(encoder, task, [], k=5)
    queries, items = encoder.encode(task.queries), encoder.encode(task.items)
    ranking = np.argsort(-(queries @ items.T), axis=1, kind="stable")
    hits = np.stack([np.isin(line, rows) for line, rows in zip(ranking, task.relevant, strict=True)])
    counts = np.array([len(rows) for rows in task.relevant])
    ideal = np.arange(counts.max())[None, :] < counts[:, None]
    assert found.recall == pytest.approx(recall_at_k(hits, counts, 5).mean())
    assert found.ndcg == pytest.approx(ndcg_at_k(hits.astype(float), ideal.astype(float), 5).mean())


def test_the_querys_own_item_does_not_count() -> None:
    items = ("red wine", "red wine dry", "white wine", "soap")
    encoder = Bag("words as they are")
    alone = Retrieval(items[:1], items, (np.array([1]),), own=np.array([0]))
    assert measure(encoder, alone, [], k=1).recall == 1.0
    assert measure(encoder, Retrieval(items[:1], items, (np.array([1]),)), [], k=1).recall == 0.0


def test_fragile_encoders_are_told_from_robust_ones() -> None:
    suite = standard_perturbations()
    words, letters, order = (measure(Bag(version), shop(), suite, k=5) for version in
                             ("words as they are", "three letters", "order and case"))  # fmt: skip
    lost = {r.encoder: {loss.name: loss.lost for loss in r.losses} for r in (words, letters, order)}
    assert lost["words as they are"]["words in another order"] == 0.0
    assert lost["words as they are"]["upper case"] > 0.5 > 0.0 == lost["three letters"]["upper case"]
    assert lost["words as they are"]["typos in 100% of words"] > 0.5
    assert lost["three letters"]["typos in 100% of words"] < 0.3
    assert letters.mean_lost < words.mean_lost
    by_rate = [loss.lost for loss in words.losses if loss.name.startswith("typos")]
    assert by_rate == sorted(by_rate)
    for found in (words, letters):
        assert all(loss.low <= loss.lost <= loss.high for loss in found.losses)
        assert all(loss.lost == pytest.approx(found.recall - loss.recall) for loss in found.losses)


def test_another_shops_items_only_ever_take_away() -> None:
    task = shop()
    suite = standard_perturbations(distractors=[*task.queries, "something else"])
    found = measure(Bag("words as they are"), task, suite[-1:], k=1)
    assert found.losses[0].lost > 0.3  # an item that is the query itself beats those that are meant
    assert found.losses[0].changed == 0.0
    harmless = standard_perturbations(distractors=["zzzz"])[-1:]
    assert measure(Bag("words as they are"), task, harmless, k=3).losses[0].lost == 0.0


def test_what_happens_to_a_query_depends_on_nothing_else() -> None:
    task, suite = shop(), standard_perturbations()
    for one in suite:
        texts = perturbed(task.queries, one, 3)
        assert texts == perturbed(task.queries, one, 3)
        assert texts[5:] == perturbed(task.queries[5:], one, 3)
    whole = measure(Bag("three letters"), task, suite, k=5, seed=3)
    alone = measure(Bag("three letters"), task, suite[4:5], k=5, seed=3)
    assert whole.losses[4] == alone.losses[0]
    typos = suite[1]
    assert perturbed(task.queries, typos, 3) != perturbed(task.queries, typos, 4)


def test_only_what_was_changed_is_encoded_again() -> None:
    task, encoder = shop(), Bag("three letters")
    measure(encoder, task, [Perturbation("nothing", lambda text, rng: text)], k=5)
    assert encoder.asked == len(task.queries) + len(task.items)


@given(st.text(max_size=40))
def test_every_perturbation_takes_every_text(text: str) -> None:
    for one in standard_perturbations():
        assert one.perturb is not None
        assert isinstance(one.perturb(text, np.random.default_rng(0)), str)
    half, part = first_half(text, RNG), unfinished(text, RNG)
    assert text.startswith(part.rstrip()) or not part.strip()
    assert len(half.split()) <= len(text.split())


def test_each_does_what_its_name_says() -> None:
    suite = {one.name: one for one in standard_perturbations(typos=[1.0])}
    query = ["red wine of france"]

    def after(name: str) -> str:
        return perturbed(query, suite[name], 0)[0]

    assert after("upper case") == "RED WINE OF FRANCE"
    assert after("first half of the words") == "red wine"
    assert after("last letters not typed yet") == "red wine of fra"
    assert Counter(after("words in another order").split()) == Counter(query[0].split())
    assert after("words in another order") != query[0]
    assert query[0] in after("in other words") != query[0]
    wrong = after("typos in 100% of words").split()
    assert [a != b for a, b in zip(wrong, query[0].split(), strict=True)] == [True, True, False, True]


@pytest.mark.slow
def test_the_encoder_that_serves_is_measured_and_told_in_a_table() -> None:
    items = tuple(f"{a} {b}" for a in WORDS[:8] for b in WORDS[8:14])
    task = Retrieval(items, items, tuple(np.array([row]) for row in range(len(items))))
    found = measure(tiny_encoder(), task, standard_perturbations(distractors=["hand milk"]), k=1)
    assert found.recall == 1.0
    lost = {loss.name: loss.lost for loss in found.losses}
    assert lost["upper case"] == lost["lower case"] == 0.0  # its tokenizer knows small letters only
    assert lost["typos in 100% of words"] > lost["typos in 20% of words"] > 0
    lines = str(found).splitlines()
    assert len(lines) == 2 + len(found.losses)
    assert max(map(len, lines)) <= 80


def test_tasks_that_make_no_sense_are_told() -> None:
    one = (np.array([0]),)
    with pytest.raises(InvalidInput, match="each query needs"):
        Retrieval(("a",), ("b",), ())
    with pytest.raises(InvalidInput, match="at least one"):
        Retrieval(("a",), ("b",), (np.array([], dtype=np.int64),))
    with pytest.raises(InvalidInput, match=r"distinct rows in 0\.\.0"):
        Retrieval(("a",), ("b",), (np.array([1]),))
    with pytest.raises(InvalidInput, match="own item"):
        Retrieval(("a",), ("a",), one, own=np.array([0]))
    with pytest.raises(InvalidInput, match="k must be"):
        measure(Bag("three letters"), Retrieval(("a",), ("a",), one), [], k=2)
    with pytest.raises(InvalidInput, match=r"one \{\}"):
        standard_perturbations(templates=["buy"])
