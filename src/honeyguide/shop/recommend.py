"""Lists that only exploit: ranked by a score, within the shop's rules, as diverse as these ask for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from honeyguide.data.catalog import Catalog
from honeyguide.data.table import to_us
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.interests.heads import HEAD_KINDS, Heads
from honeyguide.interests.users import History, ShopperModel
from honeyguide.retrieve.diversity import choose, make_diverse
from honeyguide.shop.offer import offer
from honeyguide.shop.rules import Ruling
from honeyguide.types import Event, EventKind, Floats, Policy, Rows, Vectors

WIDE = 5
"""Recommendations are ranked among as many times [explore] candidates."""


class Scorer(Protocol):
    """Whatever says how much a user wants items."""

    def scores(self, history: History, rows: Rows, now_us: int) -> Floats:
        """(n,): the higher, the rather; finite."""
        ...


class PosteriorScorer:
    """The reward that the policy's posterior expects of showing an item to one user."""

    def __init__(self, policy: Policy, model: ShopperModel, user_id: str) -> None:
        self._policy = policy
        self._model = model
        self._user = user_id

    def scores(self, history: History, rows: Rows, now_us: int) -> Floats:
        """(n,): expected rewards; nothing is learned or written down."""
        # what an item is expected to earn does not depend on how often the user will come
        candidates = offer(self._model, self._user, history, rows, now_us, horizon_days=0.0)
        return self._policy.plan(candidates).scores


class NextScorer:
    """How likely each item is what the user takes next, by the sequence model."""

    def __init__(self, model: ShopperModel) -> None:
        if model.sequence is None:
            raise NotReady(
                "no sequence model was fitted: set steps in [sequence] of honeyguide.toml, and run: honeyguide fit"
            )
        self._model = model

    def scores(self, history: History, rows: Rows, now_us: int) -> Floats:
        """(n,) in 0..1, by the logarithm of the chance."""
        return self._model.likely(history, rows, now_us).astype(np.float64)


def after_query(model: ShopperModel, history: History, query: str, rows: Rows, time: datetime) -> Floats:
    """(n,) in 0..1: how likely each item is taken next by who did all that, and now searches for `query`.

    The query is read as the newest event. 0 where no sequence model was fitted, or it never saw the query.
    """
    asked = model.fold(history, Event("asked now", time, "who asks", "search", query=query))
    if model.sequence is None or len(asked.recent) == len(history.recent):
        return np.zeros(len(rows))
    return model.likely(asked, rows, to_us(time)).astype(np.float64)


class HeadScorer:
    """How likely each item is to be clicked, put in the cart or bought within the reward window."""

    def __init__(self, heads: Heads | None, kind: EventKind, model: ShopperModel) -> None:
        if heads is None:
            raise NotReady("the shop was fitted before there were heads. Run: honeyguide fit")
        if kind not in heads.of:
            there = ", ".join(sorted(heads.of)) or "none"
            raise NotReady(
                f"the shop has no head for {kind!r}, its heads: {there}. Import more events of that kind, and run: "
                "honeyguide fit"
            )
        self._heads = heads
        self._kind = kind
        self._model = model

    def scores(self, history: History, rows: Rows, now_us: int) -> Floats:
        """(n,) in 0..1: calibrated chances."""
        return self._heads.chances(self._kind, self._model, history, rows, now_us)


BY: tuple[str, ...] = ("reward", "next", *HEAD_KINDS)
"""What recommendations can be ranked by."""


def scorer_by(by: str, policy: Policy, model: ShopperModel, heads: Heads | None, user_id: str) -> Scorer:
    """What ranks for a user by one of BY; InvalidInput for another, NotReady where the shop has no such model."""
    if by == "reward":
        return PosteriorScorer(policy, model, user_id)
    if by == "next":
        return NextScorer(model)
    for kind in HEAD_KINDS:
        if by == kind:
            return HeadScorer(heads, kind, model)
    raise InvalidInput(f"recommendations are ranked by {', '.join(BY)}, got {by!r}")


@dataclass(frozen=True, slots=True)
class Listed:
    """An item of a list: its score after boosts, and why it stands there."""

    item_id: str
    score: float
    why: str
    pinned: bool = False


def listed(
    catalog: Catalog,
    rows: Rows,
    scores: Floats,
    vectors: Vectors,
    ruling: Ruling,
    k: int,
    why: tuple[str, ...],
) -> tuple[Listed, ...]:
    """At most `k` of the candidate `rows` (n,), by their `scores` (n,), as the rules have it.

    `vectors` (n, d) say which are alike. It is shorter where limits or filters leave no more.
    """
    if k < 1:
        raise InvalidInput(f"k must be at least 1, got {k}")
    boosted = ruling.boosted(scores, rows)
    pins = ruling.places(rows, k)
    diverse = make_diverse(ruling.diversify, boosted, vectors, ruling.diversity)
    chosen = choose(diverse, ruling.limits(rows), k, pins)
    return tuple(
        Listed(
            item_id=catalog.ids[rows[at]],
            score=float(boosted[at]),
            why="put here by the shop" if at in pins.values() else why[at],
            pinned=at in pins.values(),
        )
        for at in chosen.tolist()
    )


def best(scores: Floats, rows: Rows, most: int) -> Rows:
    """At most so many of the rows (n,), by their scores (n,)."""
    return np.asarray(rows[np.argsort(-scores, kind="stable")[:most]])


def with_pins(rows: Rows, ruling: Ruling) -> Rows:
    """The candidates, and what is pinned, once each."""
    pinned = np.array(list(ruling.pins.values()), dtype=np.int64)
    return np.concatenate([rows, pinned[~np.isin(pinned, rows)]])
