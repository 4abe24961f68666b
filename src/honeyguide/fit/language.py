"""The stages of a fit that make the shop's own language model: adapted, distilled, made smaller, read with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from honeyguide import artifacts
from honeyguide.artifacts import file_hash, key_of
from honeyguide.config import Adapt, Compress, Distil, Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable
from honeyguide.plm.serving import open_encoder
from honeyguide.shop.releases import ENCODER
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Stage, Vectors

if TYPE_CHECKING:
    from honeyguide.plm.adapt import Plan
    from honeyguide.plm.corpus import ItemPairs
    from honeyguide.plm.distill.transformer import StudentPlan
    from honeyguide.plm.projecting import Projecting
    from honeyguide.plm.train.schedule import Schedule


@dataclass(frozen=True)
class Reading:
    """What the language model is made for and of: a shop's catalogue and what happened there until some moment."""

    workspace: Workspace
    catalog: Catalog
    table: EventTable
    until: datetime | None
    stage: Stage

    @cached_property
    def settings(self) -> Settings:
        """The shop's, as they stood when they were first asked for."""
        return self.workspace.settings

    @property
    def models(self) -> Path:
        """Where artefacts lie."""
        return self.workspace.models

    @cached_property
    def pairs(self) -> ItemPairs:
        """Rows of the catalogue that users took one after the other."""
        from honeyguide.plm.corpus import item_pairs

        return item_pairs(self.table, within=self.settings.adapt.pairs_within)

    @cached_property
    def searches(self) -> tuple[str, ...]:
        """Distinct searches."""
        from honeyguide.plm.corpus import query_texts

        return tuple(query_texts(self.workspace.events, until=self.until))

    def corpus(self) -> Iterator[str]:
        """All that the shop's own language is heard in."""
        from honeyguide.plm.corpus import behaviour_texts, review_texts

        events, items = self.workspace.events, self.workspace.items
        return chain(
            self.catalog.texts,
            self.searches,
            review_texts(events, until=self.until),
            behaviour_texts(events, items, until=self.until),
        )


def language_stages(reading: Reading) -> Vectors:
    """(n, d): vectors of the catalogue, by the language model that the settings ask for."""
    adapted, student = learning_stages(reading)
    return encode_stage(reading, compact_stage(reading, student), adapted)


def learning_stages(reading: Reading) -> tuple[str, str]:
    """What several processes do together: the adapted checkpoint, and the one that serves is made of."""
    adapted = adapt_stage(reading)
    teach_stage(reading, adapted)
    return adapted, student_stage(reading, adapted)


def adapt_stage(reading: Reading) -> str:
    """The checkpoint to go on with: as the settings name it, or adapted to what was there by then."""
    settings = reading.settings
    if not settings.adapt.steps:
        return settings.plm.model
    from honeyguide.plm.adapt import adapt
    from honeyguide.plm.files import LANGUAGE_MODEL

    plan = _adapting(settings)
    catalog, table = reading.catalog, reading.table
    key = key_of(
        catalog.version, table.version, file_hash(reading.workspace.events), reading.until, repr(plan)
    )
    if not artifacts.load_if_made_from(reading.models, LANGUAGE_MODEL, key):
        with reading.stage("Adapt the language model to the shop") as progress:
            adapt(
                reading.models,
                plan,
                texts=reading.corpus(),
                items=catalog.texts,
                pairs=reading.pairs,
                key=key,
                scratch=reading.workspace.cache / "adapt",
                progress=progress,
            )
    return str(artifacts.load(reading.models, LANGUAGE_MODEL).folder)


def _adapting(settings: Settings) -> Plan:
    from honeyguide.plm import pretrain
    from honeyguide.plm.adapt import Plan

    given = settings.adapt
    return Plan(
        checkpoint=settings.plm.model,
        weights=pretrain.Weights(
            given.masked, given.following, given.contrastive, given.causal, given.neighbours
        ),
        schedule=_schedule(given, settings.seed),
        reading=pretrain.Reading(
            max_tokens=settings.plm.max_tokens,
            batch_tokens=given.batch_tokens,
            pairs=given.batch_pairs,
            items=given.batch_pairs,
            whole_words=given.whole_words,
        ),
        held_out=given.held_out,
        **asdict(settings.training),
    )


