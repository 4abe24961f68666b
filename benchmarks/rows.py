"""What every benchmark prints and writes: one row per figure, ours beside the rival's from the same run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: the median over the seeds, its spread (10th to 90th percentile), and the ratio to the rival's."""

    name: str
    metric: str
    value: float
    spread: tuple[float, float]
    rival: str
    rival_value: float
    ratio: float
    goal: float | None
    met: bool | None
    seeds: int

    @classmethod
    def of(
        cls,
        name: str,
        metric: str,
        ours: Sequence[float],
        rival: str,
        theirs: Sequence[float],
        *,
        goal: float | None = None,
    ) -> Row:
        """A row from paired figures; `goal` is the least ratio that meets it."""
        value, rival_value = float(np.median(ours)), float(np.median(theirs))
        low, high = (float(bound) for bound in np.quantile(ours, [0.1, 0.9]))
        ratio = value / rival_value if rival_value else float("inf")
        met = None if goal is None else ratio >= goal
        return cls(name, metric, value, (low, high), rival, rival_value, ratio, goal, met, len(ours))


def arguments(doc: str | None, *, seeds: int) -> argparse.Namespace:
    """--seeds and --json."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    print(f"{'name':<24}{'metric':<18}{'ours':>9}  {'10-90 %':>17}  {'rival':>9}  {'ratio':>7}  rival")
    for row in rows:
        spread = f"{row.spread[0]:.3f}..{row.spread[1]:.3f}"
        print(
            f"{row.name:<24}{row.metric:<18}{row.value:>9.3f}  {spread:>17}  {row.rival_value:>9.3f}"
            f"  {row.ratio:>7.2f}  {row.rival}"
        )


def report(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Print the table, and write it as JSON where asked."""
    show(rows)
    if options.json:
        about = {"machine": machine(), "commit": commit()}
        options.json.write_text(json.dumps([{**asdict(row), **about} for row in rows], indent=1))


def machine() -> str:
    """What it ran on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}"


def commit() -> str:
    """Which version it was."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
