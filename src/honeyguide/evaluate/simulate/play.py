"""A season that is played: people come, a page is shown, and what they take of it becomes known in time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.comings import Coming, Comings
from honeyguide.evaluate.simulate.dice import key_of, uniforms
from honeyguide.evaluate.simulate.seen import Seen, user_id
from honeyguide.evaluate.simulate.shops import SimulatedShop, without
from honeyguide.evaluate.simulate.wants import Wants
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.types import Candidates, Floats, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Visit:
    """A person who waits for a page: the items it may be made of, by row, and what a policy sees of them.

    `chance` (n,) is the truth, how likely each attracts the person; a policy never gets it.
    """

    coming: Coming
    rows: Rows
    candidates: Candidates
    chance: Floats

    @property
    def decision_id(self) -> str:
        """What names the visit."""
        return f"{user_id(self.coming.person)}@{self.coming.nth}"


@dataclass(frozen=True, slots=True)
class Bots:
    """People of a season who are none: each takes the item of row `target` whenever it is shown, and nothing else.

    They had taken it before they came, so that it is among their candidates.
    """

    people: frozenset[int]
    target: int


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a page brought: rewards (k,), each 0 or 1, what they are in expectation (k,), and what was new.

    `discovered` counts interests of the shop that the person had never taken anything of; `fresh` (k,) marks items
    that came in during the season.
    """

    visit: Visit
    chosen: Rows
    rewards: Floats
    expected: Floats
    discovered: int
    fresh: Floats


class Play:
    """One season of a shop in a world, for one policy at a time.

    Equal seeds bring the same people, who are attracted by the same items on the same visit, whatever was shown
    before: runs of two policies differ by what they show alone. `truth_seed` draws what people want, `seed` all
    else; people are of the `past` for a log to learn a prior from, or of the present.
    """

    def __init__(
        self,
        shop: SimulatedShop,
        world: World,
        *,
        seed: int,
        truth_seed: int | None = None,
        past: bool = False,
        bots: Bots | None = None,
    ) -> None:
        self.bots = bots
        self.shop = shop
        self.world = world
        seed = key_of(seed, "past" if past else "present")
        deep = seed if truth_seed is None else truth_seed
        people = shop.past if past else shop.present
        drawn = uniforms(key_of(seed, "people"), np.arange(world.users)) * len(people)
        self._truth_user = people[drawn.astype(np.int64)]
        items = np.arange(len(shop))
        new = uniforms(key_of(seed, "new"), items) < world.new_items
        since = np.where(new, uniforms(key_of(seed, "since"), items) * world.days, -np.inf)
        self._new = new
        if shop.sequence is not None and new.any():
            raise InvalidInput(
                f"the shop's sequence model knows items that come in later in the world {world.name!r}: leave one out"
            )
        facts = without(shop.facts, new)
        self.seen = Seen(
            shop.catalog, facts, world, since, again=shop.again, seed=seed, sequence=shop.sequence
        )
        self.wants = Wants(shop, world, seed=deep)
        self._comings = Comings(world, seed=seed)
        self._attracts, self._looks = key_of(deep, "attracts"), key_of(deep, "looks")
        self._looked_at = examination(world)
        self._interests: set[tuple[int, int]] = set()
        self._untold: list[tuple[float, int, Answer]] = []
        self._told: list[Answer] = []
        self._shown = 0
        if bots is not None:
            for person in sorted(bots.people):
                self.seen.learn(person, -1, 0.0, np.array([bots.target]), np.ones(1))

    def next(self) -> Visit | None:
        """The next visit; what was to be known by then is, and `told` gives it. None when the season is over."""
        coming = self._comings.next()
        self._tell(np.inf if coming is None else coming.day)
        if coming is None:
            return None
        rows, candidates = self.seen.candidates(coming.person, coming.nth, coming.day)
        return Visit(coming, rows, candidates, self.chance(coming, rows))

    def told(self) -> list[Answer]:
        """The answers that became known since this was last asked, in that order."""
        told, self._told = self._told, []
        return told

    def show(self, visit: Visit, chosen: Rows) -> Answer:
        """Show the candidates `chosen` (k,) in this order; InvalidInput for none, or for one shown twice."""
        if not len(chosen) or len(set(chosen.tolist())) != len(chosen) or len(chosen) > self.world.k:
            raise InvalidInput(f"a page holds 1 to {self.world.k} distinct candidates, got {chosen.tolist()}")
        person, nth, rows = visit.coming.person, visit.coming.nth, visit.rows[chosen]
        looked_at = self._looked_at[: len(rows)]
        attracted = uniforms(self._attracts, person, nth, rows) < visit.chance[chosen]
        looked = uniforms(self._looks, person, nth, np.arange(len(rows))) < looked_at
        rewards = (attracted & looked).astype(np.float64)
        expected = looked_at * visit.chance[chosen]
        discovered = self._discovered(person, rows[rewards > 0])
        answer = Answer(visit, chosen, rewards, expected, discovered, self._new[rows].astype(np.float64))
        self._lived(visit.coming, rows, rewards)
        due = visit.coming.day + self.world.delay_days
        heapq.heappush(self._untold, (due, self._shown, answer))
        self._shown += 1
        return answer

    def chance(self, coming: Coming, rows: Rows) -> Floats:
        """(n,): the truth about items at a visit that has not been shown a page yet."""
        if self.bots is not None and coming.person in self.bots.people:
            return np.asarray(rows == self.bots.target, dtype=np.float64)
        return self.wants.chance(coming.person, int(self._truth_user[coming.person]), coming.day, rows)

    def worth(self, visit: Visit, chosen: Rows) -> float:
        """What a page of these candidates earns in expectation."""
        return float(visit.chance[chosen] @ self._looked_at[: len(chosen)])

    def best(self, visit: Visit) -> Rows:
        """(k,): the page that earns most at this visit, the likeliest first."""
        return np.argsort(-visit.chance, kind="stable")[: self.world.k]

    def _lived(self, coming: Coming, rows: Rows, rewards: Floats) -> None:
        """What the visit does to the person: they have what they took, tire, and may come back."""
        self.wants.shown(coming.person, rows)
        for row in rows[rewards > 0].tolist():
            self.wants.took(coming.person, row)
        self.seen.came(coming.person, coming.nth, coming.day, rows)
        self._comings.left(coming, float(rewards.mean()))

    def _discovered(self, person: int, rows: Rows) -> int:
        found = {(person, leaf) for leaf in self.shop.facts.leaf[rows].tolist()} - self._interests
        self._interests |= found
        return len(found)

    def _tell(self, day: float) -> None:
        while self._untold and self._untold[0][0] <= day:
            _, _, answer = heapq.heappop(self._untold)
            coming = answer.visit.coming
            rows = answer.visit.rows[answer.chosen]
            self.seen.learn(coming.person, coming.nth, coming.day, rows, answer.rewards)
            self._told.append(answer)


def examination(world: World) -> Floats:
    """(k,): the chance that each slot is looked at; the position-based model of Craswell et al. 2008."""
    return np.asarray((1.0 + np.arange(world.k)) ** -world.position_bias)
