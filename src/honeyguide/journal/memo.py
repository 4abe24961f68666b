"""What the learner remembers beside the policy, and how that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.types import EVENT_KINDS, State

BEFORE_ALL = -(2**62)
"""The watermark, in microseconds, before anything was seen."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a fold depends on beside the journal: the window, and the reward of each kind of event."""

    window_us: int
    grades: dict[str, float]


@dataclass(slots=True)
class Page:
    """One decision's slots: `rewards` holds those that were learned, but for the zeros of a settled page."""

    user_id: str
    close_us: int
    settled: bool = False
    rewards: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LearnerStats:
    """What was learned from: decisions, rewarded slots, feedback after settlement, feedback outside the window."""

    decisions: int = 0
    rewarded: int = 0
    late: int = 0
    ignored: int = 0


@dataclass(slots=True)
class Memo:
    """Where the fold stands, and every page that is open or has a reward.

    A settled page without rewards is not kept: that it lies between `start` and `offset` in the journal says all.
    """

    start: int = 0
    offset: int = 0
    watermark_us: int = BEFORE_ALL
    pages: dict[str, Page] = field(default_factory=dict)
    figures: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Per user, (4,): the fields of LearnerStats."""

    @property
    def stats(self) -> LearnerStats:
        """The sum over the users."""
        return LearnerStats(
            *(int(total) for total in sum(self.figures.values(), np.zeros(4, dtype=np.int64)))
        )

    def count(
        self, user_id: str, *, decisions: int = 0, rewarded: int = 0, late: int = 0, ignored: int = 0
    ) -> None:
        """Add to a user's figures."""
        more = np.array([decisions, rewarded, late, ignored])
        self.figures[user_id] = self.figures.get(user_id, np.zeros(4, dtype=np.int64)) + more

    def settle(self, name: str) -> None:
        """All slots of this page have been learned."""
        page = self.pages[name]
        page.settled = True
        page.rewards = {slot: reward for slot, reward in page.rewards.items() if reward}
        if not page.rewards:
            del self.pages[name]

    def forget(self, user_id: str) -> None:
        """Drop everything about a user."""
        self.pages = {name: page for name, page in self.pages.items() if page.user_id != user_id}
        self.figures.pop(user_id, None)

    def drop(self, close_us: int) -> None:
        """Drop every page whose window closed before that; what was learned of them stays."""
        self.pages = {name: page for name, page in self.pages.items() if page.close_us >= close_us}

    def state(self, rules: Rules) -> State:
        """Named arrays, the same for the same content."""
        names, users = sorted(self.pages), sorted(self.figures)
        pages = [self.pages[name] for name in names]
        slots = [
            (row, slot, page.rewards[slot]) for row, page in enumerate(pages) for slot in sorted(page.rewards)
        ]
        place = [self.start, self.offset, self.watermark_us, rules.window_us]
        return {
            "fold.place": np.array(place, dtype=np.int64),
            "fold.grades": np.array([rules.grades[kind] for kind in EVENT_KINDS]),
            **_strings("pages.ids", names),
            **_strings("pages.users", [page.user_id for page in pages]),
            "pages.close_us": np.array([page.close_us for page in pages], dtype=np.int64),
            "pages.settled": np.array([page.settled for page in pages], dtype=np.uint8),
            "slots.page": np.array([row for row, _, _ in slots], dtype=np.int64),
            "slots.slot": np.array([slot for _, slot, _ in slots], dtype=np.int64),
            "slots.reward": np.array([reward for _, _, reward in slots], dtype=np.float64),
            **_strings("figures.users", users),
            "figures.counts": np.array([self.figures[user] for user in users], dtype=np.int64).reshape(-1, 4),
        }

    @classmethod
    def from_state(cls, state: State) -> tuple[Self, Rules]:
        """What `state` stored."""
        start, offset, watermark_us, window_us = (int(mark) for mark in state["fold.place"])
        # kinds of event that came to be known later had no grade: the rules then differ, as they should
        grades = dict(zip(EVENT_KINDS, state["fold.grades"].tolist(), strict=False))
        columns = (
            _listed(state, "pages.users"),
            state["pages.close_us"].tolist(),
            state["pages.settled"].astype(bool).tolist(),
        )
        pages = [Page(user, close_us, settled) for user, close_us, settled in zip(*columns, strict=True)]
        slots = (state[f"slots.{column}"].tolist() for column in ("page", "slot", "reward"))
        for row, slot, reward in zip(*slots, strict=True):
            pages[row].rewards[slot] = reward
        named = dict(zip(_listed(state, "pages.ids"), pages, strict=True))
        users = _listed(state, "figures.users")
        figures = {user: row.copy() for user, row in zip(users, state["figures.counts"], strict=True)}
        return cls(start, offset, watermark_us, named, figures), Rules(window_us, grades)


def _strings(name: str, strings: Sequence[str]) -> State:
    data, offsets = pack_strings(strings)
    return {f"{name}.text": data, f"{name}.offsets": offsets}


def _listed(state: State, name: str) -> list[str]:
    return unpack_strings(state[f"{name}.text"], state[f"{name}.offsets"])
