"""The table of levers: what its shop may learn from, and that each stands beside exploiting of the same seeds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.planted import planted_shop
from honeyguide.evaluate.simulate.play import Play
from honeyguide.evaluate.simulate.shops import SimulatedShop
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.interests.sequence.model import SequenceModel
from tests.test_sequence_memory import untaught

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    import levers
finally:
    sys.path.remove(str(BENCHMARKS))

WORLD = World("mine", users=6, days=20.0, candidates=40, k=5)


def shop() -> SimulatedShop:
    """One whose sequence model knows of popularity alone."""
    bare = planted_shop(seed=0)
    return replace(bare, sequence=SequenceModel(untaught(len(bare))))


def test_only_past_users_are_learned_from_and_their_last_items_are_held_out() -> None:
    users, items = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2]), np.array([5, 6, 7, 1, 2, 3, 4, 8, 9])
    known, held = levers._split(users, items, np.array([0, 1]))
    assert known.tokens.tolist() == [5, 6, 1, 2]
    assert held.sequences.tokens.tolist() == [5, 6]
    assert held.targets.tolist() == [7]


def test_exploiting_is_worth_one_and_every_lever_stands_beside_the_same_seasons() -> None:
    played = levers.seasons(shop(), WORLD, ["greedy", "thompson-1"], seeds=2, scale=1.0)
    plain, seconds = played["greedy"]
    same = levers.pulled("mine", "none", "greedy", plain, plain, seconds)
    assert (same.earned, same.low, same.high, same.discoveries) == (1, 1, 1, 1)
    assert 5 <= same.shown <= 300
    other = levers.pulled("mine", "parameters", "thompson-1", *played["thompson-1"][:1], plain, seconds)
    assert other.earned != 1
    assert other.low < other.earned < other.high


def test_policies_see_what_the_sequence_model_says_is_next() -> None:
    visit = Play(shop(), WORLD, seed=0).next()
    without = Play(planted_shop(seed=0), WORLD, seed=0).next()
    assert visit is not None
    assert without is not None
    assert visit.candidates.features.shape[1] == without.candidates.features.shape[1] + 2


def test_a_model_that_knows_what_is_yet_to_come_in_is_refused() -> None:
    with pytest.raises(InvalidInput, match="come in later"):
        Play(shop(), replace(WORLD, new_items=0.5), seed=0)
