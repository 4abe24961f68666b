"""`Honeyguide`: an open shop that decides, learns from feedback, and says what it believes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import numpy as np

from honeyguide.config import Rules
from honeyguide.data.item import Item
from honeyguide.data.table import to_us
from honeyguide.errors import InvalidInput
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.interests.users import History
from honeyguide.journal.protocol import Counts, Erasure, ItemChange
from honeyguide.shop.asked import candidate_rows, check_drawn, check_shown, check_user, ranked_rows
from honeyguide.shop.candidates import within
from honeyguide.shop.context import Context
from honeyguide.shop.erasing import without
from honeyguide.shop.learning import Learning
from honeyguide.shop.lists import ShopLists
from honeyguide.shop.offer import offer
from honeyguide.shop.recommend import with_pins
from honeyguide.shop.rules import Ruling
from honeyguide.shop.split import SHOPS_OWN, labelled
from honeyguide.shop.stock import ReadTexts, changes_of, deletions_of, read_texts
from honeyguide.types import Decision, Event, EventKind, Rows

_DAY = timedelta(days=1)


class Honeyguide(ShopLists):
    """A fitted shop, open for decisions."""

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
        context: Context | None = None,
        decision_id: str | None = None,
    ) -> Decision:
        """A page of `k` items for this user, with propensities; in the journal before it is returned.

        `exclude` are item ids not to show, nor to pin, and `rules` narrow the shop's own; boosts and diversity are
        for `recommend`, for what is drawn is the policy's own answer. What is pinned is not drawn. A user who was
        never seen gets the prior over users. `ranking` are item ids in the shop's own order: but for the users of
        [apprentice] share they are served as they are, and the policy learns beside it. `candidates` are the only
        items that the page is drawn from, and `context` is what the user is doing now. UnknownItem, InvalidInput.
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
            context=context,
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
        context: Context | None = None,
        decision_id: str | None = None,
    ) -> Decision:
        """What `decide` returns, not yet written down: show no page before `record` has returned."""
        check_user(user_id)
        time = now or self.clock()
        now_us = to_us(time)
        history, free = self.history(user_id), ranking is None and candidates is None
        if context is not None:
            history = context.after(history, self.model, user_id, time)
            exclude = {*exclude, *context.looked_at} if free else exclude
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
        elif context is not None and context.query is not None and free:
            found = self._view.search.matches(context.query, ruling.allowed)
            among = found.rows[: self.settings.explore.candidates]
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

    def _ruling(self, rules: Rules | None, exclude: Collection[str]) -> Ruling:
        check_drawn(rules)
        ruling = self._view.book.ruling(rules)
        if not exclude:
            return ruling
        ruling.allowed[self.fitted.catalog.rows(list(exclude))] = False
        if not ruling.allowed.any():
            raise InvalidInput("every item is excluded: there is nothing left to show")
        return replace(ruling, pins={s: row for s, row in ruling.pins.items() if ruling.allowed[row]})
