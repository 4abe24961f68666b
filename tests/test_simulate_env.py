"""The Gymnasium environment: it passes Gymnasium's own checks, and it is the same season."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.env import ShopEnv
from honeyguide.evaluate.simulate.planted import planted_shop
from honeyguide.evaluate.simulate.worlds import World

SHOP = planted_shop(seed=0)
WORLD = World("test", users=10, days=20.0, candidates=40, k=5, fresh=5)


def test_it_passes_gymnasiums_own_checks() -> None:
    check_env(ShopEnv(SHOP, WORLD), skip_render_check=True)


def test_an_episode_is_a_season() -> None:
    env = ShopEnv(SHOP, WORLD)
    observed, told = env.reset(seed=1)
    total, steps, over = 0.0, 0, False
    while not over:
        assert env.observation_space.contains(observed)
        assert told["candidates"] == WORLD.candidates
        observed, reward, over, cut, told = env.step(np.arange(WORLD.k))
        assert reward in range(WORLD.k + 1)
        assert not cut
        total, steps = total + reward, steps + 1
    assert steps >= WORLD.users
    assert not observed["candidates"].any()
    assert told == {}
    with pytest.raises(InvalidInput, match="reset"):
        env.step(np.arange(WORLD.k))


def test_equal_seeds_and_pages_give_equal_rewards() -> None:
    def rewards(seed: int) -> list[float]:
        env = ShopEnv(SHOP, replace(WORLD, share=0.4))
        env.reset(seed=seed)
        found, over = [], False
        while not over:
            _, reward, over, _, _ = env.step(np.arange(WORLD.k))
            found.append(float(reward))
        return found

    assert rewards(1) == rewards(1) != rewards(2)


def test_an_item_named_twice_counts_once() -> None:
    env = ShopEnv(SHOP, replace(WORLD, share=0.9))
    env.reset(seed=0)
    _, reward, *_ = env.step(np.zeros(WORLD.k, dtype=np.int64))
    assert reward <= 1.0


def test_a_place_without_a_candidate_earns_nothing() -> None:
    small = planted_shop(seed=0, items=30)
    env = ShopEnv(small, WORLD)
    observed, told = env.reset(seed=0)
    assert told["candidates"] == 30
    assert not observed["candidates"][30:].any()
    env.step(np.array([39, 38, 0, 1, 2]))
