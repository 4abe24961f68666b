"""Items that nobody has taken yet: how well they are found, and what that costs where others are wanted."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from against import teach
from hits import Found, Mask, Standing, found_by
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.sequence.ranking import Scorer
from honeyguide.interests.train.learn import HeldOut
from honeyguide.plm.train.devices import Place
from honeyguide.types import Rows
from rank import OURS, WITHOUT_MEMORY, Split, answer_of
from rank_data import Shop
from rows import Row
from simple import Cosine, Counted

CHANCE, POPULAR, WITHOUT_LIKENESS = "chance", "popularity", "honeyguide, no likeness"
COSINES = ("cosine of all", "cosine of the last")
DEPTH = 500
"""Places of a rival's list that are looked at: what it says of some items alone is read off it."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """How well a model finds the item taken last: a withheld one (`cold`) or not, among all and among its like."""

    model: str
    seed: int
    cold: Found
    cold_alone: Found
    warm: Found
    warm_alone: Found
    seconds: float

    @property
    def price(self) -> float:
        """The share of the recall of warm items that is lost because cold ones are in the ranking, too."""
        return 1 - self.warm.recall / self.warm_alone.recall if self.warm_alone.recall else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ColdItems:
    """`cold` (n,) items without a single event; users of the split are asked for the last item that they took."""

    split: Split
    cold: Mask

    @classmethod
    def of(cls, sequences: Sequences, items: int, share: float, *, seed: int, most: int) -> Self:
        """A share of the items that were ever taken is withheld, at random.

        All events about them are gone, in histories as well: a new item has none. Users who are left without
        history, or who took their last item before, are not asked; of those whose last item is warm, `most` are.
        """
        rng = np.random.default_rng([seed, 1])
        cold = np.zeros(items, dtype=np.bool_)
        taken = np.unique(sequences.tokens)
        cold[rng.choice(taken, max(1, round(share * len(taken))), replace=False)] = True
        train, before = (without(sequences.without_last(back), cold) for back in (2, 1))
        valid, last = sequences.from_last(1), sequences.from_last(0)
        judged = np.flatnonzero((train.lengths > 0) & (valid >= 0) & ~cold[valid])
        asked = np.flatnonzero((before.lengths > 0) & ~had(before, last))
        warm = asked[~cold[last[asked]]]
        if len(warm) > most:
            warm = rng.choice(warm, most, replace=False)
        users = np.sort(np.concatenate([asked[cold[last[asked]]], warm]))
        held_out = HeldOut(train.of_users(judged), valid[judged])
        return cls(Split(train, held_out, before.of_users(users), last[users], users, judged), cold)

    def result(self, model: str, seed: int, scorer: Scorer, seconds: float) -> ItemResult:
        """How well a scorer does."""
        split = self.split

        def found(users: Rows, among: Sequence[Mask]) -> list[Found]:
            return found_by(scorer, split.history.of_users(users), split.targets[users], among)

        return self._result(model, seed, found, seconds)

    def result_of_lists(self, model: str, seed: int, ranked: Rows, seconds: float) -> ItemResult:
        """How well lists (u, m) do; one with fewer than ten items of a kind may have had the item further down."""
        targets = self.split.targets

        def found(users: Rows, among: Sequence[Mask]) -> list[Found]:
            return [Standing.in_lists(ranked[users], targets[users], mask).found() for mask in among]

        return self._result(model, seed, found, seconds)

    def _result(
        self, model: str, seed: int, found: Callable[[Rows, Sequence[Mask]], list[Found]], seconds: float
    ) -> ItemResult:
        everything = np.ones_like(self.cold)
        of_kind = self.cold[self.split.targets]
        cold, cold_alone = found(np.flatnonzero(of_kind), (everything, self.cold))
        warm, warm_alone = found(np.flatnonzero(~of_kind), (everything, ~self.cold))
        return ItemResult(model, seed, cold, cold_alone, warm, warm_alone, seconds)


