"""What becomes of pages when 1 to 10 times as many are asked for as the service can decide?

python benchmarks/overload.py --shop FOLDER [--candidates N] [--seeds ROUNDS] [--json OUT]

FOLDER is a fitted workspace; a copy of it is served, by a process of its own. A round asks as often as it can for
some seconds, which is its capacity, and then at 1, 2, 4 and 10 times that rate without waiting for answers. Pages a
second are compared with the best of the round; their milliseconds count from when a request was due.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from honeyguide.shop.models import load_fitted
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Floats
from http_load import Load, Target, as_often_as_it_can, at_a_rate
from rows import Row, report
from serve import SERVE, asked, copied, pages, server

SECONDS, CONNECTIONS = 3.0, 256
TIMES = (1, 2, 4, 10)
OF_PEAK, P99_MS = 0.9, 100.0
"""The goals: pages a second at 4 times what it can, of the most it can; milliseconds of a page, 99 of 100."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """What became of requests at `times` the capacity: pages a second, their p99 in ms, and the others' statuses."""

    times: int
    rate: float
    p99_ms: float
    refused_p99_ms: float
    statuses: frozenset[int]

    @classmethod
    def of(cls, times: int, load: Load) -> Pressed:
        """What a load shows."""
        good = np.array(load.statuses) == 200
        times_of = (_p99_ms(load.seconds[good]), _p99_ms(load.seconds[~good]))
        return cls(times, load.rate, times_of[0], times_of[1], frozenset(load.statuses))


def _p99_ms(seconds: Floats) -> float:
    return float(np.quantile(seconds, 0.99)) * 1000 if len(seconds) else float("nan")


def overloaded(target: Target, *, seconds: float = SECONDS, times: Sequence[int] = TIMES) -> list[Pressed]:
    """What it can (`times` 0), and what it does when more is asked."""
    peak = as_often_as_it_can(target, seconds, connections=8)
    pressed = [Pressed.of(0, peak)]
    for many in times:
        load = at_a_rate(target, many * peak.rate, seconds, connections=CONNECTIONS)
        pressed.append(Pressed.of(many, load))
    return pressed


def measured(shop: Path, rounds: int) -> list[Row]:
    """The rows of a shop."""
    workspace = Workspace.at(shop)
    users = sorted(load_fitted(workspace.models, workspace.items).histories)[:500]
    with server("-c", SERVE, "serve", str(shop), "--port", "0", "--json") as own:
        as_often_as_it_can(pages(own.port, users), 2.0)
        found = [overloaded(pages(own.port, users)) for _ in range(rounds)]
    rows = []
    for at, many in enumerate(TIMES, start=1):
        peaks = [max(one.rate for one in turn) for turn in found]
        rows += [
            Row.of(f"{many}x", "pages/s", [turn[at].rate for turn in found], "peak", peaks, goal=OF_PEAK),
            Row.of(
                f"{many}x",
                "goal's ms/p99",
                [P99_MS / turn[at].p99_ms for turn in found],
                "goal",
                [1.0],
                goal=1.0,
            ),
        ]
    return rows


def main() -> None:
    """Print the table."""
    options = asked(__doc__, candidates=100)
    with tempfile.TemporaryDirectory(dir=options.shop.parent) as folder:
        report(measured(copied(options.shop, Path(folder), options.candidates), options.seeds), options)


if __name__ == "__main__":
    main()
