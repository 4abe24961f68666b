"""Is what is logged what was drawn? A million decisions of the controller, and fewer of other policies.

OPENBLAS_NUM_THREADS=1 python benchmarks/propensities.py [--decisions N] [--others N] [--policies NAME ...]
                                                         [--seed S] [--json OUT]

Pages of 2 out of 5 items for users who come 50 times, take what they like, and are learned from. Of every slot the
whole distribution is kept that the policy gave on what was left, and which place was drawn. Three laws are tested:

places      how often each place among what is left was drawn, against the sum of its chances
chances     how often what had about the same chance was drawn, in ten classes from rare to nearly certain
1/p         its mean is how many items were left: importance weights are 1 in the mean

The first two are chi-square tests. Every decision has a distribution of its own, so the covariance of the counts is
the sum of diag(p) - p pᵀ over the decisions; Pearson's, of one distribution for all, would be too wide. A propensity
that is not the very number that the policy gave for the item ends the run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import chdtrc

from honeyguide.config import Explore
from honeyguide.errors import HoneyguideError
from honeyguide.evaluate.simulate.seen import time_of
from honeyguide.explore.base_rate import BaseRate
from honeyguide.explore.decide import Request, decide, stream
from honeyguide.explore.item_effects import ItemPrior
from honeyguide.explore.page import OnLeft, Page
from honeyguide.explore.posterior import Prior
from honeyguide.explore.shared import SharedPosterior
from honeyguide.shop.policies import make_policy
from honeyguide.types import Candidates, Decision, Floats, Policy, Rows, State
from rows import Row, commit, machine, show

OURS = "tradeoff"
OTHERS = (
    "greedy",
    "thompson-0.5",
    "feel-good-1",
    "interest-first-1-within-0.5",
    "linucb-1",
    "squarecb-10",
    "softmax-0.1",
    "epsilon-greedy-0.2",
    "diverse-0.3-thompson-0.5",
)
DIM, ITEMS, K, VISITS, HERE = 3, 5, 2, 50, 40
PRIOR = Prior(np.zeros(DIM), np.diag([0.05, 0.3, 0.3]), 0.8)
BASE = BaseRate(np.array([0.0, 0.5, -0.5]), -1.0)
EXPLORE = Explore(draws=16, floor=0.05, candidates=ITEMS, k=K)
EDGES = np.array([0.012, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Where one class of chances ends and the next begins: what only the floor shows has 0.01 of the first slot."""
LEAST_P, MOST_ERRORS = 0.001, 3.0
BLOCK = 20_000


class Miscounted(HoneyguideError):
    """A propensity that was logged is not what the policy said."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What m slots were drawn from, (m, n) with 0 where a page had fewer places left, and which place was, (m,)."""

    chances: Floats
    place: Rows

    @property
    def propensities(self) -> Floats:
        """(m,): the chance of each place that was drawn."""
        return np.asarray(self.chances[np.arange(len(self.place)), self.place])


class Tally:
    """Counts of what was drawn by class, beside the sums of their chances and the covariance of the difference."""

    def __init__(self, classes: int) -> None:
        self.drawn = np.zeros(classes)
        self.expected = np.zeros(classes)
        self.covariance = np.zeros((classes, classes))

    def add(self, chances: Floats, drawn: Rows) -> None:
        """`chances` (m, classes) that sum to 1, and the class (m,) of what was drawn."""
        self.drawn += np.bincount(drawn, minlength=len(self.drawn))
        self.expected += chances.sum(axis=0)
        self.covariance += np.diag(chances.sum(axis=0)) - chances.T @ chances

    def chi_square(self) -> tuple[float, float]:
        """(p, degrees of freedom) of the counts: how often worse ones come by chance where the log is right."""
        values, axes = np.linalg.eigh(self.covariance)
        known = values > 1e-9 * values.max()
        along = (self.drawn - self.expected) @ axes[:, known]
        freedom = float(known.sum())
        return float(chdtrc(freedom, (along**2 / values[known]).sum())), freedom


