"""Intervals hold what they promise, sequences at every look, and what they say can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.confidence import (
    Interval,
    Sequence,
    difference,
    empirical_bernstein,
    error_of,
    off_policy_interval,
    student_interval,
)
from honeyguide.types import Floats

LOOKS = (10, 50, 150, 300)
STREAMS = 60


def sequence_of(*parts: Floats, level: float = 0.95, low: float = 0.0, high: float = 1.0) -> Sequence:
    made = Sequence(level=level, low=low, high=high)
    for part in parts:
        made.add(part)
    return made


def clicks(chance: float, n: int, seed: int) -> Floats:
    return (np.random.default_rng(seed).random(n) < chance).astype(np.float64)


def test_empirical_bernstein_is_the_published_formula() -> None:
    """sqrt(2 V ln(2/d) / n) + 7 ln(2/d) / (3 (n - 1)), with d = 5 % / 2 on either side."""
    values = np.array([0.0, 0.5, 0.5, 1.0] * 50)
    variance, rest = 25 / 199, np.log(2 / 0.025)
    half = np.sqrt(2 * variance * rest / 200) + 7 * rest / (3 * 199)
    found = empirical_bernstein(values)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))
    moved = empirical_bernstein(4 * values - 1, low=-1.0, high=3.0)
    assert (moved.low, moved.high) == pytest.approx((4 * found.low - 1, 4 * found.high - 1))


def test_empirical_bernstein_gains_where_values_vary_little() -> None:
    rare, even = (empirical_bernstein(clicks(chance, 5000, 1)).width for chance in (0.005, 0.5))
    assert rare < 0.3 * even


@pytest.mark.parametrize("chance", [0.02, 0.5])
def test_empirical_bernstein_holds_at_least_as_often_as_it_says(chance: float) -> None:
    held = [chance in empirical_bernstein(clicks(chance, 200, seed)) for seed in range(300)]
    assert np.mean(held) >= 0.95


def parts_of(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / len(values))


def test_of_even_parts_the_interval_is_students() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    half = 2.7764451 * np.sqrt(2.5 / 5)  # t of 4 degrees of freedom, times the standard error
    found = student_interval(3.0, parts_of(values))
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    assert error_of(parts_of(values)) == pytest.approx(np.sqrt(2.5 / 5))


def test_skewed_parts_move_both_ends_to_the_long_side() -> None:
    """By g (2 z^2 + 1) / (6 sqrt n) standard errors; one 5 among four 0 has a skewness of 1.5."""
    values = np.array([0.0, 0.0, 0.0, 0.0, 5.0])
    moved = 1.5 * (2 * 1.9599640**2 + 1) / (6 * np.sqrt(5))
    found, mirrored = student_interval(1.0, parts_of(values)), student_interval(-1.0, parts_of(-values))
    assert found.width == pytest.approx(2 * 2.7764451)  # such a kurtosis is too little to put them apart
    assert (found.low + found.high) / 2 == pytest.approx(1 + moved)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_heavy_tails_put_the_ends_apart() -> None:
    """Even parts, -1 and 1 among 38 zeros: a kurtosis of 20 - 3 and no skewness."""
    values = np.zeros(40)
    values[:2] = -1.0, 1.0
    apart = 1.9599640 * (3 * 1.9599640**2 + 5) / 12 * 17 / 40
    half = (2.0226909 + apart) * np.sqrt(2 / 39 / 40)
    found = student_interval(0.0, parts_of(values))
    assert (found.low, found.high) == pytest.approx((-half, half))


def test_parts_that_are_all_alike_leave_no_doubt_and_one_part_tells_nothing() -> None:
    found = student_interval(0.25, np.zeros(7))
    assert (found.low, found.high) == (0.25, 0.25)
    with pytest.raises(InvalidInput, match="at least 2"):
        student_interval(0.25, np.zeros(1))


def test_of_rare_and_heavy_values_both_ends_miss_about_as_often() -> None:
    """One of five of 40 users clicks, clicks weigh differently: Student's misses 9 % above and hardly any below."""
    rng = np.random.default_rng(0)
    drawn = (rng.random((3000, 40)) < 0.2) * np.exp(rng.normal(scale=0.5, size=(3000, 40)) - 0.125)
    found = [student_interval(float(values.mean()), parts_of(values)) for values in drawn]
    assert 0.01 < np.mean([one.low > 0.2 for one in found]) < 0.03
    assert 0.02 < np.mean([one.high < 0.2 for one in found]) < 0.05


