"""What the benchmark of the trade-off counts and compares."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.runs import Run, paired
from honeyguide.evaluate.simulate.worlds import ARRIVALS, ONE_VISIT, STATIONARY

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    import tradeoff
    from simulated import read_simulated
    from tradeoff import GREEDY, OURS, play, rows_of, standings
finally:
    sys.path.remove(str(BENCHMARKS))


def run(policy: str, seed: int, expected: list[float], exploit: list[float]) -> Run:
    """A season of three visits of one person, whose best page earns 1 each time."""
    rows, zeros = np.arange(3), np.zeros(3)
    return Run(
        policy=policy,
        world="stationary",
        seed=seed,
        reasons=("",) * 3,
        decisions=(),
        rewards=(),
        person=zeros.astype(np.int64),
        nth=rows,
        day=rows.astype(np.float64),
        reward=np.array(expected),
        expected=np.array(expected),
        exploit=np.array(exploit),
        best=np.ones(3),
        believed=2 * np.array(expected),
        level=np.array([0.0, 0.0, 0.3]),
        discoveries=zeros,
        new_reward=zeros,
    )


RUNS = {
    GREEDY: [run(GREEDY, 0, [0.4] * 3, [0.4] * 3), run(GREEDY, 1, [0.6] * 3, [0.6] * 3)],
    OURS: [run(OURS, 0, [0.5] * 3, [0.5] * 3), run(OURS, 1, [0.6] * 3, [0.7] * 3)],
    "other": [run("other", 0, [0.6] * 3, [0.6] * 3), run("other", 1, [0.6] * 3, [0.6] * 3)],
}


def test_standings_compare_with_greedy_and_with_the_best_in_hindsight() -> None:
    found = standings("shop", "stationary", RUNS, dict.fromkeys(RUNS, 1.0), 0.05)
    assert [each.policy for each in found] == ["other", OURS, GREEDY]
    other, ours, greedy = found
    assert (greedy.of_greedy, greedy.low, greedy.high) == (1.0, 1.0, 1.0)
    assert ours.of_greedy == pytest.approx(1.65 / 1.5)
    margin = paired([1.5, 1.8], [1.2, 1.8])
    assert (ours.low, ours.high) == pytest.approx((1 + margin.low / 1.5, 1 + margin.high / 1.5))
    assert ours.of_best_fixed == pytest.approx(1.65 / 1.8)
    assert ours.of_oracle == pytest.approx(1.65 / 3)
    assert ours.promised == pytest.approx(2.0)
    assert ours.below_floor == 0.5  # the second season kept 1.8 of 2.1
    assert other.level == pytest.approx(0.1)


def test_goals_depend_on_the_world() -> None:
    found = standings("shop", ONE_VISIT.name, RUNS, dict.fromkeys(RUNS, 1.0), 0.05)
    greedy, best = rows_of(found, RUNS)
    assert (greedy.goal, greedy.met) == (0.99, True)
    assert (best.rival, best.goal, best.met) == ("best fixed: other", 0.98, False)
    arrivals = rows_of([replace(each, world=ARRIVALS.name) for each in found], RUNS)
    assert arrivals[0].goal == 1.05
    assert rows_of(found, {GREEDY: RUNS[GREEDY]}) == []


def test_reasons_are_counted_without_their_numbers() -> None:
    assert tradeoff._kind("explores at 0.25: expects to give up 1.0% now") == "explores"
    held = "explores at 1: expects to give up 1.0% now, held by the promised 95%"
    assert tradeoff._kind(held) == "explores, held by the promise"
    assert tradeoff._kind("exploit-only: earnings are below") == "exploit-only: earnings are below"


def test_all_policies_of_a_seed_meet_the_same_people() -> None:
    shop = read_simulated(None, "")
    runs, seconds = play(shop, replace(STATIONARY, users=30, days=20.0), ["uniform", GREEDY], 2, 0.5)
    for uniform, greedy in zip(runs["uniform"], runs[GREEDY], strict=True):
        np.testing.assert_array_equal(uniform.person, greedy.person)
        np.testing.assert_array_equal(uniform.day, greedy.day)
    assert set(seconds) == {"uniform", GREEDY}
    assert len(set(runs[GREEDY][0].person.tolist())) == 15


def test_a_world_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no world"):
        tradeoff._worlds(["nowhere"])
    assert [world.name for world in tradeoff._worlds(["drift"])] == ["drift"]
