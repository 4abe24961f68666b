"""The tree of interests: found again in any order of work, sized to the shop, named in its words."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.interests.discover import UNREAD, Stock, build_taxonomy
from honeyguide.interests.levels import Size
from honeyguide.interests.quality import agreement
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.types import Floats, Vectors
from tests.old_tree import as_two_levels

DIM = 24
SHELVES = {
    "grocery > frozen > frozen pizza": "frozen",
    "grocery > frozen > ice cream": "frozen",
    "drug > hair > shampoo and conditioner": "drug",
    "drug > toothpaste": "drug",
    "pets > dog > dog food": "pets",
    "pets > cat > cat litter": "pets",
}
NAMES = {"Frozen pizza", "Ice cream", "Shampoo & conditioner", "Toothpaste", "Dog food", "Cat litter"}


def shop(per_shelf: int = 12, seed: int = 0) -> tuple[Vectors, list[str], Floats]:
    """Items around six shelves, two and two of which are alike; texts end in a brand and a size."""
    rng = np.random.default_rng(seed)
    departments = {name: rng.normal(size=DIM) for name in sorted(set(SHELVES.values()))}
    vectors, texts = [], []
    for path, department in SHELVES.items():
        centre = 3 * departments[department] + 2 * rng.normal(size=DIM)
        for item in range(per_shelf):
            vectors.append(centre + 0.3 * rng.normal(size=DIM))
            texts.append(f"{path.split(' > ')[-1]}, {item} oz, {path}, National")
    unit = np.array(vectors, dtype=np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit, texts, np.ones(len(texts))


def stock(vectors: Vectors, texts: list[str], weights: Floats, **more: Any) -> Stock:
    return Stock([f"sku-{row}" for row in range(len(texts))], texts, vectors, weights, **more)


def build(vectors: Vectors, texts: list[str], weights: Floats, *, seed: int = 0) -> Taxonomy:
    return build_taxonomy(stock(vectors, texts, weights), size=Size(2, 3, 6), seed=seed)


@pytest.fixture(scope="module")
def tree() -> Taxonomy:
    return build(*shop())


def test_the_shelves_are_found_and_grouped(tree: Taxonomy) -> None:
    shelves = [path for path in SHELVES for _ in range(12)]
    departments = [department for department in SHELVES.values() for _ in range(12)]
    assert agreement(tree.leaf, shelves).purity == 1.0
    assert agreement(tree.leaf, shelves).nmi == pytest.approx(1.0)
    tops = set(zip(tree.top.tolist(), departments, strict=True))
    assert len(tops) == 3, "each top interest is one department"


def test_shelves_are_named_as_a_shopper_would(tree: Taxonomy) -> None:
    assert set(tree.leaf_names) == NAMES
    assert len(set(tree.top_names)) == 3
    for name in (*tree.leaf_names, *tree.top_names):
        assert name[0].isupper()
        assert not {"oz", "national"} & set(name.lower().split())


def test_shapes_and_units(tree: Taxonomy) -> None:
    assert tree.leaf.shape == (72,)
    assert tree.leaf.dtype == np.int64
    assert tree.parent.shape == (6,)
    assert tree.centroids.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(tree.centroids, axis=1), 1, atol=1e-6)
    assert len(tree) == 6


def test_new_items_fall_to_the_nearest_leaf(tree: Taxonomy) -> None:
    vectors, _, _ = shop()
    np.testing.assert_array_equal(tree.assign(vectors), tree.leaf)
    np.testing.assert_array_equal(tree.assign(vectors[5:7]), tree.leaf[5:7])
    assert tree.assign(np.zeros((0, DIM), dtype=np.float32)).shape == (0,)
    with pytest.raises(InvalidInput, match="24"):
        tree.assign(vectors[:, 1:])


def test_equal_seeds_give_equal_trees_and_versions(tree: Taxonomy) -> None:
    again = build(*shop())
    assert again.version == tree.version
    assert replace(tree, names=("other", *tree.names[1:])).version != tree.version
    for name, array in tree.state()[0].items():
        np.testing.assert_array_equal(again.state()[0][name], array)


def test_other_seeds_find_the_same_shelves(tree: Taxonomy) -> None:
    leaf = [str(row) for row in build(*shop(), seed=5).leaf]
    assert agreement(tree.leaf, leaf).nmi == pytest.approx(1.0)


def test_a_stored_tree_is_the_same_tree(tree: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("models")
    arrays, meta = tree.state()
    artifacts.save(root, "taxonomy", arrays, {"taxonomy": meta})
    stored = artifacts.load(root, "taxonomy")
    loaded = Taxonomy.from_state(stored.arrays, stored.meta["taxonomy"])
    assert loaded.version == tree.version
    assert loaded.names == tree.names
    assert loaded.growth == tree.growth
    with pytest.raises(DamagedArtifact, match="honeyguide fit"):
        Taxonomy.from_state({k: v for k, v in arrays.items() if k != "node_parent"}, meta)


@pytest.mark.parametrize("items", [1, 2, 3, 7])
def test_a_tiny_shop_has_a_tiny_tree(items: int) -> None:
    vectors, texts, weights = shop()
    rows = np.linspace(0, len(texts) - 1, items).astype(int)
    tree = build(vectors[rows], [texts[row] for row in rows], weights[rows])
    assert 1 <= len(tree) <= min(items, 6)
    assert len(tree.top_names) <= min(len(tree), 3)
    assert len(set(tree.leaf_names)) == len(tree)
    np.testing.assert_array_equal(np.unique(tree.leaf), np.arange(len(tree)))
    np.testing.assert_array_equal(np.unique(tree.parent), np.arange(len(tree.top_names)))


def test_items_without_text_have_a_leaf_of_their_own() -> None:
    vectors, texts, weights = shop()
    vectors, texts = vectors.copy(), list(texts)
    vectors[[3, 40]] = 0
    texts[3] = texts[40] = ""
    tree = build(vectors, texts, weights)
    assert tree.leaf_names[-1] == tree.top_names[-1] == UNREAD
    assert np.flatnonzero(tree.leaf == len(tree) - 1).tolist() == [3, 40]
    np.testing.assert_array_equal(tree.assign(vectors), tree.leaf)


def test_a_shop_without_any_text_is_one_leaf() -> None:
    tree = build(np.zeros((3, DIM), dtype=np.float32), ["", "", ""], np.ones(3))
    assert tree.leaf_names == tree.top_names == (UNREAD,)
    assert tree.assign(np.zeros((1, DIM), dtype=np.float32)).tolist() == [0]


def test_what_is_bought_decides_where_leaves_are_scarce() -> None:
    vectors, texts, weights = shop()
    sold = np.where(np.arange(len(texts)) < 24, 1_000.0, 1.0)
    pizza, ice = slice(0, 12), slice(12, 24)
    even, selling = (
        build_taxonomy(stock(vectors, texts, w), size=Size(2, 1, 3), seed=0).leaf for w in (weights, sold)
    )
    assert set(even[pizza].tolist()) == set(even[ice].tolist()), "three leaves, three departments"
    assert not set(selling[pizza].tolist()) & set(selling[ice].tolist()), "what sells is told apart"


def test_names_come_from_phrases_where_they_are_given() -> None:
    vectors, texts, weights = shop()
    phrases = [f"Grocery > {'Tiefkühlkost' if row < 24 else 'Sonstiges'}" for row in range(len(texts))]
    tree = build_taxonomy(stock(vectors, texts, weights, phrases=phrases), size=Size(2, 3, 6), seed=0)
    assert any("Tiefkühlkost" in name for name in tree.leaf_names)
    assert len(set(tree.leaf_names)) == 6, "where the words run out, names are numbered"


def test_the_map_keeps_neighbours_together(tree: Taxonomy) -> None:
    layout = tree.layout
    places = np.concatenate([layout.leaf_xy, layout.item_xy])
    assert places.dtype == np.float32
    assert np.isfinite(places).all()
    assert np.abs(places).max() <= 1.0
    assert len(set(layout.item_rows.tolist())) == len(layout.item_rows)
    distance = np.linalg.norm(layout.item_xy[:, None] - layout.leaf_xy[None], axis=2)
    hits = distance.argmin(axis=1) == tree.leaf[layout.item_rows]
    assert hits.mean() > 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": ["one"]}, "one row per text"),
        ({"ids": ["one"]}, "one row per text"),
        ({"weights": np.full(72, np.nan)}, "finite"),
        ({"weights": np.full(72, -1.0)}, "at least 0"),
        ({"phrases": ["one"]}, "one row per text"),
        ({"first": np.zeros(1, np.int64)}, "together"),
        (
            {"ids": [], "vectors": np.zeros((0, 3), np.float32), "texts": [], "weights": np.zeros(0)},
            "import a catalogue",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(changes: dict[str, Any], message: str) -> None:
    vectors, texts, weights = shop()
    with pytest.raises(InvalidInput, match=message):
        replace(stock(vectors, texts, weights), **changes)


def test_a_tree_that_does_not_fit_together_is_refused(tree: Taxonomy) -> None:
    with pytest.raises(InvalidInput, match="one entry per node"):
        replace(tree, names=("one",))
    with pytest.raises(InvalidInput, match="one id"):
        replace(tree, ids=(tree.ids[0], *tree.ids[:-1]))
    with pytest.raises(InvalidInput, match=r"0\.\.5"):
        replace(tree, members=replace(tree.members, leaf=tree.members.leaf + 1))
    with pytest.raises(InvalidInput, match="stands after it"):
        replace(tree, node_parent=np.zeros_like(tree.node_parent))
    with pytest.raises(InvalidInput, match="has no children"):
        replace(tree, node_parent=np.where(tree.node_parent < 0, -1, [1, *[8] * 8]))


def test_a_tree_of_two_levels_from_before_is_read(tree: Taxonomy) -> None:
    old = Taxonomy.from_state(*as_two_levels(tree))
    assert old.names == tree.names
    assert len(set(old.ids)) == 9
    np.testing.assert_array_equal(old.leaf, tree.leaf)
    np.testing.assert_array_equal(old.parent, tree.parent)
    assert old.members.of_item(5) == [(int(tree.leaf[5]), 1.0)]
