"""Which labels a data folder can give, how many of each, and what is missing for the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honeyguide.config import Labels
from honeyguide.data.catalog import Catalog
from honeyguide.data.labels.ads import AdResponses, ad_responses
from honeyguide.data.labels.intents import Intents, intents
from honeyguide.data.labels.item_classes import Level, item_classes
from honeyguide.data.labels.negatives import item_counts, taken
from honeyguide.data.labels.next_interest import NextInterests, next_interests
from honeyguide.data.labels.rewards import RATING, StarScale, rewards
from honeyguide.data.labels.sentiment import SENTIMENTS, Sentiments, sentiments
from honeyguide.data.labels.shown import Shown, load_shown
from honeyguide.data.labels.visits import Outcomes, outcomes, visits
from honeyguide.data.split import one_left_out
from honeyguide.data.table import EventTable, load_events
from honeyguide.types import EVENT_KINDS, Floats

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
    home = tables_of(folder)
    events, touches, messages = (
        home / "events.parquet",
        folder / "touches.parquet",
        folder / "messages.parquet",
    )
    return (
        *_of_behaviour(home, settings),
        count_reviews(sentiments(events) if events.is_file() else None),
        count_campaigns(
            ad_responses(touches, window_days=settings.window_days) if touches.is_file() else None
        ),
        count_messages(intents(messages, least=settings.smallest_class) if messages.is_file() else None),
    )


def tables_of(folder: Path) -> Path:
    """Where the events and items of a data folder lie that are to be labelled: cleaned ones if there are any."""
    clean = folder / "clean"
    return clean if (clean / "events.parquet").is_file() else folder


def catalog_of(home: Path) -> Catalog:
    """The items there, an empty catalogue where there are none."""
    items = home / "items.parquet"
    return Catalog.read(items) if items.is_file() else Catalog.of((), titles=())


def _of_behaviour(home: Path, settings: Labels) -> Iterator[LabelCount]:
    catalog = catalog_of(home)
    levels = item_classes(catalog.categories, least=settings.smallest_class)
    yield from count_items(levels)
    events = home / "events.parquet"
    if not events.is_file():
        yield from without_events()
        return
    table = load_events(events, catalog)
    end_us, days, grade = int(table.time_us.max(initial=0)), settings.window_days, settings.grade
    scale = StarScale.of(table.value[table.kind == RATING])
    reward = rewards(table, grade=grade, scale=scale)
    full = visits(table, origin_us=origin_us(table)).with_full_window(end_us, days)
    shown = load_shown(events, catalog, grade=grade, window_days=days, scale=scale)
    pool = int((item_counts(table, len(catalog)) > 0).sum())
    yield count_rewards(table, reward)
    yield count_visits(outcomes(table, full, grade=grade, window_days=days, scale=scale))
    yield count_shown(shown.with_full_window(end_us, days))
    yield count_draws(int((reward > 0).sum()) if pool > 1 else 0, pool)
    yield count_held_out(table, one_left_out(table, counts=taken(table)))
    found = None
    if levels:
        found = next_interests(table, full, levels[-1].label, grade=grade, window_days=days, scale=scale)
    yield count_next(found)


def without_events() -> Iterator[LabelCount]:
    """The counts of everything that needs a log, where there is none."""
    names = ("reward", "visit", "shown", "drawn negatives", "leave-one-out", "next interest")
    yield from (LabelCount(name, 0, missing="there are no events: import a log") for name in names)


def count_items(levels: tuple[Level, ...]) -> Iterator[LabelCount]:
    """One count for each level."""
    for depth, level in enumerate(levels, start=1):
        classes = tuple(zip(level.names, level.counts.tolist(), strict=True))
        missing = "every category of this level has too few items"
        yield LabelCount(f"item class, level {depth}", int((level.label >= 0).sum()), classes, missing)
    if not levels:
        yield LabelCount("item class", 0, missing="no item has a category: import items with one")


def count_rewards(table: EventTable, reward: Floats) -> LabelCount:
    """Of the events that earn anything."""
    kinds = np.bincount(table.kind[reward > 0], minlength=len(EVENT_KINDS)).tolist()
    classes = tuple((name, n) for name, n in zip(EVENT_KINDS, kinds, strict=True) if n)
    return LabelCount(
        "reward", sum(kinds), classes, "no event is of a kind that earns anything, see [labels]"
    )


def count_visits(found: Outcomes) -> LabelCount:
    """Of visits by whether anything was earned after them."""
    total, rewarded = len(found.starts) - 1, int((np.diff(found.starts) > 0).sum())
    classes = (("rewarded", rewarded), ("without reward", total - rewarded))
    return LabelCount("visit", total, classes, "no reward window is over before the log ends")


def count_shown(shown: Shown) -> LabelCount:
    """Of shown items by what became of them."""
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


def count_draws(positives: int, pool: int) -> LabelCount:
    """Of the events that negatives are drawn for."""
    missing = "there must be a rewarded event and, in training, a second item to draw"
    return LabelCount("drawn negatives", positives, (("items drawn from", pool),), missing)


def count_held_out(table: EventTable, part: NDArray[np.int8]) -> LabelCount:
    """Of the users whose last two events about an item are held out."""
    users = len(np.unique(table.user[part == 2]))
    return LabelCount("leave-one-out", users, missing="no user has taken three items")


def count_next(found: NextInterests | None) -> LabelCount:
    """Of the visits that a class followed; None where no item has one."""
    if found is None:
        return LabelCount("next interest", 0, missing="no item has a category: import items with one")
    count, new = int((found.label >= 0).sum()), int(found.new.sum())
    classes = (("new", new), ("known", count - new))
    return LabelCount("next interest", count, classes, "no visit is followed by a reaction to a classed item")


def count_reviews(found: Sentiments | None) -> LabelCount:
    """Of the texts by their sentiment; None where there are no events."""
    missing = "there are no ratings with a text: import reviews"
    if found is None:
        return LabelCount("sentiment", 0, missing=missing)
    classes = tuple(zip(SENTIMENTS, found.counts.tolist(), strict=True))
    return LabelCount("sentiment", len(found.texts), classes, missing)


def count_campaigns(found: AdResponses | None) -> LabelCount:
    """Of who was sent a campaign, and who was not; None where there are no touches."""
    missing = "nothing was sent or withheld: import campaigns"
    if found is None:
        return LabelCount("ad response", 0, missing=missing)
    treated, redeemed = int(found.treated.sum()), int(found.redeemed.sum())
    classes = (("sent", treated), ("withheld", len(found) - treated), ("redeemed", redeemed))
    return LabelCount("ad response", len(found), classes, missing)


def count_messages(found: Intents | None) -> LabelCount:
    """Of the messages by their intent; None where there are none."""
    missing = "there are no messages with an intent, or too few of each: import them"
    if found is None:
        return LabelCount("intent", 0, missing=missing)
    classes = tuple(zip(found.names, found.counts.tolist(), strict=True))
    return LabelCount("intent", len(found.texts), classes, missing)


def origin_us(table: EventTable) -> int:
    """The midnight before the log begins, as the fit counts its weeks."""
    return int(table.time_us.min(initial=np.iinfo(np.int64).max)) // _DAY_US * _DAY_US
