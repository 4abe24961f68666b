"""`honeyguide taxonomy` shows the whole tree, and what it says adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide import artifacts
from honeyguide.cli.app import main
from honeyguide.config import FILE_NAME
from honeyguide.errors import InvalidInput
from honeyguide.fit import fit
from honeyguide.interests.outline import outline
from honeyguide.shop.models import load_fitted
from honeyguide.shop.releases import TAXONOMY
from honeyguide.shop.workspace import Workspace
from tests.fitted import copy_of, fitted_shop
from tests.old_tree import as_two_levels
from tests.shop_fixture import NOW, PER_KIND, SPLIT
from tests.test_taxonomy_namers import tiny_causal


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_shop(tmp_path_factory.getbasetemp())


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    assert exit.value.code == 0
    return capsys.readouterr().out


def test_the_tree_as_json_adds_up(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = json.loads(said(capsys, "taxonomy", shop, "--json"))
    nodes = {node["id"]: node for node in found["interests"]}
    leaves = [node for node in found["interests"] if node["leaf"]]
    assert len(leaves) == found["leaves"] == 6
    assert sum(node["items"] for node in leaves) == 6 * PER_KIND
    assert sum(node["share"] for node in leaves) == pytest.approx(1)
    for key in ("items", "taken"):
        for one in nodes.values():
            below = [node[key] for node in nodes.values() if node["parent"] == one["id"]]
            assert one["leaf"] or one[key] == sum(below)
    assert all(node["parent"] in nodes for node in nodes.values() if node["depth"])
    assert {node["mark"] for node in nodes.values()} == {""}, "a first tree has nothing to be compared with"
    assert found["changes"]["kept"] is None
    assert -1 <= found["quality"]["coherence"] <= 1
    assert 0 < found["quality"]["categories"]["purity"] <= 1


def test_fewer_levels_show_the_top_of_the_tree(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(said(capsys, "taxonomy", shop, "--json"))["interests"]
    top = json.loads(said(capsys, "taxonomy", shop, "--levels", 1, "--json"))["interests"]
    assert top == [node for node in whole if node["depth"] == 0]


def test_the_tree_in_words_names_every_interest(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = said(capsys, "taxonomy", shop)
    workspace = Workspace.at(shop)
    tree = load_fitted(workspace.models, workspace.items).taxonomy
    assert all(node in text for node in tree.ids)
    assert "NMI" in text
    assert "Since the fit before" not in text


def test_a_later_fit_keeps_ids_and_says_what_changed(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.at(copy_of(shop, tmp_path))
    before = load_fitted(workspace.models, workspace.items).taxonomy
    fit(workspace, now=NOW)  # six more weeks
    after = load_fitted(workspace.models, workspace.items).taxonomy
    assert after.growth.changes.kept is not None
    assert after.growth.changes.kept >= 0.9
    assert set(before.ids) & set(after.ids)
    assert "of the known items kept their interest" in said(capsys, "taxonomy", workspace.root)


def test_a_tree_from_before_there_were_ids_is_shown_and_gone_on_from(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace.at(copy_of(shop, tmp_path))
    tree = load_fitted(workspace.models, workspace.items).taxonomy
    arrays, names = as_two_levels(tree)
    artifacts.save(workspace.models, TAXONOMY, arrays, {"key": "old", "taxonomy": names})
    assert all(name in said(capsys, "taxonomy", workspace.root, "--json") for name in tree.leaf_names)
    old = load_fitted(workspace.models, workspace.items).taxonomy
    fit(workspace, now=NOW, until=SPLIT)
    new = load_fitted(workspace.models, workspace.items).taxonomy
    assert not set(new.ids) & set(old.ids), "which items were where is not known: all of it is new"
    np.testing.assert_array_equal(new.leaf, tree.leaf)


@pytest.mark.slow
def test_a_model_that_is_configured_has_a_say_in_names_only(shop: Path, tmp_path: Path) -> None:
    workspace = Workspace.at(copy_of(shop, tmp_path))
    before = load_fitted(workspace.models, workspace.items).taxonomy
    file = workspace.root / FILE_NAME
    named = f'namer = "{tiny_causal(tmp_path / "causal")}"'
    file.write_text(file.read_text().replace('namer = ""', named))
    fit(workspace, now=NOW, until=SPLIT)
    after = load_fitted(workspace.models, workspace.items).taxonomy
    assert (before.growth.namer, after.growth.namer.split(" ")[:2]) == ("encoder", ["encoder,", "causal"])
    assert after.ids == before.ids
    np.testing.assert_array_equal(after.leaf, before.leaf)
    assert set(after.growth.changes.renamed) == {
        node for node, old, new in zip(after.ids, before.names, after.names, strict=True) if old != new
    }


def test_an_outline_needs_the_trees_own_items(shop: Path) -> None:
    workspace = Workspace.at(shop)
    tree = load_fitted(workspace.models, workspace.items).taxonomy
    with pytest.raises(InvalidInput, match="one entry per item"):
        outline(tree, np.zeros(3, dtype=np.int64), ["a"] * 3)
