"""Entries to try a journal with, and what is required of those that come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from honeyguide.checks.policy import LawBroken, require
from honeyguide.data.item import Item
from honeyguide.errors import HoneyguideError
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.journal.learner import Learner
from honeyguide.journal.protocol import Entry, Erased, ItemChange, Journal
from honeyguide.types import Candidates, Decision, Event, EventKind, Plan

MakeJournal = Callable[[], Journal]

TIME = datetime(2026, 1, 1, tzinfo=UTC)
DIM = 4
N = 9
K = 3


def sample_decision(number: int, user: str = "ann", *, hours: float = 0.0) -> Decision:
    """A decision with awkward numbers in it: subnormal, negative zero, and many digits."""
    rng = np.random.default_rng(number)
    features = rng.normal(size=(N, DIM)).astype(np.float32)
    features[0] = np.array([1e-42, -0.0, 1 / 3, 1.0])
    pmf = rng.dirichlet(np.ones(N))
    chosen = rng.permutation(N)[:K]
    return Decision(
        decision_id=f"decision-{number}",
        time=TIME + timedelta(hours=hours, microseconds=number),
        user_id=user,
        surface="häuschen",
        candidates=Candidates(
            user,
            tuple(f"item-{i}" for i in range(N)),
            features,
            1 / 7,
            np.arange(N) % 4 if number % 2 else None,
        ),
        plan=Plan(0.1, "explores", rng.normal(size=N)),
        pmf=pmf,
        chosen=chosen,
        propensities=pmf[chosen],
        policy="thompson",
        policy_version="1",
        model_version="2",
        why=tuple(f"because {row} 🍯" for row in chosen),
        page_size=K,
    )


def sample_feedback(
    decision: Decision, slot: int, kind: EventKind = "purchase", *, hours: float = 1.0, number: int = 0
) -> Event:
    """Something done with a shown item, some hours after it was shown."""
    return Event(
        event_id=f"{decision.decision_id}:{slot}:{kind}:{number}",
        time=decision.time + timedelta(hours=hours),
        user_id=decision.user_id,
        kind=kind,
        item_id=decision.item_ids[slot],
        value=0.1,
        decision_id=decision.decision_id,
        position=slot,
    )


def sample_changes() -> list[ItemChange]:
    """An item that is put, with awkward numbers, and one that is deleted."""
    item = Item(
        "häuschen-1", title="Honey 🍯", price=0.1, available=False, created_at=TIME, attributes='{"a": 1}'
    )
    vector = np.array([1e-42, -0.0, 1 / 3], dtype=np.float32)
    return [
        ItemChange("change-1", TIME, item.item_id, item, "encoder-1", vector),
        ItemChange("change-2", TIME, "item-3"),
    ]


def sample_entries() -> list[Entry]:
    """Three users' decisions, feedback to some of them, changes of items, and an event that belongs to none."""
    decisions = [sample_decision(i, ("ann", "bob", "cai")[i % 3], hours=10 * i) for i in range(9)]
    feedback = [sample_feedback(decision, i % K) for i, decision in enumerate(decisions[:6])]
    search = Event("search-1", TIME, "bob", "search", query="honey", session_id="s")
    return (
        [entry for pair in zip(decisions, feedback, strict=False) for entry in pair]
        + decisions[6:]
        + sample_changes()
        + [search]
    )


def sample_learner() -> Learner[Thompson]:
    """A learner that has learned nothing, with a window of two days."""
    policy = Thompson(UserPosterior(Prior.isotropic(DIM)), level=0.0, floor=0.05, draws=2)
    grades = {"purchase": 1.0, "click": 0.2}
    return Learner(policy, grade=lambda kind: grades.get(kind, 0.0), window=timedelta(days=2))


def same_entry(one: Entry | Erased, other: Entry | Erased) -> bool:
    """Whether two entries are equal to the bit, arrays with their dtypes."""
    return type(one) is type(other) and all(
        _same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
    )


def journal_entries(journal: Journal) -> list[Entry]:
    """Every entry that was not erased, in order."""
    return [record.entry for record in journal.read() if not isinstance(record.entry, Erased)]


@contextmanager
def opened(make: MakeJournal) -> Iterator[Journal]:
    """The journal, closed in the end."""
    journal = make()
    try:
        yield journal
    finally:
        journal.close()


def require_entries(journal: Journal, entries: Sequence[Entry]) -> None:
    """LawBroken unless the journal holds these, in order and to the bit."""
    found = journal_entries(journal)
    require(len(found) == len(entries), f"{len(entries)} entries were acknowledged, {len(found)} are there")
    for one, other in zip(found, entries, strict=True):
        require(same_entry(one, other), f"entries must come back in order and to the bit, got {one!r}")


def require_raises(action: Callable[[], object], error: type[HoneyguideError]) -> None:
    """LawBroken unless `action` raises `error`."""
    try:
        action()
    except error:
        return
    raise LawBroken(f"{error.__name__} must be raised")


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - any field of an entry
    if isinstance(one, np.ndarray):
        same_form = one.dtype == other.dtype and one.shape == other.shape
        return bool(same_form and one.tobytes() == other.tobytes())
    if isinstance(one, Candidates | Plan):
        return all(_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    return bool(one == other)
