"""`Honeyguide`: an open shop that decides, learns from feedback, and says what it believes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import numpy as np

from honeyguide.config import Rules, Settings
from honeyguide.data.item import Item
from honeyguide.data.table import to_us
from honeyguide.errors import InvalidInput, JournalChanged
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.explore.diverse import Inner
from honeyguide.interests.users import DAY_US, History, ShopperModel
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Counts, Entry, Erasure, ItemChange, Journal
from honeyguide.shop.asked import candidate_rows, check_drawn, check_shown, check_user, ranked_rows
from honeyguide.shop.beliefs import UserInterest
from honeyguide.shop.candidates import within
from honeyguide.shop.erasing import without
from honeyguide.shop.learning import Learning
from honeyguide.shop.models import Fitted, is_current, load_fitted
from honeyguide.shop.offer import offer
from honeyguide.shop.recommend import (
    WIDE,
    Listed,
    NextScorer,
    PosteriorScorer,
    Scorer,
    after_query,
    best,
    listed,
    scorer_by,
    with_pins,
)
from honeyguide.shop.related import Neighbour
from honeyguide.shop.rules import Ruling
from honeyguide.shop.split import SHOPS_OWN, Split, apprentice_split, experiment_split, labelled
from honeyguide.shop.stock import ReadTexts, changes_of, deletions_of, read_texts
from honeyguide.shop.view import View
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Decision, Event, EventKind, Floats, Policy, Rows


def utc_now() -> datetime:
    """The wall clock: the one default that is not passed in, for callers who live in real time."""
    return datetime.now(UTC)  # noqa: TID251 - everything below takes the time as an argument


def unwatched(part: str) -> AbstractContextManager[None]:
    """Nobody is told of a page's parts."""
    return nullcontext()


_DAY = timedelta(days=1)


