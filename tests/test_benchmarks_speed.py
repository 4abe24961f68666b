"""What the benchmark of training speed reads out of what a rival tells, and how long it says that each takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from honeyguide.interests.sequence.histories import Sequences

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from rank import OURS, WITHOUT_MEMORY, Split
    from sequence_speed import in_halves
    from speeds import Quality, Speed, by_model, speeds, their_qualities, their_speed, until, waits
finally:
    sys.path.remove(str(BENCHMARKS))

# two epochs of 300 sequences each: 4 s in the loop, 2 s to set up, 4 s of looks
TOLD = {
    "sequences_per_second": 150.0,
    "seconds_fit": 6.0,
    "seconds_validation": 4.0,
    "curve": [[1, 2.0, 0.9, 0.1], [2, 4.0, 0.8, 0.3]],
}


def test_a_rivals_speed_counts_what_its_loop_leaves_out() -> None:
    assert their_speed("sasrec", 3, TOLD) == Speed("sasrec", 3, 150.0, 100.0, 60.0)


def test_a_rivals_curve_begins_when_it_is_set_up() -> None:
    found = their_qualities("sasrec", 0, TOLD)
    assert [(point.epochs, point.seconds, point.ndcg) for point in found] == [(1, 4.0, 0.1), (2, 6.0, 0.3)]


def test_those_who_judge_are_not_those_that_ours_chooses_by() -> None:
    sequences = Sequences.of_items(np.arange(20), np.arange(0, 21, 4))
    chosen, judges = in_halves(Split.of(sequences, validate=True))
    assert chosen.judged.tolist() == [0, 2, 4]
    assert judges.judged.tolist() == judges.users.tolist() == [1, 3]
    assert judges.valid.targets.tolist() == judges.targets.tolist() == [6, 14]
    assert judges.valid.sequences.tokens.tolist() == [4, 5, 12, 13]
    assert chosen.train.tokens.tolist() == judges.train.tokens.tolist()


def test_ours_stands_beside_each_rival_by_the_median_of_the_rounds() -> None:
    results = [Speed(OURS, turn, rate, rate, rate / 2) for turn, rate in enumerate((100.0, 300.0, 200.0))]
    results += [Speed("sasrec", turn, 100.0, 50.0, 25.0) for turn in range(3)]
    rows = speeds(results)
    assert [(row.metric, row.ratio) for row in rows] == [
        ("in_loop", 2.0),
        ("end_to_end", 4.0),
        ("with_looks", 4.0),
    ]
    assert speeds(results[3:]) == []


def test_how_long_it_takes_to_a_mark() -> None:
    points = [Quality(OURS, 0, 1, 5.0, 0.2), Quality(OURS, 0, 2, 9.0, 0.4), Quality(OURS, 0, 3, 12.0, 0.3)]
    assert until(points, 0.25) == 9.0
    assert until(points, 0.5) is None


@pytest.mark.parametrize(("last", "said"), [(0.2, "after 8.0 s"), (0.4, "after 9.0 s, cut while it rose")])
def test_waits_are_told_for_each_rival(last: float, said: str) -> None:
    results = [
        Quality("sasrec", 1, 1, 8.0, 0.3),
        Quality("sasrec", 1, 2, 9.0, last),
        Quality(WITHOUT_MEMORY, 1, 1, 1.0, 0.1),
        Quality(OURS, 1, 1, 2.0, 0.5),
    ]
    mark, alone, ours = waits(results)
    assert mark == f"seed 1, sasrec: NDCG@10 {max(0.3, last):.4f} {said}"
    assert alone.endswith("not reached")
    assert ours.endswith(f"after 2.0 s, {4.0 if last < 0.3 else 4.5} times as fast")
    assert next(iter(by_model(results))) == (OURS, 1)
