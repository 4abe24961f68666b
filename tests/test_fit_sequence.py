"""What the sequence model is learned from and judged by, whole baskets held out, and what else it is to learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.config import Sequence, Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import load_events
from honeyguide.fit.sequence import part, sequence_stage
from honeyguide.interests.sequence.histories import AT_ONCE, FIRST, SOON, Sequences
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.shop.releases import SEQUENCE, TAXONOMY
from honeyguide.shop.workspace import Workspace
from honeyguide.types import quietly
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import SPLIT

HALF = replace(Settings(), sequence=Sequence(held_out=0.5))


def baskets(*users: list[list[int]]) -> Sequences:
    """Users with baskets with items."""
    tokens = [item for user in users for basket in user for item in basket]
    gaps = [
        AT_ONCE if place else (SOON if number else FIRST)
        for user in users
        for number, basket in enumerate(user)
        for place, _ in enumerate(basket)
    ]
    starts = np.cumsum([0, *(sum(map(len, user)) for user in users)])
    kinds = np.full(len(tokens), 4, dtype=np.int8)
    return Sequences(np.array(tokens), kinds, np.array(gaps, dtype=np.int8), starts)


def test_a_basket_is_held_out_whole_and_asked_for_at_its_moment() -> None:
    parted = part(baskets(*[[[1, 2], [3, 4, 5]]] * 4), HALF)
    assert sorted(parted.known.lengths.tolist()) == [2, 2, 5, 5]
    assert parted.asked.tokens.tolist() == [1, 2, 1, 2]
    assert parted.asked.ahead.tolist() == [SOON, SOON]
    assert parted.taken.tokens.tolist() == [3, 4, 5, 3, 4, 5]
    assert parted.taken.lengths.tolist() == [3, 3]
    assert parted.targets.tolist() == [5, 5]


def test_who_has_one_basket_alone_is_not_asked() -> None:
    parted = part(baskets([[1, 2, 3]], [[1], [2]]), HALF)
    assert parted.known.tokens.tolist() == [1, 2, 3, 1]
    assert (parted.asked.tokens.tolist(), parted.taken.tokens.tolist()) == ([1], [2])


def test_of_single_baskets_the_last_item_is_held_out() -> None:
    parted = part(baskets([[1, 2, 3]], [[4, 5]]), HALF)
    assert parted.taken.lengths.tolist() == [1]
    assert parted.asked.ahead.tolist() == [AT_ONCE]
    assert len(parted.known.tokens) == 4


def test_a_balance_reaches_the_model_and_without_one_its_weights_change_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    workspace = Workspace.at(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path))
    catalog = Catalog.read(workspace.items)
    table = load_events(workspace.events, catalog, until=SPLIT)
    vectors = np.random.default_rng(0).normal(size=(len(catalog), 8)).astype(np.float32)
    grown = artifacts.load(workspace.models, TAXONOMY)
    taxonomy = Taxonomy.from_state(grown.arrays, grown.meta["taxonomy"])

    def made(**changed: object) -> str | None:
        given = replace(workspace.settings.sequence, epochs=2, memory=False, **changed)  # type: ignore[arg-type]
        settings = replace(workspace.settings, sequence=given)
        sequence_stage(workspace, settings, catalog, vectors, taxonomy, table, quietly)
        return artifacts.current(workspace.models, SEQUENCE)

    def curves() -> dict[str, tuple[float, ...]]:
        points = artifacts.load(workspace.models, SEQUENCE).meta["curve"]
        return {name: tuple(point[name] for point in points) for name in points[0]}

    plain = made()
    assert made(coverage=0.7) == plain
    assert curves().keys() == {"epoch", "train", "held_out", "ndcg", "recall"}
    assert made(balance="lagrangian") != plain
    assert curves()["weight of coverage"][0] == 0  # it learns without first
    assert curves()["weight of calibration"][-1] > 0
