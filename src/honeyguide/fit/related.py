"""The stage of a fit that counts what is taken together, and keeps the texts' vectors for finding items."""

from __future__ import annotations

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import key_of
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable
from honeyguide.interests.related import Related, sorts_of
from honeyguide.shop.releases import ENCODER, RELATED, TEXTS
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Stage, State, Vectors

_HALF_LIFE_DAYS = 14.0  # what is popular lately: an event counts half after this long


def related_stage(
    workspace: Workspace, catalog: Catalog, vectors: Vectors, table: EventTable, stage: Stage
) -> None:
    """Store which items are taken together (RELATED) and what their texts say (TEXTS)."""
    key = key_of(catalog.version, table.version)
    meta = {"key": key, "catalog": catalog.version}
    if artifacts.load_if_made_from(workspace.models, RELATED, key) is None:
        with stage("Count what is taken together") as progress:
            related = Related.of(table, sorts_of(catalog), half_life_days=_HALF_LIFE_DAYS, progress=progress)
        artifacts.save(workspace.models, RELATED, related.state(), meta)
    encoder = artifacts.current(workspace.models, ENCODER)
    key = key_of(catalog.version, encoder)
    if artifacts.load_if_made_from(workspace.models, TEXTS, key) is None:
        with stage("Store what the texts say"):
            _, first, of = np.unique(
                np.array(catalog.texts, dtype=object), return_index=True, return_inverse=True
            )
            arrays: State = {"vectors": vectors[first].astype(np.float16), "of": of.astype(np.int64)}
        artifacts.save(
            workspace.models, TEXTS, arrays, {"key": key, "catalog": catalog.version, "encoder": encoder}
        )
