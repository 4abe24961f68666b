"""More is asked than can be decided: as many pages as ever, in time, and others are told at once to come again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from honeyguide.serve.door import Pace
from tests.fitted import copy_of, fitted_shop
from tests.soak import SOAK, rounds

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from overload import OF_PEAK, P99_MS, overloaded
    from serve import SERVE, pages, server
finally:
    sys.path.remove(str(BENCHMARKS))

# a page that takes ten milliseconds more, of the clock and not of the processor: whatever else runs on the machine
_SLOW = f"""
import time
from honeyguide.shop.honeyguide import Honeyguide
draw = Honeyguide.draw
def slowly(*asked, **named):
    time.sleep(0.01)
    return draw(*asked, **named)
Honeyguide.draw = slowly
{SERVE}
"""


def test_goodput_and_times_hold_when_too_much_is_asked(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    with server("-c", _SLOW, "serve", str(folder), "--port", "0", "--json") as own:
        target = pages(own.port, [f"user-{number}" for number in range(24)])
        found = overloaded(target, seconds=rounds(1.5, 20.0), times=rounds(0, 1) * (1, 2, 4, 10) or (4,))
    peak = max(one.rate for one in found)
    for one in found:
        assert one.statuses <= {200, 503}
        if one.times:
            record_property(
                f"{one.times}x",
                f"goodput {one.rate / peak:.2f} of peak ({peak:.0f}/s), p99 {one.p99_ms:.0f} ms, "
                f"503 within {one.refused_p99_ms:.0f} ms",
            )
    four = next(one for one in found if one.times == 4)
    assert 503 in four.statuses
    if SOAK:
        assert four.rate >= OF_PEAK * peak
        assert four.p99_ms <= P99_MS
    # a machine that others use, too, has no steady peak; but a queue of 128 would take four times as long and more
    assert four.rate >= 0.25 * peak
    assert four.p99_ms <= 1000 * 128 / four.rate / 4


def test_as_many_are_let_in_as_can_be_served_in_time() -> None:
    pace = Pace(0.1)
    assert not pace.full(1000)  # nothing is known yet
    for _ in range(100):
        pace.served(8, 0.08, 0.08)
    assert [ahead for ahead in range(30) if pace.full(ahead)] == list(range(11, 30))
    assert [pace.together(most) for most in (1, 2, 8)] == [1, 2, 2]  # a quarter of the time that one may wait
    for _ in range(200):
        pace.served(1, 5.0, 5.0)
    assert pace.together(8) == 1
    assert [ahead for ahead in range(30) if pace.full(ahead)] == list(range(4, 30))  # a few always are
    for _ in range(200):
        pace.served(8, 0.08, 0.035)
    assert not pace.full(9)  # and it recovers
    assert pace.together(8) == 5  # what is done with all at once makes no group smaller
