"""One line of VW dsjson per slot: the logged propensity, a distribution over what was left; VW learns from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.explore.baselines import Ranked, Uniform
from honeyguide.export.dsjson import slot_pmf
from honeyguide.export.shop import export_shop
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Decision, Policy
from tests.export_fixture import ITEMS, NOW, FixedOdds, journal_of, log_of, log_pages, make_shop, page

POLICIES: tuple[Policy, ...] = (Uniform(), FixedOdds(), Ranked(0, floor=0.1))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_shop(tmp_path_factory.mktemp("dsjson"))
    for number, policy in enumerate(POLICIES):
        log_pages(workspace, 20, k=len(ITEMS) - number, policy=policy, first=100 * number)
    log_pages(workspace, 4, k=2, days=55, first=900)
    return workspace


@pytest.fixture(scope="module")
def lines(shop: Workspace, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "log.dsjson"
    export_shop(shop, "dsjson", out, now=NOW)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def slots(shop: Workspace) -> Iterator[tuple[Decision, int, float]]:
    with log_of(shop) as log:
        for found in log.settled():
            for slot, reward in enumerate(found.rewards.tolist()):
                yield found.decision, slot, reward


def test_every_slot_of_a_settled_page_is_a_line_with_its_logged_propensity_and_reward(
    shop: Workspace, lines: list[dict[str, Any]]
) -> None:
    wanted = [
        (f"{decision.decision_id}#{slot}", decision.propensities[slot], -reward)
        for decision, slot, reward in slots(shop)
    ]
    found = [(line["EventId"], line["_label_probability"], line["_label_cost"]) for line in lines]
    assert found == wanted
    assert len(found) == 20 * (5 + 4 + 3)


def test_the_label_names_the_shown_item_among_those_that_were_left(
    shop: Workspace, lines: list[dict[str, Any]]
) -> None:
    for line, (decision, slot, _) in zip(lines, slots(shop), strict=True):
        tags = [action["_tag"] for action in line["c"]["_multi"]]
        assert tags[line["_labelIndex"]] == decision.item_ids[slot]
        assert line["_label_Action"] == line["a"][0] == line["_labelIndex"] + 1
        assert sorted(line["a"]) == list(range(1, len(tags) + 1))
        above = decision.item_ids[:slot]
        assert tags == [item_id for item_id in decision.candidates.item_ids if item_id not in above]


def test_p_is_a_distribution_whose_first_entry_is_the_propensity(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        assert sum(line["p"]) == pytest.approx(1, abs=1e-12)
        assert line["p"][0] == line["_label_probability"]
        assert min(line["p"]) >= 0
        assert len(line["p"]) == len(line["c"]["_multi"])


def test_p_of_the_first_slot_is_the_logged_pmf(shop: Workspace, lines: list[dict[str, Any]]) -> None:
    for line, (decision, slot, _) in zip(lines, slots(shop), strict=True):
        if slot == 0:
            by_row = dict(zip(line["a"], line["p"], strict=True))
            assert [by_row[row + 1] for row in range(len(by_row))] == decision.pmf.tolist()


def test_with_fixed_odds_p_is_the_pmf_renormalised_over_what_was_left() -> None:
    for number in range(20):
        decision = page(number, k=5, policy=FixedOdds())
        left = np.arange(5)
        for slot, row in enumerate(decision.chosen):
            exact = decision.pmf[left] / decision.pmf[left].sum()
            assert slot_pmf(decision, slot, left) == pytest.approx(exact, abs=1e-12)
            left = np.delete(left, np.searchsorted(left, row))


def test_what_was_pinned_has_no_line_and_is_no_candidate(tmp_path: Path) -> None:
    workspace = make_shop(tmp_path / "pinned")
    decision = page(7, k=4, policy=Ranked(0, floor=0.1), pins={0: 3, 2: 0})
    with journal_of(workspace) as journal:
        journal.append([decision])
    out = tmp_path / "log.dsjson"
    export_shop(workspace, "dsjson", out, now=NOW)
    first, second = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    assert (first["EventId"], second["EventId"]) == ("d7#1", "d7#3")
    ids = decision.candidates.item_ids
    assert [action["_tag"] for action in first["c"]["_multi"]] == [ids[row] for row in (1, 2, 4)]
    assert first["p"][0] == decision.propensities[1] == decision.pmf[decision.chosen[1]]
    assert sum(first["p"]) == pytest.approx(1.0)
    assert (len(second["p"]), second["p"][0]) == (2, decision.propensities[3])


def test_features_and_context_come_back_to_the_bit(shop: Workspace, lines: list[dict[str, Any]]) -> None:
    for line, (decision, slot, _) in zip(lines, slots(shop), strict=True):
        shown = line["c"]["_multi"][line["_labelIndex"]]
        assert np.array_equal(np.array(shown["f"], dtype=np.float32), decision.features[slot])
        assert shown["item"] == {"id": decision.item_ids[slot]}
        context = (line["c"]["user"], line["c"]["surface"], line["c"]["slot"])
        assert context == (decision.user_id, "home", str(slot))
        assert line["Timestamp"] == decision.time.isoformat().replace("+00:00", "Z")


def test_pages_that_are_not_settled_are_left_out_with_the_reason(shop: Workspace, tmp_path: Path) -> None:
    (left,) = export_shop(shop, "dsjson", tmp_path / "log", now=NOW).left_out
    assert (left.rows, "14 days" in left.reason) == (4, True)


def vw(arguments: str) -> str:
    """What VW says about a run."""
    workspace = pytest.importorskip(
        "vowpalwabbit", reason="vowpalwabbit is not installed: pip install vowpalwabbit==9.11.9"
    ).Workspace(arguments, enable_logging=True)
    workspace.finish()
    return "\n".join(workspace.get_log())


def average_loss(said: str) -> float:
    found = re.search(r"^average loss = (\S+)", said, re.MULTILINE)
    assert found is not None, said
    return float(found[1])


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("policy", [Uniform(), FixedOdds()], ids=lambda policy: str(policy.name))
def test_vw_finds_the_item_that_is_better(policy: Policy, k: int, tmp_path: Path) -> None:
    workspace = make_shop(tmp_path)
    log_pages(workspace, 400, k=k, policy=policy)
    data, model = tmp_path / "log.dsjson", tmp_path / "vw.model"
    export_shop(workspace, "dsjson", data, now=NOW)
    vw(
        f"--cb_explore_adf --dsjson -d {data} --passes 4 --holdout_off -k --cache_file {data}.cache -f {model}"
    )
    learned = average_loss(vw(f"--dsjson -t -i {model} -d {data}"))
    earned = [(reward, decision.propensities[slot]) for decision, slot, reward in slots(workspace)]
    logged = -float(np.mean([reward for reward, _ in earned]))
    best = -float(np.mean([reward / propensity for reward, propensity in earned]))  # tea wherever it is left
    assert learned == pytest.approx(best, rel=0.08)  # VW still explores 5 %
    assert logged > 0.5 * best