def without(sequences: Sequences, dropped: Mask) -> Sequences:
    """The events about other items than those `dropped` (n,), asked about the same moment; no times are kept."""
    kept = ~dropped[sequences.tokens]
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)
    lengths = np.bincount(users[kept], minlength=len(sequences))
    left = Sequences.of_items(sequences.tokens[kept], np.concatenate([[0], np.cumsum(lengths)]))
    return replace(left, ahead=sequences.ahead)


def had(sequences: Sequences, targets: Rows) -> Mask:
    """(u,): whether the user has taken the item before; nobody took -1."""
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)
    again = np.zeros(len(sequences), dtype=np.bool_)
    again[users[sequences.tokens == targets[users]]] = True
    return again


def each(
    shop: Shop, seed: int, rivals: Sequence[str], options: argparse.Namespace, place: Place
) -> Iterator[ItemResult]:
    """One model after the other, all on the items that this seed withholds."""
    held = ColdItems.of(shop.sequences, shop.items, options.share, seed=seed, most=options.most)
    split = held.split
    counts = shop.taken(split.train)
    print(
        f"{held.cold.sum():,} of {shop.items:,} items withheld, {held.cold[split.targets].sum():,} users took one"
    )
    yield held.result(CHANCE, seed, Counted(np.zeros_like(counts)), 0.0)
    yield held.result(POPULAR, seed, Counted(counts), 0.0)
    for name, last in zip(COSINES, (False, True), strict=True):
        yield held.result(name, seed, Cosine(shop.vectors, last), 0.0)
    if not options.rivals_alone:
        taught = teach(shop.vectors, split, options, seed, place)
        yield held.result(WITHOUT_MEMORY, seed, SequenceModel(taught.model.network), taught.seconds)
        yield held.result(WITHOUT_LIKENESS, seed, replace(taught.model, likeness=None), taught.seconds)
        yield held.result(OURS, seed, taught.model, taught.seconds)
    for rival in rivals:
        ran = answer_of(rival, shop.vectors, split, seed, options, place, k=min(DEPTH, shop.items))
        yield held.result_of_lists(rival, seed, ran.answer.items, ran.seconds)


def show(results: Sequence[ItemResult]) -> None:
    """A line for each."""
    for r in results:
        print(
            f"{r.model:<28}{r.seed:>5}{r.cold.recall:>13.4f}{r.cold.ndcg:>9.4f}{r.cold_alone.recall:>12.4f}"
            f"{r.warm.recall:>13.4f}{r.warm.ndcg:>9.4f}{r.warm_alone.recall:>12.4f}{r.price:>8.1%}{r.seconds:>9.0f}",
            flush=True,
        )


def header() -> str:
    """What the columns of `show` are."""
    return (
        f"{'model':<28}{'seed':>5}{'cold r@10':>13}{'n@10':>9}{'among cold':>12}{'warm r@10':>13}{'n@10':>9}"
        f"{'among warm':>12}{'price':>8}{'seconds':>9}"
    )


def rows(results: Sequence[ItemResult]) -> list[Row]:
    """Ours beside what the goals name, over the seeds of ours; the better of two rivals is the rival."""
    of = {(result.model, result.seed): result for result in results}
    seeds = [result.seed for result in results if result.model == OURS]
    own = (OURS, WITHOUT_MEMORY, WITHOUT_LIKENESS, CHANCE, POPULAR, *COSINES)
    others = dict.fromkeys(result.model for result in results if result.model not in own)
    found = []
    for rivals, goal in (((POPULAR, CHANCE), 5.0), (COSINES, 1.3), *(((other,), None) for other in others)):
        paired = [seed for seed in seeds if all((rival, seed) in of for rival in rivals)]
        if paired:
            for metric in ("recall", "ndcg"):
                ours = [getattr(of[OURS, seed].cold, metric) for seed in paired]
                theirs = [max(getattr(of[rival, seed].cold, metric) for rival in rivals) for seed in paired]
                found.append(
                    Row.of("cold items", f"{metric}@10", ours, " or ".join(rivals), theirs, goal=goal)
                )
    return found
