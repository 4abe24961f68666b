"""A tree of interests is gone on from: ids and names stay where the items stay, and nothing is numbered twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from honeyguide.interests import discover
from honeyguide.interests.discover import Stock, build_taxonomy
from honeyguide.interests.levels import Size
from honeyguide.interests.quality import closeness_of
from honeyguide.interests.taxonomy import Changes, InterestMap, Taxonomy
from honeyguide.types import Floats, Rows, Vectors

DIM, SHELVES, PER_SHELF = 32, 18, 30
SIZE = Size(3, 6, 18)
NOUNS = (
    "apple bread candle drill engine fork glove hammer ink jacket kettle lamp mirror needle onion pillow quilt rope"
).split()


def catalogue(seed: int = 0, rows: Rows | None = None) -> Stock:
    """Eighteen shelves of thirty items in six departments; shelves of one department are alike."""
    rng = np.random.default_rng(seed)
    departments = 2 * rng.normal(size=(6, DIM))
    shelves = departments[np.arange(SHELVES) % 6] + 1.5 * rng.normal(size=(SHELVES, DIM))
    shelf = np.repeat(np.arange(SHELVES), PER_SHELF)
    vectors = shelves[shelf] + 0.5 * rng.normal(size=(len(shelf), DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = rng.uniform(0, 3, size=len(shelf))
    texts = [f"{NOUNS[s]} {number}x{s}" for number, s in enumerate(shelf.tolist())]
    ids = [f"sku-{row}" for row in range(len(shelf))]
    return part(
        Stock(ids, texts, vectors.astype(np.float32), weights), np.arange(len(ids)) if rows is None else rows
    )


def part(stock: Stock, rows: Rows) -> Stock:
    def of(column: Any) -> list[str]:
        return [column[row] for row in rows.tolist()]

    return Stock(of(stock.ids), of(stock.texts), stock.vectors[rows], stock.weights[rows])


def grow(stock: Stock, before: Taxonomy | None = None, size: Size = SIZE, seed: int = 0) -> Taxonomy:
    return build_taxonomy(stock, size=size, seed=seed, before=before)


def leaf_ids(tree: Taxonomy, stock: Stock) -> dict[str, str]:
    return {item: tree.ids[leaf] for item, leaf in zip(stock.ids, tree.leaf.tolist(), strict=True)}


def name_of(tree: Taxonomy) -> dict[str, str]:
    return dict(zip(tree.ids, tree.names, strict=True))


@pytest.fixture(scope="module", autouse=True)
def without_a_map() -> Iterator[None]:
    """Laying out the map takes most of the time, and nothing here looks at it."""

    def nowhere(
        centroids: Vectors, vectors: Vectors, rows: Rows, weights: Floats, *, seed: int
    ) -> InterestMap:
        none = np.zeros((0, 2), dtype=np.float32)
        return InterestMap(np.zeros((len(centroids), 2), dtype=np.float32), np.zeros(0, dtype=np.int64), none)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discover, "lay_out", nowhere)
        yield


@pytest.fixture(scope="module")
def first(without_a_map: None) -> Taxonomy:
    return grow(catalogue())


def test_the_same_data_give_the_same_tree(first: Taxonomy) -> None:
    again = grow(catalogue(), first)
    assert again.ids == first.ids
    assert again.names == first.names
    np.testing.assert_array_equal(again.leaf, first.leaf)
    np.testing.assert_array_equal(again.node_parent, first.node_parent)
    assert again.growth.changes == replace(Changes(), kept=1.0)
    assert again.growth.numbered == first.growth.numbered


@pytest.mark.parametrize("seed", range(4))
def test_another_seed_keeps_what_is_known(first: Taxonomy, seed: int) -> None:
    again = grow(catalogue(), first, seed=seed)
    assert again.ids == first.ids
    assert again.names == first.names


@pytest.mark.parametrize("seed", range(4))
def test_a_twentieth_of_new_items_leaves_ids_and_names(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(SHELVES * PER_SHELF)
    twentieth = len(order) // 20
    whole = catalogue()
    old, new = part(whole, np.sort(order[twentieth:])), part(whole, np.sort(order[:-twentieth]))
    before = grow(old)
    after = grow(new, before)
    was, now = leaf_ids(before, old), leaf_ids(after, new)
    shared = was.keys() & now.keys()
    kept = np.mean([was[item] == now[item] for item in shared])
    assert kept >= 0.9
    assert after.growth.changes.kept == pytest.approx(kept)
    names, then = name_of(after), name_of(before)
    held = sum(names[node] == then[node] for node in names.keys() & then.keys())
    assert held >= 0.9 * len(names)


def test_the_order_of_the_catalogue_does_not_matter(first: Taxonomy) -> None:
    shuffled = np.random.default_rng(3).permutation(SHELVES * PER_SHELF)
    stock = part(catalogue(), shuffled)
    again = grow(stock, first)
    assert leaf_ids(again, stock) == leaf_ids(first, catalogue())
    assert name_of(again) == name_of(first)


def test_a_shelf_that_is_taken_away_is_retired_and_its_id_never_comes_back(first: Taxonomy) -> None:
    rows = np.arange(SHELVES * PER_SHELF)
    gone = first.ids[first.leaf[0]]
    without = part(catalogue(), rows[rows // PER_SHELF != 0])
    after = grow(without, first, Size(3, 6, 17))
    assert gone in after.growth.changes.retired
    assert gone not in after.ids
    at = after.growth.changes.retired.index(gone)
    assert after.growth.changes.retired_names[at] == first.names[first.ids.index(gone)]
    back = grow(catalogue(), after)
    born = back.growth.changes.born
    assert back.ids[back.leaf[0]] in born
    assert not set(born) & {*first.ids, *after.ids}


def test_ids_are_never_given_twice() -> None:
    trees = [grow(catalogue(seed=seed)) for seed in (1,)]
    for seed in (2, 3, 4):  # other shelves every time, of other items
        stock = catalogue(seed=seed)
        renewed = replace(stock, ids=[f"{seed}-{item}" for item in stock.ids])
        trees.append(grow(renewed, trees[-1]))
    seen: set[str] = set()
    for before, after in pairwise(trees):
        seen |= set(before.ids)
        assert not seen & set(after.growth.changes.born)
        assert set(after.ids) == set(after.growth.changes.born)
        assert set(after.growth.changes.retired) == set(before.ids)
        assert after.growth.changes.kept is None


def test_names_change_where_the_content_has_moved_only(first: Taxonomy) -> None:
    stock = catalogue()
    renamed = [text.replace("apple", "avocado").replace("bread", "bun") for text in stock.texts]
    same = grow(replace(stock, texts=renamed), first)
    assert same.names == first.names, (
        "the items are the same: the words for them do not make a dashboard jump"
    )
    other = np.where(
        np.arange(len(renamed)) < 20, (np.arange(len(renamed)) + 40) % 60, np.arange(len(renamed))
    )
    moved = grow(replace(stock, texts=renamed, vectors=stock.vectors[other]), first)
    told = moved.growth.changes
    assert told.moved
    assert set(told.renamed) <= {*told.moved, *told.born}
    then, now = name_of(first), name_of(moved)
    assert {node for node in then.keys() & now.keys() if then[node] != now[node]} == set(told.renamed)
    assert [then[node] for node in told.renamed] == list(told.names_before)


def test_a_tree_stays_its_size_while_the_catalogue_grows_a_little() -> None:
    size = Size()
    assert size.shape(400) == (4, 20)
    assert size.shape(500, before=(4, 20)) == (4, 20)
    assert size.shape(900, before=(4, 20)) == (5, 30)
    assert Size(leaves=40).shape(400, before=(4, 20))[-1] == 40


def test_what_changed_is_stored_with_the_tree(first: Taxonomy) -> None:
    after = grow(part(catalogue(), np.arange(30, 540)), first)
    loaded = Taxonomy.from_state(*after.state())
    assert loaded.growth == after.growth
    assert loaded.growth.changes.kept is not None


def test_warm_starts_cost_no_quality() -> None:
    whole = catalogue()
    rows = np.random.default_rng(5).permutation(len(whole.ids))
    old, new = part(whole, np.sort(rows[60:])), part(whole, np.sort(rows[:-60]))
    warm, fresh = grow(new, grow(old)), grow(new)
    ones: Floats = np.ones(len(new.ids))
    vectors: Vectors = new.vectors
    assert closeness_of(vectors, warm.leaf, ones) >= 0.98 * closeness_of(vectors, fresh.leaf, ones)
