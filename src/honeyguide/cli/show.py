"""What commands print: tables for people, one JSON object for programs, progress for those who wait."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from honeyguide.data.catalog import Catalog
from honeyguide.data.ingest import ImportReport
from honeyguide.errors import HoneyguideError
from honeyguide.evaluate.results import Band, ReplayReport
from honeyguide.fit import FitReport
from honeyguide.shop.beliefs import UserInterest
from honeyguide.types import Decision
from honeyguide.types import Progress as Report

console = Console()


class Stages:
    """Progress bars, one per stage, on standard error; remembers how long each stage took."""

    def __init__(self, *, quiet: bool) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<48}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._seconds: list[tuple[str, float]] = []

    @property
    def seconds(self) -> tuple[tuple[str, float], ...]:
        """Stage names and wall seconds, in order."""
        return tuple(self._seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[Report]:
        """A bar that pulses until something is reported, and is full when the stage is through."""
        task = self._bars.add_task(name, total=None)
        start = time.perf_counter()

        def report(done: int, total: int) -> None:
            self._bars.update(task, completed=done, total=max(total, 1))

        yield report
        self._bars.update(task, completed=1, total=1)
        self._seconds.append((name, time.perf_counter() - start))

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def show(values: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print the values as JSON or the text."""
    if as_json:
        sys.stdout.write(json.dumps(values) + "\n")
    else:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_error(error: HoneyguideError, *, as_json: bool) -> None:
    """Print an error to standard error."""
    if as_json:
        sys.stderr.write(json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}) + "\n")
    else:
        sys.stderr.write(f"error: {error}\n")


def show_fit(report: FitReport, *, as_json: bool) -> None:
    """What a fit did."""
    text = (
        f"Fitted on {report.events:,} events of {report.users:,} users over {report.items:,} items: "
        f"{report.interests} interests, prior learned from {report.pages:,} past pages. Version {report.version}"
    )
    show(msgspec.to_builtins(report), text, as_json=as_json)


def show_decision(decision: Decision, catalog: Catalog, *, as_json: bool) -> None:
    """A page with its propensities and reasons."""
    scores = decision.plan.scores[decision.chosen]
    items: list[dict[str, Any]] = [
        {
            "item_id": item,
            "text": catalog.texts[catalog.row(item)],
            "propensity": float(propensity),
            "expected_reward": float(score),
            "explored": bool(explored),
            "why": why,
        }
        for item, propensity, score, explored, why in zip(
            decision.item_ids, decision.propensities, scores, decision.explored, decision.why, strict=True
        )
    ]
    if as_json:
        head = {"decision_id": decision.decision_id, "user_id": decision.user_id, "policy": decision.policy}
        plan = {"level": decision.plan.level, "reason": decision.plan.reason}
        show({**head, **plan, "items": items}, "", as_json=True)
        return
    table = Table(title=f"{decision.user_id}: {decision.plan.reason}", title_justify="left")
    for heading in ("item", "", "why", "propensity", "expected"):
        table.add_column(heading, justify="right" if heading in ("propensity", "expected") else "left")
    for row in items:
        table.add_row(
            row["item_id"],
            row["text"],
            row["why"],
            f"{row['propensity']:.3f}",
            f"{row['expected_reward']:.3f}",
        )
    console.print(table)
    show({}, f"decision {decision.decision_id}", as_json=False)


def show_interests(user: str, found: tuple[UserInterest, ...], *, as_json: bool) -> None:
    """A user's interests."""
    if as_json:
        show({"user_id": user, "interests": msgspec.to_builtins(found)}, "", as_json=True)
        return
    table = Table(title=f"Interests of {user}", title_justify="left")
    for heading in ("interest", "within", "expected reward", "95 % interval", "share so far"):
        table.add_column(heading, justify="left" if heading in ("interest", "within") else "right")
    for one in found:
        interval = f"{one.low:.3f} .. {one.high:.3f}"
        table.add_row(one.name, one.within, f"{one.mean:.3f}", interval, f"{one.share:.1%}")
    console.print(table)


def show_evaluation(report: ReplayReport, *, as_json: bool) -> None:
    """How the policies did."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    days = f"{report.first_day} to {report.last_day}"
    title = f"{report.pages:,} pages of {report.k} for {report.users:,} users, {days}"
    table = Table(title=title, title_justify="left")
    for heading in ("policy", "rewarded items a page", "discoveries a page", "against exploit only"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for row in sorted(report.policies, key=lambda result: -result.reward.mean):
        table.add_row(
            row.title, _band(row.reward), _band(row.discoveries), _band(row.versus_greedy, signed=True)
        )
    console.print(table)
    console.print(report.caveat, highlight=False)


def _band(band: Band, *, signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    return f"{band.mean:{form}} [{band.low:{form}}, {band.high:{form}}]"


def show_import(report: ImportReport, *, as_json: bool) -> None:
    """What an import kept and what it put aside."""
    show(msgspec.to_builtins(report), str(report), as_json=as_json)
