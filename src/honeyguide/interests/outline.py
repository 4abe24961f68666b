"""A tree of interests as a reader goes through it: from the top, the most taken first, with examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.interests.taxonomy import NO_PARENT, Taxonomy, held
from honeyguide.types import Floats, Rows

Mark = Literal["", "born", "moved"]
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A node: `depth` is 0 at the top, `share` its part of all that is taken, `mark` what the last fit did to it."""

    id: str
    name: str
    parent: str | None
    depth: int
    leaf: bool
    items: int
    taken: int
    share: float
    examples: tuple[str, ...]
    """Titles of its most taken items."""
    mark: Mark
    name_before: str | None
    """What it was called before the last fit, where that renamed it."""


def outline(tree: Taxonomy, taken: Rows, titles: Sequence[str]) -> tuple[Line, ...]:
    """Every node after the one above it; `taken` (n,) is how often each item was, `titles` (n,) what it is called."""
    if not len(taken) == len(titles) == len(tree.members):
        raise InvalidInput(
            f"taken and titles must have one entry per item of the tree, {len(tree.members)}, "
            f"got {len(taken)} and {len(titles)}"
        )
    under = held(tree.node_parent, len(tree)).astype(np.float64)
    leaf, total = tree.leaf, max(int(taken.sum()), 1)
    items = under @ np.bincount(leaf, minlength=len(tree))
    sums = under @ np.bincount(leaf, weights=taken, minlength=len(tree))
    changes = tree.growth.changes
    before = dict(zip(changes.renamed, changes.names_before, strict=True))
    best = _best(tree, under, taken)
    return tuple(
        Line(
            id=tree.ids[node],
            name=tree.names[node],
            parent=None if tree.node_parent[node] == NO_PARENT else tree.ids[tree.node_parent[node]],
            depth=depth,
            leaf=node < len(tree),
            items=int(items[node]),
            taken=int(sums[node]),
            share=float(sums[node] / total),
            examples=tuple(dict.fromkeys(titles[row] for row in best[node]))[:_EXAMPLES],
            mark=_mark(tree, node),
            name_before=before.get(tree.ids[node]),
        )
        for node, depth in _in_order(tree, sums, items)
    )


def _in_order(tree: Taxonomy, taken: Floats, items: Floats) -> list[tuple[int, int]]:
    """Nodes with their depth, each after its parent, siblings by what is taken of them and how much they hold."""
    order: list[tuple[int, int]] = []
    waiting = [(node, 0) for node in _by_size(tree, NO_PARENT, taken, items)]
    while waiting:
        node, depth = waiting.pop()
        order.append((node, depth))
        waiting += [(child, depth + 1) for child in _by_size(tree, node, taken, items)]
    return order


def _by_size(tree: Taxonomy, parent: int, taken: Floats, items: Floats) -> list[int]:
    """The children of a node, the largest last."""
    children = np.flatnonzero(tree.node_parent == parent)
    order = np.lexsort((-children, items[children], taken[children]))
    return [int(child) for child in children[order]]


def _best(tree: Taxonomy, under: Floats, taken: Rows) -> list[Rows]:
    """The most taken items of every node; more than are shown, as some have the same title."""
    by_taken = np.argsort(-taken, kind="stable")
    leaf = tree.leaf[by_taken]
    of_leaf = [by_taken[leaf == one][: 10 * _EXAMPLES] for one in range(len(tree))]
    found = []
    for row in under:
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *(of_leaf[one] for one in np.flatnonzero(row))])
        found.append(rows[np.argsort(-taken[rows], kind="stable")][: 10 * _EXAMPLES])
    return found


def _mark(tree: Taxonomy, node: int) -> Mark:
    changes = tree.growth.changes
    if tree.ids[node] in changes.born:
        return "born"
    return "moved" if tree.ids[node] in changes.moved else ""
