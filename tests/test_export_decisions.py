"""The Parquet decision log holds what the journal holds, to the bit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from honeyguide.explore.baselines import Uniform
from honeyguide.export import decisions as module
from honeyguide.export.decisions import COLUMNS
from honeyguide.export.shop import export_shop
from honeyguide.journal.codec import to_us
from honeyguide.shop.workspace import Workspace
from tests.export_fixture import (
    NOW,
    FixedOdds,
    feedback,
    journal_of,
    log_of,
    log_pages,
    make_shop,
    page,
    rows_of,
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_shop(tmp_path_factory.mktemp("decisions"))
    decisions = log_pages(workspace, 12, k=3, policy=FixedOdds())
    with journal_of(workspace) as journal:
        journal.append(
            [feedback(decisions[0], item_id, "click", hours=2) for item_id in decisions[0].item_ids]
        )
    log_pages(workspace, 3, k=2, days=55, first=100)
    return workspace


def described(path: Path) -> dict[str, str]:
    return {row[0]: row[1] for row in rows_of(f"DESCRIBE SELECT * FROM read_parquet('{path}')")}


def table(path: Path) -> Iterator[dict[str, object]]:
    names = list(described(path))
    for row in rows_of(f"""SELECT * REPLACE (epoch_us("time") AS "time", epoch_us(reward_time) AS reward_time)
                          FROM read_parquet('{path}') ORDER BY "time", slot"""):
        yield dict(zip(names, row, strict=True))


def test_every_slot_is_a_row_with_what_the_journal_holds(shop: Workspace, tmp_path: Path) -> None:
    report = export_shop(shop, "decisions-with-features", tmp_path / "log.parquet", now=NOW)
    rows = list(table(tmp_path / "log.parquet"))
    with log_of(shop) as log:
        slots = [(found, slot) for found in log.pages() for slot in range(len(found.decision.chosen))]
    assert report.files[0].rows == len(rows) == len(slots) == 12 * 3 + 3 * 2
    for row, (found, slot) in zip(rows, slots, strict=True):
        decision, reaction = found.decision, found.reactions[slot]
        assert row["decision_id"] == decision.decision_id
        assert (row["time"], row["user_id"], row["surface"]) == (
            to_us(decision.time),
            decision.user_id,
            "home",
        )
        assert (row["slot"], row["item_id"]) == (slot, decision.item_ids[slot])
        assert (row["propensity"], row["pinned"]) == (decision.propensities[slot], decision.pinned[slot])
        assert row["score"] == decision.plan.scores[decision.chosen[slot]]
        assert (row["level"], row["reason"]) == (decision.plan.level, decision.plan.reason)
        assert (row["policy"], row["policy_version"]) == (decision.policy, decision.policy_version)
        assert (row["model_version"], row["page_size"]) == ("model-1", decision.page_size)
        assert (row["reward"], row["settled"]) == (found.rewards[slot], found.settled)
        assert row["reward_kind"] == (reaction.kind if reaction else None)
        assert row["reward_time"] == (reaction.time_us if reaction else None)
        assert row["candidates"] == list(decision.candidates.item_ids)
        assert row["pmf"] == decision.pmf.tolist()
        assert np.array_equal(np.array(row["features"], dtype=np.float32), decision.features[slot])


def test_what_was_pinned_is_said_to_be(tmp_path: Path) -> None:
    workspace = make_shop(tmp_path / "pinned")
    with journal_of(workspace) as journal:
        journal.append([page(7, k=3, policy=Uniform(), pins={1: 4})])
    export_shop(workspace, "decisions", tmp_path / "log.parquet", now=NOW)
    found = [(row["pinned"], row["propensity"]) for row in table(tmp_path / "log.parquet")]
    assert found == [(False, 1 / 4), (True, 1.0), (False, pytest.approx(1 / 3))]


def test_a_kind_and_a_time_stand_beside_every_reaction(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "decisions", tmp_path / "log.parquet", now=NOW)
    found = rows_of(f"""SELECT reward, reward_kind, reward_time - time FROM read_parquet('{tmp_path}/log.parquet')
                        WHERE decision_id = 'd0' AND item_id <> 'tea'""")
    assert {(reward, kind, delta.total_seconds()) for reward, kind, delta in found} == {
        (0.2, "click", 7200.0)
    }


def test_columns_and_their_types_are_the_documented_ones(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "decisions-with-features", tmp_path / "log.parquet", now=NOW)
    long_name = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    wanted = {name: long_name.get(kind, kind) for name, kind in COLUMNS.items()}
    assert described(tmp_path / "log.parquet") == wanted
    words = re.findall(r"^ *([a-z_]+(?:, [a-z_]+)*)  ", module.__doc__ or "", re.MULTILINE)
    assert {name for line in words for name in line.split(", ")} == set(COLUMNS)


def test_features_are_there_on_request_only(shop: Workspace, tmp_path: Path) -> None:
    export_shop(shop, "decisions", tmp_path / "log.parquet", now=NOW)
    assert set(COLUMNS) - set(described(tmp_path / "log.parquet")) == {"features"}


def test_pages_that_are_not_settled_are_there_and_counted(shop: Workspace, tmp_path: Path) -> None:
    report = export_shop(shop, "decisions", tmp_path / "log.parquet", now=NOW)
    assert report.left_out == ()
    assert report.notes[0].startswith("not settled are 3 decisions")
    unsettled = (
        f"SELECT count(DISTINCT decision_id) FROM read_parquet('{tmp_path}/log.parquet') WHERE NOT settled"
    )
    assert rows_of(unsettled) == [(3,)]
