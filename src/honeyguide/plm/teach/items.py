"""Tasks out of the catalogue: the class of an item from what else is said of it, and the brand in its title."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.columns import ITEMS
from honeyguide.data.database import database
from honeyguide.data.labels.item_classes import LEAST, item_classes
from honeyguide.data.labels.stored import stored
from honeyguide.data.labels.texts import same_text, text_groups
from honeyguide.data.table import to_us
from honeyguide.data.text import calm, item_text
from honeyguide.plm.heads.labels import Classification, Labelled, MultiLabel
from honeyguide.plm.heads.tags import Tagged, TokenClassification
from honeyguide.plm.teach.examples import Tables, TaskExamples, enough, in_three, lacking
from honeyguide.plm.words import words_of
from honeyguide.types import Rows

TAGS = ("O", "B-brand", "I-brand")
"""No brand, the first word of one, and a further word of it."""
_AGREED = 0.8
"""Of the items that read the same; above one half, so that no two labels can have it."""
_STEP = " > "
_BETWEEN = r"\s*[>/|»›:,]+\s*"


@dataclass(frozen=True, slots=True, eq=False)
class Classed:
    """n items whose texts are all different: their classes' `names`, and `label` (n,) int32 rows into them."""

    texts: tuple[str, ...]
    names: tuple[str, ...]
    label: NDArray[np.int32]
    told: tuple[str, ...]


def category(tables: Tables) -> TaskExamples[Labelled]:
    """The class of an item, the deepest that has enough items."""
    found = _classed(tables, "category")
    train, validation, test = _parts(tables, found, "category")
    every = Labelled(found.texts, found.label.astype(np.int64))
    return TaskExamples(
        name="category",
        kind=Classification.kind,
        labels=found.names,
        train=every.take(train),
        validation=every.take(validation),
        test=every.take(test),
        purpose="tells the category of an item from its title, brand and description",
        told=found.told,
    )


def categories(tables: Tables) -> TaskExamples[Labelled]:
    """Every step of an item's path at once; a step that all items share says nothing and is none."""
    found = _classed(tables, "categories")
    steps = [_steps(found.names[label]) for label in found.label]
    counts = Counter(step for path in steps for step in path)
    labels = tuple(sorted(step for step, n in counts.items() if LEAST <= n < len(steps)))
    targets = np.array([[label in path for label in labels] for path in map(set, steps)], dtype=np.int64)
    train, validation, test = _parts(tables, found, "categories")
    every = Labelled(found.texts, targets)
    return TaskExamples(
        name="categories",
        kind=MultiLabel.kind,
        labels=labels,
        train=every.take(train),
        validation=every.take(validation),
        test=every.take(test),
        purpose="tells all categories that an item is in, from the top of the tree to its lowest",
        told=found.told,
    )


def brand(tables: Tables) -> TaskExamples[Tagged]:
    """Which words of a title are the item's brand; only items whose brand is known are examples."""
    rows = [
        (calm(title), name) for title, _, name, _ in _stored_items(tables) if title.strip() and name.strip()
    ]
    kept, _ = _distinct([title for title, _ in rows], [same_text(name) for _, name in rows])
    titles = tuple(rows[row][0] for row in kept)
    tags = tuple(brand_tags(rows[row][0], rows[row][1]) for row in kept)
    there = np.array([any(tag) for tag in tags], dtype=np.int64)
    enough("brand", int(there.sum()), "titles in which the item's brand is written")
    parts = in_three("brand", there, np.arange(len(titles)), tables.rng())
    train, validation, test = (
        Tagged(tuple(titles[row] for row in part), tuple(tags[row] for row in part)) for part in parts
    )
    return TaskExamples(
        name="brand",
        kind=TokenClassification.kind,
        labels=TAGS,
        train=train,
        validation=validation,
        test=test,
        purpose="tells which words of a title are the brand",
        told=(
            f"{int(there.sum()):,} of {len(titles):,} distinct titles name the brand that the catalogue gives",
        ),
    )


def brand_tags(title: str, name: str) -> tuple[int, ...]:
    """The place in TAGS of every word of a title, wherever the brand is written in it.

    >>> brand_tags("Acme Foods, dried figs by acme foods", "ACME FOODS")
    (1, 2, 0, 0, 0, 1, 2)
    """
    words = [same_text(word) for word in words_of(title)]
    wanted = [same_text(word) for word in words_of(name)]
    tags, place = [0] * len(words), 0
    while wanted and place <= len(words) - len(wanted):
        if words[place : place + len(wanted)] == wanted:
            tags[place : place + len(wanted)] = [1] + [2] * (len(wanted) - 1)
            place += len(wanted)
        else:
            place += 1
    return tuple(tags)


