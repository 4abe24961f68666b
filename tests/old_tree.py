"""A taxonomy as it was stored when it had two levels and no ids."""

from __future__ import annotations

from typing import Any

from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.types import State


def as_two_levels(tree: Taxonomy) -> tuple[State, dict[str, Any]]:
    """The arrays and the JSON of that time, of the same leaves under the same top interests."""
    arrays: State = {
        "leaf": tree.leaf,
        "parent": tree.parent,
        "centroids": tree.centroids,
        "layout.leaf_xy": tree.layout.leaf_xy,
        "layout.item_rows": tree.layout.item_rows,
        "layout.item_xy": tree.layout.item_xy,
    }
    return arrays, {"leaf_names": list(tree.leaf_names), "top_names": list(tree.top_names)}
