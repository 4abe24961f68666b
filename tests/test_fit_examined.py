"""A fit reads from the journal how far down the shop's own pages people look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from honeyguide.config import Labels
from honeyguide.explore.base_rate import BaseRate
from honeyguide.explore.baselines import Uniform
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.examination import EVERYTHING
from honeyguide.fit.examined import SlotSums, served_examination
from honeyguide.journal.memory import MemoryJournal
from honeyguide.types import Candidates, Decision, Event

START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = BaseRate(np.array([0.5, -0.5]), -1.0)
LOOKED = np.array([1.0, 0.7, 0.4, 0.2])
LABELS = Labels()


def served(pages: int, *, dim: int = 2) -> MemoryJournal:
    """A journal of pages of four whose slots are looked at less and less."""
    rng = np.random.default_rng(0)
    journal = MemoryJournal()
    for number in range(pages):
        features = rng.normal(size=(8, dim)).astype(np.float32)
        asked = Candidates(f"user-{number % 50}", tuple("abcdefgh"), features)
        time = START + timedelta(hours=number)
        decision = decide(Uniform(), asked, k=4, request=Request(f"d{number}", time), rng=rng)
        journal.append([decision, *bought(decision, rng)])
    return journal


def bought(decision: Decision, rng: np.random.Generator) -> list[Event]:
    chance = BASE.expected(decision.features[:, :2]) * LOOKED
    return [
        Event(
            event_id=f"{decision.decision_id}-{slot}",
            time=decision.time + timedelta(hours=1),
            user_id=decision.user_id,
            kind="purchase",
            item_id=decision.item_ids[slot],
            decision_id=decision.decision_id,
        )
        for slot in np.flatnonzero(rng.random(4) < chance).tolist()
    ]


def test_served_pages_tell_how_far_down_they_are_looked_at() -> None:
    found = served_examination(served(3000), BASE, LABELS)
    assert found.chances == pytest.approx(LOOKED, abs=0.06)


def test_without_pages_every_slot_is_looked_at() -> None:
    assert served_examination(MemoryJournal(), BASE, LABELS) is EVERYTHING


def test_pages_of_a_model_with_other_features_are_left_out() -> None:
    assert served_examination(served(5, dim=3), BASE, LABELS) is EVERYTHING


def test_slot_sums_can_be_taken_back_and_stored() -> None:
    decision = next(record.entry for record in served(1).read() if isinstance(record.entry, Decision))
    sums = SlotSums(BASE)
    sums.update(decision.only([2, 0]), np.array([1.0, 0.0]))
    expected = BASE.expected(decision.features)
    assert sums.sums[0] == pytest.approx([expected[0], 0.0, expected[2]])
    assert sums.sums[1].tolist() == [0.0, 0.0, 1.0]
    assert np.array_equal(sums.from_state(sums.state()).sums, sums.sums)
    sums.retract(replace(decision).only([2, 0]), np.array([1.0, 0.0]))
    assert sums.sums == pytest.approx(np.zeros((2, 3)))
