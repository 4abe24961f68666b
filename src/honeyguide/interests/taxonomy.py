"""The tree of interests that a shop's items fall into: leaves such as frozen pizza under a few top interests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import DamagedArtifact, InvalidInput
from honeyguide.types import Rows, State, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class InterestMap:
    """The interests on a plane, alike next to alike, all in [-1, 1].

    `leaf_xy` is (leaves, 2); `item_rows` (s,) are a sample of the items and `item_xy` (s, 2) their places.
    """

    leaf_xy: Vectors
    item_rows: Rows
    item_xy: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Taxonomy:
    """A tree of two levels over n items.

    `leaf` (n,) is each item's leaf, `parent` (leaves,) each leaf's top interest, `centroids` (leaves, d) float32
    are of unit norm; a last leaf with a zero centroid holds the items whose vectors are zero, if there are any.
    """

    leaf: Rows
    parent: Rows
    centroids: Vectors
    leaf_names: tuple[str, ...]
    top_names: tuple[str, ...]
    layout: InterestMap

    def __post_init__(self) -> None:
        leaves, tops = len(self.leaf_names), len(self.top_names)
        if not len(self.parent) == len(self.centroids) == len(self.layout.leaf_xy) == leaves:
            raise InvalidInput(f"parent, centroids and leaf_xy must have one row per leaf name, {leaves}")
        if self.leaf.size and not 0 <= self.leaf.min() <= self.leaf.max() < leaves:
            raise InvalidInput(f"leaf must lie in 0..{leaves - 1}, got up to {self.leaf.max()}")
        if self.parent.size and not 0 <= self.parent.min() <= self.parent.max() < tops:
            raise InvalidInput(f"parent must lie in 0..{tops - 1}, got up to {self.parent.max()}")

    def __len__(self) -> int:
        return len(self.leaf_names)

    @property
    def top(self) -> Rows:
        """(n,): each item's top interest."""
        return np.asarray(self.parent[self.leaf])

    @property
    def version(self) -> str:
        """Equal trees have equal versions."""
        arrays, meta = self.state()
        digest = hashlib.sha256(repr(sorted(meta.items())).encode())
        for name in sorted(arrays):
            digest.update(arrays[name].tobytes())
        return digest.hexdigest()[:12]

    def assign(self, vectors: Vectors) -> Rows:
        """(m,): the leaf of each of (m, d) item vectors, also of items that came after the tree."""
        if vectors.ndim != 2 or vectors.shape[1] != self.centroids.shape[1]:
            raise InvalidInput(f"vectors must be (m, {self.centroids.shape[1]}), got shape {vectors.shape}")
        said = self.centroids.any(axis=1)
        likeness = vectors @ self.centroids.T
        likeness[:, ~said] = -np.inf
        leaf = np.asarray(likeness.argmax(axis=1), dtype=np.int64)
        if not said.all():
            leaf[~vectors.any(axis=1)] = int(np.flatnonzero(~said)[0])
        return leaf

    def state(self) -> tuple[State, dict[str, Any]]:
        """The tree as named arrays and JSON."""
        arrays: State = {
            "leaf": self.leaf,
            "parent": self.parent,
            "centroids": self.centroids,
            "layout.leaf_xy": self.layout.leaf_xy,
            "layout.item_rows": self.layout.item_rows,
            "layout.item_xy": self.layout.item_xy,
        }
        return arrays, {"leaf_names": list(self.leaf_names), "top_names": list(self.top_names)}

    @classmethod
    def from_state(cls, arrays: State, meta: dict[str, Any]) -> Self:
        """The tree whose `state()` this is; DamagedArtifact where something is missing."""
        try:
            return cls(
                leaf=arrays["leaf"],
                parent=arrays["parent"],
                centroids=arrays["centroids"],
                leaf_names=tuple(meta["leaf_names"]),
                top_names=tuple(meta["top_names"]),
                layout=InterestMap(
                    arrays["layout.leaf_xy"], arrays["layout.item_rows"], arrays["layout.item_xy"]
                ),
            )
        except KeyError as error:
            raise DamagedArtifact(f"the taxonomy has no {error}. Make it anew with: honeyguide fit") from None


@dataclass(frozen=True, slots=True)
class TaxonomyQuality:
    """How the tree agrees with the shop's own categories, each in 0..1, 1 being full agreement.

    `nmi` is the mutual information of leaf and category over the mean of their entropies; `purity` the share of
    items whose category is the most frequent one of their leaf.
    """

    nmi: float
    purity: float
    items: int
    """Items that have a category: only they are judged."""


def quality(taxonomy: Taxonomy, categories: Sequence[str]) -> TaxonomyQuality:
    """The leaves against the shop's categories (n,), "" where an item has none."""
    if len(categories) != len(taxonomy.leaf):
        raise InvalidInput(
            f"categories must have one entry per item, {len(taxonomy.leaf)}, got {len(categories)}"
        )
    named = np.array([bool(category) for category in categories], dtype=np.bool_)
    if not named.any():
        raise InvalidInput("no item has a category: there is nothing to compare the interests with")
    _, category = np.unique(np.asarray(categories, dtype=np.str_)[named], return_inverse=True)
    shared = np.zeros((len(taxonomy), int(category.max()) + 1))
    np.add.at(shared, (taxonomy.leaf[named], category), 1)
    joint, by_leaf, by_category = (
        _entropy(part) for part in (shared, shared.sum(axis=1), shared.sum(axis=0))
    )
    mean = (by_leaf + by_category) / 2
    return TaxonomyQuality(
        nmi=1.0 if mean == 0 else min(1.0, (by_leaf + by_category - joint) / mean),
        purity=float(shared.max(axis=1).sum() / shared.sum()),
        items=int(named.sum()),
    )


def _entropy(counts: NDArray[np.float64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