def _schedule(given: Adapt | Distil, seed: int) -> Schedule:
    from honeyguide.plm.train.schedule import Schedule

    return Schedule(
        given.steps,
        learning_rate=given.learning_rate,
        eval_every=given.look_every,
        patience=given.patience,
        seed=seed,
    )


def teach_stage(reading: Reading, checkpoint: str) -> None:
    """Tasks of the shop's own, each an artefact that serves by itself."""
    settings = reading.settings
    if not settings.teach.tasks:
        return
    from honeyguide.plm.teach.lesson import teach_tasks
    from honeyguide.plm.teach.plan import TeachPlan

    teach_tasks(
        reading.models,
        TeachPlan(
            checkpoint=checkpoint,
            max_tokens=settings.plm.max_tokens,
            seed=settings.seed,
            **asdict(settings.training),
            **asdict(settings.teach),
        ),
        events=reading.workspace.events,
        items=reading.workspace.items,
        until=reading.until,
        scratch=reading.workspace.cache / "teach",
        stage=reading.stage,
    )


def student_stage(reading: Reading, checkpoint: str) -> str:
    """The checkpoint to go on with: the same, or the student that learned from it."""
    if not reading.settings.distil.layers:
        return checkpoint
    from honeyguide.plm.distill.transformer import distil_student
    from honeyguide.plm.files import STUDENT

    with reading.stage("Distil the language model") as progress:
        version = distil_student(
            reading.models,
            _distilling(reading.settings, checkpoint),
            texts=chain(reading.catalog.texts, reading.searches),
            scratch=reading.workspace.cache / "distil",
            progress=progress,
        )
    return str(artifacts.load(reading.models, STUDENT, version).folder)


def _distilling(settings: Settings, checkpoint: str) -> StudentPlan:
    from honeyguide.plm.distill.transformer import StudentPlan

    given = settings.distil
    return StudentPlan(
        checkpoint=checkpoint,
        layers=given.layers,
        width=given.width or None,
        schedule=_schedule(given, settings.seed),
        max_tokens=settings.plm.max_tokens,
        batch_tokens=given.batch_tokens,
        held_out=given.held_out,
        **asdict(settings.training),
    )


def compact_stage(reading: Reading, checkpoint: str) -> str:
    """The checkpoint to go on with: the same, or with what the settings name taken out."""
    given = reading.settings.compress
    if given == Compress():
        return checkpoint
    from honeyguide.plm.compact import Cuts, compact
    from honeyguide.plm.files import COMPACT

    with reading.stage("Make the language model smaller"):
        version = compact(
            reading.models,
            checkpoint,
            Cuts(**asdict(given)),
            texts=[*reading.catalog.texts, *reading.searches],
            pairs=reading.pairs,
            max_tokens=reading.settings.plm.max_tokens,
            seed=reading.settings.seed,
        )
    return str(artifacts.load(reading.models, COMPACT, version).folder)


def encode_stage(reading: Reading, checkpoint: str, reference: str) -> Vectors:
    """(n, d): the language model's vectors of the catalogue; only texts never seen before are encoded.

    It serves in the form that the settings name, and must not find too much less than `reference` does.
    """
    from honeyguide.plm.forms import Form, store_encoder
    from honeyguide.plm.vectors import catalogue_vectors

    plm, cache = reading.settings.plm, reading.workspace.cache / "vectors"
    with reading.stage("Prepare the language model") as progress:
        store_encoder(
            reading.models,
            checkpoint,
            Form(plm.form, plm.dim, plm.tolerance),
            max_tokens=plm.max_tokens,
            texts=reading.catalog.texts,
            pairs=reading.pairs,
            reference=reference,
            projecting=_projecting(reading),
            cache=cache,
            progress=progress,
        )
    encoder = open_encoder(artifacts.load(reading.models, ENCODER), batch_size=plm.batch_size)
    with reading.stage("Read the catalogue with the language model") as progress:
        return catalogue_vectors(encoder, reading.catalog.texts, cache=cache, progress=progress)


def _projecting(reading: Reading) -> Projecting | None:
    settings = reading.settings
    if not settings.adapt.projection:
        return None
    from honeyguide.plm.objectives.projection import ProjectionPlan
    from honeyguide.plm.projecting import Projecting

    plan = ProjectionPlan(settings.adapt.projection, seed=settings.seed)
    scratch = reading.workspace.cache / "projection"
    return Projecting(plan, scratch, settings.adapt.held_out, settings.training.device)
