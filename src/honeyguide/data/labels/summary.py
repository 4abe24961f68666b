"""Which labels a data folder can give, how many of each, and what is missing for the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from honeyguide.config import Labels
from honeyguide.data.catalog import Catalog
from honeyguide.data.labels.ads import ad_responses
from honeyguide.data.labels.intents import intents
from honeyguide.data.labels.item_classes import Level, item_classes
from honeyguide.data.labels.negatives import item_counts
from honeyguide.data.labels.next_interest import next_interests
from honeyguide.data.labels.rewards import rewards
from honeyguide.data.labels.sentiment import SENTIMENTS, sentiments
from honeyguide.data.labels.shown import load_shown
from honeyguide.data.labels.visits import outcomes, visits
from honeyguide.data.split import leave_one_out
from honeyguide.data.table import EventTable, load_events
from honeyguide.types import EVENT_KINDS

_DAY_US = 86_400 * 1_000_000
_MOST_SHOWN = 8
"""Classes in one line; of more the largest are named."""


@dataclass(frozen=True, slots=True)
class LabelCount:
    """One kind of label: how many examples there are, of which classes, and what is missing where there are none."""

    label: str
    count: int
    classes: tuple[tuple[str, int], ...] = ()
    missing: str = ""

    def __str__(self) -> str:
        """The count in one line."""
        if not self.count:
            return f"{self.label}: none; {self.missing}"
        shown = self.classes
        if len(shown) > _MOST_SHOWN:
            shown = tuple(sorted(shown, key=lambda known: -known[1])[:_MOST_SHOWN])
        parts = [f"{name} {n:,}" for name, n in shown]
        parts += [f"{more:,} more"] if (more := len(self.classes) - len(shown)) else []
        return f"{self.label}: {self.count:,}" + (f" ({', '.join(parts)})" if parts else "")


def label_counts(folder: Path, settings: Labels) -> tuple[LabelCount, ...]:
    """What the tables in a data folder can be labelled with, the cleaned ones where there are any.

    Rewards are those of the settings. Visits and pages count when their reward window is over before the log ends.
    """
    home = folder / "clean" if (folder / "clean" / "events.parquet").is_file() else folder
    return (
        *_of_behaviour(home, settings),
        _of_reviews(home / "events.parquet"),
        _of_campaigns(folder / "touches.parquet", settings.window_days),
        _of_messages(folder / "messages.parquet"),
    )


def _of_behaviour(home: Path, settings: Labels) -> Iterator[LabelCount]:
    events, items = home / "events.parquet", home / "items.parquet"
    catalog = Catalog.read(items) if items.is_file() else Catalog.of((), titles=())
    levels = item_classes(catalog.categories)
    yield from _of_items(levels)
    if not events.is_file():
        names = ("reward", "visit", "shown", "drawn negatives", "leave-one-out", "next interest")
        yield from (LabelCount(name, 0, missing="there are no events: import a log") for name in names)
        return
    table = load_events(events, catalog)
    yield _of_events(table, settings)
    yield _of_visits(table, settings)
    yield _of_impressions(events, catalog, table, settings)
    yield _of_draws(table, len(catalog), settings)
    held_out = len(np.unique(leave_one_out(table).test.user))
    yield LabelCount("leave-one-out", held_out, missing="no user has three events about items")
    yield _of_next(table, levels, settings)


def _of_items(levels: tuple[Level, ...]) -> Iterator[LabelCount]:
    for depth, level in enumerate(levels, start=1):
        classes = tuple(zip(level.names, level.counts.tolist(), strict=True))
        missing = "every category of this level has too few items"
        yield LabelCount(f"item class, level {depth}", int((level.label >= 0).sum()), classes, missing)
    if not levels:
        yield LabelCount("item class", 0, missing="no item has a category: import items with one")


def _of_events(table: EventTable, settings: Labels) -> LabelCount:
    kinds = np.bincount(
        table.kind[rewards(table, grade=settings.grade) > 0], minlength=len(EVENT_KINDS)
    ).tolist()
    classes = tuple((name, n) for name, n in zip(EVENT_KINDS, kinds, strict=True) if n)
    return LabelCount(
        "reward", sum(kinds), classes, "no event is of a kind that earns anything, see [labels]"
    )


def _of_visits(table: EventTable, settings: Labels) -> LabelCount:
    seen = visits(table, origin_us=_origin_us(table))
    full = seen.with_full_window(int(table.time_us.max(initial=0)), settings.window_days)
    found = outcomes(table, full, grade=settings.grade, window_days=settings.window_days)
    rewarded = int((np.diff(found.starts) > 0).sum())
    classes = (("rewarded", rewarded), ("without reward", len(full) - rewarded))
    return LabelCount("visit", len(full), classes, "no reward window is over before the log ends")


def _of_impressions(events: Path, catalog: Catalog, table: EventTable, settings: Labels) -> LabelCount:
    days = settings.window_days
    shown = load_shown(events, catalog, grade=settings.grade, window_days=days)
    shown = shown.with_full_window(int(table.time_us.max(initial=0)), days)
    dismissed = shown.sure_negative & ~shown.skipped
    counts = {
        "taken": shown.reward > 0,
        "skipped": shown.skipped,
        "dismissed": dismissed,
        "passed over": shown.negative & ~shown.sure_negative,
    }
    classes = tuple((name, int(mask.sum())) for name, mask in counts.items())
    missing = "no impressions whose reward window is over: log what is shown, or draw negatives"
    return LabelCount("shown", len(shown.item), classes, missing)


def _of_draws(table: EventTable, n_items: int, settings: Labels) -> LabelCount:
    positives = int((rewards(table, grade=settings.grade) > 0).sum())
    pool = int((item_counts(table, n_items) > 0).sum())
    missing = "there must be a rewarded event and a second item to draw"
    return LabelCount("drawn negatives", positives if pool > 1 else 0, (("items drawn from", pool),), missing)


def _of_next(table: EventTable, levels: tuple[Level, ...], settings: Labels) -> LabelCount:
    if not levels:
        return LabelCount("next interest", 0, missing="no item has a category: import items with one")
    days = settings.window_days
    seen = visits(table, origin_us=_origin_us(table))
    full = seen.with_full_window(int(table.time_us.max(initial=0)), days)
    found = next_interests(table, full, levels[-1].label, grade=settings.grade, window_days=days)
    count, new = int((found.label >= 0).sum()), int(found.new.sum())
    classes = (("new", new), ("known", count - new))
    return LabelCount("next interest", count, classes, "no visit is followed by a reaction to a classed item")


def _of_reviews(events: Path) -> LabelCount:
    missing = "there are no ratings with a text: import reviews"
    if not events.is_file():
        return LabelCount("sentiment", 0, missing=missing)
    found = sentiments(events)
    classes = tuple(zip(SENTIMENTS, found.counts.tolist(), strict=True))
    return LabelCount("sentiment", len(found.texts), classes, missing)


def _of_campaigns(touches: Path, window_days: float) -> LabelCount:
    missing = "nothing was sent or withheld: import campaigns"
    if not touches.is_file():
        return LabelCount("ad response", 0, missing=missing)
    found = ad_responses(touches, window_days=window_days)
    treated, redeemed = int(found.treated.sum()), int(found.redeemed.sum())
    classes = (("sent", treated), ("withheld", len(found) - treated), ("redeemed", redeemed))
    return LabelCount("ad response", len(found), classes, missing)


def _of_messages(messages: Path) -> LabelCount:
    missing = "there are no messages with an intent, or too few of each: import them"
    if not messages.is_file():
        return LabelCount("intent", 0, missing=missing)
    found = intents(messages)
    classes = tuple(zip(found.names, found.counts.tolist(), strict=True))
    return LabelCount("intent", len(found.texts), classes, missing)


def _origin_us(table: EventTable) -> int:
    """The midnight before the log begins, as the fit counts its weeks."""
    return int(table.time_us.min(initial=np.iinfo(np.int64).max)) // _DAY_US * _DAY_US
