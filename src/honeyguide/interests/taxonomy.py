"""The tree of interests that a shop's items fall into: leaves such as frozen pizza under a few top interests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.interests.memberships import Memberships
from honeyguide.types import Rows, State, Vectors

NO_PARENT = -1


@dataclass(frozen=True, slots=True, eq=False)
class InterestMap:
    """The interests on a plane, alike next to alike, all in [-1, 1].

    `leaf_xy` is (leaves, 2); `item_rows` (s,) are a sample of the items and `item_xy` (s, 2) their places.
    """

    leaf_xy: Vectors
    item_rows: Rows
    item_xy: Vectors


@dataclass(frozen=True, slots=True)
class Changes:
    """What a fit did to the tree before it, by the ids of nodes; the first tree has none before it."""

    born: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    retired_names: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    """Nodes that hold other items than before, or lie under another parent."""
    renamed: tuple[str, ...] = ()
    names_before: tuple[str, ...] = ()
    """What the renamed nodes were called."""
    kept: float | None = None
    """The share of the items known to both trees whose leaf has the same id; None for a first tree."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How a tree came to be, which the next one needs.

    `shape` is the number of nodes asked for per level, the top first; `numbered` how many ids were ever given;
    `namer` what chose the names; `changes` what became of the tree before.
    """

    shape: tuple[int, ...]
    numbered: int
    namer: str = ""
    changes: Changes = Changes()


@dataclass(frozen=True, slots=True, eq=False)
class Taxonomy:
    """A tree over n items; its nodes are the leaves first, then what lies between, then the top interests.

    `node_parent` (nodes,) is each node's parent, -1 at the top; every leaf lies under a top interest. `ids` are the
    nodes' own, kept from fit to fit. `centroids` (leaves, d) float32 are of unit norm and seen from `centre` (d,); a
    last leaf with a zero centroid holds the items whose vectors are zero, if there are any. `item_keys` (n,) uint64
    know the items again in a later catalogue.
    """

    members: Memberships
    node_parent: Rows
    ids: tuple[str, ...]
    names: tuple[str, ...]
    centre: Vectors
    centroids: Vectors
    temperature: float
    item_keys: NDArray[np.uint64]
    layout: InterestMap
    growth: Growth

    def __post_init__(self) -> None:
        nodes, leaves = len(self.node_parent), len(self.centroids)
        if not len(self.ids) == len(self.names) == nodes:
            raise InvalidInput(f"ids and names must have one entry per node, {nodes}")
        if len(set(self.ids)) != nodes:
            raise InvalidInput("two nodes have one id")
        if len(self.layout.leaf_xy) != leaves or len(self.item_keys) != len(self.members):
            raise InvalidInput(f"leaf_xy must have one row per leaf, {leaves}, and item_keys one per item")
        if self.members.leaf.size and not 0 <= self.members.leaf.min() <= self.members.leaf.max() < leaves:
            raise InvalidInput(f"leaf must lie in 0..{leaves - 1}, got up to {self.members.leaf.max()}")
        self._check_parents(nodes, leaves)

    def _check_parents(self, nodes: int, leaves: int) -> None:
        tops = self.node_parent == NO_PARENT
        # a parent stands after its children, so every way up ends at the top
        below = self.node_parent[~tops]
        if tops[:leaves].any() or (below <= np.flatnonzero(~tops)).any() or (below >= nodes).any():
            raise InvalidInput("every node but the top ones must have a parent that stands after it")
        if (below < leaves).any() or tops[: nodes - int(tops.sum())].any():
            raise InvalidInput("a leaf has no children, and the top interests stand last")

    def __len__(self) -> int:
        return len(self.centroids)

    @property
    def leaf(self) -> Rows:
        """(n,): each item's main leaf."""
        return self.members.main

    @property
    def first_top(self) -> int:
        """The node of the first top interest."""
        return len(self.ids) - len(self.top_names)

    @property
    def parent(self) -> Rows:
        """(leaves,): each leaf's top interest, counted from 0."""
        return self.at_depth(0) - self.first_top

    @property
    def top(self) -> Rows:
        """(n,): each item's top interest, counted from 0."""
        return np.asarray(self.parent[self.leaf])

    @property
    def leaf_names(self) -> tuple[str, ...]:
        """Of the leaves."""
        return self.names[: len(self)]

    @property
    def top_names(self) -> tuple[str, ...]:
        """Of the top interests."""
        return self.names[len(self.ids) - int((self.node_parent == NO_PARENT).sum()) :]

    @property
    def depth(self) -> Rows:
        """(nodes,): 0 at the top."""
        return depths(self.node_parent)

    @property
    def levels(self) -> int:
        """How many nodes the longest way from a top interest to a leaf has."""
        return int(self.depth.max(initial=-1)) + 1

    def at_depth(self, depth: int) -> Rows:
        """(leaves,): the node above each leaf at a depth, 0 being the top; the leaf where it does not lie deeper."""
        return ancestors(self.node_parent, len(self), depth)

    @property
    def version(self) -> str:
        """Equal trees have equal versions."""
        arrays, meta = self.state()
        digest = hashlib.sha256(repr(sorted(meta.items())).encode())
        for name in sorted(arrays):
            digest.update(arrays[name].tobytes())
        return digest.hexdigest()[:12]

    def assign(self, vectors: Vectors) -> Rows:
        """(m,): the main leaf of each of (m, d) text vectors, also of items that came after the tree."""
        return self.belong(vectors).main

    def belong(self, vectors: Vectors) -> Memberships:
        """The leaves of each of (m, d) text vectors, also of items that came after the tree."""
        if vectors.ndim != 2 or vectors.shape[1] != self.centroids.shape[1]:
            raise InvalidInput(f"vectors must be (m, {self.centroids.shape[1]}), got shape {vectors.shape}")
        seen = seen_from(vectors, self.centre)
        return Memberships.of(seen, self.centroids, self.temperature)

    def state(self) -> tuple[State, dict[str, Any]]:
        """The tree as named arrays and JSON."""
        arrays: State = {
            "members.starts": self.members.starts,
            "members.leaf": self.members.leaf,
            "members.weight": self.members.weight,
            "node_parent": self.node_parent,
            "centre": self.centre,
            "centroids": self.centroids,
            "item_keys": self.item_keys,
            "layout.leaf_xy": self.layout.leaf_xy,
            "layout.item_rows": self.layout.item_rows,
            "layout.item_xy": self.layout.item_xy,
        }
        growth = {**asdict(self.growth), "changes": asdict(self.growth.changes)}
        meta = {"ids": self.ids, "names": self.names, "temperature": self.temperature, "growth": growth}
        return arrays, _as_json(meta)

    @classmethod
    def from_state(cls, arrays: State, meta: dict[str, Any]) -> Self:
        """The tree whose `state()` this is, or one of two levels as it was stored once; DamagedArtifact."""
        try:
            if "ids" not in meta:
                arrays, meta = _grown_from_two_levels(arrays, meta)
            return cls(
                members=Memberships(
                    arrays["members.starts"], arrays["members.leaf"], arrays["members.weight"]
                ),
                node_parent=arrays["node_parent"],
                ids=tuple(meta["ids"]),
                names=tuple(meta["names"]),
                centre=arrays["centre"],
                centroids=arrays["centroids"],
                temperature=float(meta["temperature"]),
                item_keys=arrays["item_keys"],
                layout=InterestMap(
                    arrays["layout.leaf_xy"], arrays["layout.item_rows"], arrays["layout.item_xy"]
                ),
                growth=_growth_of(meta["growth"]),
            )
        except KeyError as error:
            raise DamagedArtifact(f"the taxonomy has no {error}. Make it anew with: honeyguide fit") from None


