"""Which node of a new tree is which of the tree before it: ids stay where the items stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from honeyguide.interests.taxonomy import NO_PARENT, Changes, Taxonomy, depths, held, node_id
from honeyguide.types import Floats, Rows

_SAME = 0.5  # of what two nodes hold, shared: less, and they are two nodes
_STILL = 0.8  # of what a node held and holds, shared: less, and it has moved and is named anew
_STEPCHILD = 0.5  # what is shared counts half where the parents are not the same


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """`old` (nodes,) is the node of the tree before that each new one is, -1 for a new one.

    `same` (nodes,) is the share of what both hold that both hold, 0 for a new one.
    """

    old: Rows
    same: Floats


def match(node_parent: Rows, leaves: int, leaf: Rows, keys: NDArray[np.uint64], before: Taxonomy) -> Match:
    """The nodes of a new tree against those `before`, level by level from the top.

    `leaf` (n,) and `keys` (n,) are the new tree's items. At each level the pairing is the one that shares most items
    (Kuhn 1955), and what children of two parents share counts half.
    """
    nodes = len(node_parent)
    holds = held(node_parent, leaves).astype(np.float64)
    _, new_rows, old_rows = np.intersect1d(keys, before.item_keys, return_indices=True)
    shared_leaves = np.zeros((leaves, len(before)))
    np.add.at(shared_leaves, (leaf[new_rows], before.leaf[old_rows]), 1)
    old_holds = held(before.node_parent, len(before)).astype(np.float64)
    shared = holds @ shared_leaves @ old_holds.T
    known = [holds @ shared_leaves.sum(axis=1), old_holds @ shared_leaves.sum(axis=0)]
    holding = [
        holds @ np.bincount(leaf, minlength=leaves),
        old_holds @ np.bincount(before.leaf, minlength=len(before)),
    ]
    old = np.full(nodes, -1)
    levels = max(int(depths(node_parent).max(initial=0)), before.levels)
    for mine, theirs in zip(
        _pools(node_parent, leaves, levels), _pools(before.node_parent, len(before), levels), strict=True
    ):
        _pair(old, mine, theirs, shared, _dice(shared, *known), node_parent, before.node_parent)
    same = np.where(old >= 0, _dice(shared, *holding)[np.arange(nodes), old], 0.0)
    return Match(old, same)


def _pair(
    old: Rows, mine: Rows, theirs: Rows, shared: Floats, dice: Floats, parents: Rows, old_parents: Rows
) -> None:
    """Fill `old` for the nodes of one level."""
    if not len(mine) or not len(theirs):
        return
    above = np.where(parents[mine] == NO_PARENT, NO_PARENT, old[parents[mine]])
    akin = above[:, None] == old_parents[theirs][None, :]
    weight = shared[np.ix_(mine, theirs)] * np.where(akin, 1.0, _STEPCHILD)
    rows, columns = linear_sum_assignment(-weight)
    for row, column in zip(mine[rows], theirs[columns], strict=True):
        if dice[row, column] >= _SAME:
            old[row] = column


def _pools(node_parent: Rows, leaves: int, levels: int) -> list[Rows]:
    """The nodes that may be one another: the top interests, each depth of what lies between, and the leaves."""
    nodes, depth = np.arange(len(node_parent)), depths(node_parent)
    between = nodes >= leaves
    return [*(nodes[between & (depth == level)] for level in range(levels)), nodes[:leaves]]


def _dice(shared: Floats, mine: Floats, theirs: Floats) -> Floats:
    """(nodes, old nodes): twice what two nodes share over what they hold together (Dice 1945)."""
    return np.asarray(2 * shared / np.maximum(mine[:, None] + theirs[None, :], 1e-9))


def is_still(found: Match) -> NDArray[np.bool_]:
    """(nodes,): which nodes hold so much of what they held that their name stays."""
    return np.asarray((found.old >= 0) & (found.same >= _STILL))


def give_ids(found: Match, before: Taxonomy | None) -> tuple[tuple[str, ...], int]:
    """An id for every node, and how many ids were ever given: what is new is numbered after all that ever were."""
    numbered = 0 if before is None else before.growth.numbered
    ids: list[str] = []
    for old in found.old[::-1].tolist():  # from the top
        if old < 0 or before is None:
            numbered += 1
            ids.append(node_id(numbered))
        else:
            ids.append(before.ids[old])
    return tuple(reversed(ids)), numbered


def changes(
    found: Match,
    ids: tuple[str, ...],
    names: tuple[str, ...],
    node_parent: Rows,
    leaf: Rows,
    keys: NDArray[np.uint64],
    before: Taxonomy,
) -> Changes:
    """What became of the tree before."""
    gone = [node for node in range(len(before.ids)) if node not in set(found.old.tolist())]
    old_parent = {
        before.ids[node]: _id_of(before.ids, int(parent)) for node, parent in enumerate(before.node_parent)
    }
    stayed = [node for node in range(len(ids)) if found.old[node] >= 0]
    still = is_still(found)
    moved = [
        ids[node]
        for node in stayed
        if not still[node] or old_parent[ids[node]] != _id_of(ids, int(node_parent[node]))
    ]
    renamed = [node for node in stayed if before.names[found.old[node]] != names[node]]
    return Changes(
        born=tuple(one for one, old in zip(ids, found.old.tolist(), strict=True) if old < 0),
        retired=tuple(before.ids[node] for node in gone),
        retired_names=tuple(before.names[node] for node in gone),
        moved=tuple(moved),
        renamed=tuple(ids[node] for node in renamed),
        names_before=tuple(before.names[found.old[node]] for node in renamed),
        kept=kept_share(found, leaf, keys, before),
    )


def kept_share(found: Match, leaf: Rows, keys: NDArray[np.uint64], before: Taxonomy) -> float | None:
    """The share of the items known to both trees whose leaf is the same node; None where they share none."""
    _, new_rows, old_rows = np.intersect1d(keys, before.item_keys, return_indices=True)
    if not len(new_rows):
        return None
    return float((found.old[leaf[new_rows]] == before.leaf[old_rows]).mean())


def _id_of(ids: tuple[str, ...], node: int) -> str | None:
    return None if node == NO_PARENT else ids[node]
