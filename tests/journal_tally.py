"""A tiny integer-exact policy, and an independent model of what a learner should have taught it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from random import Random
from typing import Self

import numpy as np

from honeyguide.artifacts import pack_strings, unpack_strings
from honeyguide.checks.journal import sample_decision, sample_feedback
from honeyguide.errors import InvalidInput
from honeyguide.journal.codec import to_us
from honeyguide.journal.learner import Learner
from honeyguide.journal.protocol import Entry
from honeyguide.types import Decision, Event, Floats, State

GRADES = {"view": 0.125, "click": 0.25, "cart": 0.5, "purchase": 1.0}
WINDOW = timedelta(hours=48)


def grade(kind: str) -> float:
    return GRADES.get(kind, 0.0)


class Tally:
    """Per (user, item): how often it was learned and the sum of 256 x its reward."""

    def __init__(self) -> None:
        self.shown: Counter[tuple[str, str]] = Counter()
        self.reward: Counter[tuple[str, str]] = Counter()

    def update(self, decision: Decision, rewards: Floats) -> None:
        self._add(decision, rewards, 1)

    def retract(self, decision: Decision, rewards: Floats) -> None:
        self._add(decision, rewards, -1)

    def forget(self, user_id: str) -> None:
        self.shown = Counter({key: n for key, n in self.shown.items() if key[0] != user_id})
        self.reward = Counter({key: n for key, n in self.reward.items() if key[0] != user_id})

    def state(self) -> State:
        keys = sorted(key for key in self.shown if self.shown[key] or self.reward[key])
        users, user_offsets = pack_strings([user for user, _ in keys])
        items, item_offsets = pack_strings([item for _, item in keys])
        sums = np.array([[self.shown[key], self.reward[key]] for key in keys], dtype=np.int64)
        return {"u": users, "uo": user_offsets, "i": items, "io": item_offsets, "sums": sums.reshape(-1, 2)}

    @classmethod
    def from_state(cls, state: State) -> Self:
        tally = cls()
        users, items = unpack_strings(state["u"], state["uo"]), unpack_strings(state["i"], state["io"])
        for user, item, (shown, reward) in zip(users, items, state["sums"].tolist(), strict=True):
            tally.shown[user, item] = shown
            tally.reward[user, item] = reward
        return tally

    def _add(self, decision: Decision, rewards: Floats, sign: int) -> None:
        if rewards.shape != (len(decision.chosen),):
            raise InvalidInput(f"one reward per slot, got {rewards.shape}")
        for item, reward in zip(decision.item_ids, rewards, strict=True):
            self.shown[decision.user_id, item] += sign
            self.reward[decision.user_id, item] += sign * round(256 * float(reward))


def new_learner() -> Learner[Tally]:
    return Learner(Tally(), grade=grade, window=WINDOW)


def expected_tally(entries: Iterable[Entry], watermark_us: int) -> Tally:
    """What must have been learned, written as directly as can be: no fold, no order, no retracting."""
    listed = list(entries)
    window_us = WINDOW // timedelta(microseconds=1)
    tally = Tally()
    for decision in (entry for entry in listed if isinstance(entry, Decision)):
        start_us = to_us(decision.time)
        for slot, item in enumerate(decision.item_ids):
            rewards = [
                grade(event.kind)
                for event in listed
                if isinstance(event, Event)
                and event.decision_id == decision.decision_id
                and event.item_id == item
                and event.kind != "impression"
                and to_us(event.time) <= start_us + window_us
            ]
            if rewards or start_us + window_us < watermark_us:
                tally.update(decision.only([slot]), np.array([max(rewards, default=0.0)]))
    return tally


def decisions(users: Sequence[str], *, hours_apart: float = 5.0) -> list[Decision]:
    """One decision per name, some hours apart."""
    return [sample_decision(i, user, hours=hours_apart * i) for i, user in enumerate(users)]


def busy_day(users: list[str]) -> list[Entry]:
    """Pages, feedback and events of many users, in a random order, with the user's name in every id."""
    rng = Random(5)
    entries: list[Entry] = []
    for number in range(600):
        user = rng.choice(users)
        decision = sample_decision(number, user, hours=number)
        event = Event(
            f"{user}/{number}", decision.time, user, "view", user * rng.randint(1, 30), session_id=user
        )
        more: list[Entry] = [decision, event, sample_feedback(decision, 0)]
        entries += more[: rng.randint(1, 3)]
    return entries
