"""Clocks jump by hours, back and forth: order, ids, windows and what is learned stay right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from honeyguide.checks.journal_samples import journal_entries, sample_decision, sample_feedback
from honeyguide.checks.policy import equal_states
from honeyguide.journal.memory import MemoryJournal
from honeyguide.journal.protocol import Entry, id_of
from honeyguide.shop.learning import Learning
from tests.fitted import copy_of, fitted_shop
from tests.journal_tally import WINDOW, Tally, new_learner
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW
from tests.soak import rounds


class JumpyClock:
    """A clock that somebody keeps setting, by up to half a day to either side."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def __call__(self) -> datetime:
        return NOW + timedelta(hours=self._rng.uniform(-12, 12))


@pytest.fixture
def it(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Served]:
    with served(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)) as running:
        running.shop.clock = JumpyClock(Random(8))
        yield running


def _learned(entries: list[Entry]) -> Tally:
    journal, learner = MemoryJournal(), new_learner()
    journal.append(entries)
    learner.catch_up(journal)
    learner.settle_all(NOW + 10 * WINDOW, journal)
    return learner.policy


def test_what_is_learned_does_not_depend_on_clocks_that_jump_by_less_than_the_window() -> None:
    for seed in range(rounds(20, 500)):
        rng = Random(seed)
        right: list[Entry] = []
        wrong: list[Entry] = []
        for number in range(30):
            decision = sample_decision(number, rng.choice(("ann", "bob")), hours=number)
            told = [sample_feedback(decision, slot, hours=rng.uniform(0, 12)) for slot in range(2)]
            right += [decision, *told]
            jump = timedelta(hours=rng.uniform(-12, 12))
            moved = replace(decision, time=decision.time + jump)
            wrong += [moved, *(replace(one, time=one.time - jump) for one in told)]
        assert equal_states(_learned(right).state(), _learned(wrong).state())


def test_a_service_whose_clock_jumps_keeps_its_word(
    it: Served, record_property: Callable[[str, object], None]
) -> None:
    said: list[str] = []
    pages = rounds(30, 500)
    for turn in range(pages):
        user, name = f"user-{turn % 7}", f"page-{turn}"
        page = it.decide(user, k=3, decision_id=name)
        assert all(0 < item["propensity"] <= 1 for item in page["items"])
        assert it.decide(user, k=3, decision_id=name) == page  # at another time by hours
        told = it.feedback(page, turn % 3)
        assert told.status_code == 200
        assert it.feedback(page, turn % 3).json() == told.json()
        said += [name, told.json()["event_id"]]
    shop = it.shop
    assert [id_of(entry) for entry in journal_entries(shop.journal)] == said
    learner = shop._learning._learner
    assert (learner.stats.rewarded, learner.stats.ignored) == (pages, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shop.journal, "load_state", lambda: None)
        anew = Learning(shop.settings, shop.fitted, shop.journal)
    assert equal_states(learner.state(), anew._learner.state())
    record_property("pages decided and bought from by a clock that jumps", pages)
    record_property("reactions that counted", learner.stats.rewarded)


def test_a_time_that_is_named_may_lie_hours_back_and_not_ahead(it: Served) -> None:
    it.shop.clock = lambda: NOW
    for hours, status in ((-30 * 24, 200), (-5, 200), (0, 200), (1, 422), (24, 422)):
        now = (NOW + timedelta(hours=hours)).isoformat()
        asked = {"user_id": "user-1", "k": 2, "decision_id": f"at-{hours}", "now": now}
        answer = it.client.post("/v1/decide", json=asked)
        assert answer.status_code == status
        if status == 200:
            assert it.feedback(answer.json(), 0, time=now).status_code == 200
    assert it.shop._learning._learner.stats.ignored == 0