@dataclass(frozen=True, slots=True)
class Account:
    """What was found of a policy: p of both chi-square tests, and 1/p less what was left, in standard errors."""

    policy: str
    decisions: int
    slots: int
    places_p: float
    chances_p: float
    inverse: float
    """Mean of 1/p over how many were left: 1 in the mean."""
    errors_off: float
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether all three laws hold."""
        return min(self.places_p, self.chances_p) > LEAST_P and abs(self.errors_off) <= MOST_ERRORS


class Accountant:
    """Adds up blocks of slots."""

    def __init__(self) -> None:
        self._places = Tally(ITEMS)
        self._classes = Tally(len(EDGES) + 1)
        self._inverse = np.zeros(3)  # how many, their sum and sum of squares: of 1/p over what was left

    def add(self, drawn: Drawn) -> None:
        """A block of slots."""
        self._places.add(drawn.chances, drawn.place)
        classes = np.searchsorted(EDGES, drawn.chances)
        rows = np.arange(len(drawn.place))
        by_class = np.zeros((len(rows), len(EDGES) + 1))
        np.add.at(by_class, (rows[:, None], classes), drawn.chances)
        self._classes.add(by_class, classes[rows, drawn.place])
        relative = 1 / drawn.propensities / (drawn.chances > 0).sum(axis=1)
        self._inverse += [len(rows), relative.sum(), (relative**2).sum()]

    def account(self, policy: str, decisions: int, seconds: float) -> Account:
        """What all blocks say."""
        n, total, squares = self._inverse
        mean = total / n
        error = np.sqrt(max(squares / n - mean**2, 0.0) / n)
        return Account(
            policy=policy,
            decisions=decisions,
            slots=int(n),
            places_p=self._places.chi_square()[0],
            chances_p=self._classes.chi_square()[0],
            inverse=float(mean),
            errors_off=float((mean - 1) / error) if error else 0.0,
            seconds=seconds,
        )


def examine(name: str, decisions: int, *, seed: int) -> Account:
    """Let a policy decide and learn, and account for what it drew; says how far it is."""
    start, accountant = time.perf_counter(), Accountant()
    policy = make_policy(name, shop_state(), EXPLORE, seed=seed, like=(1, DIM))
    given = watched(policy)
    chances, places = list[Floats](), list[int]()
    for done, decision in enumerate(decided(policy, decisions, seed=seed), 1):
        places += _places(decision, given)
        chances += [np.pad(pmf, (0, ITEMS - len(pmf))) for pmf in given]
        given.clear()
        if done % BLOCK == 0 or done == decisions:
            accountant.add(Drawn(np.array(chances), np.array(places)))
            chances.clear()
            places.clear()
            print(f"\r{name}: {done:,} of {decisions:,} decisions", end="", flush=True)
    print()
    return accountant.account(name, decisions, time.perf_counter() - start)


def shop_state() -> State:
    """A posterior as a shop is served by, which has met nobody."""
    return SharedPosterior(PRIOR, BASE, 50.0 * np.eye(DIM), ItemPrior(0.2)).state()


def watched(policy: Policy) -> list[Floats]:
    """What the policy says of every slot from now on, in order."""
    given: list[Floats] = []

    def noted(pmf: Floats) -> Floats:
        given.append(pmf)
        return pmf

    pages: Page | None = getattr(policy, "page", None)
    if pages is not None:

        def page(candidates: Candidates, rng: np.random.Generator, *, level: float) -> OnLeft:
            answer = pages(candidates, rng, level=level)
            return lambda left: noted(answer(left))

        vars(policy)["page"] = page
        return given
    asked = policy.probabilities

    def answer(candidates: Candidates, rng: np.random.Generator, *, level: float | None = None) -> Floats:
        return noted(asked(candidates, rng, level=level))

    vars(policy)["probabilities"] = answer
    return given


def decided(policy: Policy, decisions: int, *, seed: int) -> Iterator[Decision]:
    """Decisions for users who come and go, of whose rewards the policy learns."""
    rng = np.random.default_rng(seed)
    pages = rng.uniform(-1, 1, size=(64, ITEMS, DIM)).astype(np.float32)
    pages[:, :, 0] = 1.0
    groups = rng.integers(3, size=(64, ITEMS))
    ids = tuple("abcde")
    wants = PRIOR.sample(HERE, rng)
    for nth in range(decisions):
        here, page = nth % HERE, int(rng.integers(len(pages)))
        visit = nth // HERE
        if visit and visit % VISITS == 0:
            wants[here] = PRIOR.sample(1, rng)[0]
        user = f"{here}-{visit // VISITS}"
        candidates = Candidates(user, ids, pages[page], float(VISITS - visit % VISITS), groups[page])
        request = Request(f"{nth}", time_of(0.0), surface="simulation")
        decision = decide(policy, candidates, k=K, request=request, rng=stream(seed, request.decision_id))
        chance = BASE.expected(decision.features) * (1 + decision.features @ wants[here])
        policy.update(decision, (rng.random(K) < chance).astype(np.float64))
        yield decision


def _places(decision: Decision, given: Sequence[Floats]) -> list[int]:
    """Which place among those left each slot was drawn from; Miscounted where another chance was logged."""
    left, places = list(range(ITEMS)), list[int]()
    for row, logged, pmf in zip(decision.chosen.tolist(), decision.propensities, given, strict=True):
        places.append(left.index(row))
        left.remove(row)
        if pmf[places[-1]] != logged:
            raise Miscounted(
                f"{decision.policy} gave {pmf[places[-1]]} for an item that was logged with {logged}"
            )
    return places


def rows_of(account: Account) -> list[Row]:
    """The goals: both chances above the least, and the mean of 1/p within so many standard errors."""
    name, off = account.policy, max(abs(account.errors_off), 1e-9)
    return [
        Row.of(name, "places p", [account.places_p], "least p", [LEAST_P], goal=1.0),
        Row.of(name, "chances p", [account.chances_p], "least p", [LEAST_P], goal=1.0),
        Row.of(name, "s.e. allowed", [MOST_ERRORS], "s.e. of mean 1/p", [off], goal=1.0),
    ]


def show_accounts(accounts: Sequence[Account]) -> None:
    """Print a line for each policy."""
    print(
        f"{'policy':<30}{'decisions':>11}{'places p':>10}{'chances p':>11}{'mean 1/p':>10}{'s.e.':>7}{'s':>7}"
    )
    for one in accounts:
        print(
            f"{one.policy:<30}{one.decisions:>11,}{one.places_p:>10.3f}{one.chances_p:>11.3f}"
            f"{one.inverse:>10.4f}{one.errors_off:>7.2f}{one.seconds:>7.0f}{'' if one.kept else '  missed'}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--decisions", type=int, default=1_000_000, help="of the controller")
    parser.add_argument("--others", type=int, default=50_000, help="of each other policy")
    parser.add_argument("--policies", nargs="*", default=list(OTHERS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    accounts = [examine(OURS, options.decisions, seed=options.seed)]
    accounts += [examine(name, options.others, seed=options.seed) for name in options.policies]
    show_accounts(accounts)
    rows = [row for account in accounts for row in rows_of(account)]
    show(rows)
    if options.json:
        about = {"machine": machine(), "commit": commit(), "seed": options.seed}
        told = {"about": about, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps({**told, "accounts": [asdict(one) for one in accounts]}, indent=1))


if __name__ == "__main__":
    main()
