"""What the benchmark of the balanced loss withholds, measures and compares."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide.interests.sequence.network import Shape
from honeyguide.interests.train.plan import Balance, SequencePlan
from tests.test_sequence_model import ITEMS, content, walks

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from balance import NETWORK, NONE, SERVED, Result, Split, done_before, measured, rows_of, write
    from rank_data import Shop
finally:
    sys.path.remove(str(BENCHMARKS))

PLAN = SequencePlan(shape=Shape(width=16, longest=6), epochs=2, negatives=16, batch=16)
OPTIONS = argparse.Namespace(
    data=Path("here"), model="m", coverage=1.0, calibration=1.0, epsilon=0.05, network_alone=True, users=0,
    epochs=2, steps=0, json=None,
)  # fmt: skip


def shop() -> Shop:
    return Shop(
        "walks", content()[:ITEMS] / np.linalg.norm(content()[:ITEMS], axis=1, keepdims=True), walks()
    )


def result(way: str, seed: int, ndcg: float) -> Result:
    return Result(way, NETWORK, seed, ndcg, 0.2, 0.05, 0.5, 9.0, 1.1, 10.0)


def test_the_last_item_is_never_seen_and_nobody_is_measured_who_chooses() -> None:
    split = Split.of(shop())
    sequences = walks()
    users = np.flatnonzero(sequences.lengths >= 3)
    assert len(split.chosen_by.targets) + len(split.measured.targets) == len(users)
    assert split.known.lengths.tolist() == (sequences.lengths - 2).tolist()
    for half in (split.chosen_by, split.measured):
        # walkers go on by one: what is asked for is one after the last that is known, and not two
        assert half.targets.tolist() == ((half.sequences.from_last(0) + 1) % ITEMS).tolist()
    assert split.past.sum() == len(split.measured.sequences.tokens)
    assert split.interests.shape == (ITEMS,)


@pytest.mark.parametrize("served", [False, True])
def test_a_way_is_measured_by_the_network_and_as_served(served: bool) -> None:
    found = list(measured(shop(), Split.of(shop()), Balance(), PLAN, served=served))
    assert [one.scorer for one in found] == ([NETWORK, SERVED] if served else [NETWORK])
    for one in found:
        assert (one.way, one.seed) == ("fixed", 0)
        assert 0 < one.ndcg <= one.recall <= 1
        assert 0 < one.coverage <= 1
        assert min(one.disproportion, one.novelty, one.seconds) > 0


def test_each_way_stands_beside_none_with_the_same_seeds_and_a_floor_is_a_goal() -> None:
    results = [result(NONE, 0, 0.1), result(NONE, 1, 0.2), result("lagrangian", 0, 0.096)]
    rows = {(row.name, row.metric): row for row in rows_of(results, 0.05)}
    floor = rows["lagrangian, network", "ndcg"]
    assert floor.ratio == pytest.approx(0.96)
    assert (floor.goal, floor.met, floor.seeds) == (0.95, True, 1)
    assert rows["none, network", "ndcg"].goal is None
    assert rows["lagrangian, network", "coverage"].met is None


def test_a_run_that_was_cut_goes_on_from_what_was_written(tmp_path: Path) -> None:
    options = argparse.Namespace(**{**vars(OPTIONS), "json": tmp_path / "found.json"})
    assert done_before(options) == []
    written = [result(NONE, 0, 0.1), replace(result("fixed", 0, 0.1), coverage=0.7)]
    write(written, options, "walks")
    assert [asdict(one) for one in done_before(options)] == [asdict(one) for one in written]
    with pytest.raises(SystemExit, match="other options"):
        done_before(argparse.Namespace(**{**vars(options), "coverage": 0.5}))