class Honeyguide:
    """A fitted shop, open for decisions."""

    def __init__(
        self, settings: Settings, fitted: Fitted, journal: Journal, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.clock = clock
        self.watch: Callable[[str], AbstractContextManager[None]] = unwatched
        """Told of a page's parts by name."""
        self._experiment = experiment_split(settings)
        self._apprentice = apprentice_split(settings)
        self.under: Split | None = None
        """What shares users out between this shop and another one: pages say that they were made under it."""
        self._learning = Learning(settings, fitted, journal)

    @classmethod
    def open(
        cls, folder: Path | str, *, store: Path | str | None = None, clock: Callable[[], datetime] = utc_now
    ) -> Self:
        """The fitted shop in this folder; NoWorkspace, NoArtifact or DamagedArtifact say what to run.

        `store` is where the journal is, in place of what [journal] store says: a file, or postgresql://...;
        JournalError, MissingExtra.
        """
        workspace = Workspace.at(folder)
        fitted = load_fitted(workspace.models, workspace.items)
        return cls(workspace.settings, fitted, open_journal(store or workspace.store), clock=clock)

    @property
    def _view(self) -> View:
        return self._learning.view

    @property
    def fitted(self) -> Fitted:
        """The shop as it was fitted, with the items that were put since."""
        return self._view.fitted

    @property
    def model(self) -> ShopperModel:
        """What turns a user's history into what a policy sees."""
        return self._view.model

    @property
    def policy(self) -> Inner:
        """What has been learned so far; in an experiment what its first arm has."""
        return self._learning.arms.beliefs[0]

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of the policies that serve: in an experiment one for each arm."""
        return tuple(policy.name for policy in self._learning.arms.policies)

    def policy_of(self, user_id: str) -> Policy:
        """The policy that serves this user: in an experiment that of their arm."""
        return self._learning.arms.policy_of(user_id)

    def decide(
        self,
        user_id: str,
        *,
        k: int | None = None,
        now: datetime | None = None,
        surface: str = "default",
        exclude: Collection[str] = (),
        rules: Rules | None = None,
        ranking: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        decision_id: str | None = None,
    ) -> Decision:
        """A page of `k` items for this user, with propensities; in the journal before it is returned.

        `exclude` are item ids not to show, nor to pin, and `rules` narrow the shop's own; boosts and diversity are
        for `recommend`, for what is drawn is the policy's own answer. What is pinned is not drawn. A user who was
        never seen gets the prior over users. `ranking` are item ids in the shop's own order: but for the users of
        [apprentice] share they are served as they are, and the policy learns beside it. `candidates` are the only
        items that the page is drawn from. UnknownItem, InvalidInput.
        """
        decision = self.draw(
            user_id,
            k=k,
            now=now,
            surface=surface,
            exclude=exclude,
            rules=rules,
            ranking=ranking,
            candidates=candidates,
            decision_id=decision_id,
        )
        self.record([decision])
        return decision

    def draw(
        self,
        user_id: str,
        *,
        k: int | None = None,
        now: datetime | None = None,
        surface: str = "default",
        exclude: Collection[str] = (),
        rules: Rules | None = None,
        ranking: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        decision_id: str | None = None,
    ) -> Decision:
        """What `decide` returns, not yet written down: show no page before `record` has returned."""
        check_user(user_id)
        time = now or self.clock()
        now_us = to_us(time)
        history = self.history(user_id)
        name = decision_id or uuid4().hex
        rng = stream(self.settings.seed, name)
        ruling = self._ruling(rules, exclude)
        usual, ranked, policy = self.settings.explore.k, None, self.policy_of(user_id)
        if ranking is not None:
            ranked = ranked_rows(self.fitted.catalog, ranking, k=k, exclude=exclude, rules=rules)
            self._view.book.check_there(ranked)
            usual = min(usual, len(ranked))
            if self._apprentice.arm_named(user_id) == SHOPS_OWN:
                ruling = replace(ruling, pins=dict(enumerate(ranked[: usual if k is None else k].tolist())))
        among = None
        if candidates is not None:
            among = candidate_rows(self.fitted.catalog, candidates, ranking)
            self._view.book.check_there(among)
        with self.watch("candidates"):
            rows = self._candidates(user_id, history, now_us, rng, ruling, ranked, among)
            horizon, moves = self.settings.explore.horizon_days, self.fitted.transitions
            offered = offer(
                self.model, user_id, history, rows, now_us, horizon_days=horizon, transitions=moves
            )
        size = min(usual, len(rows)) if k is None else k
        splits = (self._experiment, None if ranked is None else self._apprentice, self.under)
        with self.watch("policy"):
            return decide(
                policy,
                offered,
                k=size,
                pins=ruling.places(rows, size),
                request=Request(name, time, surface, labelled(policy.name, splits), self.fitted.version),
                rng=rng,
                explain=self._view.explainer.of(history, rows, offered.features, now_us),
            )

    def feedback(
        self,
        decision_id: str,
        item_id: str,
        kind: EventKind,
        *,
        now: datetime | None = None,
        event_id: str | None = None,
        value: float | None = None,
    ) -> Event:
        """Record what the user did with a shown item; learned from at once, counted once per event_id.

        Where the same was recorded before, the event that was recorded first comes back. UnknownDecision,
        UnknownItem, InvalidInput where that decision did not show that item.
        """
        event = self.reaction(decision_id, item_id, kind, now=now, event_id=event_id, value=value)
        self.record([event])
        return event

    def reaction(
        self,
        decision_id: str,
        item_id: str,
        kind: EventKind,
        *,
        now: datetime | None = None,
        event_id: str | None = None,
        value: float | None = None,
    ) -> Event:
        """What `feedback` returns, not yet written down, unless it was before."""
        decision = self.journal.decision(decision_id)
        check_shown(self.fitted.catalog, item_id, decision)
        event = Event(
            event_id=event_id or f"{decision_id}:{item_id}:{kind}",
            time=now or self.clock(),
            user_id=decision.user_id,
            kind=kind,
            item_id=item_id,
            value=value,
            decision_id=decision_id,
        )
        self._know_more()
        first = self._learning.feedback(event.event_id)
        if first is not None and replace(event, time=first.time) == first:
            return first
        return event

    def record(self, entries: Sequence[Entry]) -> int:
        """Write down all of these or none, durably, and learn from them; how many were new.

        An event may be of any kind, also one that no decision led to. InvalidInput, UnknownDecision, JournalError.
        """
        new = self.journal.append(entries)
        self._learning.catch_up()
        return new

    def catch_up(self) -> int:
        """Learn from what other processes wrote down; how many entries of the journal that leaves unlearned."""
        self._learning.catch_up()
        return self._learning.behind()

    @property
    def outdated(self) -> bool:
        """Whether another release than this one is to serve now; NoArtifact, DamagedArtifact."""
        return not is_current(self.fitted.finding.models, self.fitted)

    def put_items(self, items: Sequence[Item], *, now: datetime | None = None) -> int:
        """Put items into the shop: it can show them at once, and so can all that serve it; how many that changed.

        An item of a known id becomes what is said now, whole, and one that was deleted is there again. What its text
        says changes with it; how often it was taken and what it is taken along with are counted by the next fit.
        JournalError.
        """
        return self.record(self.arrivals(items, self.read_texts(items), now=now))

    def delete_items(self, item_ids: Sequence[str], *, now: datetime | None = None) -> int:
        """Take items out of the shop: no page or list holds them from now on; how many were there; UnknownItem.

        What was shown of them can still be reacted to, and what was learned from them stays.
        """
        return self.record(self.departures(item_ids, now=now))

    def read_texts(self, items: Sequence[Item]) -> ReadTexts:
        """What the language model reads of items that it has not read: all of `put_items` that takes long.

        It may be done beside other work, in another thread.
        """
        return read_texts(self._learning.as_fitted, items)

    def arrivals(
        self, items: Sequence[Item], read: ReadTexts, *, now: datetime | None = None
    ) -> tuple[ItemChange, ...]:
        """What `put_items` writes down, not yet written."""
        self._know_more()
        return changes_of(self._learning.stock, items, read, now or self.clock())

    def departures(self, item_ids: Sequence[str], *, now: datetime | None = None) -> tuple[ItemChange, ...]:
        """What `delete_items` writes down, not yet written; UnknownItem."""
        self._know_more()
        return deletions_of(self._learning.stock, self.fitted, item_ids, now or self.clock())

    def save(self) -> None:
        """Store what was learned beside its journal offset, so that the next open begins there."""
        self._learning.save()

    def erase(self, user_id: str) -> Erasure:
        """Remove a user: from the journal, from what was learned, and from what was fitted of them alone.

        What is then believed equals, to the bit, what would be had their part of the journal never been. The files
        that were imported are left as they are, and so is what the last fit learned from all users together. It
        rewrites the journal's file, which takes a while. The receipt names nobody.
        """
        check_user(user_id)
        self._learning.catch_up()
        erasure = self._learning.erase(user_id)
        self._learning.take_over(without(self._learning.as_fitted, user_id))
        return erasure

    def forget(self, older_than: timedelta, *, now: datetime | None = None) -> Counts:
        """Drop what is older from the journal; how many entries that were.

        What policies learned of it stays, to the bit, and a user can still be erased from it; what users did then is
        no longer in their histories. It rewrites the journal's file, which takes a while. InvalidInput where a page
        of that age may still be rewarded.
        """
        window = timedelta(days=self.settings.labels.window_days)
        if older_than < window:
            raise InvalidInput(
                f"what is {older_than / _DAY:g} days old is still learned from: keep at least {window / _DAY:g} days "
                "([labels] window_days)"
            )
        self._learning.catch_up()
        dropped = self._learning.drop((now or self.clock()) - older_than)
        if dropped != Counts(0, 0, 0):
            self._learning = Learning(self.settings, self._learning.as_fitted, self.journal)
        return dropped

    def interests(
        self, user_id: str, *, now: datetime | None = None, top: int = 10
    ) -> tuple[UserInterest, ...]:
        """The `top` interests the user is held to want most, with uncertainty, best first; InvalidInput."""
        check_user(user_id)
        if top < 1:
            raise InvalidInput(f"top must be at least 1, got {top}")
        history = self.history(user_id)
        now_us = to_us(now or self.clock())
        posterior = self._learning.arms.belief_of(user_id).posterior
        return self._view.beliefs.of(posterior, user_id, history, now_us)[:top]

    def recommend(
        self,
        user_id: str,
        *,
        k: int = 10,
        rules: Rules | None = None,
        now: datetime | None = None,
        by: str = "reward",
        scorer: Scorer | None = None,
    ) -> tuple[Listed, ...]:
        """At most `k` items by what they are expected to earn, within the rules; nothing is drawn or written down.

        `by` ranks by something else, one of `recommend.BY`, and a `scorer` by what it says. There are fewer where
        the rules leave no more, and no more than five times [explore] candidates. InvalidInput, NotReady.
        """
        check_user(user_id)
        history, now_us = self.history(user_id), to_us(now or self.clock())
        ruling = self._view.book.ruling(rules)
        rng = stream(self.settings.seed, f"recommend:{user_id}")
        rows = self._view.wide.rows(history, now_us, rng, allowed=ruling.allowed, risen=self._risen(user_id))
        rows = with_pins(rows, ruling)
        ranks = scorer or scorer_by(
            by, self._learning.arms.belief_of(user_id), self.model, self.fitted.heads, user_id
        )
        scores = ranks.scores(history, rows, now_us)
        explain = self._view.explainer.of(history, rows, self.model.features(history, rows, now_us), now_us)
        why = tuple(explain(at, False) for at in range(len(rows)))
        return self._listed(scores, rows, why, ruling, k)

    def following(
        self,
        user_id: str,
        *,
        k: int = 10,
        rules: Rules | None = None,
        known: bool = False,
        now: datetime | None = None,
    ) -> tuple[Listed, ...]:
        """At most `k` items that the user is likeliest to take next, among all that may be shown.

        Only those they never took, unless `known` asks for all. NotReady where no sequence model was fitted.
        """
        check_user(user_id)
        scorer, history, ruling = NextScorer(self.model), self.history(user_id), self._view.book.ruling(rules)
        rows = np.flatnonzero(ruling.allowed)
        if not known:
            rows = np.setdiff1d(rows, history.rows, assume_unique=True)
        now_us = to_us(now or self.clock())
        rows = with_pins(best(scorer.scores(history, rows, now_us), rows, self._view.wide.size), ruling)
        why = ("what others took next",) * len(rows)
        return self._listed(scorer.scores(history, rows, now_us), rows, why, ruling, k)

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        k: int = 10,
        rules: Rules | None = None,
        now: datetime | None = None,
    ) -> tuple[Listed, ...]:
        """At most `k` items that a query may mean, what the user wants of them first; nothing is written down.

        What others took after the same query comes first too, where a sequence model was fitted. Without a user, what
        is popular comes first among what matches alike. InvalidInput, NotReady.
        """
        time, history = now or self.clock(), self.model.start()
        ruling = self._view.book.ruling(rules)
        found = self._view.search.matches(query, ruling.allowed)
        rows = with_pins(found.rows, ruling)
        want = self.fitted.items.popularity[rows].astype(np.float64)
        if user_id is not None:
            check_user(user_id)
            history = self.history(user_id)
            scorer = PosteriorScorer(self._learning.arms.belief_of(user_id), self.model, user_id)
            want = scorer.scores(history, rows, to_us(time))
        wishes = (want, after_query(self.model, history, query, rows, time))
        return self._listed(found.reranked(rows, *wishes), rows, found.reasons(rows), ruling, k)

    def popular(self, *, k: int = 10, rules: Rules | None = None) -> tuple[Listed, ...]:
        """At most `k` items that were taken most lately: for a visitor of whom nothing is known; NotReady."""
        lately = self.fitted.finding.related.popular
        return self._by(lately, np.flatnonzero(lately > 0), "popular lately", k, rules)

    def new(self, *, k: int = 10, rules: Rules | None = None) -> tuple[Listed, ...]:
        """At most `k` items that came into the shop last, or were first taken last; NotReady."""
        created = self._view.book.shelf.created_us
        first = np.where(created >= 0, created, self.fitted.finding.related.first_us)
        return self._by(first / DAY_US, np.flatnonzero(first >= 0), "new in the shop", k, rules)

    def _by(self, scores: Floats, rows: Rows, why: str, k: int, rules: Rules | None) -> tuple[Listed, ...]:
        ruling = self._view.book.ruling(rules)
        rows = rows[ruling.allowed[rows]]
        if not ruling.groups:
            most = max(WIDE * self.settings.explore.candidates, k)
            rows = best(ruling.boosted(scores[rows], rows), rows, most)
        near = with_pins(rows, ruling)
        return self._listed(scores[near], near, (why,) * len(near), ruling, k)

    def _listed(
        self, scores: Floats, rows: Rows, why: tuple[str, ...], ruling: Ruling, k: int
    ) -> tuple[Listed, ...]:
        vectors = self.fitted.items.vectors[rows]
        return listed(self.fitted.catalog, rows, scores, vectors, ruling, k, why)

    def similar(self, item_id: str, *, k: int = 10, rules: Rules | None = None) -> tuple[Neighbour, ...]:
        """At most `k` items that may stand for this one and may be shown, the most alike first.

        Of the rules only what they allow counts here. UnknownItem, InvalidInput, NotReady.
        """
        row = self.fitted.catalog.row(item_id)
        return self._view.neighbours.similar(row, k, self._view.book.ruling(rules).allowed)

    def bought_together(
        self, item_id: str, *, k: int = 10, rules: Rules | None = None
    ) -> tuple[Neighbour, ...]:
        """At most `k` items that go along with this one and may be shown, the most evidence first, or none.

        Of the rules only what they allow counts here. UnknownItem, InvalidInput, NotReady.
        """
        row = self.fitted.catalog.row(item_id)
        return self._view.neighbours.together(row, k, self._view.book.ruling(rules).allowed)

    def history(self, user_id: str) -> History:
        """What is known of the user: the fitted history and everything the journal holds since."""
        return self._learning.history(user_id)

    def close(self) -> None:
        """Store what was learned beside its journal offset, and let go of the files."""
        try:
            # where another process erased somebody, it stored what is left: that stays
            with suppress(JournalChanged):
                self.save()
        finally:
            self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _know_more(self) -> None:
        """Learn from what others wrote; where one erased, what is known has to do: `record` says it in the end."""
        with suppress(JournalChanged):
            self._learning.catch_up()

    def _candidates(
        self,
        user_id: str,
        history: History,
        now_us: int,
        rng: np.random.Generator,
        ruling: Ruling,
        ranked: Rows | None,
        among: Rows | None,
    ) -> Rows:
        limits = ruling.limits(np.arange(len(self.fitted.items))) if ruling.groups else None
        if limits is not None:
            for row in ruling.pins.values():
                limits.take(row)
        if among is not None:
            return with_pins(within(limits, among[ruling.allowed[among]], len(among)), ruling)
        rows = self._view.source.rows(
            history,
            now_us,
            rng,
            allowed=ruling.allowed,
            limits=limits,
            first=ranked,
            risen=self._risen(user_id),
        )
        return with_pins(rows, ruling)

    def _risen(self, user_id: str) -> Rows | None:
        """What was put and is liked by those who were shown it; None where nothing was put."""
        if not len(put := self._view.put):
            return None
        ids = self.fitted.catalog.ids
        liked = self._learning.arms.belief_of(user_id).posterior.liked([ids[row] for row in put.tolist()])
        return put[liked]

    def _ruling(self, rules: Rules | None, exclude: Collection[str]) -> Ruling:
        check_drawn(rules)
        ruling = self._view.book.ruling(rules)
        if not exclude:
            return ruling
        ruling.allowed[self.fitted.catalog.rows(list(exclude))] = False
        if not ruling.allowed.any():
            raise InvalidInput("every item is excluded: there is nothing left to show")
        return replace(ruling, pins={s: row for s, row in ruling.pins.items() if ruling.allowed[row]})
