"""Clients of Gorse find what they ask for, and what they tell of a recommendation teaches the policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from honeyguide.serve.gorse import Gorse, GorseFeedback, GorseFeedbackRequest, GorseRecommendRequest
from honeyguide.types import Decision, Event
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW


@pytest.fixture
def it(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Served]:
    with served(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)) as running:
        yield running


def _tell(it: Served, *said: tuple[str, str, str], method: str = "POST", **more: Any) -> httpx.Response:
    """Feedback of these (type, user, item)."""
    body = [{"FeedbackType": one[0], "UserId": one[1], "ItemId": one[2], **more} for one in said]
    return it.client.request(method, "/api/feedback", json=body)


def _shown(it: Served, user: str = "user-3", **asked: Any) -> list[str]:
    answer = it.client.get(f"/api/recommend/{user}", params=asked)
    assert answer.status_code == 200, answer.text
    items: list[str] = answer.json()
    return items


def _entries(it: Served) -> list[Any]:
    return [record.entry for record in it.shop.journal.read()]


def test_a_recommendation_is_a_decision_and_what_came_of_it_teaches(it: Served) -> None:
    items = _shown(it, n=3)
    (decision,) = _entries(it)
    assert isinstance(decision, Decision)
    assert (list(decision.item_ids), decision.user_id, decision.surface) == (items, "user-3", "gorse")
    before = it.shop.policy.state()
    answer = _tell(it, ("read", "user-3", items[1]), ("buy", "user-3", items[0]))
    assert (answer.status_code, answer.json()) == (200, {"RowAffected": 2})
    events = _entries(it)[1:]
    assert [(one.kind, one.decision_id) for one in events] == [
        ("view", decision.decision_id),
        ("purchase", decision.decision_id),
    ]
    assert any(not np.array_equal(before[name], array) for name, array in it.shop.policy.state().items())


def test_feedback_without_a_page_is_an_event_and_counts_once(it: Served) -> None:
    time = (NOW - timedelta(days=1)).isoformat()
    for method in ("POST", "PUT", "POST"):
        answer = _tell(it, ("stars", "new", "sku-1"), method=method, Timestamp=time, Value=4)
        assert answer.json() == {"RowAffected": 1}
    (event,) = _entries(it)
    assert (event.kind, event.value, event.time, event.decision_id) == (
        "rating",
        4.0,
        NOW - timedelta(days=1),
        None,
    )
    assert it.knows("new")
    _tell(it, ("add_to cart", "new", "sku-1"), Timestamp="2026-02-24")
    assert _entries(it)[1].time.isoformat() == "2026-02-24T00:00:00+00:00"


def test_what_was_recorded_first_stays(it: Served) -> None:
    """Without a time the same feedback later is the same feedback."""
    gorse, later = Gorse(), NOW + timedelta(hours=1)
    asked = GorseFeedbackRequest((GorseFeedback("read", "u", "sku-1"), GorseFeedback("read", "u", "sku-2")))
    draft = gorse.feedback(it.shop, asked)
    first = draft.entries[0]
    assert isinstance(first, Event)
    it.shop.record([replace(first, time=later)])
    assert draft.otherwise is not None
    assert draft.otherwise() == draft.answer
    times = {entry.item_id: entry.time for entry in _entries(it)}
    assert times == {"sku-1": later, "sku-2": NOW}


def test_an_offset_leaves_out_what_was_shown_last_and_a_category_everything_else(it: Served) -> None:
    first = _shown(it, n=4)
    assert not set(first) & set(_shown(it, n=4, offset=4))
    found = _shown(it, n=2, category="Shop > dog food")
    assert {int(one.removeprefix("sku-")) // 8 for one in found} == {1}


def test_of_who_was_erased_no_page_is_remembered(it: Served) -> None:
    (item,) = _shown(it, n=1)
    assert it.client.delete("/v1/users/user-3").json()["decisions"] == 1
    assert _tell(it, ("read", "user-3", item)).status_code == 200
    assert _entries(it)[-1].decision_id is None


def test_a_page_that_another_process_erased_is_no_page(it: Served) -> None:
    gorse = Gorse()
    draft = gorse.recommend(it.shop, GorseRecommendRequest("user-3", n=1))
    (decision,) = draft.entries
    assert isinstance(decision, Decision)
    asked = GorseFeedbackRequest((GorseFeedback("read", "user-3", decision.item_ids[0]),))
    (event,) = gorse.feedback(it.shop, asked).entries  # the page was never written down
    assert isinstance(event, Event)
    assert event.decision_id is None


def test_what_is_remembered_does_not_grow_without_end(it: Served) -> None:
    gorse = Gorse(most_users=2, most_items=3)
    for user in ("a", "b", "a", "c"):
        gorse.recommend(it.shop, GorseRecommendRequest(user, n=2))
    assert list(gorse._shown) == ["a", "c"]
    assert max(map(len, gorse._shown.values())) <= 3


def test_what_cannot_be_is_refused_as_a_whole(it: Served) -> None:
    good = {"FeedbackType": "read", "UserId": "u", "ItemId": "sku-1"}
    for bad in (
        {"FeedbackType": "hum"},
        {"Timestamp": "soon"},
        {"UserId": ""},
        {"ItemId": None},
        {"Value": "x"},
    ):
        answer = it.client.post("/api/feedback", json=[good, good | bad])
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert it.client.post("/api/feedback", json=good).status_code == 422
    ahead = (NOW + timedelta(days=1)).isoformat()
    assert _tell(it, ("read", "u", "sku-1"), Timestamp=ahead).status_code == 422
    assert _entries(it) == []
    assert it.client.post("/api/feedback", json=[]).json() == {"RowAffected": 0}
    for asked in ({"n": 0}, {"offset": -1}, {"n": "x"}):
        assert it.client.get("/api/recommend/u", params=asked).status_code == 422
