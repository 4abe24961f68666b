"""How fast models learned: what is counted of ours and of rivals, and how one stands beside the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rank import OURS, WITHOUT_MEMORY
from rows import Row


@dataclass(frozen=True, slots=True)
class Speed:
    """Sequences a second: in the loop of training, from arrays to the network, and with all looks."""

    model: str
    round: int
    in_loop: float
    end_to_end: float
    with_looks: float


@dataclass(frozen=True, slots=True)
class Quality:
    """NDCG@10 on the users who judge, after so many epochs and seconds, those of looks left out."""

    model: str
    seed: int
    epochs: float
    seconds: float
    ndcg: float


def their_speed(rival: str, turn: int, told: Mapping[str, Any]) -> Speed:
    """Out of `run.json`: its fit leaves the looks out, and its curve the rest of the fit as well."""
    sequences = told["sequences_per_second"] * told["curve"][-1][1]
    fit, looks = told["seconds_fit"], told["seconds_validation"]
    return Speed(rival, turn, told["sequences_per_second"], sequences / fit, sequences / (fit + looks))


def their_qualities(rival: str, seed: int, told: Mapping[str, Any]) -> list[Quality]:
    """Out of `run.json`: a point for each epoch, after the seconds of setting up."""
    setting_up = told["seconds_fit"] - told["curve"][-1][1]
    return [Quality(rival, seed, epoch, setting_up + at, ndcg) for epoch, at, _, ndcg in told["curve"]]


def speeds(results: Sequence[Speed]) -> list[Row]:
    """Ours beside each rival, round by round."""
    of = {
        metric: {
            name: [getattr(r, metric) for r in results if r.model == name]
            for name in {r.model for r in results}
        }
        for metric in ("in_loop", "end_to_end", "with_looks")
    }
    return [
        Row.of("sequences a second", metric, found[OURS], rival, found[rival])
        for metric, found in of.items()
        for rival in sorted(found)
        if OURS in found and rival != OURS
    ]


def until(results: Sequence[Quality], mark: float) -> float | None:
    """The least seconds after which NDCG@10 is at least the mark; None where it never is."""
    return min((result.seconds for result in results if result.ndcg >= mark), default=None)


def waits(results: Sequence[Quality]) -> list[str]:
    """A line for each rival and seed: how long it takes to its best, and how long ours takes to be as good."""
    found = []
    for (rival, seed), theirs in by_model(results).items():
        if rival in (OURS, WITHOUT_MEMORY):
            continue
        best = max(theirs, key=lambda point: point.ndcg)
        rising = ", cut while it rose" if best is theirs[-1] else ""
        found.append(f"seed {seed}, {rival}: NDCG@10 {best.ndcg:.4f} after {best.seconds:.1f} s{rising}")
        for name in (WITHOUT_MEMORY, OURS):
            own = until(by_model(results).get((name, seed), []), best.ndcg)
            told = (
                "not reached" if own is None else f"after {own:.1f} s, {best.seconds / own:.1f} times as fast"
            )
            found.append(f"    {name}: {told}")
    return found


def by_model(results: Sequence[Quality]) -> dict[tuple[str, int], list[Quality]]:
    """The points of each model and seed, ours first."""
    found: dict[tuple[str, int], list[Quality]] = {}
    for result in sorted(results, key=lambda result: result.model != OURS):
        found.setdefault((result.model, result.seed), []).append(result)
    return found
