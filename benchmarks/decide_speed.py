"""How fast is a decision, a posterior update, and the scoring of a whole catalogue? One core of each.

OPENBLAS_NUM_THREADS=1 python benchmarks/decide_speed.py [--seeds ROUNDS] [--json OUT]

A decision is a page of k out of 100 candidates with 64 features and the propensity of every slot, from features to
the record of it. Vowpal Wabbit draws its pages in a process of its own, slot by slot on what is left, and is timed
there: `bag-5, text` from numbers through its Python text interface, `epsilon-greedy, parsed` from examples that were
parsed before. Rounds alternate; what counts is the processor time of one core, the median over rounds.

Updates are rewards a second that a posterior with 128 features learns, one by one and ten at once. A catalogue of
100,000 vectors of 64 numbers is scanned for its 10 best, beside one plain sum over the same memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.seen import time_of
from honeyguide.explore.base_rate import BaseRate
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.explore.item_effects import ItemPrior
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.shared import SharedPosterior
from honeyguide.retrieve.exact import ExactRetriever
from honeyguide.shop.policies import make_policy
from honeyguide.types import Candidates, Policy, State
from rivals.call import BENCHMARKS, ENVIRONMENTS, NoRival, RivalFailed, environment
from rows import Row, arguments, report

CANDIDATES, DIM, PAGES = 100, 64, 16
POLICIES = ("tradeoff", "thompson-0.3", "greedy")
GOALS = {"bag-5, text": 3.0, "epsilon-greedy, parsed": 1.0}
DECISIONS = {1: 100, 10: 30}
"""Decisions of a round, by the slots of a page."""
UPDATE_DIM, UPDATES, UPDATES_A_SECOND = 128, 1000, 33_000.0
ITEMS, NEAREST, OF_ROOFLINE = 100_000, 10, 0.75


class Timer:
    """Vowpal Wabbit, which times itself; leave the context to end it."""

    def __init__(self, *, seed: int = 0) -> None:
        python = ENVIRONMENTS / "vw" / "bin" / "python"
        if not python.is_file():
            raise NoRival(f"the environment of vw is not built: {python} is not there. Run: make bench-setup")
        numbers = map(str, (CANDIDATES, DIM, PAGES, seed))
        self._process = subprocess.Popen(
            [str(python), "-m", "rivals.vw.speed", *numbers],
            cwd=BENCHMARKS,
            env=environment(1),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def rate(self, way: str, k: int, decisions: int) -> float:
        """Decisions a second."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RivalFailed("vw has no pipes to talk through")
        stdin.write(json.dumps({"way": way, "k": k, "decisions": decisions}) + "\n")
        stdin.flush()
        if not (answer := stdout.readline()):
            raise RivalFailed(f"vw ended before it had timed {way}")
        return decisions / float(json.loads(answer)["seconds"])


def shop_state(rng: np.random.Generator) -> State:
    """A posterior like a served shop's, of whose users and items a little is known."""
    base = BaseRate(rng.normal(0, 0.1, DIM), -2.5)
    prior = Prior(np.zeros(DIM), 0.02 * np.eye(DIM), 1.0)
    return SharedPosterior(prior, base, 100.0 * np.eye(DIM), ItemPrior(0.2)).state()


def pages(rng: np.random.Generator) -> list[Candidates]:
    """What is decided among: the same items for each of some users, with other features."""
    ids = tuple(f"item-{row}" for row in range(CANDIDATES))
    return [
        Candidates(f"user-{nth}", ids, rng.uniform(-1, 1, (CANDIDATES, DIM)).astype(np.float32), 5.0)
        for nth in range(PAGES)
    ]


def decisions_a_second(policy: Policy, asked: Sequence[Candidates], k: int, decisions: int) -> float:
    """Of a policy whose users were met before."""
    start = time.process_time()
    for nth in range(decisions):
        name = f"{nth}"
        request = Request(name, time_of(0.0))
        decide(policy, asked[nth % len(asked)], k=k, request=request, rng=stream(0, name))
    return decisions / (time.process_time() - start)