def text_without_category(title: str, category: str, brand: str, description: str) -> str:
    """What is said of an item beside its category; empty where that is all there is.

    Two or more steps of the path that are written one after the other are taken out. A word of it may stay: that a
    shampoo is called one is what is to be learned from.
    """
    steps, alone = _path(category)
    told = item_text(_without_path(title, steps), "", brand, _without_path(description, steps))
    told = _without_path(told, steps).strip(" ,")
    return "" if same_text(told) in alone else told


@lru_cache(maxsize=1 << 14)  # items are many, categories few
def _path(category: str) -> tuple[tuple[str, ...], frozenset[str]]:
    """The steps of a path, and the texts that say nothing beside it."""
    steps = tuple(step for step in map(str.strip, category.split(_STEP)) if step)
    return steps, frozenset({"", same_text(category), *map(same_text, steps)})


def _without_path(text: str, steps: Sequence[str]) -> str:
    """The text without any two or more of the steps written as a path, longest first."""
    before = None
    while text != before:  # what stood around a path may be one as well
        before = text
        for length in range(len(steps), 1, -1):
            for first in range(len(steps) - length + 1):
                text = _without_run(text, steps[first : first + length])
    return text


def _without_run(text: str, run: Sequence[str]) -> str:
    if not all(step.casefold() in text.casefold() for step in run):  # spares most items the search
        return text
    written = _BETWEEN.join(map(re.escape, run))
    return re.sub(written + r"[\s.,;:]*", " ", text, flags=re.IGNORECASE)


def _classed(tables: Tables, task: str) -> Classed:
    """The items that say something beside their category, each text once, by their deepest class that is not rare."""
    told = [
        (text, category)
        for title, category, brand, description in _stored_items(tables)
        if category and (text := text_without_category(title, category, brand, description))
    ]
    kept, contradictory = _distinct([text for text, _ in told], [category for _, category in told])
    levels = item_classes([told[row][1] for row in kept])
    label = levels[-1].label if levels else np.zeros(0, dtype=np.int32)
    names = levels[-1].names if levels else ()
    enough(task, int((label >= 0).sum()), f"items with a text and a category that {LEAST} items have")
    if len(names) < 2:
        lacking(task, f"only the category {names[0]!r} has {LEAST} items or more")
    classed = np.flatnonzero(label >= 0)
    said = [
        f"{len(classed):,} items with distinct texts in {len(names):,} classes; no text holds its category"
    ]
    if contradictory:
        said.append(f"{contradictory:,} items are left out: what reads the same is in several categories")
    return Classed(tuple(told[kept[row]][0] for row in classed), names, label[classed], tuple(said))


def _distinct(texts: Sequence[str], labels: Sequence[str]) -> tuple[Rows, int]:
    """A row of each text that has the label which nearly all rows with it have; and how many rows have no such text.

    Catalogues are never without items in the wrong place: one of them must not cost all that read the same.
    """
    if not texts:
        return np.zeros(0, dtype=np.int64), 0
    group = text_groups(texts)
    names, label = np.unique(np.array(labels, dtype=object), return_inverse=True)
    pair, first, count = np.unique(group * len(names) + label, return_index=True, return_counts=True)
    agreed = count >= _AGREED * np.bincount(group)[pair // len(names)]
    return np.sort(first[agreed]).astype(np.int64), len(texts) - int(
        np.bincount(group)[group[first[agreed]]].sum()
    )


def _parts(tables: Tables, found: Classed, task: str) -> tuple[Rows, Rows, Rows]:
    return in_three(task, found.label, np.arange(len(found.texts)), tables.rng())


def _steps(path: str) -> list[str]:
    """The paths to each step of a path, from the top."""
    steps = path.split(_STEP)
    return [_STEP.join(steps[:end]) for end in range(1, len(steps) + 1)]


def _stored_items(tables: Tables) -> list[tuple[str, str, str, str]]:
    """(title, category, brand, description) of every item that was there, by its id; "" for what is not known."""
    columns = ", ".join(f"coalesce({name}, '')" for name in ("title", "category", "brand", "description"))
    there = "true" if tables.until is None else f"created_at < make_timestamptz({to_us(tables.until)})"
    with database() as db:
        found: list[tuple[str, str, str, str]] = db.execute(
            f"""SELECT {columns} FROM ({stored(db, tables.items, ITEMS)})
                WHERE created_at IS NULL OR {there} ORDER BY item_id"""
        ).fetchall()
    return found
