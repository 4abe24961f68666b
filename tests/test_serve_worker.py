"""Who waits together is written down together; one that cannot be written down takes none along."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from honeyguide import Honeyguide
from honeyguide.errors import HoneyguideError, InvalidInput, JournalError
from honeyguide.journal.protocol import Entry, subject_of
from honeyguide.serve import saving
from honeyguide.serve.deciding import ENDPOINTS as DECIDING
from honeyguide.serve.endpoint import Draft, Endpoint
from honeyguide.serve.knowing import endpoints
from honeyguide.serve.structs import DecideRequest, UserRequest
from honeyguide.serve.worker import Worker
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

DECIDE = DECIDING[0]
ERASE = next(endpoint for endpoint in endpoints(lambda user_id: None) if endpoint.name == "erase")


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Honeyguide]:
    with Honeyguide.open(
        copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path), clock=lambda: NOW
    ) as opened:
        yield opened


def _page(user_id: str, **asked: Any) -> tuple[Endpoint, DecideRequest | UserRequest]:
    return DECIDE, DecideRequest(user_id=user_id, k=1, **asked)


def _served(
    worker: Worker, shop: Honeyguide, *asked: tuple[Endpoint, DecideRequest | UserRequest]
) -> list[Any]:
    """What becomes of requests that all wait when the worker begins."""
    free = Flag()

    def hold(shop: Honeyguide, asked: Any) -> Draft:
        assert free.wait(10)
        return Draft(asked)

    holding = Endpoint("hold", "GET", "/", "read", "", UserRequest, UserRequest, hold, alone=True)

    async def run() -> list[Any]:
        first = asyncio.ensure_future(worker.submit(holding, UserRequest(user_id="first")))
        others = [asyncio.ensure_future(worker.submit(*one)) for one in asked]
        await asyncio.sleep(0)
        worker.start()
        free.set()
        await first
        return await asyncio.gather(*others, return_exceptions=True)

    found = asyncio.run(run())
    worker.stop()
    return found


def _appends(shop: Honeyguide, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    append = shop.journal.append

    def counting(entries: Sequence[Entry]) -> int:
        counted.append(len(entries))
        return append(entries)

    monkeypatch.setattr(shop.journal, "append", counting)
    return counted


def test_what_waits_together_is_one_append(shop: Honeyguide, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _appends(shop, monkeypatch)
    found = _served(Worker(shop, group=8, most_s=3600.0), shop, *(_page(f"user-{n}") for n in range(20)))
    assert counted == [8, 8, 4]
    for (answer, entries), user in zip(found, range(20), strict=True):
        assert (answer.user_id, entries[0].decision_id) == (f"user-{user}", answer.decision_id)
        assert shop.journal.decision(answer.decision_id).user_id == answer.user_id


def test_requests_of_one_id_are_not_of_one_group(shop: Honeyguide, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _appends(shop, monkeypatch)
    asked = [_page("user-1", decision_id=name) for name in ("a", "b", "a", "a", "c")]
    answers = [answer.decision_id for answer, _ in _served(Worker(shop), shop, *asked)]
    assert answers == ["a", "b", "a", "a", "c"]
    assert counted == [2, 1]
    assert shop.journal.counts().decisions == 3


def test_an_erasure_comes_after_what_was_asked_before_it(shop: Honeyguide) -> None:
    erase = (ERASE, UserRequest(user_id="user-1"))
    _, (receipt, _), (after, _) = _served(Worker(shop), shop, _page("user-1"), erase, _page("user-1"))
    assert (receipt.decisions, shop.journal.counts().decisions) == (1, 1)
    assert shop.journal.decision(after.decision_id).user_id == "user-1"


def test_one_that_is_refused_leaves_the_others_as_they_are(
    shop: Honeyguide, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = shop.journal.append

    def picky(entries: Sequence[Entry]) -> int:
        if any(subject_of(entry) == "user-2" for entry in entries):
            raise JournalError("not this one")
        return append(entries)

    monkeypatch.setattr(shop.journal, "append", picky)
    found = _served(Worker(shop), shop, _page("user-1"), _page("user-2"), _page(""), _page("user-3"))
    assert [isinstance(one, Exception) for one in found] == [False, True, True, False]
    assert isinstance(found[1], JournalError)
    assert isinstance(found[2], InvalidInput)
    assert shop.journal.counts().decisions == 2


def test_a_page_that_another_process_decided_meanwhile_is_the_answer(
    shop: Honeyguide, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, other = shop.journal.append, shop.draw("user-1", k=1, decision_id="both", candidates=["sku-7"])

    def late(entries: Sequence[Entry]) -> int:
        append([other])
        return append(entries)

    monkeypatch.setattr(shop.journal, "append", late)
    ((answer, entries),) = _served(
        Worker(shop), shop, _page("user-1", decision_id="both", candidates=["sku-8"])
    )
    assert [item.item_id for item in answer.items] == ["sku-7"]
    assert entries == ()


def test_a_journal_out_of_reach_is_trouble_until_it_is_back(
    shop: Honeyguide, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(after: int = 0, limit: int | None = None) -> None:
        raise JournalError("gone")

    now = [0.0]
    worker = Worker(shop, clock=lambda: now[0])
    with monkeypatch.context() as patch:
        patch.setattr(shop.journal, "read", gone)
        now[0] += 1
        worker._look_around()
        assert worker.trouble == "JournalError"
    now[0] += 1
    worker._look_around()
    assert worker.trouble is None


def test_what_was_learned_is_stored_from_time_to_time(shop: Honeyguide) -> None:
    now, end = [0.0], shop.journal.end()
    worker = Worker(shop, clock=lambda: now[0], save_s=60)
    shop.decide("user-1", k=1)
    stored = []
    for seconds in (59, 1):
        now[0] += seconds
        worker._look_around()
        stored.append((shop.journal.load_state() or (end, {}))[0])
    assert stored == [end, end + 1]


def test_a_service_that_dies_again_and_again_does_not_learn_ever_more(
    shop: Honeyguide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "_MUCH", 3)
    for count in (1, 2, 3):
        shop.decide("user-1", k=1)
        worker = Worker(shop)
        worker.start()
        worker.stop()
        assert (shop.journal.load_state() is not None) == (count == 3)
    assert shop.unsaved == 0


def test_storing_comes_after_much_but_takes_little_of_the_time() -> None:
    rule = saving.Saving(300.0, 0.0)
    assert not rule.due(999, 299.0)
    assert rule.due(1000, 1.0)
    rule.done(1.0, 2.0)
    assert [rule.due(10_000, now) for now in (3.0, 51.0, 52.0)] == [False, False, True]
    assert [rule.due(1, now) for now in (301.0, 302.0)] == [False, True]
    assert not rule.due(0, 10_000.0)


def test_who_comes_when_it_ends_is_refused(shop: Honeyguide) -> None:
    worker = Worker(shop)
    worker.start()
    worker.stop()
    assert not worker.alive
    with pytest.raises(HoneyguideError, match="try again"):
        asyncio.run(worker.submit(*_page("user-1")))
