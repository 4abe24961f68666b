"""Simulated shops: what people want, who comes when, and that each world does what its settings say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logit

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.comings import Coming, Comings
from honeyguide.evaluate.simulate.dice import key_of, normals, uniforms
from honeyguide.evaluate.simulate.planted import planted_shop
from honeyguide.evaluate.simulate.truth import Truth
from honeyguide.evaluate.simulate.wants import Wants
from honeyguide.evaluate.simulate.worlds import WORLDS, World

SHOP = planted_shop(seed=0)
WORLD = World("test", users=40, days=40.0, candidates=40, k=5, fresh=5)
ROWS = np.arange(len(SHOP))


def people(world: World, seed: int, pleased: float = 0.0) -> list[Coming]:
    """Everybody who comes where each page earns `pleased` times its usual share."""
    comings, found = Comings(world, seed=seed), []
    while coming := comings.next():
        found.append(coming)
        comings.left(coming, pleased * world.share)
    return found


def test_dice_are_even_and_do_not_depend_on_what_else_is_asked() -> None:
    drawn = uniforms(key_of(3, "this"), 7, np.arange(20_000))
    assert ((drawn > 0) & (drawn < 1)).all()
    assert abs(drawn.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 20_000)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / np.sqrt(20_000)
    assert uniforms(key_of(3, "this"), 7, 123)[0] == drawn[123]
    assert uniforms(key_of(3, "that"), 7, 123)[0] != drawn[123]
    assert abs(normals(key_of(0, "x"), np.arange(20_000)).std() - 1) < 0.03


def test_a_match_is_a_soft_maximum_over_tastes() -> None:
    truth = Truth(
        items=np.eye(2),
        interest=np.array([0, 1]),
        quality=np.zeros(2),
        tastes=np.eye(2),
        weights=np.array([0.75, 0.25]),
        starts=np.array([0, 2]),
        sharpness=2.0,
        per_match=1.0,
        per_quality=1.0,
    )
    found = truth.match(truth.tastes, truth.weights, np.arange(2))
    other = np.exp(-2.0)  # the other taste's cosine is 0
    expected = np.log([0.75 + 0.25 * other, 0.25 + 0.75 * other]) / 2
    np.testing.assert_allclose(found, expected)
    assert truth.match(np.eye(2)[:1], np.ones(1), np.array([0]))[0] == 0.0


def test_the_page_of_best_sellers_earns_the_share() -> None:
    wants = Wants(SHOP, replace(WORLD, share=0.13), seed=0)
    rows = SHOP.facts.by_popularity[: WORLD.k]
    pages = [wants.chance(person, person, 0.0, rows).mean() for person in range(SHOP.truth.users)]
    assert np.mean(pages) == pytest.approx(0.13, rel=1e-6)


def test_only_popularity_counts_where_it_is_all_there_is() -> None:
    wants = Wants(SHOP, replace(WORLD, only_popular=True), seed=0)
    chances = [wants.chance(person, person, 0.0, ROWS) for person in range(3)]
    np.testing.assert_array_equal(chances[0], chances[2])
    ranked = chances[0][SHOP.facts.by_popularity]
    assert (np.diff(ranked) <= 0).all()


@pytest.mark.parametrize("drift", [0.1, 0.5, 1.0])
def test_drift_replaces_the_stated_share_of_tastes(drift: float) -> None:
    wants = Wants(SHOP, replace(WORLD, drift=drift, drift_days=10.0), seed=5)
    asked = range(800)

    def moved(day: float) -> float:
        rows = [person % SHOP.truth.users for person in asked]
        pairs = [
            (wants.tastes(p, row, day), SHOP.truth.of_user(row)) for p, row in zip(asked, rows, strict=True)
        ]
        return float(np.mean([now != own for now, own in pairs]))

    assert moved(9.9) == 0.0
    slots, chance = 800 * 3, 1 - 1 / len(SHOP.truth.tastes)  # a taste may give way to itself
    for periods in (1, 3):
        share = (1 - (1 - drift) ** periods) * chance
        assert abs(moved(10.0 * periods) - share) < 4 * np.sqrt(share * (1 - share) / slots) + 1e-9


def test_drift_is_remembered() -> None:
    wants = Wants(SHOP, replace(WORLD, drift=0.3, drift_days=10.0), seed=5)
    first = [wants.tastes(1, 1, day) for day in (0.0, 15.0, 25.0, 15.0)]
    np.testing.assert_array_equal(first[1], first[3])


def test_boredom_takes_logits_from_what_filled_the_page() -> None:
    world = replace(WORLD, boredom=2.0)
    wants, fresh = Wants(SHOP, world, seed=0), Wants(SHOP, world, seed=0)
    own = np.flatnonzero(SHOP.truth.interest == 0)
    wants.shown(1, own[:5])
    before, after = (logit(each.chance(1, 1, 0.0, ROWS)) for each in (fresh, wants))
    lost = np.where(SHOP.truth.interest == 0, 2.0 * 0.5, 0.0)
    np.testing.assert_allclose(before - after, lost, atol=1e-9)
    wants.shown(1, np.flatnonzero(SHOP.truth.interest == 1)[:5])
    again = logit(wants.chance(1, 1, 0.0, ROWS))
    np.testing.assert_allclose((before - again)[SHOP.truth.interest == 0], 2.0 * 0.25, atol=1e-9)


def test_demand_swings_with_the_season_and_comes_back() -> None:
    wants = Wants(SHOP, replace(WORLD, season=1.5, season_days=40.0), seed=0)
    still = Wants(SHOP, WORLD, seed=0)
    swing = [
        logit(wants.chance(0, 0, d, ROWS)) - logit(still.chance(0, 0, d, ROWS))
        for d in (3.0, 13.0, 23.0, 43.0)
    ]
    np.testing.assert_allclose(swing[0], swing[3], atol=1e-9)
    np.testing.assert_allclose(swing[0], -swing[2], atol=1e-9)  # half a season later
    np.testing.assert_allclose(swing[0] ** 2 + swing[1] ** 2, 1.5**2, atol=1e-9)  # sine and cosine


def test_what_is_not_taken_again_attracts_nobody_who_has_it() -> None:
    once = Wants(replace(SHOP, again=False), WORLD, seed=0)
    often = Wants(SHOP, WORLD, seed=0)
    for wants in (once, often):
        wants.took(3, 17)
    assert once.chance(3, 3, 0.0, np.array([17, 18]))[0] == 0.0
    assert once.chance(4, 4, 0.0, np.array([17]))[0] > 0.0
    assert often.chance(3, 3, 0.0, np.array([17]))[0] > 0.0


def test_people_come_in_order_each_visit_once() -> None:
    found = people(WORLD, seed=1)
    assert [coming.day for coming in found] == sorted(coming.day for coming in found)
    assert {coming.person for coming in found} == set(range(WORLD.users))
    pairs = [(coming.person, coming.nth) for coming in found]
    assert len(set(pairs)) == len(pairs)
    assert all(nth == 0 or (person, nth - 1) in pairs for person, nth in pairs)
    assert found == people(WORLD, seed=1) != people(WORLD, seed=2)


def test_the_mean_number_of_visits_is_as_stated() -> None:
    world = replace(WORLD, users=600, days=1e6, gap_days=1.0, visits=5.0)
    assert len(people(world, seed=0)) / 600 == pytest.approx(5.0, abs=4 * np.sqrt(20 / 600))
    assert len(people(replace(world, visits=1.0), seed=0)) == 600
    mixed = replace(world, short_share=0.5, short_visits=1.0)
    assert len(people(mixed, seed=0)) / 600 == pytest.approx(3.0, abs=0.7)


def test_people_stay_for_good_pages_only_where_the_world_says_so() -> None:
    assert people(WORLD, seed=0, pleased=3.0) == people(WORLD, seed=0, pleased=0.0)
    loyal = replace(WORLD, retention=1.0)
    assert len(people(loyal, seed=0, pleased=2.0)) > 1.2 * len(people(loyal, seed=0, pleased=0.5))
    usual = people(loyal, seed=0, pleased=1.0)
    assert [(c.person, c.nth) for c in usual] == [(c.person, c.nth) for c in people(WORLD, seed=0)]


def test_traffic_has_its_peak() -> None:
    world = replace(WORLD, users=1500, visits=1.0, peak=0.8, days=80.0, season_days=40.0)
    days = np.array([coming.day for coming in people(world, seed=0)]) % 40.0
    # the integral of 1 + 0.8 sin over the first half of a season is 0.5 + 0.8 / π of the whole
    assert (days < 20.0).mean() == pytest.approx(0.5 + 0.8 / np.pi, abs=4 * 0.5 / np.sqrt(1500))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"drift": 1.5}, "drift"),
        ({"visits": 0.5}, "visits"),
        ({"k": 41}, "k must lie"),
        ({"share": 0.0}, "share"),
        ({"hidden": float("nan")}, "hidden"),
    ],
)
def test_a_world_that_makes_no_sense_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        replace(WORLD, **change)


def test_worlds_have_names_of_their_own() -> None:
    assert len({world.name for world in WORLDS}) == len(WORLDS)


def test_a_truth_without_tastes_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs a taste"):
        replace(SHOP.truth, starts=np.concatenate([[0], SHOP.truth.starts]))
    with pytest.raises(InvalidInput, match="per taste"):
        replace(SHOP.truth, weights=SHOP.truth.weights[1:])
