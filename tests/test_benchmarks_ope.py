"""The simulated shops of the off-policy benchmark say their truth, and obp says what we say."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.real_data import real_files

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    import ope_worlds
    from ope import coverage, judged
    from ope_obp import SLOTS, Rounds, compare
    from ope_seasons import SEASONS, told_of
    from ope_worlds import LIFTING, ONE_SLOT, SHORT, TEN_SOFT
    from rivals.call import ENVIRONMENTS
finally:
    sys.path.remove(str(BENCHMARKS))


def test_a_truth_that_is_gone_through_is_that_which_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for world in (SHORT, LIFTING):
        exact = world.truth()
        with monkeypatch.context() as patch:
            patch.setattr(ope_worlds, "_ENUMERATED", 0)
            patch.setattr(ope_worlds, "_DRAWN", 600)
            assert world.truth() == pytest.approx(exact, rel=0.05)


def test_a_log_is_the_same_at_every_call_and_another_with_every_seed() -> None:
    world = replace(ONE_SLOT, pages=20)
    first, again, other = world.log(1), world.log(1), world.log(2)
    chosen = [[decision.item_ids for decision in decisions] for decisions, _ in (first, again, other)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(set(earned.tolist()) <= {0.0, 1.0} for earned in first[1])


def test_every_estimator_has_a_line_and_the_pseudo_inverse_none_where_pages_are_drawn_softly() -> None:
    lines = judged(replace(TEN_SOFT, n=12, k=3, pages=40), 2)
    names = [line.estimator for line in lines]
    assert "PI" not in names
    assert {"IPS (RIPS)", "DRos 100", "cascade-DR"} <= set(names)
    assert all(line.logs == 2 and 0 <= line.answered <= 1 and line.width > 0 for line in lines)


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """A short form of `benchmarks/ope.py --coverage`: 40 logs, four sampling errors.

    But for the direct method, whose interval knows nothing of how far its model is off: the more, the less it doubts.
    """
    lines = {line.estimator: line.covered for line in coverage(40)}
    assert lines.pop("DM, no doubt") < lines.pop("DM")
    for name, covered in lines.items():
        assert covered >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / 40), name


@pytest.mark.slow
def test_obp_says_the_same() -> None:
    """On 300 rounds of the Open Bandit sample, for every estimator that it has."""
    (file,) = real_files("open_bandit/random_men.parquet")
    if not (ENVIRONMENTS / "obp" / ".installed").is_file():
        pytest.skip("the environment of obp is not built: make bench-setup")
    rounds = Rounds.read(file, limit=300)
    lines = compare("random, as clicked", rounds, rounds.shares())
    assert len(lines) == 11
    assert rounds.shares().shape[0] == SLOTS
    assert max(line.difference for line in lines) < 1e-12


def test_what_is_told_of_a_season_stands_beside_what_it_would_have_earned() -> None:
    """Ends lie about the value, doubt widens, and all gains are over one and the same that was served."""
    world = replace(SEASONS[0], days=40.0, users=24, visits=4.0, candidates=20, k=2)
    told = list(told_of(world, [1]))
    assert {one.what for one in told} == {"value", "gain"}
    assert "greedy" in {one.policy for one in told}
    for one in told:
        assert one.low <= one.value <= one.high
        assert one.width(0.5) == pytest.approx(one.high - one.low + one.unmeasured)
    values = {one.policy: one for one in told if one.what == "value"}
    gains = {one.policy: one for one in told if one.what == "gain"}
    served = [values[name].truth - gains[name].truth for name in values]
    assert served == pytest.approx([served[0]] * len(served))
