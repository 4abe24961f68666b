"""A small shop that has everything to teach: kinds of items, brands, reviews, searches and what came after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.dirty_log import Row, event, item, shop
from tests.tiny_bert import WORDS

KINDS = {"wine": "Shop > Drinks > Wine", "milk": "Shop > Drinks > Milk", "soap": "Shop > Care"}
BRANDS = ("Dog Food", "Pizza")
NEUTRAL = tuple(sorted({*WORDS} - {*KINDS, "dog", "food", "pizza", "red", "dry"}))
HOUR = 3600.0
ALL = ("category", "categories", "brand", "sentiment", "stars", "search", "relevance")


def phrases(n: int, rng: np.random.Generator) -> list[str]:
    """n different phrases of words that decide nothing."""
    found: dict[str, None] = {}
    while len(found) < n:
        found[" ".join(rng.choice(NEUTRAL, rng.integers(3, 6), replace=False))] = None
    return list(found)


def items_of(n: int, rng: np.random.Generator) -> list[Row]:
    """Items whose kind stands in the title, some with their brand before it; descriptions hold their category."""
    rows = []
    for number, phrase in enumerate(phrases(n, rng)):
        kind = list(KINDS)[number % len(KINDS)]
        brand = BRANDS[number % 2]
        title = f"{brand} {kind} {phrase}" if number % 3 else f"{phrase} {kind}"
        said = f"{KINDS[kind]}. {phrase}" if number % 4 == 0 else ""
        rows.append(item(f"i{number:03}", title=title, category=KINDS[kind], brand=brand, description=said))
    return rows


def reviews_of(n: int, rng: np.random.Generator) -> list[Row]:
    """Reviews in which "red" says 5 stars and "dry" 1."""
    rows = []
    for number, phrase in enumerate(phrases(n, rng)):
        good = number % 2 == 0
        text = f"{phrase} {'red' if good else 'dry'}"
        rows.append(rating(f"r{number:03}", number * HOUR, text, 5.0 if good else 1.0))
    return rows


def rating(event_id: str, seconds: float, text: str | None, stars: float | None, **facts: Any) -> Row:
    """A review of item i000."""
    return event(event_id, seconds, kind="rating", item_id="i000", text=text, value=stars, **facts)


def searches_of(n: int, items: list[Row], rng: np.random.Generator) -> list[Row]:
    """Each search asks for a kind: one of it is bought, another looked at, and one of another kind only shown."""
    by_kind = {
        kind: [row["item_id"] for row in items if row["category"] == path] for kind, path in KINDS.items()
    }
    rows = []
    for number, phrase in enumerate(phrases(n, rng)):
        kind = list(KINDS)[number % len(KINDS)]
        other = list(KINDS)[(number + 1) % len(KINDS)]
        bought, seen = rng.choice(by_kind[kind], 2, replace=False).tolist()
        user, at = f"u{number % 7}", 10 + number * HOUR
        rows += [
            event(f"s{number:03}", at, user_id=user, kind="search", item_id=None, query=f"{kind} {phrase}"),
            event(
                f"t{number:03}", at + 5, user_id=user, kind="impression", item_id=by_kind[other][number % 5]
            ),
            event(f"v{number:03}", at + 9, user_id=user, kind="view", item_id=seen),
            event(f"w{number:03}", at + 20, user_id=user, kind="purchase", item_id=bought),
        ]
    return rows


def taught_shop(folder: Path, *, n: int = 90) -> Path:
    """The whole shop, with `n` items, reviews and searches."""
    rng = np.random.default_rng(0)
    items = items_of(n, rng)
    return shop(folder, [*reviews_of(n, rng), *searches_of(n, items, rng)], items)