def test_a_run_of_ones_is_bet_on_as_by_hand() -> None:
    """n ones make (1 + c (1/m - 1))^n of each of thirteen stakes; their mean is 2 / 5 % at the lower end."""
    low = sequence_of(np.ones(20)).interval().low
    grown = [(1 + 0.9 / 2**d * (1 / low - 1)) ** 20 for d in range(13)]
    assert sum(grown) / 13 == pytest.approx(40, rel=1e-6)
    assert sequence_of(np.ones(20)).interval().high == 1


def test_nothing_seen_rules_nothing_out() -> None:
    empty = Sequence(low=-1, high=3)
    assert (empty.n, empty.mean, empty.interval()) == (0, 1.0, Interval(-1.0, 3.0))


def test_the_order_and_the_parcels_of_a_stream_do_not_matter_to_the_bit() -> None:
    values = np.random.default_rng(0).beta(2, 5, 90)
    whole = sequence_of(values).interval()
    assert sequence_of(values[::-1]).interval() == whole
    assert sequence_of(values[:1], values[1:40], values[40:]).interval() == whole
    assert sequence_of(values[:0], values).interval() == whole


def test_another_range_is_the_same_bet() -> None:
    values = np.random.default_rng(1).random(80)
    plain, moved = sequence_of(values), sequence_of(6 * values - 2, low=-2, high=4)
    assert moved.mean == pytest.approx(6 * plain.mean - 2)
    ends = plain.interval()
    assert (moved.interval().low, moved.interval().high) == pytest.approx(
        (6 * ends.low - 2, 6 * ends.high - 2)
    )
    mirrored = sequence_of(1 - values).interval()
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - ends.high, 1 - ends.low))


@pytest.mark.parametrize("chance", [0.02, 0.3, 0.5])
def test_a_sequence_holds_at_every_look_and_narrows(chance: float) -> None:
    ever_missed, widths = 0, []
    for seed in range(STREAMS):
        values, made = clicks(chance, LOOKS[-1], seed), Sequence()
        looks = []
        for before, now in zip((0, *LOOKS), LOOKS, strict=False):
            made.add(values[before:now])
            looks.append(made.interval())
        ever_missed += any(chance not in look for look in looks)
        widths.append([look.width for look in looks])
    assert ever_missed <= 0.05 * STREAMS
    assert (np.diff(np.mean(widths, axis=0)) < 0).all()


def test_a_stream_may_watch_its_own_past_as_long_as_the_mean_stays() -> None:
    """Once it is ahead it goes on in small steps: dependent values, one mean."""
    missed = 0
    for seed in range(STREAMS):
        rng, values = np.random.default_rng(seed), [0.5]
        for _ in range(200):
            spread = 0.1 if np.mean(values) > 0.5 else 0.5
            values.append(0.5 + spread * rng.choice((-1, 1)))
        missed += 0.5 not in sequence_of(np.array(values)).interval()
    assert missed <= 0.05 * STREAMS


