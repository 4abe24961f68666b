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
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from honeyguide.data.catalog import Catalog
from honeyguide.data.ingest import ImportReport
from honeyguide.data.inspect import Inspection
from honeyguide.data.prepare import PrepareReport
from honeyguide.evaluate.results import Band, ReplayReport
from honeyguide.export.exporter import ExportReport
from honeyguide.fit import FitReport
from honeyguide.shop.split import all_fixed
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Decision, Event
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
        self._bars.start()  # not before: an error at the door should stand alone
        task = self._bars.add_task(name, total=None)
        start = time.perf_counter()

        def report(done: int, total: int) -> None:
            self._bars.update(task, completed=done, total=max(total, 1))

        yield report
        self._bars.update(task, completed=1, total=1)
        self._seconds.append((name, time.perf_counter() - start))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars.tasks:
            self._bars.stop()


def show(values: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print the values as JSON or the text."""
    if as_json:
        sys.stdout.write(json.dumps(values) + "\n")
    else:
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_import(report: ImportReport, workspace: Workspace, *, as_json: bool) -> None:
    """What an import kept and what it put aside."""
    following = (
        f"Next: honeyguide fit {workspace.root}" if report.events.stored and report.items.stored else ""
    )
    show(msgspec.to_builtins(report), f"{report}\n{following}".rstrip(), as_json=as_json)


def show_prepared(report: PrepareReport, workspace: Workspace, *, as_json: bool) -> None:
    """What there is to learn from."""
    following = f"\nNext: honeyguide fit {workspace.root}" if report.cleaned else ""
    show(msgspec.to_builtins(report), f"{report}{following}", as_json=as_json)


def show_inspection(found: Inspection, *, as_json: bool) -> None:
    """What importing some files would do."""
    show({"ok": found.ok, **msgspec.to_builtins(found)}, str(found), as_json=as_json)


def show_export(report: ExportReport, *, as_json: bool) -> None:
    """What an export wrote, and what it left out and why."""
    show(msgspec.to_builtins(report, enc_hook=str), str(report), as_json=as_json)


def show_fit(report: FitReport, workspace: Workspace, *, as_json: bool) -> None:
    """What a fit did."""
    prior = (
        f"prior learned from {report.pages:,} past pages"
        if report.pages
        else "no past pages, so it knows nobody yet and learns from its own"
    )
    text = (
        f"Fitted on {report.events:,} events of {report.users:,} users over {report.items:,} items: "
        f"{report.interests} interests, {prior}. "
        f"Version {report.version}\nNext: honeyguide decide {workspace.root} USER_ID"
    )
    show(msgspec.to_builtins(report), text, as_json=as_json)


def show_feedback(event: Event, *, as_json: bool) -> None:
    """What was recorded."""
    text = f"Recorded and learned from: {event.user_id}, {event.kind}, {event.item_id} ({event.event_id})"
    show(msgspec.to_builtins(event), text, as_json=as_json)


def show_decision(decision: Decision, catalog: Catalog, *, as_json: bool) -> None:
    """A page with its propensities and reasons."""
    items = _shown(decision, catalog)
    if as_json:
        head = {"decision_id": decision.decision_id, "user_id": decision.user_id, "policy": decision.policy}
        plan = {
            "time": decision.time.isoformat(),
            "level": decision.plan.level,
            "reason": decision.plan.reason,
        }
        show({**head, **plan, "items": items}, "", as_json=True)
        return
    printed = table("#", "item", "text", "why", "chance", "expected")
    for slot, row in enumerate(items, start=1):
        chance, expected = row["propensity"], row["expected_reward"]
        said = "<.001" if chance < 0.0005 else f"{chance:.3f}"
        printed.add_row(str(slot), row["item_id"], row["text"], row["why"], said, f"{expected:.3f}")
    reason = "the shop's own ranking" if all_fixed(decision) else decision.plan.reason
    show({}, f"For {decision.user_id}, {reason}", as_json=False)
    console.print(printed)
    show({}, f"Decision {decision.decision_id}", as_json=False)


def _shown(decision: Decision, catalog: Catalog) -> list[dict[str, Any]]:
    scores = decision.plan.scores[decision.chosen]
    facts = zip(
        decision.item_ids, decision.propensities, scores, decision.explored, decision.why, strict=True
    )
    return [
        {
            "item_id": item,
            "text": catalog.texts[catalog.row(item)],
            "propensity": float(propensity),
            "expected_reward": float(score),
            "explored": bool(explored),
            "why": why,
        }
        for item, propensity, score, explored, why in facts
    ]


def show_evaluation(report: ReplayReport, *, as_json: bool) -> None:
    """How the policies did."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    days = f"{report.first_day} to {report.last_day}"
    printed = table("policy", "rewarded", "discoveries", "interests", "vs exploit only")
    for row in sorted(report.policies, key=lambda result: -result.reward.mean):
        against = _band(row.versus_greedy, signed=True) if row.policy != "greedy" else "-"
        found, discovered = f"{row.discoveries.mean:.3f}", f"{row.interests.mean:.3f}"
        printed.add_row(row.title, _band(row.reward), found, discovered, against)
    show({}, f"{report.pages:,} pages of {report.k} for {report.users:,} users, {days}", as_json=False)
    console.print(printed)
    legend = (
        "Rewarded items, first purchases among them, and interests that were new to the user, per page; "
        "the 95 % interval lies within ±."
    )
    served = next(row for row in report.policies if row.policy == report.served)
    if served.promise is not None:
        legend += (
            f" What the served policy showed was expected to earn {served.promise.shown:.2f} times what it did, "
            f"all that it chose among {served.promise.offered:.2f} times."
        )
    console.print(f"{legend}\n{report.caveat}", highlight=False, markup=False)


def table(*headings: str) -> Table:
    """A table whose figures stand right, whose ids are never cut, and whose texts share what room is left."""
    made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        if heading in _PROSE:
            made.add_column(heading, ratio=_PROSE[heading], min_width=12, overflow="fold")
        elif heading == "item":
            made.add_column(heading, no_wrap=True, overflow="fold")
        else:
            made.add_column(heading, justify="left" if heading == "policy" else "right", no_wrap=True)
    return made


_PROSE = {"text": 5, "why": 6, "interest": 5, "within": 6, "because of": 6}
"""Columns that may wrap, and their shares of the room."""


def _band(band: Band, *, signed: bool = False) -> str:
    margin = max(band.high - band.mean, band.mean - band.low)
    return f"{band.mean:{'+.3f' if signed else '.3f'}} ± {margin:.3f}"
