"""`honeyguide fit`: clean -> labels -> language model -> item vectors -> interests -> user posteriors.

Every stage's result carries a key made of what went into it, so what is already computed is not computed again
and an interrupted fit goes on where it stopped. Torch is reached from here only; nothing that serves imports this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import CleaningReport, clean_once
from honeyguide.data.table import begin_log, load_events
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.fit.forecast import forecast_stage
from honeyguide.fit.heads import heads_stage
from honeyguide.fit.language import Reading, language_stages
from honeyguide.fit.related import related_stage
from honeyguide.fit.sequence import sequence_stage
from honeyguide.fit.stock import stock_stage
from honeyguide.fit.taxonomy import taxonomy_stage
from honeyguide.fit.together import meet_helpers
from honeyguide.fit.users import items_stage, posterior_stage
from honeyguide.shop import canary, releases
from honeyguide.shop.releases import Release
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Stage, quietly


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit did."""

    events: int
    users: int
    items: int
    pages: int
    """Past visits the prior was learned from."""
    interests: int
    version: str
    cleaning: CleaningReport


def fit(
    workspace: Workspace,
    *,
    now: datetime,
    until: datetime | None = None,
    journal_offset: int = 0,
    stage: Stage = quietly,
) -> FitReport:
    """Fit the shop on what happened until `until` (or on everything) and store what serving needs.

    A shop without a log can serve, too: it knows nobody, and learns from its own pages.
    """
    settings = workspace.settings
    if not (workspace.data / "items.parquet").exists():
        raise NotReady(f"{workspace.root} has no items yet. Run: honeyguide import {workspace.root} FILES")
    if journal_offset:
        stock_stage(workspace, journal_offset, stage)
    begin_log(workspace.data)
    cleaning, _ = clean_once(workspace.data, settings.clean, now=now, stage=stage)
    with stage("Load the clean tables"):
        catalog = Catalog.read(workspace.items)
        table = load_events(workspace.events, catalog, until=until)
    if until is not None and not len(table.item):
        raise InvalidInput(f"no events are left before {until}: choose a later --until or import more")
    meet_helpers(workspace)
    vectors = language_stages(Reading(workspace, catalog, table, until, stage))
    taxonomy = taxonomy_stage(workspace, settings, catalog, vectors, table, stage)
    items = items_stage(workspace, settings, catalog, vectors, taxonomy, table, stage)
    related_stage(workspace, catalog, vectors, table, stage)
    sequence = sequence_stage(workspace, settings, catalog, vectors, taxonomy, table, stage)
    forecast = forecast_stage(workspace, settings, taxonomy, sequence, table, stage)
    heads_stage(workspace, settings, catalog, items, sequence, table, stage)
    version, pages = posterior_stage(
        workspace, settings, catalog, items, sequence, forecast, table, journal_offset, stage
    )
    release = releases.record(workspace.models, workspace.items, made=now)
    _serve(workspace, release, now)
    return FitReport(
        events=len(table.item),
        users=len(np.unique(table.user)),
        items=len(catalog),
        pages=pages,
        interests=len(items.top_of_leaf),
        version=version,
        cleaning=cleaning,
    )


def _serve(workspace: Workspace, release: Release, now: datetime) -> None:
    """Let the release serve, everybody or at first a share of the users; remove what is too old to be kept."""
    models, settings = workspace.models, workspace.settings.models
    active, last = releases.active(models), canary.read(models)
    if active is None or not settings.canary:
        releases.activate(models, release.number)
    elif release.number != active.number and (last is None or last.number != release.number):
        last = canary.start(models, release.number, settings.canary, now=now)
    releases.prune(models, settings.keep, spare=() if last is None else (last.number,))
