"""What a tree of interests is made of: sizes, groups, company, soft memberships, and how good it is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.errors import InvalidInput
from honeyguide.interests.clusters import closeness, cluster
from honeyguide.interests.levels import Size, group, keep, node_parents
from honeyguide.interests.memberships import MOST, Memberships
from honeyguide.interests.quality import agreement, closeness_of, coherence, found_by_name, told_of_next
from honeyguide.interests.taxonomy import depths, held
from honeyguide.interests.temperature import learn_temperature
from honeyguide.interests.together import Company, draw_together
from honeyguide.types import Rows, Vectors


def rows(*numbers: int) -> Rows:
    return np.array(numbers, dtype=np.int64)


def unit(vectors: np.ndarray) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize(
    ("texts", "levels"), [(50, 2), (2_000, 2), (7_500, 3), (17_000, 3), (100_000, 4), (5_000_000, 4)]
)
def test_the_catalogue_decides_the_size(texts: int, levels: int) -> None:
    shape = Size().shape(texts)
    assert len(shape) == levels
    assert list(shape) == sorted(shape)
    assert shape[-1] == min(round(texts**0.5), 1_000)
    assert 2 <= shape[0] <= 16


def test_what_is_asked_for_is_made() -> None:
    assert Size(2, 12, 72).shape(10) == (12, 72)
    assert Size(4, 2, 16).shape(10) == (2, 4, 8, 16)
    assert Size(top=9).shape(4)[0] == 9
    for wrong in ((1, 0, 0), (5, 0, 0), (0, 3, 2), (0, -1, 0)):
        with pytest.raises(InvalidInput, match="got"):
            Size(*wrong)


def test_upper_levels_lie_within_each_other() -> None:
    centroids = unit(np.random.default_rng(0).normal(size=(40, 8)))
    groups = group(centroids, (3, 7, 16, 40))
    assert [len(np.unique(level)) for level in groups] == [3, 7, 16]
    for upper, lower in pairwise(groups):
        assert all(len(set(upper[lower == one])) == 1 for one in np.unique(lower))


def test_a_node_that_says_nothing_of_its_own_is_left_out() -> None:
    # leaf 0 is alone in both levels; leaves 1 to 3 are one top and one group; 4 and 5 are apart from 6
    groups = np.array([[0, 1, 1, 1, 2, 2, 2], [0, 1, 1, 1, 2, 2, 3]])
    assert node_parents(groups).tolist() == [8, 9, 9, 9, 7, 7, 10, 10, -1, -1, -1]
    assert depths(node_parents(groups)).tolist() == [1, 1, 1, 1, 2, 2, 1, 1, 0, 0, 0]
    assert held(node_parents(groups), 7).sum(axis=1).tolist() == [1] * 7 + [2, 1, 3, 3]


@given(
    levels=st.integers(2, 4),
    leaves=st.integers(1, 12),
    data=st.data(),
)
def test_any_groups_make_a_tree(levels: int, leaves: int, data: st.DataObject) -> None:
    labels = st.lists(st.integers(0, 3), min_size=leaves, max_size=leaves)
    nested = np.zeros(leaves, dtype=np.int64)
    groups = []
    for _ in range(levels - 1):  # each level's groups lie within those above
        nested = np.unique(nested * 4 + np.array(data.draw(labels)), return_inverse=True)[1].ravel()
        groups.append(nested)
    parents = node_parents(np.array(groups))
    below = np.flatnonzero(parents >= 0)
    children = np.bincount(parents[below], minlength=len(parents))
    tops = int((parents < 0).sum())
    assert tops == len(np.unique(groups[0]))
    assert (parents[-tops:] < 0).all(), "the top interests stand last"
    assert (parents[below] > below).all(), "a parent stands after its children"
    assert (children[:leaves] == 0).all()
    assert (children[leaves:] > 0).all()
    assert (children[leaves : len(parents) - tops] > 1).all(), "what lies between has several children"
    tops_of = held(parents, leaves)[-tops:].argmax(axis=0)
    assert len(set(zip(tops_of.tolist(), groups[0].tolist(), strict=True))) == tops


def test_known_groups_stay_until_they_are_clearly_worse() -> None:
    angles = np.array([0.0, 0.2, 1.5, 1.7])
    centroids = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    fresh = np.array([[0, 0, 1, 1]])
    assert keep(np.array([[5, -1, 7, 7]]), centroids, fresh).tolist() == [[5, 5, 7, 7]], (
        "new ones join the nearest"
    )
    assert keep(np.array([[5, 7, 5, 7]]), centroids, fresh).tolist() == fresh.tolist()
    assert keep(np.array([[-1] * 4]), centroids, fresh).tolist() == fresh.tolist()


def test_a_warm_start_keeps_the_order_of_clusters_and_finds_new_ones() -> None:
    centres = np.eye(4, 6)
    rng = np.random.default_rng(1)
    points = unit(np.repeat(centres, 20, axis=0) + 0.1 * rng.normal(size=(80, 6)))
    start = unit(centres[[2, 0, 3]])
    centroids, of = cluster(points, np.ones(80), 4, seed=0, start=start)
    assert (centroids[:3] * start).sum(axis=1).min() > 0.95
    assert of[[40, 0, 60, 20]].tolist() == [0, 1, 2, 3]
    alone, _ = cluster(points, np.ones(80), 4, seed=0)
    assert closeness(points, np.ones(80), centroids) == pytest.approx(
        closeness(points, np.ones(80), alone), abs=1e-6
    )


def test_a_start_that_is_clearly_worse_is_left() -> None:
    rng = np.random.default_rng(2)
    points = unit(np.repeat(np.eye(3, 6), 20, axis=0) + 0.05 * rng.normal(size=(60, 6)))
    wrong = np.tile(points[:1], (3, 1))
    _, of = cluster(points, np.ones(60), 3, seed=0, start=wrong)
    assert len(set(of.tolist())) == 3


def test_what_is_taken_together_is_drawn_together() -> None:
    vectors = unit(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    company = Company.of(rows(0, 0, 2), rows(1, 1, 2), np.array([90.0, 10.0, 50.0]))
    assert company.counts.toarray().tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 0]], (
        "nothing is its own company"
    )
    drawn = draw_together(vectors, company, 0.5)
    # 90 events: 0.5 * 90 / 100 = 0.45 towards the other; 10 events: 0.5 * 10 / 20 = 0.25; no company: none
    np.testing.assert_allclose(drawn[0], np.array([0.55, 0.45]) / np.hypot(0.55, 0.45), rtol=1e-6)
    np.testing.assert_allclose(drawn[1], np.array([0.25, 0.75]) / np.hypot(0.25, 0.75), rtol=1e-6)
    np.testing.assert_array_equal(drawn[2], vectors[2])
    np.testing.assert_allclose(draw_together(vectors, company, 0.0), vectors)
    with pytest.raises(InvalidInput, match=r"0\.\.1"):
        draw_together(vectors, company, 1.5)
    with pytest.raises(InvalidInput, match="square"):
        Company(company.counts, np.ones(2))


def test_memberships_are_shares_of_the_nearest_leaves() -> None:
    centroids = unit(np.eye(5))
    items = unit(np.array([[1.0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [4, 3, 2, 1, 0]]))
    found = Memberships.of(items, centroids, 0.2)
    assert found.main.tolist() == [0, 0, 0]
    assert found.of_item(0) == [(0, 1.0)]
    assert [leaf for leaf, _ in found.of_item(1)] == [0, 1]
    assert [weight for _, weight in found.of_item(1)] == pytest.approx([0.5, 0.5])
    weights = [weight for _, weight in found.of_item(2)]
    assert [leaf for leaf, _ in found.of_item(2)] == [0, 1, 2]
    assert weights == sorted(weights, reverse=True)
    ratio = np.exp((3 - 4) / np.sqrt(30) / 0.2)  # of the second's weight to the first's
    assert weights[1] / weights[0] == pytest.approx(ratio, rel=1e-5)
    for row in range(3):
        assert sum(weight for _, weight in found.of_item(row)) == pytest.approx(1)
        assert len(found.of_item(row)) <= MOST
    assert Memberships.of(items, centroids, 0.0).weight.tolist() == [1, 1, 1]
    assert found.take(rows(2, 0)).of_item(0) == found.of_item(2)
    assert found.take(rows(2, 0)).of_item(1) == found.of_item(0)


def test_items_that_say_nothing_are_in_the_leaf_that_says_nothing() -> None:
    centroids = np.vstack([unit(np.eye(3)), np.zeros((1, 3))]).astype(np.float32)
    items = np.vstack([unit(np.eye(3)), np.zeros((1, 3))]).astype(np.float32)
    found = Memberships.of(items, centroids, 0.3)
    assert found.main.tolist() == [0, 1, 2, 3]
    assert found.of_item(3) == [(3, 1.0)]
    assert all(leaf != 3 for row in range(3) for leaf, _ in found.of_item(row))
    with pytest.raises(InvalidInput, match="every item"):
        Memberships(rows(0, 0), rows(), np.zeros(0, dtype=np.float32))
    with pytest.raises(InvalidInput, match="end at"):
        Memberships(rows(0, 1), rows(), np.zeros(0, dtype=np.float32))


def test_the_temperature_is_higher_where_leaves_run_into_each_other() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(6, 16)))
    near, far = (
        unit(np.repeat(centres, 60, axis=0) + spread * rng.normal(size=(360, 16))) for spread in (0.05, 0.4)
    )
    ones = np.ones(360)
    told = [learn_temperature(points, ones, cluster(points, ones, 6, 0)[0], 0) for points in (near, far)]
    assert 0 < told[0] < told[1]
    assert learn_temperature(near, ones, centres[:1], 0) == 0


def test_weights_foretell_where_items_fall_in_another_half() -> None:
    rng = np.random.default_rng(3)
    points = unit(np.repeat(rng.normal(size=(5, 12)), 200, axis=0) + 1.6 * rng.normal(size=(1000, 12)))
    ones = np.ones(1000)
    centroids, _ = cluster(points, ones, 5, 0)
    temperature = learn_temperature(points, ones, centroids, 0)
    found = Memberships.of(points, centroids, temperature)
    best = found.weight[found.starts[:-1]]
    learn = np.arange(1000) % 2 == 0
    again, _ = cluster(points[learn], ones[learn], 5, 1, start=centroids)
    same = (points @ again.T).argmax(axis=1) == found.main
    sure, unsure = best > 0.9, best < 0.7
    assert same[sure].mean() > 0.9
    assert unsure.sum() > 20
    assert same[unsure & ~learn].mean() < same[sure & ~learn].mean()


def test_agreement_is_what_scikit_learn_says() -> None:
    from sklearn.metrics import normalized_mutual_info_score

    rng = np.random.default_rng(0)
    groups = rng.integers(0, 6, size=72)
    categories = [str(number) for number in rng.integers(0, 9, size=72)]
    assert agreement(groups, categories).nmi == pytest.approx(
        normalized_mutual_info_score(categories, groups)
    )


def test_agreement_judges_only_what_has_a_category() -> None:
    groups = np.repeat(np.arange(6), 12)
    found = agreement(groups, ["a"] * 12 + [""] * 60)
    assert (found.items, found.purity) == (12, 1.0)
    with pytest.raises(InvalidInput, match="no item has a category"):
        agreement(groups, [""] * 72)
    with pytest.raises(InvalidInput, match="72"):
        agreement(groups, ["a"])


def test_closeness_is_one_for_groups_of_one_text_and_none_for_groups_by_lot() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(np.repeat(rng.normal(size=(4, 64)), 50, axis=0) + 3.0)  # all lean one way, as encoders do
    ones = np.ones(200)
    assert closeness_of(vectors, np.repeat(np.arange(4), 50), ones) == pytest.approx(1, abs=1e-5)
    assert abs(closeness_of(vectors, rng.integers(0, 4, size=200), ones)) < 0.35
    assert closeness_of(np.zeros((3, 2), np.float32), rows(0, 0, 0), np.ones(3)) == 0


def test_coherence_is_npmi_of_what_is_taken_together() -> None:
    groups = rows(0, 0, 1, 1)
    # half of the pairs lie in each group, and each is half of what is taken: log(0.5 / 0.25) / -log 0.5
    assert coherence(groups, rows(0, 2), rows(1, 3)) == pytest.approx(1)
    assert coherence(groups, rows(0, 1), rows(2, 3)) == -1
    # pairs of every kind as often as chance has them
    assert coherence(groups, rows(0, 0, 2, 2), rows(1, 2, 1, 3)) == pytest.approx(0)
    # 2 of 4 pairs in group 0, none in group 1; taken 6 and 2 of 8: 3/4 of log(8/9) / log 2, and 1/4 of -1
    wanted = 0.75 * np.log(0.5 / 0.75**2) / np.log(2) - 0.25
    assert coherence(groups, rows(0, 0, 0, 1), rows(1, 1, 2, 3)) == pytest.approx(wanted)
    assert coherence(rows(0, 0), rows(0), rows(1)) == 1
    assert coherence(groups, rows(), rows()) == 0


def test_what_a_group_tells_of_the_next_is_counted_in_nats() -> None:
    groups = rows(0, 0, 1, 1)
    back_and_forth = (np.tile(rows(0, 2), 500), np.tile(rows(3, 1), 500))
    told, hit = told_of_next(groups, back_and_forth, back_and_forth)
    assert hit == 1
    assert told == pytest.approx(np.log(2), abs=0.06)
    by_lot = np.random.default_rng(0).integers(0, 4, size=(2, 4000))
    told, _ = told_of_next(groups, (by_lot[0], by_lot[1]), (by_lot[1], by_lot[0]))
    assert abs(told) < 0.01
    assert told_of_next(groups, back_and_forth, (rows(), rows())) == (0.0, 0.0)


def test_a_name_finds_what_it_means() -> None:
    vectors = unit(np.repeat(np.eye(3), 4, axis=0))
    groups = np.repeat(np.arange(3), 4)
    assert found_by_name(unit(np.eye(3)), vectors, groups) == 1
    assert found_by_name(unit(np.eye(3))[[1, 2, 0]], vectors, groups) == 0
    assert found_by_name(np.zeros((3, 3), np.float32), vectors, groups) == 0
