"""Users whom training never saw: how well their next item is found after no event, one, two and five."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from against import teach
from cold_items import had
from hits import K, Standing, filled
from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.ranking import best_of
from honeyguide.interests.train.learn import HeldOut
from honeyguide.plm.train.devices import Place
from honeyguide.types import Rows
from rank import OURS, Split, answer_of
from rank_data import Shop
from rows import Row

EVENTS = (0, 1, 2, 5)


@dataclass(frozen=True, slots=True)
class UserResult:
    """How well a model finds the next item of unknown users of whom it knows so many events."""

    model: str
    seed: int
    events: int
    recall: float
    ndcg: float
    users: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class ColdUsers:
    """A split in which each withheld user is asked for several times, with `given` (u,) events each time."""

    split: Split
    given: Rows

    @classmethod
    def of(cls, sequences: Sequences, share: float, *, seed: int, events: tuple[int, ...] = EVENTS) -> Self:
        """A share of the users is withheld, out of those with more events than are ever given.

        The same users are asked at every number of events, so that a curve is not of other people at its end than
        at its beginning; where the item that follows was taken before, the user is not asked at that point.
        """
        rng = np.random.default_rng([seed, 2])
        able = np.flatnonzero(sequences.lengths > max(events))
        if len(able) < 2:
            raise InvalidInput(
                f"no two users have more than {max(events)} events: ask for fewer, or give a larger log"
            )
        withheld = np.sort(
            rng.choice(able, min(round(share * len(sequences)) or 1, len(able) - 1), replace=False)
        )
        rest = sequences.of_users(np.setdiff1d(np.arange(len(sequences)), withheld))
        train = rest.without_last(1)
        judged = np.flatnonzero(train.lengths > 0)
        held_out = HeldOut(train.of_users(judged), rest.from_last(0)[judged])
        asked, targets, given = _asked(sequences.of_users(withheld), events)
        numbers = len(train) + np.arange(len(targets))
        return cls(Split(train, held_out, asked, targets, numbers, judged), given)

    def results(self, model: str, seed: int, ranked: Rows, counts: Rows, seconds: float) -> list[UserResult]:
        """How well lists (u, m) do at each number of events; empty places show what is popular, as a shop would."""
        split = self.split
        lists = filled(ranked, counts, split.history)
        everything = np.ones(len(counts), dtype=np.bool_)
        found = []
        for events in np.unique(self.given).tolist():
            users = np.flatnonzero(self.given == events)
            here = Standing.in_lists(lists[users], split.targets[users], everything).found()
            found.append(UserResult(model, seed, events, here.recall, here.ndcg, here.users, seconds))
        return found


def _asked(sequences: Sequences, events: tuple[int, ...]) -> tuple[Sequences, Rows, Rows]:
    """(their first events, the item after them, how many events): all users at every number of events."""
    at = np.concatenate([sequences.starts[:-1] + n for n in events])
    given = np.repeat(events, len(sequences))
    starts = np.concatenate([[0], np.cumsum(given)])
    before = np.repeat(at - given - starts[:-1], given) + np.arange(int(starts[-1]))
    asked = Sequences(
        sequences.tokens[before], sequences.kinds[before], sequences.gaps[before], starts, sequences.gaps[at]
    )
    new = np.flatnonzero(~had(asked, sequences.tokens[at]))
    return asked.of_users(new), sequences.tokens[at][new], given[new]


def each(
    shop: Shop, seed: int, rivals: Sequence[str], options: argparse.Namespace, place: Place
) -> Iterator[list[UserResult]]:
    """One model after the other, all on the users whom this seed withholds; each learns once."""
    held = ColdUsers.of(shop.sequences, options.share, seed=seed)
    split = held.split
    counts = shop.taken(split.train)
    print(f"{(held.given == 0).sum():,} of {len(shop.sequences):,} users withheld")
    if not options.rivals_alone:
        taught = teach(shop.vectors, split, options, seed, place)
        ranked, _ = best_of(taught.model, split.history, K)
        yield held.results(OURS, seed, ranked, counts, taught.seconds)
    for rival in rivals:
        ran = answer_of(rival, shop.vectors, split, seed, options, place, k=K)
        yield held.results(rival, seed, ran.answer.items, counts, ran.seconds)


def show(results: Sequence[UserResult]) -> None:
    """A line for each."""
    for r in results:
        print(
            f"{r.model:<28}{r.seed:>5}{r.events:>8}{r.recall:>11.4f}{r.ndcg:>9.4f}{r.users:>7}{r.seconds:>9.0f}",
            flush=True,
        )


def header() -> str:
    """What the columns of `show` are."""
    return f"{'model':<28}{'seed':>5}{'events':>8}{'recall@10':>11}{'ndcg@10':>9}{'users':>7}{'seconds':>9}"


def rows(results: Sequence[UserResult]) -> list[Row]:
    """NDCG@10 of ours at each number of events, beside the rival that is best there."""
    found = []
    for events in sorted({result.events for result in results}):
        here = {(r.model, r.seed): r.ndcg for r in results if r.events == events}
        ours = {seed: ndcg for (model, seed), ndcg in here.items() if model == OURS}
        of_rivals = {
            rival: [here[rival, seed] for seed in ours if (rival, seed) in here]
            for rival in dict.fromkeys(model for model, _ in here if model != OURS)
        }
        whole = {rival: theirs for rival, theirs in of_rivals.items() if ours and len(theirs) == len(ours)}
        if whole:
            best = max(whole, key=lambda rival: float(np.median(whole[rival])))
            found.append(
                Row.of(f"new users, events: {events}", "ndcg@10", list(ours.values()), best, whole[best])
            )
    return found


def curves(results: Sequence[UserResult]) -> dict[str, list[tuple[float, float]]]:
    """NDCG@10 over the number of events for each model, as means over the seeds."""
    found: dict[str, list[tuple[float, float]]] = {}
    for model in dict.fromkeys(result.model for result in results):
        own = [result for result in results if result.model == model]
        found[model] = [
            (float(events), float(np.mean([result.ndcg for result in own if result.events == events])))
            for events in sorted({result.events for result in own})
        ]
    return found
