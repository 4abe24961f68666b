"""Items as examples of the shop's own categories: a class for each level of the tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput

LEAST = 10
"""Examples of a class: with fewer a tenth of them that is held out is often nobody."""
_STEP = " > "

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The classes down to one depth: `names` sorted paths, `label` (items,) int32 rows into them, -1 for no class."""

    names: tuple[str, ...]
    label: NDArray[np.int32]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(classes,): the items of each class."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self.names)).astype(np.int64)


def item_classes(categories: Sequence[str], *, least: int = LEAST) -> tuple[Level, ...]:
    """The classes of each level from the top; `categories` are paths joined by " > ", as a Catalog has them.

    At level d an item's class is its path cut to d steps. A class with fewer than `least` items folds into its
    parent, from the bottom up; what is too rare at the top, and an item without a category, has no class.
    """
    if isinstance(categories, str):
        raise InvalidInput(f"item_classes() takes one category per item, got the bare string {categories!r}")
    if least < 1:
        raise InvalidInput(f"least must be at least 1, got {least}")
    paths = [_path(category) for category in categories]
    depth = max(map(len, paths), default=0)
    return tuple(_level([path[:steps] for path in paths], least) for steps in range(1, depth + 1))


def _path(category: str) -> Path:
    return tuple(step for step in map(str.strip, category.split(_STEP)) if step)


def _level(paths: Sequence[Path], least: int) -> Level:
    counts = Counter(paths)
    folded: set[Path] = set()
    for steps in range(max(map(len, counts), default=0), 0, -1):
        rare = [path for path, n in counts.items() if len(path) == steps and n < least]
        for path in rare:
            counts[path[:-1]] += counts.pop(path)
        folded.update(rare)
    del counts[()]
    names = sorted(counts)
    row = {path: at for at, path in enumerate(names)}
    label = np.array([row.get(_kept(path, folded), -1) for path in paths], dtype=np.int32)
    return Level(tuple(map(_STEP.join, names)), label)


def _kept(path: Path, folded: set[Path]) -> Path:
    while path in folded:
        path = path[:-1]
    return path
