"""The stages of a fit that learn from what users did: facts of items, users' posteriors."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Self

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import key_of
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.table import EventTable
from honeyguide.explore.kinds_chosen import PriorQuality
from honeyguide.explore.kinds_leaning import Leaner
from honeyguide.explore.learned import PageRows, learn_posterior, unlearned_posterior
from honeyguide.explore.posterior import UserPosterior
from honeyguide.explore.shared import SharedPosterior
from honeyguide.fit.examined import served_examination
from honeyguide.fit.leaning import reads_of
from honeyguide.interests.items import ItemFacts, Taste, popularity, rebought
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.taxonomy import Taxonomy
from honeyguide.interests.users import DAY_US, History, ShopperModel
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.models import histories_state, shopper_model
from honeyguide.shop.past import Examples, PastPages
from honeyguide.shop.releases import ITEMS, POLICY, SEQUENCE, USERS
from honeyguide.shop.workspace import Workspace
from honeyguide.types import EVENT_KINDS, Progress, Rows, Stage, Vectors

_MADE_LIKE = "a base rate, kinds of users, interests and effects of items"
"""What a policy's first state is made of beside its inputs: it is made anew where a release makes it otherwise."""


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
        taste = Taste.of(vectors, taken.astype(np.float64), settings.interests.taste_dims)
        facts = ItemFacts(
            vectors=taste.vectors(vectors),
            leaf=taxonomy.leaf.astype(np.int64),
            top_of_leaf=taxonomy.parent.astype(np.int64),
            popularity=popularity(table.user[touched], table.item[touched], n),
            rebought=rebought(
                table.user[bought], table.item[bought], table.time_us[bought], n, window_us=window_us
            ),
            taken=taken.astype(np.int64),
            taste=taste,
        )
    artifacts.save(workspace.models, ITEMS, facts.state(), {"catalog": catalog.version})
    return facts


def posterior_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    items: ItemFacts,
    sequence: SequenceModel | None,
    forecast: str | None,
    table: EventTable,
    journal_offset: int,
    stage: Stage,
) -> tuple[str, int]:
    """Learn the prior from past visits, fold the same visits into every user's posterior, and store both.

    A shop without any begins with a prior that knows nothing.
    """
    facts = artifacts.current(workspace.models, ITEMS)
    read_by = None if sequence is None else artifacts.current(workspace.models, SEQUENCE)
    key = key_of(
        _MADE_LIKE,
        facts,
        read_by,
        settings.sequence.policies,
        table.version,
        asdict(settings.labels),
        asdict(settings.explore),
        settings.interests.half_life_days,
        settings.seed,
        journal_offset,
    )
    if known := artifacts.load_if_made_from(workspace.models, POLICY, key):
        return f"{facts}.{known.version}", int(known.meta["pages"])
    model = shopper_model(catalog, items, sequence, settings, sees_next=settings.sequence.policies)
    found = _learned(model, table, settings, stage) if len(table.item) else _Learned.nothing(model, settings)
    posterior = found.posterior
    with stage("Learn how far down pages are looked at"):
        if journal_offset:
            with closing(workspace.open_journal()) as journal:
                posterior.examination = served_examination(journal, posterior.base, settings.labels)
    with stage("Fold every user's past into their posterior") as progress:
        found.fold(items, progress)
    histories = {} if found.past is None else found.past.histories()
    until_us = int(table.time_us.max(initial=0))
    if found.leaner is not None:
        # of those without a page nothing is in the sums yet: all they did was before their first
        first = {user: (history, until_us) for user, history in histories.items()}
        _lean(posterior, found.leaner, model, first | found.before)
    artifacts.save(workspace.models, USERS, histories_state(histories), {"until_us": until_us})
    meta = {
        "key": key,
        "journal_offset": journal_offset,
        "pages": found.pages,
        "features": model.dim,
        "sequence": read_by,
        "sees_next": settings.sequence.policies,
        "forecast": forecast,
        "prior": None if found.quality is None else asdict(found.quality),
    }
    version = artifacts.save(workspace.models, POLICY, posterior.state(), meta)
    return f"{facts}.{version}", found.pages


@dataclass(frozen=True, slots=True, eq=False)
class _Learned:
    """What past pages say: a posterior that has met nobody, and what each user had done `before` their first page.

    Of a shop without them it is the posterior of one that knows nothing.
    """

    posterior: SharedPosterior
    past: PastPages | None = None
    examples: Examples | None = None
    before: dict[str, tuple[History, int]] = field(default_factory=dict)
    leaner: Leaner | None = None
    quality: PriorQuality | None = None

    @classmethod
    def nothing(cls, model: ShopperModel, settings: Settings, past: PastPages | None = None) -> Self:
        """Where there are no past pages."""
        days = settings.interests.half_life_days
        return cls(unlearned_posterior(model.dim, half_life_days=days), past)

    @property
    def pages(self) -> int:
        """How many past pages were learned from."""
        return 0 if self.examples is None else self.examples.pages

    def fold(self, items: ItemFacts, progress: Progress) -> None:
        """Teach the posterior every user's past."""
        if (examples := self.examples) is None:
            return
        for index, user in enumerate(examples.users):
            _fold(self.posterior, user, examples, items, np.arange(*examples.starts[index : index + 2]))
            progress(index + 1, len(examples.users))


def _learned(model: ShopperModel, table: EventTable, settings: Settings, stage: Stage) -> _Learned:
    with stage("Label visits with what followed"):
        past = PastPages.of(table, model, settings)
    with stage("Rebuild past visits as pages") as progress:
        source = CandidateSource(model, size=settings.explore.candidates)
        if (examples := past.examples(source, settings.seed, progress)) is None:
            return _Learned.nothing(model, settings, past)
    with stage("Learn the prior over users") as progress:
        row_of = {user: row for row, user in enumerate(table.users)}
        times = examples.first_us.tolist()
        before = [
            past.history(row_of[user], now_us) for user, now_us in zip(examples.users, times, strict=True)
        ]
        pages = PageRows(
            examples.features,
            examples.rewards,
            examples.starts,
            examples.items,
            interests=model.items.leaf[examples.items],
            pages=examples.time_us,
        )
        posterior, chosen = learn_posterior(
            pages,
            reads_of(model, before, times),
            seed=settings.seed,
            page=len(examples.rewards) / examples.pages,
            folded=True,
            half_life_days=settings.interests.half_life_days,
            progress=progress,
        )
    first = dict(zip(examples.users, zip(before, times, strict=True), strict=True))
    return _Learned(posterior, past, examples, first, chosen.leaner, chosen.quality)


def _fold(posterior: SharedPosterior, user: str, examples: Examples, items: ItemFacts, rows: Rows) -> None:
    """Teach a user's past, page by page."""
    times = examples.time_us[rows]
    for time_us in np.unique(times).tolist():
        page = rows[times == time_us]
        interests = items.leaf[examples.items[page]]
        posterior.observe_at(user, examples.features[page], examples.rewards[page], time_us, interests)


def _lean(
    posterior: UserPosterior, leaner: Leaner, model: ShopperModel, first: dict[str, tuple[History, int]]
) -> None:
    """Let every user lean as what they had done by their first page says: a history, and when that was."""
    histories, times = zip(*first.values(), strict=True)
    for user, leaning in zip(first, leaner.of(reads_of(model, histories, times)), strict=True):
        if leaning is not None:
            posterior.lean(user, leaning)
