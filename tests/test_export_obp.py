"""The arrays are Open Bandit Pipeline's, and its estimators give on them what ours give on the decisions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from honeyguide.evaluate.ope import IPS
from honeyguide.export.shop import export_shop
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Candidates, Decision, Floats
from tests.export_fixture import (
    ITEMS,
    NOW,
    FixedOdds,
    feedback,
    journal_of,
    log_of,
    log_pages,
    make_shop,
    page,
)

Arrays: TypeAlias = dict[str, NDArray[Any]]
K, PAGES = 3, 60


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_shop(tmp_path_factory.mktemp("obp"))
    decisions = log_pages(workspace, PAGES, k=K)
    with journal_of(workspace) as journal:
        journal.append([feedback(decision, decision.item_ids[-1], "cart") for decision in decisions[::3]])
    return workspace


@pytest.fixture(scope="module")
def rounds(shop: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    out = tmp_path_factory.mktemp("out") / "rounds.npz"
    export_shop(shop, "obp", out, now=NOW)
    return load(out)


def load(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def settled(shop: Workspace) -> tuple[list[Decision], list[Floats]]:
    with log_of(shop) as log:
        pages = list(log.settled())
    return [found.decision for found in pages], [found.rewards for found in pages]


def test_what_was_pinned_is_no_round(tmp_path: Path) -> None:
    workspace = make_shop(tmp_path / "pinned")
    decision = page(7, k=4, policy=FixedOdds(), pins={0: 3, 2: 0})
    with journal_of(workspace) as journal:
        journal.append([decision])
    export_shop(workspace, "obp", tmp_path / "rounds.npz", now=NOW)
    found = load(tmp_path / "rounds.npz")
    assert found["position"].tolist() == [1, 3]
    assert [found["item_ids"][row] for row in found["action"]] == [decision.item_ids[1], decision.item_ids[3]]
    assert found["pscore"] == pytest.approx(decision.propensities[[1, 3]])
    assert found["pscore_cascade"] == pytest.approx(np.cumprod(decision.propensities[[1, 3]]))


def target_pmf(decision: Decision, slot: int) -> Floats:
    """What FixedOdds would draw the slot from, given the slots above it: over all candidates."""
    pmf = decision.candidates.features[:, 0].astype(np.float64)
    pmf[decision.chosen[:slot]] = 0.0
    return np.asarray(pmf / pmf.sum())


def test_shapes_and_types_are_those_of_logged_bandit_feedback(rounds: Arrays) -> None:
    n, m, d = PAGES * K, len(ITEMS), 2
    assert (int(rounds["n_rounds"]), int(rounds["n_actions"])) == (n, m)
    shapes = {
        "action": (n,), "position": (n,), "slate_id": (n,), "reward": (n,), "pscore": (n,),
        "pscore_cascade": (n,), "context": (n, d), "action_context": (m, d), "item_ids": (m,),
    }  # fmt: skip
    assert {name: rounds[name].shape for name in shapes} == shapes
    whole = ("n_rounds", "n_actions", "action", "position", "slate_id")
    assert {rounds[name].dtype for name in whole} == {np.dtype(np.int64)}
    parts = ("reward", "pscore", "pscore_cascade", "context", "action_context")
    assert {rounds[name].dtype for name in parts} == {np.dtype(np.float64)}
    assert rounds["item_ids"].dtype.kind == "U"


def test_every_round_is_a_shown_slot(shop: Workspace, rounds: Arrays) -> None:
    decisions, rewards = settled(shop)
    assert rounds["item_ids"][rounds["action"]].tolist() == [i for d in decisions for i in d.item_ids]
    assert np.array_equal(rounds["position"], np.tile(np.arange(K), PAGES))
    assert np.array_equal(rounds["slate_id"], np.repeat(np.arange(PAGES), K))
    assert np.array_equal(rounds["reward"], np.concatenate(rewards))
    assert np.array_equal(rounds["pscore"], np.concatenate([d.propensities for d in decisions]))


def test_contexts_are_means_of_features(shop: Workspace, rounds: Arrays) -> None:
    decisions, _ = settled(shop)
    for number, decision in enumerate(decisions):
        mean = decision.candidates.features.astype(np.float64).mean(axis=0)
        assert rounds["context"][number * K : (number + 1) * K] == pytest.approx(
            np.tile(mean, (K, 1)), abs=1e-12
        )
    features = {item_id: [] for item_id in ITEMS}  # type: dict[str, list[Floats]]
    for decision in decisions:
        for item_id, row in zip(decision.candidates.item_ids, decision.candidates.features, strict=True):
            features[item_id].append(row.astype(np.float64))
    wanted = [np.mean(features[str(item_id)], axis=0) for item_id in rounds["item_ids"]]
    assert rounds["action_context"] == pytest.approx(np.array(wanted), abs=1e-12)


def test_ipw_of_the_first_slot_is_our_ips(shop: Workspace, rounds: Arrays) -> None:
    decisions, rewards = settled(shop)
    ours = IPS(slots=1).estimate(decisions, rewards, FixedOdds())
    action_dist = np.zeros((len(decisions), len(ITEMS)))  # (rounds, actions), as obp wants a target policy
    row_of = {str(item_id): row for row, item_id in enumerate(rounds["item_ids"])}
    for number, decision in enumerate(decisions):
        rows = [row_of[item_id] for item_id in decision.candidates.item_ids]
        action_dist[number, rows] = target_pmf(decision, 0)
    first = rounds["position"] == 0
    weight = action_dist[np.arange(len(decisions)), rounds["action"][first]] / rounds["pscore"][first]
    assert float((weight * rounds["reward"][first]).mean()) == pytest.approx(ours.value, rel=1e-12)


def test_ips_of_whole_pages_is_ours_by_the_cascading_pscore(shop: Workspace, rounds: Arrays) -> None:
    decisions, rewards = settled(shop)
    ours = IPS(min_effective_n=1.0).estimate(decisions, rewards, FixedOdds())
    cascade = [
        np.cumprod([target_pmf(decision, slot)[row] for slot, row in enumerate(decision.chosen)])
        for decision in decisions
    ]
    weighted = rounds["reward"] * np.concatenate(cascade) / rounds["pscore_cascade"]
    assert float(weighted.sum() / len(np.unique(rounds["slate_id"]))) == pytest.approx(ours.value, rel=1e-12)


def test_decisions_of_another_width_are_left_out_and_counted(tmp_path: Path) -> None:
    workspace = make_shop(tmp_path)
    old = page(0, k=1, policy=FixedOdds())
    wide = np.ones((len(ITEMS), 5), dtype=np.float32)
    old = replace(
        old, candidates=Candidates(old.user_id, old.candidates.item_ids, wide), model_version="model-0"
    )
    with journal_of(workspace) as journal:
        journal.append([old])
    log_pages(workspace, 4, k=2, first=1)
    report = export_shop(workspace, "obp", tmp_path / "rounds.npz", now=NOW)
    assert [(left.rows, left.reason) for left in report.left_out] == [
        (1, "decisions with other features than the latest (2)")
    ]
    assert "2 model versions" in report.notes[0]
    assert load(tmp_path / "rounds.npz")["context"].shape == (8, 2)
    assert report.files[0].rows == 8


def test_a_large_catalogue_keeps_every_mean(tmp_path: Path) -> None:
    workspace = make_shop(tmp_path)
    items = tuple(f"sku-{number}" for number in range(300))
    decisions = [page(number, k=1, policy=FixedOdds(), items=items) for number in range(3)]
    with journal_of(workspace) as journal:
        journal.append(decisions)
    export_shop(workspace, "obp", tmp_path / "rounds.npz", now=NOW)
    found = load(tmp_path / "rounds.npz")
    first = dict(zip(found["item_ids"].tolist(), found["action_context"][:, 0].tolist(), strict=True))
    assert first == {item_id: number + 1.0 for number, item_id in enumerate(items)}
