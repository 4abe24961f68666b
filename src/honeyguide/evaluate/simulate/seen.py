"""What the shop sees of a season: who came, what they were seen to take, and features of nothing else.

It is given no truth at all: the same visits and rewards make the same features, whatever people really want.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.catalog import Catalog
from honeyguide.data.table import to_us
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.decide import stream
from honeyguide.interests.items import ItemFacts
from honeyguide.interests.sequence.model import SequenceModel
from honeyguide.interests.users import History, ShopperModel
from honeyguide.shop.candidates import CandidateSource
from honeyguide.shop.offer import offer
from honeyguide.types import Candidates, Event, EventKind, Floats, Rows, Vectors

FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
HORIZON_DAYS = 90.0
LATELY_DAYS = 30.0
HALF_LIFE_DAYS = 60.0


def user_id(person: int) -> str:
    """How the shop calls a person."""
    return f"user-{person}"


def time_of(day: float) -> datetime:
    """The moment so many days into the season."""
    return FIRST_DAY + timedelta(days=day)


class Seen:
    """Histories of the people who came, and the candidates and features that the product makes of them.

    `since_day` (n,) says when each item came into the shop, -inf for those that were there before. Where people take
    nothing twice (`again` is False), what a user was seen to take is not offered again.
    """

    def __init__(
        self,
        catalog: Catalog,
        facts: ItemFacts,
        world: World,
        since_day: Floats,
        *,
        again: bool,
        seed: int,
        sequence: SequenceModel | None = None,
    ) -> None:
        self.world = world
        self.model = ShopperModel(
            catalog,
            facts,
            grade=lambda kind: float(kind == "purchase"),
            half_life_days=HALF_LIFE_DAYS,
            sequence=sequence,
        )
        self.source = CandidateSource(self.model, size=world.candidates)
        self._since = since_day
        self._again = again
        self._seed = seed
        self._histories: dict[int, History] = {}

    def history(self, person: int) -> History:
        """What is known of a person by now."""
        return self._histories.get(person) or self.model.start()

    def candidates(self, person: int, nth: int, day: float) -> tuple[Rows, Candidates]:
        """The rows of the items a page may be made of, and what a policy sees of them."""
        history, now_us = self.history(person), to_us(time_of(day))
        rng = stream(self._seed, f"candidates {user_id(person)}@{nth}")
        rows = self._rows(history, now_us, day, rng)
        user = user_id(person)
        return rows, offer(self.model, user, history, rows, now_us, horizon_days=HORIZON_DAYS)

    def came(self, person: int, nth: int, day: float, rows: Rows) -> None:
        """A person came and was shown these rows: that leaves a day, and nothing about the items."""
        self._fold(person, f"{nth}", "impression", day, int(rows[0]))

    def learn(self, person: int, nth: int, day: float, rows: Rows, rewards: Floats) -> None:
        """Of a page's rows (k,) those with a reward were taken by the person, on that day."""
        for slot in np.flatnonzero(rewards > 0).tolist():
            self._fold(person, f"{nth}#{slot}", "purchase", day, int(rows[slot]))

    def user_vector(self, person: int, day: float) -> Vectors:
        """(u,): the taste, the interests' shares of what was taken, and how often they may still come, / 100."""
        history = self.history(person)
        visits = self.model.remaining_visits(history, to_us(time_of(day)), HORIZON_DAYS)
        parts = (self.model.vector(history), self.model.interest_weight(history), [visits / 100])
        return np.concatenate(parts).astype(np.float32)

    def _fold(self, person: int, what: str, kind: EventKind, day: float, row: int) -> None:
        user = user_id(person)
        event = Event(f"{user}@{what}", time_of(day), user, kind, self.model.catalog.ids[row])
        self._histories[person] = self.model.fold(self.history(person), event)

    def _rows(self, history: History, now_us: int, day: float, rng: np.random.Generator) -> Rows:
        allowed: NDArray[np.bool_] = self._since <= day
        if not self._again:
            allowed[history.rows] = False
        lately = np.flatnonzero(allowed & (self._since > day - LATELY_DAYS))
        fresh = rng.permutation(lately)[: self.world.fresh]
        allowed[fresh] = False
        rows = self.source.rows(history, now_us, rng, allowed=allowed)
        return np.concatenate([fresh, rows[: self.world.candidates - len(fresh)]])
