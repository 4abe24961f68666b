"""Intervals for the mean of bounded values: for one look at a fixed number, and sequences for any number of looks.

A sequence holds the mean with probability `level` at every moment at once: an experiment may be watched, stopped
when it is clear, or prolonged, and the promise stays. That costs width against an interval for one look.

The sequences are bets (Waudby-Smith & Ramdas 2023, arXiv 2010.09686). Against every value m that a mean might have,
gamblers stake shares c of what they own on a value x >= 0 being above m, and are left with 1 + c (x / m - 1) of it:
a fair game if m is the mean, however large x may get. An m against which they grew rich is ruled out. Each of
several c has a gambler, and what they own together counts (the papers' diversified Kelly bet), so nothing has to be
guessed about spread or horizon, and the order of the values is of no account.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats

_STAKES = 0.9 * 0.5 ** np.arange(13)  # best for anything from a handful of values to about a million
_HALVINGS = 40
_CELLS = 150  # along each side of the square on which a difference is looked for


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, both included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """How far the ends are apart."""
        return self.high - self.low


def empirical_bernstein(
    values: Floats, *, level: float = 0.95, low: float = 0.0, high: float = 1.0
) -> Interval:
    """An interval for the mean of (n,) independent values in `low`..`high`; it holds for every n from 2 on.

    Maurer & Pontil 2009 (arXiv 0907.3740), theorem 4 on both sides: narrow where the values vary little,
    however far apart `low` and `high` are, once n is large.

    >>> found = empirical_bernstein(np.tile([0.0, 1.0], 500))
    >>> round(found.low, 3), round(found.high, 3)
    (0.443, 0.557)
    """
    unit = _to_unit(values, low, high)
    n = len(unit)
    if n < 2:
        raise InvalidInput(f"an interval from a variance needs at least 2 values, got {n}")
    rest = np.log(4 / (1 - check_level(level)))
    half = np.sqrt(2 * unit.var(ddof=1) * rest / n) + 7 * rest / (3 * (n - 1))
    mean = float(unit.mean())
    return _from_unit(max(mean - half, 0.0), min(mean + half, 1.0), low, high)


def error_of(parts: Floats) -> float:
    """The standard error of an estimate whose error is the sum of (c,) independent parts that add up to 0."""
    return float(np.sqrt(len(parts) / (len(parts) - 1) * (parts**2).sum()))


def student_interval(value: float, parts: Floats, *, level: float = 0.95) -> Interval:
    """An interval for what `value` estimates, its error the sum of (c,) independent parts that add up to 0.

    Student's, with what skewed parts do to his quotient: of rare and heavy ones a sample with few has both too low a
    value and too small an error, and he misses the truth above far oftener than below. Both ends are moved by the
    first term of the Cornish-Fisher expansion, which costs no width, and put apart by the second, which reckons with
    a skewness that is itself estimated (Hall 1992, The Bootstrap and Edgeworth Expansion, 2.6 and 3.5).

    >>> found = student_interval(0.0, np.array([-1.0, -1.0, -1.0, -1.0, 4.0]) / 5)
    >>> round(found.low, 3), round(found.high, 3)
    (-1.806, 3.747)
    """
    if parts.ndim != 1 or len(parts) < 2:
        raise InvalidInput(f"an interval from a spread needs at least 2 parts, got {parts.shape}")
    quantile = (1 + check_level(level)) / 2
    squares = float((parts**2).sum())
    if not squares > 0:
        return Interval(value, value)
    z = float(norm.ppf(quantile))
    skewness = float((parts**3).sum()) / squares**1.5  # over the root of c
    kurtosis = float((parts**4).sum()) / squares**2 - 3 / len(parts)  # over c
    moved = (2 * z**2 + 1) / 6 * skewness
    apart = z * ((3 * z**2 + 5) / 12 * kurtosis - (16 * z**2 + 23) / 72 * skewness**2)
    half = float(student_t.ppf(quantile, len(parts) - 1)) + max(apart, 0.0)
    error = error_of(parts)
    return Interval(value + error * (moved - half), value + error * (moved + half))


class Sequence:
    """A confidence sequence for the mean of a stream of values in `low`..`high`.

    The values may depend on each other as long as each has the same mean whatever came before. All that is kept
    is how often which value came, so equal streams in any order give equal intervals, to the bit.
    """

    def __init__(self, *, level: float = 0.95, low: float = 0.0, high: float = 1.0) -> None:
        if not low < high or not np.isfinite([low, high]).all():
            raise InvalidInput(f"low must lie below high, both finite, got {low} and {high}")
        self.level = check_level(level)
        self.low, self.high = low, high
        self._counts: Counter[float] = Counter()

    @property
    def n(self) -> int:
        """How many values came so far."""
        return self._counts.total()

    @property
    def mean(self) -> float:
        """Of the values so far; the middle of the range before the first."""
        unit, times = self._seen
        share = float(unit @ times) / self.n if self.n else 0.5
        return self.low + (self.high - self.low) * share

    def add(self, values: Floats) -> None:
        """Take in (m,) further values; InvalidInput leaves no trace."""
        unit, times = np.unique(_to_unit(values, self.low, self.high), return_counts=True)
        self._counts.update(dict(zip(unit.tolist(), times.tolist(), strict=True)))

    def interval(self) -> Interval:
        """What is not ruled out by now."""
        unit, times = self._seen
        enough = float(np.log(2 / (1 - self.level)))
        low, high = _bound(unit, times, enough), 1 - _bound(1 - unit, times, enough)
        if low > high:  # only of a stream whose mean changed, or once in 1 / (1 - level) streams
            low = high = (low + high) / 2
        return _from_unit(low, high, self.low, self.high)

    @property
    def _seen(self) -> tuple[Floats, Floats]:
        """(values in 0..1, how often each came), both (v,)."""
        pairs = np.array(sorted(self._counts.items()), dtype=np.float64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    @property
    def _least(self) -> float:
        """No more than the log capital against any mean: at most 0."""
        return min(float(self._cells(0.0)[1].min()), 0.0)

    def _cells(self, enough: float) -> tuple[Floats, Floats]:
        """(edges (c + 1,), (c,) the least log capital against any mean within each cell).

        Who bets on more grows poorer as the mean in question rises, and who bets on less grows richer: the two
        ends of a cell bound what is between. Beyond the cells capital is above `enough`.
        """
        unit, times = self._seen
        each = enough + float(np.log(2))  # half of the capital bets on either side
        low, high = _bound(unit, times, each), 1 - _bound(1 - unit, times, each)
        edges = np.linspace(min(low, high), max(low, high), _CELLS + 1)
        more, less = (
            np.array([_log_capital(side, times, edge) for edge in at])
            for side, at in ((unit, edges), (1 - unit, 1 - edges))
        )
        capital = np.maximum(more[1:], less[:-1]) - np.log(2)
        return self.low + (self.high - self.low) * edges, capital


def difference(one: Sequence, other: Sequence) -> Interval:
    """A confidence sequence for the mean of `one` minus that of `other`, two independent streams.

    Against the true pair of means the product of both capitals is a fair game too, in whatever order the values
    came in, and the pairs against which it grew too large are ruled out: narrower than the two intervals' ends
    subtracted. The streams need not be of one length. InvalidInput where their levels differ.
    """
    if one.level != other.level:
        raise InvalidInput(f"both sequences must be of one level, got {one.level} and {other.level}")
    enough = float(np.log(1 / (1 - one.level)))
    # a capital below 1 lets the other one's grow beyond `enough` before both together have it
    mine, left = one._cells(enough - other._least)
    theirs, right = other._cells(enough - one._least)
    capital = left[:, None] + right[None, :]
    still = capital <= max(enough, float(capital.min()))
    low = (mine[:-1, None] - theirs[None, 1:])[still].min()
    high = (mine[1:, None] - theirs[None, :-1])[still].max()
    return Interval(float(low), float(high))


def off_policy_interval(weights: Floats, rewards: Floats, *, level: float = 0.95) -> Interval:
    """For a policy's value, from (n,) importance weights and rewards in 0..1; holds at every n at once.

    No bound on the weights is asked for, but their mean has to be 1: the log could show all that the policy would.
    Waudby-Smith et al. 2022 (arXiv 2210.10768): what is weighted is never below 0, which is all that a bound from
    below needs; the same bound on what the rewards lack of 1 bounds the value from above.
    """
    if weights.shape != rewards.shape or not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise InvalidInput(f"weights must be {rewards.shape}, finite and 0 or more, got {weights!r:.80}")
    unit = _to_unit(rewards, 0.0, 1.0)
    enough = float(np.log(2 / (1 - check_level(level))))
    sides = (np.unique(weights * side, return_counts=True) for side in (unit, 1 - unit))
    low, short = (_bound(values, times.astype(np.float64), enough) for values, times in sides)
    return Interval(min(low, 1 - short), max(low, 1 - short))


def check_level(level: float) -> float:
    """`level` itself; InvalidInput unless it lies between 0 and 1."""
    if not 0 < level < 1:
        raise InvalidInput(f"level must lie between 0 and 1, got {level}")
    return level


def _bound(values: Floats, times: Floats, enough: float) -> float:
    """The largest m within 0..1 that is ruled out as too small for a mean of the values; 0 where none is."""
    low, high = 0.0, 1.0
    if not values.any():
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _log_capital(values, times, middle) >= enough:
            low = middle
        else:
            high = middle
    return low


def _log_capital(values: Floats, times: Floats, mean: float) -> float:
    """What all gamblers together own who bet on the (v,) values, each of which came so often, being above `mean`."""
    if mean <= 0 and values.any():
        return float("inf")
    excess = values / mean - 1 if mean > 0 else np.full(len(values), -1.0)
    owned = np.log1p(np.multiply.outer(_STAKES, excess)) @ times
    most = owned.max()
    return float(most + np.log(np.exp(owned - most).mean()))


def _from_unit(unit_low: float, unit_high: float, low: float, high: float) -> Interval:
    return Interval(float(low + (high - low) * unit_low), float(low + (high - low) * unit_high))


def _to_unit(values: Floats, low: float, high: float) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not ((found >= low) & (found <= high)).all():
        raise InvalidInput(f"values must be (n,) and lie in {low:g}..{high:g}, got {values!r:.80}")
    return np.asarray((found - low) / (high - low))
