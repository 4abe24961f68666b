"""How far down a page people look, learned from what slots earned, and what that changes in what is learned."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.explore.base_rate import BaseRate
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.examination import EVERYTHING, Examination, learn_examination
from honeyguide.explore.item_effects import ItemPrior
from honeyguide.explore.learned import PageRows, learn_posterior
from honeyguide.explore.posterior import Prior
from honeyguide.explore.shared import SharedPosterior, posterior_of
from honeyguide.types import Candidates, Decision

LOOKED = (1 + np.arange(6)) ** -0.7


def test_slots_below_the_last_known_are_looked_at_like_it() -> None:
    found = Examination(np.array([1.0, 0.5, 0.25]))
    assert found.of(np.array([0, 2, 7])).tolist() == [1.0, 0.25, 0.25]
    assert EVERYTHING.of(np.array([0, 9])).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("chances", [[], [0.0], [1.0, 1.2], [np.nan]])
def test_chances_lie_above_0_and_up_to_1(chances: list[float]) -> None:
    with pytest.raises(InvalidInput, match="chances"):
        Examination(np.array(chances))


def test_what_slots_earn_of_what_they_would_tells_how_often_they_are_looked_at() -> None:
    rng = np.random.default_rng(0)
    places = np.tile(np.arange(6), 20_000)
    expected = rng.uniform(0.02, 0.2, size=len(places))
    rewards = (rng.random(len(places)) < expected * LOOKED[places]).astype(np.float64)
    assert learn_examination(places, expected, rewards).chances == pytest.approx(LOOKED, abs=0.04)


def test_without_rewards_to_tell_every_slot_is_held_to_be_looked_at() -> None:
    found = learn_examination(np.array([0, 1, 2]), np.full(3, 0.05), np.zeros(3))
    assert found.chances == pytest.approx(np.ones(3), abs=0.01)


def test_it_never_rises() -> None:
    places = np.repeat(np.arange(4), 100)
    rewards = np.where(places == 2, 1.0, 0.2)
    chances = learn_examination(places, np.full(400, 0.5), rewards).chances
    assert (np.diff(chances) <= 1e-12).all()


def page() -> Decision:
    features = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    asked = Candidates("ann", tuple("abcdefgh"), features)
    request = Request("d", datetime(2026, 1, 1, tzinfo=UTC))
    return decide(Uniform(), asked, k=4, request=request, rng=np.random.default_rng(0))


def test_a_narrowed_page_knows_where_its_items_stood() -> None:
    whole = page()
    assert whole.places.tolist() == [0, 1, 2, 3]
    assert whole.only([3, 1]).places.tolist() == [3, 1]
    assert whole.only([3, 1]).only([1]).places.tolist() == [1]


def posterior(examination: Examination) -> SharedPosterior:
    base = BaseRate(np.array([0.5, -0.5]), -2.0)
    prior = Prior(np.zeros(2), 0.1 * np.eye(2), 1.0)
    return SharedPosterior(prior, base, np.eye(2), ItemPrior(0.5), examination)


def test_a_page_learned_slot_by_slot_is_the_page_learned_at_once() -> None:
    one, other = (posterior(Examination(np.array([1.0, 0.6, 0.3, 0.1]))) for _ in range(2))
    rewards = np.array([0.0, 1.0, 0.0, 1.0])
    one.learn(page(), rewards)
    for slot in (2, 0, 3, 1):
        other.learn(page().only([slot]), rewards[[slot]])
    assert np.array_equal(one.about(page().candidates).mean, other.about(page().candidates).mean)
    other.unlearn(page().only([1, 3]), rewards[[1, 3]])
    one.unlearn(page().only([3, 1]), rewards[[3, 1]])
    assert np.array_equal(one.about(page().candidates).mean, other.about(page().candidates).mean)


def test_a_reaction_low_on_the_page_says_more_and_the_lack_of_one_less() -> None:
    examined = Examination(np.array([1.0, 0.6, 0.3, 0.1]))
    bottom = page().only([3])
    row = int(bottom.chosen[0])
    start = posterior(EVERYTHING).about(bottom.candidates).mean[row]
    changes = {}
    for name, examination in (("all", EVERYTHING), ("few", examined)):
        for reward in (0.0, 1.0):
            learned = posterior(examination)
            learned.learn(bottom, np.array([reward]))
            changes[name, reward] = learned.about(bottom.candidates).mean[row] - start
    assert changes["few", 1.0] > changes["all", 1.0] > 0
    assert 0 > changes["few", 0.0] > changes["all", 0.0]


def test_it_is_part_of_the_state() -> None:
    examined = Examination(np.array([1.0, 0.5]))
    opened = posterior_of(posterior(examined).state())
    assert isinstance(opened, SharedPosterior)
    assert opened.examination.chances.tolist() == [1.0, 0.5]


def test_from_pages_the_base_rate_is_that_of_what_is_looked_at() -> None:
    rng = np.random.default_rng(0)
    n, k = 6000, 6
    features = rng.normal(size=(n * k, 3)).astype(np.float32)
    weights = np.array([0.7, -0.7, 0.0])
    # the better an item the higher it stands, as on a real page, but for a third of the pages
    by_worth = np.argsort(-(features @ weights).reshape(n, k), axis=1)
    order = np.where((rng.random(n) < 2 / 3)[:, None], by_worth, np.arange(k))
    features = np.take_along_axis(features.reshape(n, k, 3), order[:, :, None], axis=1).reshape(-1, 3)
    places = np.tile(np.arange(k), n)
    chance = 1 / (1 + np.exp(-(features @ weights - 2))) * LOOKED[places]
    rewards = (rng.random(n * k) < chance).astype(np.float64)
    pages = PageRows(features, rewards, np.arange(0, n * k + 1, 60), rng.integers(200, size=n * k))
    blind, _ = learn_posterior(pages, None, seed=0)
    seeing, _ = learn_posterior(replace(pages, places=places), None, seed=0)
    assert seeing.examination.chances == pytest.approx(LOOKED, abs=0.08)
    assert np.abs(seeing.base.weights - weights).max() < 0.1 < np.abs(blind.base.weights - weights).max()
