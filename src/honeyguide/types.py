"""The nouns that cross rooms: frozen records, checked once when they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, Self, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput

Floats: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]
State: TypeAlias = dict[str, NDArray[Any]]
"""A part's whole learnt state as named arrays: what safetensors stores."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) as a long job goes on."""

Stage: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
"""Opens a stage of a long job by its name and gives what its progress is reported to."""

Grade: TypeAlias = Callable[[str], float]
"""The reward, in [0, 1], of an event of a kind."""

EventKind = Literal["view", "search", "click", "cart", "purchase", "rating", "dismiss", "impression"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)


def silent(done: int, total: int) -> None:
    """Report progress to nobody."""


@contextmanager
def quietly(name: str) -> Iterator[Progress]:
    """A stage nobody watches."""
    yield silent


def check_utc(time: datetime, name: str = "time") -> datetime:
    """`time` itself where it is aware and in UTC; InvalidInput where it is not."""
    if time.utcoffset() != timedelta(0):
        raise InvalidInput(
            f"{name} must be aware and in UTC, got {time.isoformat()}: append '+00:00' or convert it"
        )
    return time


@dataclass(frozen=True, slots=True)
class Event:
    """Something a user did; feedback is an event with a `decision_id`."""

    event_id: str
    time: datetime
    user_id: str
    kind: EventKind
    item_id: str | None = None
    query: str | None = None
    value: float | None = None
    session_id: str | None = None
    decision_id: str | None = None
    position: int | None = None

    def __post_init__(self) -> None:
        check_utc(self.time)
        if not self.event_id or not self.user_id:
            raise InvalidInput(
                f"event_id and user_id must not be empty, got {self.event_id!r}, {self.user_id!r}"
            )
        if self.kind not in EVENT_KINDS:
            raise InvalidInput(f"kind must be one of {', '.join(EVENT_KINDS)}, got {self.kind!r}")
        if self.item_id is None and self.kind != "search":
            raise InvalidInput(f"a {self.kind} event needs an item_id")
        if self.value is not None and not np.isfinite(self.value):
            raise InvalidInput(f"value must be finite, got {self.value}")


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a policy may choose from, as the policy sees it: features, never text.

    `features` is (n, d) float32, row i belonging to `item_ids[i]`; `remaining_visits` is how many more
    visits are expected of this user (what is learned now can be used that often). `groups` (n,) are the numbers of
    the interests that the items belong to, for a policy that chooses among interests first. `shown` (m, d) are the
    features of what the page holds already, in no order. `penalty` (n,) is to be taken off the expected rewards.
    `fresh` (n,) says which items nobody has taken yet. `leads` (n,) are how many times likelier than usual the user
    goes on to each item's interest.
    """

    user_id: str
    item_ids: tuple[str, ...]
    features: Vectors
    remaining_visits: float = 1.0
    groups: Rows | None = None
    shown: Vectors | None = None
    penalty: Floats | None = None
    fresh: NDArray[np.bool_] | None = None
    leads: Floats | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("groups", np.int64), ("penalty", float), ("fresh", np.bool_), ("leads", float)):
            self._check_beside(name, getattr(self, name), np.dtype(dtype))
        if self.features.ndim != 2 or len(self.features) != len(self.item_ids):
            raise InvalidInput(f"features must be ({len(self.item_ids)}, d), got shape {self.features.shape}")
        if self.features.dtype != np.float32:
            raise InvalidInput(f"features must be float32, got {self.features.dtype}")
        if not self.item_ids:
            raise InvalidInput("there are no candidates: loosen the filters or add items")
        if not np.isfinite(self.features).all():
            raise InvalidInput("features must be finite")

    def _check_beside(self, name: str, each: NDArray[Any] | None, dtype: np.dtype[Any]) -> None:
        if each is None:
            return
        if each.shape != (len(self.item_ids),):
            raise InvalidInput(f"{name} must be ({len(self.item_ids)},), one per item, got {each.shape}")
        if each.dtype != dtype:
            raise InvalidInput(f"{name} must be {dtype}, got {each.dtype}")
        if not np.isfinite(each).all() or (name == "leads" and not (each > 0).all()):
            raise InvalidInput(f"{name} must be finite, and leads above 0")

    def __len__(self) -> int:
        return len(self.item_ids)

    def take(self, rows: Sequence[int] | Rows, *, shown: Vectors | None = None) -> Candidates:
        """The candidates at `rows`, in that order, beside what is `shown`, or else what was."""
        index = np.asarray(rows, dtype=np.int64)
        return Candidates(
            self.user_id,
            tuple(map(self.item_ids.__getitem__, index.tolist())),
            self.features[index],
            self.remaining_visits,
            None if self.groups is None else self.groups[index],
            self.shown if shown is None else shown,
            None if self.penalty is None else self.penalty[index],
            None if self.fresh is None else self.fresh[index],
            None if self.leads is None else self.leads[index],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a policy intends for one request, before anything is sampled.

    `scores` is (n,) float64, the expected reward of each candidate; `level` is how much of the posterior's
    width is acted on (0 is exploit-only, 1 is full Thompson sampling) and `reason` says why in words. `chance` is
    how likely the level was, where it was drawn; the propensities are then those given the level.
    """

    level: float
    reason: str
    scores: Floats
    chance: float | None = None

    def __post_init__(self) -> None:
        if self.chance is not None and not 0 < self.chance <= 1:
            raise InvalidInput(f"the chance of a level must lie in (0, 1], got {self.chance}")


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """One page as it was decided; enough by itself for learning and for off-policy evaluation.

    Made only by `honeyguide.explore.decide.decide`. `chosen` is (k,) rows of `candidates` in page order;
    `propensities[j]` is the probability of `chosen[j]` given the slots before it; `pmf` is (n,), the
    distribution of the first slot that was drawn; `why` is one sentence per shown item; `page_size` is k, also where
    `only` has narrowed the page to some of its slots. `pins` are (slot, row) that the shop fixed: nothing was drawn
    there, their propensity is 1 by rule, and no other slot could be theirs. `slots` are where on the page the shown
    items stand, 0 is the first; where there are none they stand in order.
    """

    decision_id: str
    time: datetime
    user_id: str
    surface: str
    candidates: Candidates
    plan: Plan
    pmf: Floats
    chosen: Rows
    propensities: Floats
    policy: str
    policy_version: str
    model_version: str
    why: tuple[str, ...]
    page_size: int
    pins: tuple[tuple[int, int], ...] = ()
    slots: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_utc(self.time)
        k = len(self.chosen)
        if len(self.propensities) != k or len(self.why) != k:
            raise InvalidInput(f"chosen, propensities and why must be of one length, got {k}")
        if len(set(self.chosen.tolist())) != k:
            raise InvalidInput("a page shows an item once: chosen must be distinct")
        if not ((self.propensities > 0) & (self.propensities <= 1)).all():
            raise InvalidInput("propensities must lie in (0, 1]")
        if self.pins and not (self.propensities[self.pinned] == 1).all():
            raise InvalidInput("what is pinned has propensity 1: make decisions with decide()")

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The ids of the shown items in page order."""
        return tuple(self.candidates.item_ids[row] for row in self.chosen)

    @property
    def features(self) -> Vectors:
        """(k, d): the features of the shown items in page order."""
        return self.candidates.features[self.chosen]

    @property
    def places(self) -> Rows:
        """(k,): where on the page each shown item stands; 0 is the first slot."""
        return np.arange(len(self.chosen)) if self.slots is None else np.array(self.slots, dtype=np.int64)

    @property
    def pinned(self) -> NDArray[np.bool_]:
        """(k,): which shown items the shop fixed."""
        fixed = [row for _, row in self.pins]
        return np.isin(self.chosen, fixed) if fixed else np.zeros(len(self.chosen), dtype=np.bool_)

    @property
    def exploit_rows(self) -> Rows:
        """(page_size,): the page that exploit-only would have shown, with the pins; ties go to the lower row."""
        order = np.argsort(-self.plan.scores, kind="stable")
        if not self.pins:
            return order[: self.page_size]
        fixed = dict(self.pins)
        free = iter(order[~np.isin(order, list(fixed.values()))].tolist())
        return np.array([fixed[slot] if slot in fixed else next(free) for slot in range(self.page_size)])

    @property
    def explored(self) -> NDArray[np.bool_]:
        """(k,): which shown items exploit-only would not have shown; what is pinned is none of them."""
        exploited = np.zeros(len(self.candidates), dtype=np.bool_)
        exploited[self.exploit_rows] = True
        return ~exploited[self.chosen]

    def only(self, slots: Sequence[int]) -> Decision:
        """The same decision as if the page had been these slots: what one piece of feedback speaks of."""
        index = list(slots)
        return replace(
            self,
            chosen=self.chosen[index],
            propensities=self.propensities[index],
            why=tuple(self.why[slot] for slot in index),
            slots=tuple(self.places[index].tolist()),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """An off-policy value with its interval; `effective_n` is Kish's effective sample size."""

    value: float
    low: float
    high: float
    n: int
    effective_n: float