def depths(node_parent: Rows) -> Rows:
    """(nodes,): how deep each node lies under its top interest, which is at 0; parents stand after their children."""
    depth = np.zeros(len(node_parent), dtype=np.int64)
    for node in range(len(node_parent) - 1, -1, -1):
        if node_parent[node] != NO_PARENT:
            depth[node] = depth[node_parent[node]] + 1
    return depth


def ancestors(node_parent: Rows, leaves: int, depth: int) -> Rows:
    """(leaves,): the node above each leaf at a depth, or the leaf itself where it lies higher."""
    node, deep = np.arange(leaves), depths(node_parent)
    while (deeper := deep[node] > depth).any():
        node = np.where(deeper, node_parent[node], node)
    return node


def held(node_parent: Rows, leaves: int) -> NDArray[np.bool_]:
    """(nodes, leaves): which leaves lie under a node, a leaf under itself."""
    under = np.zeros((len(node_parent), leaves), dtype=np.bool_)
    for depth in range(int(depths(node_parent).max(initial=-1)) + 1):
        under[ancestors(node_parent, leaves, depth), np.arange(leaves)] = True
    return under


def seen_from(vectors: Vectors, centre: Vectors) -> Vectors:
    """(m, d): the directions of vectors from a centre; zero vectors stay zero."""
    moved = np.where(vectors.any(axis=1, keepdims=True), vectors - centre, 0).astype(np.float32)
    norm = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(np.divide(moved, norm, out=np.zeros_like(moved), where=norm > 0))


def item_keys(ids: Sequence[str]) -> NDArray[np.uint64]:
    """(n,): 64 bits by which items are known again in a later catalogue."""
    digests = (hashlib.blake2b(i.encode("utf-8", "surrogatepass"), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def node_id(number: int) -> str:
    """The id of the node that was the `number`-th to be born: i-0007."""
    return f"i-{number:04d}"


def _as_json(value: Any) -> Any:  # noqa: ANN401
    """Tuples as the lists that they come back from JSON as."""
    if isinstance(value, dict):
        return {key: _as_json(entry) for key, entry in value.items()}
    return [_as_json(entry) for entry in value] if isinstance(value, tuple | list) else value


def _growth_of(stored: dict[str, Any]) -> Growth:
    changes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored["changes"].items()
    }
    return Growth(tuple(stored["shape"]), stored["numbered"], stored["namer"], Changes(**changes))


def _grown_from_two_levels(arrays: State, meta: dict[str, Any]) -> tuple[State, dict[str, Any]]:
    """The state of a tree as it was stored before trees had ids: its leaves and tops, each item in one leaf."""
    items, (leaves, dim), tops = len(arrays["leaf"]), arrays["centroids"].shape, len(meta["top_names"])
    grown = arrays | {
        "members.starts": np.arange(items + 1),
        "members.leaf": arrays["leaf"],
        "members.weight": np.ones(items, dtype=np.float32),
        "node_parent": np.append(arrays["parent"] + leaves, np.full(tops, NO_PARENT)),
        "centre": np.zeros(dim, dtype=np.float32),
        "item_keys": np.zeros(items, dtype=np.uint64),
    }
    ids = [node_id(number) for number in range(1, leaves + tops + 1)]
    growth = {"shape": [tops, leaves], "numbered": len(ids), "namer": "", "changes": asdict(Changes())}
    names = [*meta["leaf_names"], *meta["top_names"]]
    return grown, {"ids": ids, "names": names, "temperature": 0.0, "growth": growth}
