"""How many levels and nodes a tree of interests has, and which leaves its upper levels put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage

from honeyguide.errors import InvalidInput
from honeyguide.interests.taxonomy import NO_PARENT
from honeyguide.types import Rows, Vectors

FEWEST_LEVELS, MOST_LEVELS = 2, 4
_MOST_LEAVES = 1_000
_MOST_TOPS = 16  # what fits on a page, and in a head
_THREE, _FOUR = 48, 256  # leaves from which a level in between helps a reader, and from which two do
_ROOM = 0.25  # a tree keeps its size while its catalogue grows or shrinks by less
_LOOSER = 1.1  # what the spread within the upper levels may grow to before they are made anew


@dataclass(frozen=True, slots=True)
class Size:
    """What a tree is asked to be: `levels`, `top` and `leaves`, each 0 where the catalogue decides."""

    levels: int = 0
    top: int = 0
    leaves: int = 0

    def __post_init__(self) -> None:
        if self.levels and not FEWEST_LEVELS <= self.levels <= MOST_LEVELS:
            raise InvalidInput(
                f"levels must lie in {FEWEST_LEVELS}..{MOST_LEVELS}, or be 0, got {self.levels}"
            )
        if self.top < 0 or self.leaves < 0 or 0 < self.leaves < self.top:
            raise InvalidInput(
                f"leaves must be at least top, or either be 0, got leaves={self.leaves}, top={self.top}"
            )

    def shape(self, points: int, before: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Nodes per level, the top first, for a catalogue of so many distinct texts.

        As many leaves as the square root of the texts: a leaf then holds as much as there are leaves. A tree that
        came `before` keeps its number of leaves until that is a quarter off.
        """
        leaves = self.leaves or max(min(round(points**0.5), _MOST_LEAVES), self.top, 2)
        if before and not self.leaves and abs(before[-1] - leaves) <= _ROOM * leaves:
            leaves = max(before[-1], self.top)
        levels = self.levels or (2 if leaves < _THREE else 3 if leaves < _FOUR else 4)
        top = self.top or min(max(round(leaves**0.5), 2), _MOST_TOPS, leaves)
        step = (leaves / top) ** (1 / (levels - 1))
        return tuple(round(top * step**level) for level in range(levels))


def group(centroids: Vectors, shape: tuple[int, ...]) -> Rows:
    """(levels - 1, leaves): the group of each leaf at every level above the leaves, the top first.

    By Ward's criterion, once for all levels, so each level's groups lie within those above.
    """
    counts = [min(count, len(centroids)) for count in shape[:-1]]
    if len(centroids) <= 1:
        return np.zeros((len(counts), len(centroids)), dtype=np.int64)
    tree = linkage(centroids.astype(np.float64), method="ward")
    return np.array([cut_tree(tree, n_clusters=count).ravel() for count in counts], dtype=np.int64)


def keep(known: Rows, centroids: Vectors, fresh: Rows) -> Rows:
    """`known` groups (levels - 1, leaves), -1 for a new leaf, or the `fresh` ones where those are clearly better.

    A new leaf goes where the one most like it is.
    """
    old = (known >= 0).all(axis=0)
    if not old.any() or len(known) != len(fresh):
        return fresh
    likeness = centroids @ centroids[old].T
    filled = np.where(old, known, known[:, np.flatnonzero(old)[likeness.argmax(axis=1)]])
    spread = [sum(_spread(centroids, groups) for groups in levels) for levels in (filled, fresh)]
    return filled if spread[0] <= _LOOSER * spread[1] + 1e-9 else fresh


def _spread(centroids: Vectors, groups: Rows) -> float:
    """The sum of squared distances to the means of groups."""
    _, of = np.unique(groups, return_inverse=True)
    total = np.zeros((int(of.max()) + 1, centroids.shape[1]))
    np.add.at(total, of, centroids)
    mean = total / np.bincount(of)[:, None]
    return float(np.square(centroids - mean[of]).sum())


def node_parents(groups: Rows) -> Rows:
    """(nodes,): the parents in a tree whose leaves are in these groups (levels - 1, leaves).

    Between, a node is left out that has one child, or that is all there is under its top interest.
    """
    leaves = groups.shape[1]
    above = np.arange(leaves)  # the node that stands for each leaf so far
    parents: list[int] = [NO_PARENT] * leaves
    for level in range(len(groups) - 1, -1, -1):
        before = above.copy()
        for one in np.unique(groups[level]):
            inside = groups[level] == one
            children = np.unique(before[inside])
            if level and (len(children) == 1 or (groups[0] == groups[0][inside][0]).sum() == inside.sum()):
                continue
            above[inside] = len(parents)
            for child in children:
                parents[int(child)] = len(parents)
            parents.append(NO_PARENT)
    return np.array(parents, dtype=np.int64)
