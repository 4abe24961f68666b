"""Ours and its rivals on questions about what people take after a moment, having learned from what was before it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from against import Taught, seeds_of, teach, write
from hits import K, filled, found_of
from honeyguide.fit.sequence import held_out_users
from honeyguide.interests.sequence.content import content_of, prices_or_paid
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.likeness import share_of_new
from honeyguide.interests.sequence.ranking import Scorer, best_of
from honeyguide.interests.train.learn import HeldOut
from honeyguide.plm.train.devices import Place, find_place
from honeyguide.types import Rows
from rank import OURS, RIVALS, Split, answer_of, options_of
from rows import Row
from rows import show as show_rows
from simple import ByDepartment, Counted, Habit
from times import WEEK_US, Log, Question, TimedShop, moment, read_timed

WINDOWS = (1, 2, 4)
EASE_ITEMS = 25_000
"""EASE inverts a matrix of all items by all items: from here on it takes more memory than most machines have."""
HELD_OUT = 0.1
"""Of the users, as the product does."""
Ask = Callable[[Log, int, int], Question]
"""(log, from when, until when) -> what people took in that time."""


@dataclass(frozen=True, slots=True)
class TimedResult:
    """How well a model answers a question: recall@10, the share of what is wanted, and NDCG@10."""

    question: str
    model: str
    seed: int
    recall: float
    ndcg: float
    users: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question with all that is known before it; `judged` users' last basket is held out from `split.train`."""

    question: Question
    split: Split
    counts: Rows
    """(n,): how often each item was taken; where new ones are wanted, how many users took it."""

    @classmethod
    def of(
        cls, log: Log, question: Question, train: Sequences, judged: Rows, valid: HeldOut, *, first_only: bool
    ) -> Asked:
        """As rivals and ours are asked."""
        history = log.asked(question, first_only=first_only)
        first = question.wanted.tokens[question.wanted.starts[:-1]]
        split = Split(train, valid, history, first, question.users, judged)
        return cls(question, split, log.counts(0, question.until_us, first=question.new))

    def lists(self, scorer: Scorer) -> Rows:
        """(u, 10): what a scorer finds best."""
        return best_of(scorer, self.split.history, K, keep_seen=not self.question.new)[0]

    def result(self, model: str, seed: int, ranked: Rows, seconds: float) -> TimedResult:
        """How well lists do; empty places show what is popular."""
        ranked = filled(ranked, self.counts, self.split.history, keep_seen=not self.question.new)
        found = found_of(ranked, self.question.wanted)
        return TimedResult(self.question.name, model, seed, found.recall, found.ndcg, found.users, seconds)


def held_back(before: Sequences, seed: int) -> tuple[Sequences, Rows, HeldOut, Sequences]:
    """(what is learned from, whose last basket is not, its last items, it whole): as a fit does it."""
    cut = before.without_last_moment_of(np.arange(len(before)))
    able = np.flatnonzero(cut.lengths > 0)
    count = held_out_users(len(able), HELD_OUT)
    judged = np.sort(np.random.default_rng(seed).choice(able, count, replace=False))
    asked = cut.of_users(judged)
    held_out = HeldOut(asked, before.from_last(0)[judged])
    return before.without_last_moment_of(judged), judged, held_out, before.of_users(judged).beyond(asked)


def best_window(log: Log, ask: Ask, until_us: int, stretch_us: int) -> int:
    """The weeks of popularity that would have answered best in the stretch before the moment, by NDCG@10."""
    cut = until_us - stretch_us
    question = ask(log, cut, until_us)
    history = log.before(cut).of_users(question.users)

    def ndcg(weeks: int) -> float:
        counts = log.counts(cut - weeks * WEEK_US, cut, first=question.new)
        ranked, _ = best_of(Counted(counts), history, K, keep_seen=not question.new)
        return found_of(ranked, question.wanted).ndcg

    return max(WINDOWS, key=ndcg)


def timed_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What the command line says."""
    parser.add_argument("--shop", type=Path, required=True)
    parser.add_argument("--until", type=moment, default=None, help="the day, such as 2017-12-04")
    parser.add_argument(
        "--weeks", type=int, default=4, help="before the end, and what validates before the day"
    )
    parser.add_argument(
        "--least", type=int, default=0, help="leave out items that were taken less often before"
    )
    parser.add_argument("--users", type=int, default=None, help="of the log, for a short look")
    parser.add_argument("--rivals", nargs="*", default=("als", "itemknn"), choices=RIVALS)
    return options_of(parser)


def compare(options: argparse.Namespace, asks: Sequence[Ask], *, first_only: bool = False) -> None:
    """Read, learn, ask, print."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    shop = read_timed(
        options.shop, options.model, until_us=options.until, weeks=options.weeks, least=options.least,
        users=options.users,
    )  # fmt: skip
    place = find_place(options.device, options.precision)
    print(f"{shop.log.items:,} items, {len(shop.log.time_us):,} events\n{header()}")
    results: list[TimedResult] = []
    for result in measured(shop, asks, options, place, first_only=first_only):
        show(result)
        results.append(result)
        write(options.json, results, place, data=shop.log.name, first_only=first_only)
    print()
    show_rows(rows(results))