def taught(name: str, state: State, asked: Sequence[Candidates], rng: np.random.Generator) -> Policy:
    """A policy that has seen a page of every user."""
    policy = make_policy(name, state, Explore(k=10, candidates=CANDIDATES), seed=0)
    for candidates in asked:
        request = Request(candidates.user_id, time_of(0.0))
        decision = decide(policy, candidates, k=10, request=request, rng=rng)
        policy.update(decision, (rng.random(10) < 0.1).astype(np.float64))
    return policy


def decision_rows(rounds: int) -> list[Row]:
    """Decisions a second beside both ways of VW's."""
    rng = np.random.default_rng(0)
    asked, state, rows = pages(rng), shop_state(rng), list[Row]()
    policies = {name: taught(name, state, asked, rng) for name in POLICIES}
    with Timer() as rival:
        for k, decisions in DECISIONS.items():
            ours: dict[str, list[float]] = {name: [] for name in POLICIES}
            theirs: dict[str, list[float]] = {way: [] for way in GOALS}
            for _ in range(rounds):
                for name, policy in policies.items():
                    ours[name].append(decisions_a_second(policy, asked, k, decisions))
                for way, rates in theirs.items():
                    rates.append(rival.rate(way, k, decisions))
            rows += [
                Row.of(f"{name}, {k} of {CANDIDATES}", "a second", mine, f"VW {way}", rates, goal=goal)
                for name, mine in ours.items()
                for (way, rates), goal in zip(theirs.items(), GOALS.values(), strict=True)
            ]
    return rows


def update_rows(rounds: int) -> list[Row]:
    """Rewards learned a second, of a user's own posterior and of one that is shared."""
    rng = np.random.default_rng(0)
    rows = []
    for k in (1, 10):
        features = rng.uniform(-1, 1, (k, UPDATE_DIM)).astype(np.float32)
        rewards = (rng.random(k) < 0.1).astype(np.float64)
        posterior = UserPosterior(Prior.isotropic(UPDATE_DIM))
        rates = []
        for _ in range(rounds):
            start = time.process_time()
            for nth in range(UPDATES // k):
                posterior.observe(f"user-{nth % 16}", features, rewards)
            rates.append(UPDATES // k * k / (time.process_time() - start))
        rows.append(Row.of(f"learn {k} at once", "rewards/s", rates, "goal", [UPDATES_A_SECOND], goal=1.0))
    return rows


def scan_rows(rounds: int) -> list[Row]:
    """Reads of the catalogue a second: scanned for the best, and summed up."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ITEMS, DIM)).astype(np.float32)
    query, flat, retriever = (
        rng.standard_normal(DIM).astype(np.float32),
        vectors.ravel(),
        ExactRetriever(vectors),
    )
    jobs: dict[str, Callable[[], Any]] = {
        "search": lambda: retriever.search(query, NEAREST),
        "product": lambda: vectors @ query,
        "sum": flat.sum,
        "largest": flat.max,
    }
    rates: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            job()
            start = time.process_time()
            for _ in range(10):
                job()
            rates[name].append(10 / (time.process_time() - start))
    name = f"scan {ITEMS} x {DIM}"
    return [
        Row.of(name, f"best {NEAREST}, reads/s", rates["search"], "sum", rates["sum"], goal=OF_ROOFLINE),
        Row.of(name, "scores, reads/s", rates["product"], "sum", rates["sum"], goal=OF_ROOFLINE),
        Row.of(name, "scores, reads/s", rates["product"], "greatest number", rates["largest"]),
    ]


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, seeds=15)
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        raise InvalidInput(
            "more threads make small products slower: set OPENBLAS_NUM_THREADS=1, as serving does"
        )
    report([*decision_rows(options.seeds), *update_rows(options.seeds), *scan_rows(options.seeds)], options)


if __name__ == "__main__":
    main()
