"""The policy that serves is a setting; what is told about its pages is about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME, Explore
from honeyguide.errors import InvalidSettings
from honeyguide.evaluate.summary import title
from honeyguide.shop.policies import serving
from honeyguide.shop.workspace import Workspace, settings_toml
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def opened(shop: Path, policy: str) -> Honeyguide:
    settings = Workspace.at(shop).settings
    changed = replace(settings, explore=replace(settings.explore, policy=policy))
    write_atomically(shop / FILE_NAME, settings_toml(changed).encode())
    return Honeyguide.open(shop, clock=lambda: NOW)


@pytest.mark.parametrize(
    "policy", ["tradeoff", "corral", "capped-0.2-diverse-0.3-tradeoff", "interest-first-led-0.5"]
)
def test_everybody_is_served_by_the_policy_of_the_settings(shop: Path, policy: str) -> None:
    with opened(shop, policy) as it:
        page = it.decide("user-1", k=4)
        assert (page.policy, page.policy_version) == (policy, policy)
        assert (page.candidates.leads is None) == (it.fitted.transitions is None)
        before = it.policy.state()
        it.feedback(page.decision_id, page.item_ids[0], "purchase")
        after = it.policy.state()
        assert any(not np.array_equal(before[key], after[key]) for key in after if key in before)
        assert len(it.interests("user-1")) > 0
        assert len(it.recommend("user-1", k=3)) == 3
    with Honeyguide.open(shop, clock=lambda: NOW) as again:
        assert all(np.array_equal(again.policy.state()[key], array) for key, array in after.items())


def test_what_was_logged_under_one_policy_is_learned_by_the_next(shop: Path) -> None:
    with opened(shop, "tradeoff") as it:
        page = it.decide("user-1", k=4)
        it.feedback(page.decision_id, page.item_ids[0], "purchase")
        learned = it.policy.posterior.state()
    with opened(shop, "gradient") as other:
        assert all(
            np.array_equal(other.policy.posterior.state()[key], array) for key, array in learned.items()
        )


@pytest.mark.parametrize("policy", ["uniform", "popularity", "habit"])
def test_what_holds_no_belief_does_not_serve_everybody(shop: Path, policy: str) -> None:
    with pytest.raises(InvalidSettings, match="holds a belief"):
        opened(shop, policy)


def test_a_policy_nobody_knows_is_refused_as_a_setting(shop: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"\[explore\] policy: there is no policy 'thomson-1'"):
        opened(shop, "thomson-1")


def test_the_controller_serves_where_nothing_else_is_said() -> None:
    assert serving(Explore()) == "tradeoff"


def test_a_policy_without_a_title_is_called_by_its_name() -> None:
    assert title("linucb-1") == "linucb-1"
    assert title("thompson-0.3") == "Fixed level 0.3"
    assert title("tradeoff") == "Honeyguide's trade-off"
