"""`honeyguide fit`: clean -> labels -> language model -> item vectors -> interests -> user posteriors.

Every stage's result carries a key made of what went into it, so what is already computed is not computed again
and an interrupted fit goes on where it stopped. Torch is reached from here only; nothing that serves imports this.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import file_hash, key_of
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import CleaningReport, clean_once
from honeyguide.data.table import EventTable, load_events
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.prior import UserSums, learn_prior
from honeyguide.interests.items import ItemFacts, popularity, rebought, taste_vectors
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.interests.users import DAY_US, ShopperModel
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.models import ENCODER, ITEMS, POLICY, TAXONOMY, USERS, histories_state
from honeyguide.shop.past import PastPages
from honeyguide.shop.workspace import Workspace
from honeyguide.types import EVENT_KINDS, Stage, Vectors, quietly

if TYPE_CHECKING:
    from honeyguide.plm.adapt import Plan


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
    """Fit the shop on what happened until `until` (or on everything) and store what serving needs."""
    settings = workspace.settings
    if not (workspace.data / "events.parquet").exists():
        raise NotReady(f"{workspace.root} has no events yet. Run: honeyguide import {workspace.root} FILES")
    cleaning, _ = clean_once(workspace.data, settings.clean, now=now, stage=stage)
    with stage("Load the clean tables"):
        catalog = Catalog.read(workspace.items)
        table = load_events(workspace.events, catalog, until=until)
    if not len(table.item):
        raise InvalidInput(f"no events are left before {until}: choose a later --until or import more")
    checkpoint = adapt_stage(workspace, settings, catalog, table, until, stage)
    vectors = encode_stage(workspace, settings, checkpoint, catalog, stage)
    taxonomy = taxonomy_stage(workspace, settings, catalog, vectors, table, stage)
    items = items_stage(workspace, settings, catalog, vectors, taxonomy, table, stage)
    version, pages = posterior_stage(workspace, settings, catalog, items, table, journal_offset, stage)
    return FitReport(
        events=len(table.item),
        users=len(np.unique(table.user)),
        items=len(catalog),
        pages=pages,
        interests=len(items.top_of_leaf),
        version=version,
        cleaning=cleaning,
    )


def adapt_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    table: EventTable,
    until: datetime | None,
    stage: Stage,
) -> str:
    """The checkpoint that reads the catalogue: as the settings name it, or adapted to what was there by then."""
    if not settings.adapt.steps:
        return settings.plm.model
    from honeyguide.plm import corpus
    from honeyguide.plm.adapt import adapt
    from honeyguide.plm.files import LANGUAGE_MODEL

    plan = _adapting(settings)
    key = key_of(catalog.version, table.version, file_hash(workspace.events), until, repr(plan))
    if not artifacts.load_if_made_from(workspace.models, LANGUAGE_MODEL, key):
        texts = chain(
            catalog.texts,
            corpus.query_texts(workspace.events, until=until),
            corpus.review_texts(workspace.events, until=until),
            corpus.behaviour_texts(workspace.events, workspace.items, until=until),
        )
        with stage("Adapt the language model to the shop") as progress:
            adapt(
                workspace.models,
                plan,
                texts=texts,
                items=catalog.texts,
                pairs=corpus.item_pairs(table, within=settings.adapt.pairs_within),
                key=key,
                scratch=workspace.cache / "adapt",
                progress=progress,
            )
    return str(artifacts.load(workspace.models, LANGUAGE_MODEL).folder)


def _adapting(settings: Settings) -> Plan:
    from honeyguide.plm.adapt import Plan
    from honeyguide.plm.pretrain import Reading, Weights
    from honeyguide.plm.train.loop import Schedule

    given = settings.adapt
    return Plan(
        checkpoint=settings.plm.model,
        weights=Weights(given.masked, given.following, given.contrastive, given.causal),
        schedule=Schedule(
            given.steps,
            learning_rate=given.learning_rate,
            eval_every=given.look_every,
            patience=given.patience,
            seed=settings.seed,
        ),
        reading=Reading(
            max_tokens=settings.plm.max_tokens,
            batch_tokens=given.batch_tokens,
            pairs=given.batch_pairs,
            whole_words=given.whole_words,
        ),
        held_out=given.held_out,
        device=given.device,
        precision=given.precision,
        trackers=given.trackers,
    )


def encode_stage(
    workspace: Workspace, settings: Settings, checkpoint: str, catalog: Catalog, stage: Stage
) -> Vectors:
    """(n, d): the language model's vectors of the catalogue; only texts never seen before are encoded."""
    from honeyguide.plm.forms import Form, store_encoder
    from honeyguide.plm.vectors import catalogue_vectors

    plm = settings.plm
    with stage("Prepare the language model"):
        form = Form(plm.form, plm.dim, plm.tolerance)
        store_encoder(workspace.models, checkpoint, form, max_tokens=plm.max_tokens, texts=catalog.texts)
    encoder = OnnxEncoder.load(artifacts.load(workspace.models, ENCODER), batch_size=plm.batch_size)
    with stage("Read the catalogue with the language model") as progress:
        return catalogue_vectors(encoder, catalog.texts, cache=workspace.cache / "vectors", progress=progress)