def measured(
    shop: TimedShop, asks: Sequence[Ask], options: argparse.Namespace, place: Place, *, first_only: bool
) -> Iterator[TimedResult]:
    """One model after the other, on all questions; with `first_only` what was taken again is not learned from."""
    log, until_us = shop.log, shop.until_us
    end = log.end()
    known = log.firsts_before(until_us) if first_only else log.before(until_us)
    for seed in seeds_of(options):
        train, judged, valid, taken = held_back(known, seed)
        asked = [
            Asked.of(log, ask(log, until_us, end), train, judged, valid, first_only=first_only)
            for ask in asks
        ]
        if seed == options.first_seed:
            for each, ask in zip(asked, asks, strict=True):
                yield from simple(log, each, ask, options)
        if not options.rivals_alone:
            taught = ours(shop, asked[0].split, taken, options, seed, place)
            for each in asked:
                yield each.result(OURS, seed, each.lists(taught.model), taught.seconds)
        for rival in options.rivals:
            if rival == "ease" and log.items > EASE_ITEMS:
                print(f"ease is left out: {log.items:,} items are too many for it")
                continue
            for each in asked:
                new = each.question.new
                ran = answer_of(rival, shop.vectors, each.split, seed, options, place, k=K, keep_seen=not new)
                yield each.result(rival, seed, ran.answer.items, ran.seconds)


def simple(log: Log, asked: Asked, ask: Ask, options: argparse.Namespace) -> Iterator[TimedResult]:
    """What needs no learning."""
    until, stretch = asked.question.until_us, options.weeks * WEEK_US
    weeks = best_window(log, ask, until, stretch)
    recent = log.counts(until - weeks * WEEK_US, until, first=asked.question.new)
    scorers: dict[str, Scorer] = {
        "popularity": Counted(asked.counts),
        f"popularity, {weeks} weeks": Counted(recent),
        "by department": ByDepartment(asked.counts, log.departments),
    }
    if not asked.question.new:
        scorers["a user's own habit"] = Habit(asked.counts)
    for name, scorer in scorers.items():
        yield asked.result(name, options.first_seed, asked.lists(scorer), 0.0)


def ours(
    shop: TimedShop, split: Split, taken: Sequences, options: argparse.Namespace, seed: int, place: Place
) -> Taught:
    """The product's model of all that was before the moment; `taken` are the baskets that validate it."""
    log = shop.log
    there = np.flatnonzero(log.time_us < shop.until_us)
    in_time = log.sequences.tokens[there[np.argsort(log.time_us[there], kind="stable")]]
    prices = prices_or_paid(shop.prices, log.sequences.tokens[there], log.paid[there])
    content = content_of(shop.vectors, prices, np.empty((0, shop.vectors.shape[1]), dtype=np.float32))
    share = share_of_new(in_time)
    return teach(shop.vectors, split, options, seed, place, taken=taken, content=content, new_share=share)


def header() -> str:
    """What the columns of `show` are."""
    return (
        f"{'question':<24}{'model':<28}{'seed':>5}{'recall@10':>11}{'ndcg@10':>9}{'users':>7}{'seconds':>9}"
    )


def show(result: TimedResult) -> None:
    """A line."""
    r = result
    print(
        f"{r.question:<24}{r.model:<28}{r.seed:>5}{r.recall:>11.4f}{r.ndcg:>9.4f}{r.users:>7}{r.seconds:>9.0f}",
        flush=True,
    )


def rows(results: Sequence[TimedResult]) -> list[Row]:
    """NDCG@10 of ours, over its seeds, beside each rival's median, question by question."""
    found = []
    for question in dict.fromkeys(result.question for result in results):
        of: dict[str, list[float]] = {}
        for result in results:
            if result.question == question:
                of.setdefault(result.model, []).append(result.ndcg)
        if OURS in of:
            found += [
                Row.of(question, "ndcg@10", of[OURS], rival, of[rival]) for rival in of if rival != OURS
            ]
    return found