class Encoder(Protocol):
    """Text to vectors: row i belongs to text i, unit norm or zero, whatever else is in the batch."""

    @property
    def dim(self) -> int:
        """How many components a vector has."""
        ...

    @property
    def version(self) -> str:
        """Equal versions give equal vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """(n, dim) float32; `[]` gives (0, dim); a bare `str` raises InvalidInput."""
        ...


class Retriever(Protocol):
    """The rows nearest to a query, best first."""

    def search(
        self, query: Vectors, k: int, *, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[Rows, Vectors]:
        """(rows, scores), both (min(k, allowed),): descending, distinct; ties go to the lower row."""
        ...


UserState = TypeVar("UserState")


class UserModel(Protocol[UserState]):
    """What is known of a user from what they did: folding one by one equals folding the history."""

    def start(self) -> UserState:
        """The state of a user who has done nothing."""
        ...

    def fold(self, state: UserState, event: Event) -> UserState:
        """The state after `event`; the state given is left as it was; an event_id counts once."""
        ...

    def vector(self, state: UserState) -> Vectors:
        """(d,) float32, finite; depends on nothing that came after."""
        ...


class Policy(Protocol):
    """A distribution over candidates that learns; `honeyguide.explore.decide.decide` is its only sampler."""

    @property
    def name(self) -> str:
        """The policy's name as it stands in the journal."""
        ...

    def plan(self, candidates: Candidates) -> Plan:
        """Expected rewards and the exploration level for this request; learns nothing."""
        ...

    def probabilities(
        self, candidates: Candidates, rng: np.random.Generator, *, level: float | None = None
    ) -> Floats:
        """(n,) float64 that sums to 1, every entry above the floor; `level` overrides the policy's own."""
        ...

    def update(self, decision: Decision, rewards: Floats) -> None:
        """Learn the (k,) rewards of what was shown; commutes; a refused update leaves no trace."""
        ...

    def retract(self, decision: Decision, rewards: Floats) -> None:
        """Undo an update to the bit."""
        ...

    def forget(self, user_id: str) -> None:
        """Unlearn a user to the bit."""
        ...

    def state(self) -> State:
        """Everything learnt, as named arrays."""
        ...

    @classmethod
    def from_state(cls, state: State) -> Self:
        """The policy whose `state()` this is: what follows is equal to the bit."""
        ...


class Estimator(Protocol):
    """Off-policy evaluation: what would the target policy have earned on the logged traffic?"""

    def estimate(self, decisions: Sequence[Decision], rewards: Sequence[Floats], target: Policy) -> Estimate:
        """The target's mean reward per decision; NoSupport where the log cannot tell."""
        ...
