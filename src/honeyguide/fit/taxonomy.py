"""The stage of a fit that sorts the catalogue into named interests, and goes on from the tree it made before."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import key_of
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable
from honeyguide.errors import DamagedArtifact, NoArtifact
from honeyguide.interests.clusters import UNSOLD
from honeyguide.interests.discover import Stock, build_taxonomy
from honeyguide.interests.levels import Size
from honeyguide.interests.namers import Namer
from honeyguide.interests.quality import agreement, closeness_of, coherence
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.plm.corpus import item_pairs
from honeyguide.plm.serving import open_encoder
from honeyguide.shop.releases import ENCODER, TAXONOMY
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Stage, Vectors

_WITHIN = 5  # events of one user between two items that are taken together


def taxonomy_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    vectors: Vectors,
    table: EventTable,
    stage: Stage,
) -> Taxonomy:
    """The tree of interests over the item vectors, items weighted by how much they are taken."""
    plan = settings.interests
    encoder = artifacts.current(workspace.models, ENCODER)
    wanted = (plan.levels, plan.top, plan.leaves, plan.behaviour, plan.namer)
    key = key_of("tree", catalog.version, encoder, table.version, wanted, settings.seed)
    if known := artifacts.load_if_made_from(workspace.models, TAXONOMY, key):
        return Taxonomy.from_state(known.arrays, known.meta["taxonomy"])
    with stage("Discover interests and name them") as progress:
        stock = _stock(catalog, vectors, table)
        taxonomy = build_taxonomy(
            stock,
            size=Size(plan.levels, plan.top, plan.leaves),
            seed=settings.seed,
            behaviour=plan.behaviour,
            encoder=open_encoder(artifacts.load(workspace.models, ENCODER), prompt="query"),
            namers=_namers(plan.namer),
            before=tree_before(workspace),
            progress=progress,
        )
        judged = _judged(taxonomy, catalog, stock)
    arrays, meta = taxonomy.state()
    artifacts.save(workspace.models, TAXONOMY, arrays, {"key": key, "taxonomy": meta, "quality": judged})
    return taxonomy


def tree_before(workspace: Workspace) -> Taxonomy | None:
    """The tree of the fit before; None where there is none that can be read."""
    try:
        known = artifacts.load(workspace.models, TAXONOMY)
        return Taxonomy.from_state(known.arrays, known.meta["taxonomy"])
    except (NoArtifact, DamagedArtifact):
        return None


def _stock(catalog: Catalog, vectors: Vectors, table: EventTable) -> Stock:
    taken = np.bincount(table.item[table.item >= 0], minlength=len(catalog)).astype(np.float64)
    pairs = item_pairs(table, within=_WITHIN)
    return Stock(
        ids=catalog.ids,
        texts=catalog.texts,
        vectors=vectors,
        weights=np.log1p(taken),
        phrases=catalog.categories,  # their words stand in the order a shopper says them in
        titles=catalog.titles,
        first=pairs.first,
        second=pairs.second,
        taken=taken,
    )


def _namers(checkpoint: str) -> tuple[Namer, ...]:
    """Who chooses names beside the encoder."""
    if not checkpoint:
        return ()
    from honeyguide.interests.causal_namer import CausalNamer

    return (CausalNamer.open(checkpoint),)


def _judged(taxonomy: Taxonomy, catalog: Catalog, stock: Stock) -> dict[str, Any]:
    """The tree's quality, as it is stored beside it."""
    found: dict[str, Any] = {"closeness": closeness_of(stock.vectors, taxonomy.leaf, stock.weights + UNSOLD)}
    if stock.first is not None and stock.second is not None:
        found["coherence"] = coherence(taxonomy.leaf, stock.first, stock.second)
    if any(catalog.categories):
        found["categories"] = asdict(agreement(taxonomy.leaf, catalog.categories))
    return found