def taxonomy_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    vectors: Vectors,
    table: EventTable,
    stage: Stage,
) -> Taxonomy:
    """The tree of interests over the item vectors, items weighted by how much they are bought."""
    from honeyguide.interests.discover import build_taxonomy

    plan = settings.interests
    encoder = artifacts.current(workspace.models, ENCODER)
    key = key_of(catalog.version, encoder, table.version, plan.top, plan.leaves, settings.seed)
    if known := artifacts.load_if_made_from(workspace.models, TAXONOMY, key):
        return Taxonomy.from_state(known.arrays, known.meta["taxonomy"])
    with stage("Discover interests and name them") as progress:
        weights = np.log1p(np.bincount(table.item[table.item >= 0], minlength=len(catalog)))
        taxonomy = build_taxonomy(
            vectors,
            catalog.texts,
            weights,
            top=plan.top,
            leaves=plan.leaves,
            seed=settings.seed,
            phrases=catalog.categories,  # their words stand in the order a shopper says them in
            progress=progress,
        )
    arrays, meta = taxonomy.state()
    artifacts.save(workspace.models, TAXONOMY, arrays, {"key": key, "taxonomy": meta})
    return taxonomy


def items_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    vectors: Vectors,
    taxonomy: Taxonomy,
    table: EventTable,
    stage: Stage,
) -> ItemFacts:
    """Facts of the items as of the end of the table: taste vectors, interest, popularity, repeat rate."""
    n = len(catalog)
    bought = (table.item >= 0) & (table.kind == EVENT_KINDS.index("purchase"))
    touched = table.item >= 0
    window_us = round(settings.labels.window_days * DAY_US)
    with stage("Learn the items' popularity and repeat rates"):
        taken = np.bincount(table.item[touched], minlength=n)
        facts = ItemFacts(
            vectors=taste_vectors(vectors, taken.astype(np.float64), settings.interests.taste_dims),
            leaf=taxonomy.leaf.astype(np.int64),
            top_of_leaf=taxonomy.parent.astype(np.int64),
            popularity=popularity(table.user[touched], table.item[touched], n),
            rebought=rebought(
                table.user[bought], table.item[bought], table.time_us[bought], n, window_us=window_us
            ),
            taken=taken.astype(np.int64),
        )
    artifacts.save(workspace.models, ITEMS, facts.state(), {"catalog": catalog.version})
    return facts


def posterior_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    items: ItemFacts,
    table: EventTable,
    journal_offset: int,
    stage: Stage,
) -> tuple[str, int]:
    """Learn the prior from past visits, fold the same visits into every user's posterior, and store both."""
    facts = artifacts.current(workspace.models, ITEMS)
    key = key_of(
        facts, table.version, asdict(settings.labels), asdict(settings.explore), settings.seed, journal_offset
    )
    if known := artifacts.load_if_made_from(workspace.models, POLICY, key):
        return f"{facts}.{known.version}", int(known.meta["pages"])
    model = ShopperModel(
        catalog, items, grade=settings.labels.grade, half_life_days=settings.interests.half_life_days
    )
    with stage("Label visits with what followed"):
        past = PastPages.of(table, model, settings)
    with stage("Rebuild past visits as pages") as progress:
        examples = past.examples(
            CandidateSource(model, size=settings.explore.candidates), settings.seed, progress
        )
    with stage("Learn the prior over users") as progress:
        prior = learn_prior(
            UserSums.of(examples.features, examples.rewards, examples.starts), progress=progress
        )
    posterior = UserPosterior(prior)
    with stage("Fold every user's past into their posterior") as progress:
        for index, user in enumerate(examples.users):
            part = slice(*examples.starts[index : index + 2])
            posterior.observe(user, examples.features[part], examples.rewards[part])
            progress(index + 1, len(examples.users))
    histories = {table.users[u]: past.history(u) for u in range(len(table.users))}
    until_us = int(table.time_us.max())
    artifacts.save(workspace.models, USERS, histories_state(histories), {"until_us": until_us})
    meta = {"key": key, "journal_offset": journal_offset, "pages": examples.pages, "features": model.dim}
    version = artifacts.save(workspace.models, POLICY, posterior.state(), meta)
    return f"{facts}.{version}", examples.pages
