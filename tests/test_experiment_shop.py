"""A shop in an experiment, and a shop that serves its own ranking while a policy learns beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.artifacts import write_atomically
from honeyguide.checks.policy import equal_states
from honeyguide.config import FILE_NAME, Apprentice, Experiment, Rules, Settings
from honeyguide.errors import InvalidInput, InvalidSettings, UnknownItem
from honeyguide.shop.split import all_fixed
from honeyguide.shop.workspace import Workspace, settings_toml
from honeyguide.types import Decision
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

ARMS = Experiment("exploring", ("tradeoff=0.5", "uniform=0.5"))
USERS = [f"user-{number}" for number in range(16)]
RANKING = [f"sku-{number}" for number in (40, 3, 17, 8, 25, 33)]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_shop(tmp_path_factory.getbasetemp())


@pytest.fixture
def shop(fitted: Path, tmp_path: Path) -> Path:
    return copy_of(fitted, tmp_path)


def change(shop: Path, change: Callable[[Settings], Settings]) -> None:
    write_atomically(shop / FILE_NAME, settings_toml(change(Workspace.at(shop).settings)).encode())


def experiment(shop: Path, wanted: Experiment = ARMS) -> None:
    change(shop, lambda settings: replace(settings, experiment=wanted))


def apprentice(shop: Path, share: float) -> None:
    change(shop, lambda settings: replace(settings, apprentice=Apprentice(share)))


def opened(shop: Path) -> Honeyguide:
    return Honeyguide.open(shop, clock=lambda: NOW)


def test_every_user_is_served_by_the_policy_of_their_arm(shop: Path) -> None:
    experiment(shop)
    with opened(shop) as it:
        pages = {user: it.decide(user, k=3) for user in USERS}
        assert {page.policy for page in pages.values()} == {"tradeoff", "uniform"}
        assert all(page.policy == it.policy_of(user).name for user, page in pages.items())
        assert {page.policy_version for page in pages.values()} == {"exploring: tradeoff=0.5, uniform=0.5"}
        again = {user: it.decide(user, k=3).policy for user in USERS}
        assert again == {user: page.policy for user, page in pages.items()}


def test_without_an_experiment_the_controller_serves_everybody(shop: Path) -> None:
    with opened(shop) as it:
        page = it.decide("user-1", k=3)
        assert (page.policy, page.policy_version) == ("tradeoff", "tradeoff")


@pytest.mark.parametrize("closed", [True, False])
def test_arms_are_the_same_to_the_bit_when_the_shop_is_opened_again(shop: Path, closed: bool) -> None:
    experiment(shop)
    it = opened(shop)
    for turn, user in enumerate(USERS):
        page = it.decide(user, k=3, now=NOW + timedelta(days=2 * turn))
        it.feedback(page.decision_id, page.item_ids[0], "purchase", now=page.time + timedelta(hours=1))
    before = it._learning.arms.state()
    if closed:
        it.close()
    with opened(shop) as again:
        assert equal_states(again._learning.arms.state(), before)
    if not closed:
        it.journal.close()


def test_a_user_of_an_arm_without_a_belief_still_has_interests_that_were_learned(shop: Path) -> None:
    experiment(shop)
    with opened(shop) as it:
        user = next(user for user in USERS if it.policy_of(user).name == "uniform")
        before = [one.mean for one in it.interests(user, now=NOW)]
        ranked = [one.score for one in it.recommend(user)]
        assert ranked == sorted(ranked, reverse=True)
        assert len(set(ranked)) > 1
        page = it.decide(user, k=10)
        for item in page.item_ids:
            it.feedback(page.decision_id, item, "purchase", now=NOW)
        assert [one.mean for one in it.interests(user, now=NOW)] != before


def test_when_the_experiment_ends_all_of_its_traffic_is_learned_from(shop: Path) -> None:
    experiment(shop)
    with opened(shop) as it:
        for user in USERS:
            page = it.decide(user, k=3)
            it.feedback(page.decision_id, page.item_ids[0], "purchase", now=NOW)
    experiment(shop, Experiment())
    with opened(shop) as it:
        fresh = it.fitted.policy_state
        learned = it.policy.posterior.state()
        assert not equal_states(learned, {key: fresh[key] for key in learned})
        assert it._learning.arms.split.arms == ("tradeoff",)


def test_a_policy_that_is_not_known_is_refused_when_the_shop_is_opened(shop: Path) -> None:
    experiment(shop, Experiment("exploring", ("tradeoff=0.5", "thomson-1=0.5")))
    with pytest.raises(InvalidSettings, match="there is no policy 'thomson-1'"):
        opened(shop)


def test_the_shops_own_ranking_is_served_as_it_is(shop: Path) -> None:
    with opened(shop) as it:
        page = it.decide("user-1", ranking=RANKING)
        assert list(page.item_ids) == RANKING
        assert page.propensities.tolist() == [1.0] * 6
        assert all_fixed(page)
        assert not page.explored.any()
        assert set(page.why) == {"put here by the shop"}
        assert len(page.candidates) == it.settings.explore.candidates
        assert np.ptp(page.plan.scores) > 0
        assert page.policy_version == "apprentice: shop=1, learned=0"
        assert list(it.decide("user-1", ranking=RANKING, k=2).item_ids) == RANKING[:2]


def test_a_ranking_longer_than_a_page_fills_the_page(shop: Path) -> None:
    with opened(shop) as it:
        ranking = it.fitted.catalog.ids[:20]
        page = it.decide("user-1", ranking=ranking)
        assert page.item_ids == ranking[: it.settings.explore.k]
        assert set(ranking) <= set(page.candidates.item_ids)


def test_what_is_ranked_is_learned_from_and_not_counted_as_exploring(shop: Path) -> None:
    with opened(shop) as it:
        before = it.policy.posterior.belief("nobody").mean
        page = it.decide("nobody", ranking=RANKING)
        it.feedback(page.decision_id, RANKING[1], "purchase", now=NOW)
        assert not np.array_equal(it.policy.posterior.belief("nobody").mean, before)
        assert not it.policy.state()["ledger.sums"].any()


def test_the_share_of_users_gets_the_learned_page_from_the_same_candidates(shop: Path) -> None:
    apprentice(shop, 0.5)
    with opened(shop) as it:
        pages: dict[bool, list[Decision]] = {True: [], False: []}
        for user in USERS:
            page = it.decide(user, ranking=RANKING)
            pages[all_fixed(page)].append(page)
            assert len(page.item_ids) == len(RANKING)
            assert set(RANKING) <= set(page.candidates.item_ids)
            assert page.policy_version == "apprentice: shop=0.5, learned=0.5"
        assert pages[True]
        assert pages[False]
        assert all((page.propensities < 1).any() for page in pages[False])
        assert [page.pins for page in pages[False] if page.pins] == []
        served = {page.user_id for page in pages[True]}
        assert {page.user_id for page in pages[False]} == set(USERS) - served


def test_with_a_share_of_1_the_ranking_is_no_more_than_candidates(shop: Path) -> None:
    apprentice(shop, 1.0)
    with opened(shop) as it:
        pages = [it.decide(user, ranking=RANKING, exclude=["sku-1"]) for user in USERS]
        assert not any(all_fixed(page) for page in pages)
        assert all(set(RANKING) <= set(page.candidates.item_ids) for page in pages)


def test_the_shops_rules_do_not_change_its_own_ranking_but_what_is_learned_keeps_to_them(shop: Path) -> None:
    apprentice(shop, 0.5)
    ruled = Rules(exclude_ids=("sku-3",), pins=("1:sku-9",))
    change(shop, lambda settings: replace(settings, rules=ruled))
    with opened(shop) as it:
        for user in USERS:
            page = it.decide(user, ranking=RANKING)
            if all_fixed(page):
                assert list(page.item_ids) == RANKING
            else:
                assert page.item_ids[0] == "sku-9"
                assert "sku-3" not in page.item_ids


@pytest.mark.parametrize(
    ("ranking", "more", "wanted", "said"),
    [
        ([], {}, InvalidInput, "a ranking is a list of item ids"),
        ("sku-1", {}, InvalidInput, "a ranking is a list of item ids"),
        (["sku-1", "sku-2", "sku-1"], {}, InvalidInput, "names 'sku-1' twice"),
        (["sku-1", "sku-999"], {}, UnknownItem, "sku-999"),
        (["sku-1", "sku-2"], {"exclude": ["sku-2"]}, InvalidInput, "'sku-2' is ranked and excluded at once"),
        (["sku-1", "sku-2"], {"k": 3}, InvalidInput, "k is 3 and the ranking has 2 items"),
        (["sku-1", "sku-2"], {"k": 0}, InvalidInput, r"k must be in 1\.\."),
        (["sku-1"], {"rules": Rules(pins=("1:sku-2",))}, InvalidInput, "leave the pins out"),
    ],
)
def test_a_ranking_that_cannot_be_served_is_refused_and_not_written_down(
    shop: Path, ranking: list[str], more: dict[str, object], wanted: type[Exception], said: str
) -> None:
    with opened(shop) as it:
        with pytest.raises(wanted, match=said):
            it.decide("user-1", ranking=ranking, **more)  # type: ignore[arg-type]
        assert it.journal.end() == 0
