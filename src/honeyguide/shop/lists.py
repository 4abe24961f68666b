"""What a shop lists without deciding: nothing of it explores, and nothing is written down."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from honeyguide.config import Rules
from honeyguide.data.table import to_us
from honeyguide.errors import InvalidInput
from honeyguide.explore.decide import stream
from honeyguide.interests.users import DAY_US
from honeyguide.shop.asked import check_user
from honeyguide.shop.beliefs import UserInterest
from honeyguide.shop.opened import OpenShop
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
from honeyguide.types import Floats, Rows


class ShopLists(OpenShop):
    """What is believed of users, and lists of items for them, for a query, for another item."""

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

    def _risen(self, user_id: str) -> Rows | None:
        """What was put and is liked by those who were shown it; None where nothing was put."""
        if not len(put := self._view.put):
            return None
        ids = self.fitted.catalog.ids
        liked = self._learning.arms.belief_of(user_id).posterior.liked([ids[row] for row in put.tolist()])
        return put[liked]
