"""The stage of a fit that learns how likely a visitor is to click an item, to put it in the cart, and to buy it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide import artifacts
from honeyguide.artifacts import key_of
from honeyguide.config import Settings
from honeyguide.data.catalog import Catalog
from honeyguide.data.labels.visits import in_us
from honeyguide.data.table import EventTable, from_us
from honeyguide.fit.sequence import part, prices_of, sequences_of
from honeyguide.interests.heads import HEAD_KINDS, Head, Heads
from honeyguide.interests.heads_fit import Choices, HeadExamples, learn_head
from honeyguide.interests.heads_signs import Prices, follows_of, signs_of
from honeyguide.interests.items import ItemFacts, popularity, rebought
from honeyguide.interests.sequence.histories import READ, tokens_of
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.users import ShopperModel
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.models import shopper_model
from honeyguide.shop.past import PastPages
from honeyguide.shop.recommend import WIDE
from honeyguide.shop.releases import HEADS, ITEMS, SEQUENCE
from honeyguide.shop.workspace import Workspace
from honeyguide.types import EVENT_KINDS, EventKind, Progress, Rows, Stage

_PAGES = 3000  # past pages that are learned from, at the most
_NEGATIVES = 60  # candidates of a page that are kept of those for which nothing came
_CAME, _USERS = 50, 20  # there is no head for what came less often, or for fewer users' pages
_WINDOWS = 4  # pages are as many reward windows old, at the most


def heads_stage(
    workspace: Workspace,
    settings: Settings,
    catalog: Catalog,
    items: ItemFacts,
    sequence: SequenceModel | None,
    table: EventTable,
    stage: Stage,
) -> None:
    """Learn a head for each kind of event that the log has enough of, and store them with their quality.

    The newest pages are learned from, and what is known of the items is what was known before them: popularity that
    counts what came later would promise too much.
    """
    facts = artifacts.current(workspace.models, ITEMS)
    read_by = None if sequence is None else artifacts.current(workspace.models, SEQUENCE)
    key = key_of(
        "heads",
        facts,
        read_by,
        settings.sequence.policies,
        table.version,
        asdict(settings.labels),
        settings.interests.half_life_days,
        settings.explore.candidates,
        settings.seed,
    )
    if artifacts.load_if_made_from(workspace.models, HEADS, key):
        return
    with stage("Learn what visitors click and buy") as progress:
        prices = Prices.of(prices_of(catalog, table), items.leaf)
        if len(table.item):
            lessons = _Lessons.of(settings, catalog, items, sequence, table, prices)
            heads, judged = lessons.learned(settings.seed, progress)
        else:
            heads, judged = {}, {}
    arrays, meta = Heads(heads, prices).state()
    made = {"key": key, "items": facts, "sequence": read_by, "heads": meta}
    artifacts.save(workspace.models, HEADS, arrays, {**made, **judged})


@dataclass(frozen=True, slots=True, eq=False)
class _Lessons:
    """What heads are learned from: the log since `cut_us`, with what was known of the items by then."""

    settings: Settings
    table: EventTable
    past: PastPages
    model: ShopperModel
    source: CandidateSource
    prices: Prices
    cut_us: int

    @classmethod
    def of(
        cls,
        settings: Settings,
        catalog: Catalog,
        items: ItemFacts,
        sequence: SequenceModel | None,
        table: EventTable,
        prices: Prices,
    ) -> _Lessons:
        window_us = in_us(settings.labels.window_days)
        first_us, end_us = int(table.time_us.min()), int(table.time_us.max())
        cut_us = end_us - window_us - min(_WINDOWS * window_us, (end_us - first_us) // 4)
        known = _facts_of(items, table.between(until=from_us(cut_us)), window_us)
        model = shopper_model(catalog, known, sequence, settings, sees_next=settings.sequence.policies)
        source = CandidateSource(model, size=WIDE * settings.explore.candidates)
        return cls(settings, table, PastPages.of(table, model, settings), model, source, prices, cut_us)

    def learned(self, seed: int, progress: Progress) -> tuple[dict[EventKind, Head], dict[str, Any]]:
        """The heads, and by their kinds how good they are and whether they use what the sequence model says."""
        heads: dict[EventKind, Head] = {}
        quality: dict[str, Any] = {}
        following: dict[str, Any] = {}
        for kind, examples in self.examples(seed, progress):
            choices = None if self.model.sequence is None else self.choices(kind, seed)
            heads[kind], found, follows = learn_head(examples, choices, seed=seed)
            quality[kind] = asdict(found)
            following[kind] = None if follows is None else asdict(follows)
        return heads, {"quality": quality, "following": following}

    def examples(self, seed: int, progress: Progress) -> Iterator[tuple[EventKind, HeadExamples]]:
        """For each kind that came often enough: candidates of past pages."""
        rng = np.random.default_rng(seed)
        pages = np.flatnonzero(self.past.visits.time_us >= self.cut_us)
        if len(pages) > _PAGES:
            pages = np.sort(rng.choice(pages, _PAGES, replace=False))
        if not len(pages):
            return
        took = [self.past.came_for(kind) for kind in HEAD_KINDS]
        parts = []
        for done, page in enumerate(pages.tolist()):
            parts.append(self._page(page, took, rng))
            progress(done + 1, len(pages))
        signs, follows, came, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        user = np.repeat(self.past.visits.user[pages].astype(np.int64), [len(one[0]) for one in parts])
        for column, kind in enumerate(HEAD_KINDS):
            found = HeadExamples(signs, follows, came[:, column], user, weight)
            if found.came.sum() >= _CAME and len(np.unique(user[found.came])) >= _USERS:
                yield kind, found

    def _page(
        self, page: int, took: list[list[Rows]], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
        """Signs, FOLLOWS, what came by kind, and weights of the candidates that are kept."""
        user, time_us = int(self.past.visits.user[page]), int(self.past.visits.time_us[page])
        history = self.past.history(user, time_us)
        rows = self.source.rows(history, time_us, rng)
        came = np.column_stack([np.isin(rows, of[page]) for of in took])
        nothing = np.flatnonzero(~came.any(axis=1))
        kept = np.sort(rng.choice(nothing, min(_NEGATIVES, len(nothing)), replace=False))
        weight = np.ones(len(rows))
        weight[kept] = len(nothing) / max(len(kept), 1)
        chosen = np.sort(np.concatenate([kept, np.flatnonzero(came.any(axis=1))]))
        rows = rows[chosen]
        signs = signs_of(self.model, self.prices, history, rows, time_us)
        return signs, follows_of(self.model, history, rows, time_us), came[chosen], weight[chosen]

    def choices(self, kind: EventKind, seed: int) -> Choices:
        """The events of this kind that the sequence model did not learn from, each among what did not come."""
        rng = np.random.default_rng(seed)
        signs, follows, taken, lengths = [], [], [], [0]
        for user, held in self._held():
            moment = int(self.table.time_us[held[0]]) - 1
            if moment < self.cut_us:
                continue
            mine = self.table.events_of(user)
            later = mine[self.table.time_us[mine] > moment]
            if not np.isin(
                later, held
            ).all():  # of the rest of a basket the model has learned what belongs to it
                continue
            history = self.past.history(user, moment)
            rows = self.source.rows(history, moment, rng)
            of_kind = held[self.table.kind[held] == EVENT_KINDS.index(kind)]
            for item in np.intersect1d(self.table.item[of_kind], rows):
                among = rows[(rows == item) | ~np.isin(rows, self.table.item[later])]
                signs.append(signs_of(self.model, self.prices, history, among, moment))
                follows.append(follows_of(self.model, history, among, moment))
                taken.append(sum(lengths) + int(np.flatnonzero(among == item)[0]))
                lengths.append(len(among))
        none = np.empty((0, 0), dtype=np.float32)
        return Choices(
            np.concatenate(signs) if signs else none,
            np.concatenate(follows) if follows else none,
            np.cumsum(lengths, dtype=np.int64),
            np.array(taken, dtype=np.int64),
        )

    def _held(self) -> Iterator[tuple[int, Rows]]:
        """Users and the positions of their events that were held out, ascending."""
        items = len(self.model.catalog)
        everything = sequences_of(self.table, items)
        held = everything.lengths - part(everything, self.settings).known.lengths
        read = np.isin(self.table.kind, [EVENT_KINDS.index(kind) for kind in READ])
        read &= tokens_of(self.table, items) >= 0
        for user in np.flatnonzero(held).tolist():
            mine = self.table.events_of(user)
            mine = mine[read[mine]][: int(everything.lengths[user])]
            yield user, mine[-int(held[user]) :]


def _facts_of(items: ItemFacts, table: EventTable, window_us: int) -> ItemFacts:
    """The facts of the items, as of the end of a table."""
    n = len(items)
    touched = table.item >= 0
    bought = touched & (table.kind == EVENT_KINDS.index("purchase"))
    return replace(
        items,
        popularity=popularity(table.user[touched], table.item[touched], n),
        rebought=rebought(
            table.user[bought], table.item[bought], table.time_us[bought], n, window_us=window_us
        ),
        taken=np.bincount(table.item[touched], minlength=n).astype(np.int64),
    )