def test_watching_costs_less_than_twice_the_width_of_a_single_look() -> None:
    for n in (1000, 100_000):
        found = sequence_of(np.repeat([0.0, 1.0], [n * 9 // 10, n // 10])).interval()
        assert 1.3 < found.width / (2 * 1.96 * np.sqrt(0.09 / n)) < 2


def test_a_higher_level_is_wider() -> None:
    values = clicks(0.2, 400, 3)
    widths = [sequence_of(values, level=level).interval().width for level in (0.5, 0.9, 0.99, 0.9999)]
    assert widths == sorted(widths)


def test_a_stream_that_changes_its_mean_gives_a_point_rather_than_nonsense() -> None:
    found = sequence_of(np.repeat([0.0, 1.0], [3000, 3000])).interval()
    assert 0 <= found.low <= found.high <= 1


def test_the_difference_is_that_of_the_streams() -> None:
    one, other = sequence_of(clicks(0.6, 800, 1)), sequence_of(clicks(0.2, 300, 2))
    there, back = difference(one, other), difference(other, one)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert one.mean - other.mean in there
    subtracted = one.interval().width + other.interval().width
    assert there.width < 0.9 * subtracted
    assert there.low > 0


def test_the_difference_is_what_no_pair_of_bettors_rules_out() -> None:
    """Looked for among all pairs of means on a fine grid, with the capitals worked out by themselves."""
    ones, others = (6, 20), (3, 30)  # (ones, values)

    def capital(ones: int, n: int, mean: Floats) -> Floats:
        stakes = (0.9 / 2 ** np.arange(13))[:, None]
        zeros = n - ones
        more = ((1 + stakes * (1 / mean - 1)) ** ones * (1 - stakes) ** zeros).mean(axis=0)
        less = ((1 + stakes * (1 / (1 - mean) - 1)) ** zeros * (1 - stakes) ** ones).mean(axis=0)
        return np.asarray(np.maximum(more, less) / 2)

    grid = np.linspace(0.0005, 0.9995, 1000)
    left = capital(*ones, grid)[:, None] * capital(*others, grid)[None, :] < 20
    gaps = (grid[:, None] - grid[None, :])[left]
    streams = [sequence_of(np.repeat([1.0, 0.0], [some, n - some])) for some, n in (ones, others)]
    found = difference(*streams)
    assert (found.low, found.high) == pytest.approx((gaps.min(), gaps.max()), abs=0.02)
    assert found.low <= gaps.min()
    assert found.high >= gaps.max()


def test_the_difference_of_streams_in_other_ranges() -> None:
    one, other = clicks(0.6, 400, 1), clicks(0.2, 300, 2)
    plain = difference(sequence_of(one), sequence_of(other))
    stretched = difference(sequence_of(5 * one, high=5), sequence_of(5 * other, high=5))
    assert (stretched.low, stretched.high) == pytest.approx((5 * plain.low, 5 * plain.high))


def test_nothing_seen_of_one_stream_leaves_the_difference_open() -> None:
    found = difference(sequence_of(np.ones(50)), Sequence())
    assert found.low < -0.05
    assert found.high == 1


def test_a_difference_holds_at_every_look() -> None:
    """An experiment that ends when the difference is clear: with no difference hardly any does."""
    stopped = 0
    for seed in range(40):
        one, other = Sequence(), Sequence()
        values, others = clicks(0.3, LOOKS[-1], seed), clicks(0.3, LOOKS[-1], seed + 1000)
        for before, now in zip((0, *LOOKS), LOOKS, strict=False):
            one.add(values[before:now])
            other.add(others[before // 2 : now // 2])
            if 0 not in difference(one, other):
                stopped += 1
                break
    assert stopped <= 0.05 * 40


def test_weights_of_one_are_no_weights() -> None:
    values = clicks(0.1, 500, 0)
    assert off_policy_interval(np.ones(500), values) == sequence_of(values).interval()


def test_an_off_policy_interval_holds_with_weights_of_any_size() -> None:
    """A fortieth of the log is shown as the target would: weights of 0 and 40, and rewards that are higher there."""
    missed, low = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        chosen = rng.random(1500) < 1 / 40
        rewards = (rng.random(1500) < np.where(chosen, 0.7, 0.1)).astype(np.float64)
        found = off_policy_interval(np.where(chosen, 40.0, 0.0), rewards)
        missed += 0.7 not in found
        low.append(found.low)
    assert missed <= 0.05 * 100
    assert np.mean(low) > 0.2


BAD: list[tuple[str, Callable[[], object]]] = [
    ("values must", lambda: empirical_bernstein(np.array([0.2, 1.2]))),
    ("at least 2", lambda: empirical_bernstein(np.array([0.2]))),
    ("level must", lambda: empirical_bernstein(np.zeros(3), level=1.0)),
    ("level must", lambda: Sequence(level=0.0)),
    ("low must", lambda: Sequence(low=1.0, high=1.0)),
    ("low must", lambda: Sequence(high=np.inf)),
    ("one level", lambda: difference(Sequence(level=0.9), Sequence())),
    ("weights must", lambda: off_policy_interval(np.array([-1.0]), np.zeros(1))),
    ("weights must", lambda: off_policy_interval(np.ones(2), np.zeros(1))),
    ("values must", lambda: off_policy_interval(np.ones(1), np.array([np.nan]))),
]


@pytest.mark.parametrize(("said", "call"), BAD)
def test_what_is_out_of_range_is_refused(said: str, call: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput, match=said):
        call()


@pytest.mark.parametrize("bad", [[0.5, np.nan], [1.01], [-0.01], [[0.5]]])
def test_a_refused_value_leaves_no_trace(bad: list[float]) -> None:
    made = sequence_of(np.array([0.25, 0.75]))
    before = made.interval()
    with pytest.raises(InvalidInput, match="values must"):
        made.add(np.array(bad))
    assert (made.n, made.interval()) == (2, before)
