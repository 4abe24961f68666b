"""`honeyguide fit`: clean -> labels -> language model -> item vectors -> interests -> user posteriors.

Every stage's result carries a key made of what went into it, so what is already computed is not computed again
and an interrupted fit goes on where it stopped. Torch is reached from here only; nothing that serves imports this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honeyguide import artifacts
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.clean import CleaningReport, clean, load_cleaning
from honeyguide.data.labels import Outcomes, Visits, outcomes, visits
from honeyguide.data.table import EventTable, load_events
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.prior import UserSums, learn_prior
from honeyguide.interests.items import ItemFacts, popularity, rebought, taste_vectors
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.interests.users import DAY_US, MILLI, History, ShopperModel
from honeyguide.plm.encoder import OnnxEncoder
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.models import ENCODER, ITEMS, POLICY, TAXONOMY, USERS, histories_state
from honeyguide.shop.workspace import Workspace
from honeyguide.types import EVENT_KINDS, Progress, Vectors, silent

Stage = Callable[[str], AbstractContextManager[Progress]]
"""Opens a stage by its name and gives what its progress is reported to."""


@contextmanager
def quietly(name: str) -> Iterator[Progress]:
    """A stage nobody watches."""
    yield silent


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
    cleaning = clean_stage(workspace, settings, now, stage)
    with stage("Load the clean tables"):
        catalog = Catalog.read(workspace.items)
        table = load_events(workspace.events, catalog, until=until)
    if not len(table.item):
        raise InvalidInput(f"no events are left before {until}: choose a later --until or import more")
    vectors = encode_stage(workspace, settings, catalog, stage)
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


def clean_stage(workspace: Workspace, settings: Settings, now: datetime, stage: Stage) -> CleaningReport:
    """Clean what was imported, unless that very import was cleaned with these settings already."""
    raw = [workspace.data / "events.parquet", workspace.data / "items.parquet"]
    key = _key(*(_file_hash(path) for path in raw), asdict(settings.clean))
    marker = workspace.data / "clean" / "KEY"
    if marker.exists() and marker.read_text() == key and workspace.events.exists():
        return load_cleaning(workspace.data)
    with stage("Clean") as progress:
        report = clean(workspace.data, settings.clean, now=now, progress=progress)
    artifacts.write_atomically(marker, key.encode())
    return report


def encode_stage(workspace: Workspace, settings: Settings, catalog: Catalog, stage: Stage) -> Vectors:
    """(n, d): the language model's vectors of the catalogue; only texts never seen before are encoded."""
    from honeyguide.plm.export import export_encoder
    from honeyguide.plm.vectors import catalogue_vectors

    with stage("Prepare the language model"):
        export_encoder(workspace.models, settings.plm.model, max_tokens=settings.plm.max_tokens)
    encoder = OnnxEncoder.load(artifacts.load(workspace.models, ENCODER), batch_size=settings.plm.batch_size)
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
    key = _key(catalog.version, encoder, table.version, plan.top, plan.leaves, settings.seed)
    if known := _known(workspace.models, TAXONOMY, key):
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
        weight = np.bincount(table.item[touched], minlength=n).astype(np.float64)
        facts = ItemFacts(
            vectors=taste_vectors(vectors, weight, settings.interests.taste_dims),
            leaf=taxonomy.leaf.astype(np.int64),
            top_of_leaf=taxonomy.parent.astype(np.int64),
            popularity=popularity(table.user[touched], table.item[touched], n),
            rebought=rebought(
                table.user[bought], table.item[bought], table.time_us[bought], n, window_us=window_us
            ),
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
    key = _key(
        facts, table.version, asdict(settings.labels), asdict(settings.explore), settings.seed, journal_offset
    )
    if known := _known(workspace.models, POLICY, key):
        return f"{facts}.{known.version}", int(known.meta["pages"])
    model = ShopperModel(
        catalog, items, grade=settings.labels.grade, half_life_days=settings.interests.half_life_days
    )
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


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Past pages as a regression: features (rows, d), rewards (rows,), users' first rows (u + 1,)."""

    users: tuple[str, ...]
    features: Vectors
    rewards: NDArray[np.float64]
    starts: NDArray[np.int64]
    pages: int


@dataclass(frozen=True, slots=True, eq=False)
class PastPages:
    """The log seen as visits: what was known before each, and what the user took after it."""

    table: EventTable
    model: ShopperModel
    weight: NDArray[np.int64]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    visits: Visits
    outcomes: Outcomes
    window_us: int

    MAX_PAGES = 10  # per user: the newest ones; windows do not overlap, so no purchase is counted twice

    @classmethod
    def of(cls, table: EventTable, model: ShopperModel, settings: Settings) -> PastPages:
        """The visits of the log whose reward window has closed."""
        grades = np.array([round(settings.labels.grade(kind) * MILLI) for kind in EVENT_KINDS])
        weight = np.where(table.item >= 0, grades[table.kind], 0)
        order = np.argsort(table.user, kind="stable")
        order = order[weight[order] > 0]
        starts = np.searchsorted(table.user[order], np.arange(len(table.users) + 1))
        seen = visits(table, origin_us=int(table.time_us.min()) // DAY_US * DAY_US, period_days=7.0)
        full = seen.with_full_window(int(table.time_us.max()), settings.labels.window_days)
        found = outcomes(table, full, grade=settings.labels.grade, window_days=settings.labels.window_days)
        window_us = round(settings.labels.window_days * DAY_US)
        return cls(table, model, weight, order, starts, full, found, window_us)

    def history(self, user: int, before_us: int | None = None) -> History:
        """What the user had done before that moment (or at all)."""
        mine = self.order[self.starts[user] : self.starts[user + 1]]
        if before_us is not None:
            mine = mine[: np.searchsorted(self.table.time_us[mine], before_us, side="right")]
        rows = self.table.item[mine].astype(np.int64)
        return History.of(rows, self.weight[mine], self.table.time_us[mine])

    def examples(self, source: CandidateSource, seed: int, progress: Progress) -> Examples:
        """For every chosen visit: the candidates as they would have been, and what they would have earned."""
        rng = np.random.default_rng(seed)
        chosen = self._spaced()
        features, rewards, counts = [], [], np.zeros(len(self.table.users), dtype=np.int64)
        scratch = np.zeros(len(self.model.items))
        for done, visit in enumerate(chosen):
            user, time_us = int(self.visits.user[visit]), int(self.visits.time_us[visit])
            history = self.history(user, time_us)
            rows = source.rows(history, time_us, rng)
            part = slice(*self.outcomes.starts[visit : visit + 2])
            scratch[self.outcomes.item[part]] = self.outcomes.reward[part]
            features.append(self.model.features(history, rows, time_us))
            rewards.append(scratch[rows])
            scratch[self.outcomes.item[part]] = 0.0
            counts[user] += len(rows)
            progress(done + 1, len(chosen))
        if not features:
            raise InvalidInput(
                "the log is too short to learn from: no visit has a closed reward window after it. "
                "Import a longer log, or lower [labels] window_days"
            )
        used = np.flatnonzero(counts)
        return Examples(
            users=tuple(self.table.users[u] for u in used),
            features=np.concatenate(features),
            rewards=np.concatenate(rewards),
            starts=np.cumsum([0, *counts[used]], dtype=np.int64),
            pages=len(chosen),
        )

    def _spaced(self) -> NDArray[np.int64]:
        """Visits by user, newest first thinned out so that reward windows do not overlap, in user order."""
        chosen: list[int] = []
        by_user = np.lexsort((-self.visits.time_us, self.visits.user))
        user, last, taken = -1, 0, 0
        for visit in by_user:
            time_us = int(self.visits.time_us[visit])
            if self.visits.user[visit] != user:
                user, last, taken = int(self.visits.user[visit]), time_us + self.window_us, 0
            if taken < self.MAX_PAGES and last - time_us >= self.window_us:
                chosen.append(int(visit))
                last, taken = time_us, taken + 1
        return np.array(chosen, dtype=np.int64)


def _known(models: Path, name: str, key: str) -> artifacts.Artifact | None:
    if not artifacts.exists(models, name):
        return None
    artifact = artifacts.load(models, name)
    return artifact if artifact.meta.get("key") == key else None


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
