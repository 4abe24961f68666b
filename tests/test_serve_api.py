"""Laws of the HTTP service: one id one effect, what is acknowledged is learned, and who is erased was never there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.config import Rules
from honeyguide.serve.structs import Filters
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served
from tests.shop_fixture import NOW


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def it(folder: Path) -> Iterator[Served]:
    with served(folder) as running:
        yield running


def _event(event_id: str, **facts: Any) -> dict[str, Any]:
    event = {"event_id": event_id, "time": NOW.isoformat(), "user_id": "user-1", "kind": "view"}
    return {**event, "item_id": "sku-1", **facts}


def test_a_page_is_what_the_journal_holds(it: Served) -> None:
    page = it.decide("user-3", k=4, surface="home", exclude=["sku-1"])
    stored = it.shop.journal.decision(page["decision_id"])
    assert [item["item_id"] for item in page["items"]] == list(stored.item_ids)
    assert [item["propensity"] for item in page["items"]] == stored.propensities.tolist()
    assert [item["score"] for item in page["items"]] == stored.plan.scores[stored.chosen].tolist()
    assert [item["place"] for item in page["items"]] == [1, 2, 3, 4]
    assert (page["surface"], page["level"], page["reason"]) == ("home", stored.plan.level, stored.plan.reason)
    assert (page["policy"], page["model_version"]) == (stored.policy, stored.model_version)


def test_the_same_id_gives_the_same_page_whatever_was_learned_since(it: Served) -> None:
    page = it.decide(k=5, decision_id="once")
    it.feedback(page)
    assert it.decide(k=3, decision_id="once") == page
    assert it.shop.journal.counts().decisions == 1
    for other in ({"user_id": "user-2"}, {"user_id": "user-1", "surface": "cart"}):
        refused = it.client.post("/v1/decide", json={**other, "decision_id": "once"})
        assert (refused.status_code, refused.json()["type"]) == (409, "/docs#conflict")


def test_one_id_asked_for_by_many_at_once_is_one_page(it: Served) -> None:
    with ThreadPoolExecutor(12) as pool:
        pages = list(pool.map(lambda turn: it.decide(k=3, decision_id=f"d-{turn % 3}"), range(36)))
    assert all(page == pages[turn % 3] for turn, page in enumerate(pages))
    assert it.shop.journal.counts().decisions == 3


def test_feedback_counts_once_however_often_it_is_sent(it: Served) -> None:
    page = it.decide(k=2)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: it.feedback(page, value=9.99), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert it.shop.journal.counts().events == 1
    learned = it.shop.policy.state()
    assert it.feedback(page, value=9.99).status_code == 200
    assert all(np.array_equal(array, learned[name]) for name, array in it.shop.policy.state().items())


def test_a_reward_is_known_to_the_next_page(it: Served) -> None:
    ids = ["sku-30", "sku-31", "sku-38"]
    page = it.decide("nobody", k=3, candidates=ids)
    before = {item["item_id"]: item["score"] for item in page["items"]}
    assert it.feedback(page).status_code == 200
    after = {item["item_id"]: item for item in it.decide("nobody", k=3, candidates=ids)["items"]}
    taken = page["items"][0]["item_id"]
    assert after[taken]["score"] > before[taken]
    assert after[taken]["why"].startswith("taken once")


def test_what_another_process_recorded_is_known_within_a_second(it: Served, folder: Path) -> None:
    import time

    with Honeyguide.open(folder, clock=lambda: NOW) as beside:
        page = beside.decide("nobody", k=1)
        beside.feedback(page.decision_id, page.item_ids[0], "purchase")
        start = time.monotonic()
        while not it.knows("nobody"):
            assert time.monotonic() - start < 1.0
            time.sleep(0.02)


def test_each_event_of_a_batch_stands_for_itself(it: Served) -> None:
    page = it.decide(k=1)
    shown = page["items"][0]["item_id"]
    batch = [
        _event("good"),
        _event("a search", kind="search", item_id=None, query="dog food"),
        _event("feedback", decision_id=page["decision_id"], item_id=shown, kind="click"),
        _event("no kind", kind="stare"),
        _event("no item", item_id=None),
        _event("ahead", time=(NOW + timedelta(days=9)).isoformat()),
        _event("another's", decision_id=page["decision_id"], item_id=shown, user_id="user-2"),
        _event("of nothing", decision_id="nothing"),
        {"event_id": "half of it"},
    ]
    answer = it.client.post("/v1/events:batch", json={"events": batch})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["recorded"], told["refused"]) == (3, 6)
    assert [one["recorded"] for one in told["events"]] == [True] * 3 + [False] * 6
    wanted = (
        "stare",
        "needs an item_id",
        "ahead",
        "user-1",
        "no decision 'nothing'",
        "missing required field",
    )
    for one, said in zip(told["events"][3:], wanted, strict=True):
        assert said in one["problem"]
    assert it.shop.journal.counts().events == 3
    assert it.client.post("/v1/events:batch", json={"events": batch}).json() == told
    assert it.shop.journal.counts().events == 3


def test_one_event_that_the_journal_refuses_takes_none_along(it: Served) -> None:
    first = it.client.post("/v1/events:batch", json={"events": [_event("known")]})
    assert first.json()["recorded"] == 1
    batch = [_event("new"), _event("known", item_id="sku-2"), _event("newer")]
    told = it.client.post("/v1/events:batch", json={"events": batch}).json()
    assert [one["recorded"] for one in told["events"]] == [True, False, True]
    assert "another content" in told["events"][1]["problem"]
    assert it.shop.journal.counts().events == 3


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_is_of_one_to_a_thousand(it: Served, count: int) -> None:
    answer = it.client.post("/v1/events:batch", json={"events": [_event(f"e-{n}") for n in range(count)]})
    assert answer.status_code == 422
    assert it.shop.journal.counts().events == 0


def test_who_was_erased_was_never_there(it: Served) -> None:
    for user in ("leaves", "stays"):
        page = it.decide(user, k=2, decision_id=f"page of {user}")
        assert it.feedback(page).status_code == 200
    receipt = it.client.delete("/v1/users/leaves").json()
    assert (receipt["decisions"], receipt["events"]) == (1, 1)
    assert "leaves" not in json.dumps(receipt)
    assert len(it.shop.history("leaves").rows) == 0
    assert len(it.shop.history("stays").rows) == 1
    assert it.shop.journal.counts().decisions == 1
    gone = it.client.post(
        "/v1/feedback", json={"decision_id": "page of leaves", "item_id": "sku-1", "kind": "view"}
    )
    assert (gone.status_code, gone.json()["type"]) == (404, "/docs#unknown-id")
    again = it.client.delete("/v1/users/leaves").json()
    assert (again["decisions"], again["events"]) == (0, 0)


def test_what_was_learned_is_there_after_a_restart(folder: Path) -> None:
    with served(folder) as it:
        page = it.decide("nobody", k=2, decision_id="kept")
        it.feedback(page)
        learned = it.shop.policy.state()
    with served(folder) as again:
        assert again.decide("nobody", decision_id="kept") == page
        assert all(np.array_equal(array, learned[name]) for name, array in again.shop.policy.state().items())


def test_what_is_known_and_found_is_what_the_shop_says(it: Served) -> None:
    found = it.client.get("/v1/users/user-3/interests", params={"top": 2}).json()["interests"]
    assert [(one["name"], one["mean"]) for one in found] == [
        (one.name, one.mean) for one in it.shop.interests("user-3", top=2)
    ]
    found = it.client.get("/v1/users/user-3/recommendations", params={"k": 3}).json()["items"]
    assert [one["item_id"] for one in found] == [one.item_id for one in it.shop.recommend("user-3", k=3)]
    found = it.client.get("/v1/similar", params={"item_id": "sku-1", "k": 3}).json()["items"]
    assert [one["item_id"] for one in found] == [one.item_id for one in it.shop.similar("sku-1", k=3)]
    body = {"query": "dog food", "user_id": "user-3", "k": 3, "rules": {"exclude_ids": ["sku-8"]}}
    found = it.client.post("/v1/search", json=body).json()["items"]
    assert "sku-8" not in [one["item_id"] for one in found]
    assert len(found) == 3
    models = it.client.get("/v1/models").json()
    assert models["model_version"] == it.shop.fitted.version
    assert (models["items"], models["users"], models["behind"]) == (48, 24, 0)


def test_an_id_may_be_any_text(it: Served) -> None:
    for user in ("用户/1", "a b?&#", "..", "x/interests"):
        assert it.decide(user, k=1)["user_id"] == user
        quoted = "".join(f"%{byte:02x}" for byte in user.encode())
        assert it.client.get(f"/v1/users/{quoted}/interests").json()["user_id"] == user
        assert it.client.delete(f"/v1/users/{quoted}").json()["decisions"] == 1


def test_filters_are_the_rules_there_are() -> None:
    assert Filters.__struct_fields__ == tuple(field.name for field in fields(Rules))
    assert Filters().rules() == Rules()


def test_the_shops_own_ranking_is_served_as_it_is(it: Served) -> None:
    page = it.decide(ranking=["sku-9", "sku-1"])
    assert [(item["item_id"], item["pinned"]) for item in page["items"]] == [("sku-9", True), ("sku-1", True)]


def test_the_figures_say_what_happened(it: Served) -> None:
    it.feedback(it.decide(k=2), kind="click")
    it.client.post("/v1/events:batch", json={"events": [_event("e")]})
    it.client.post("/v1/decide", json={})
    text = it.client.get("/metrics").text
    for line in (
        'honeyguide_requests_total{endpoint="decide",status="200"} 1.0',
        'honeyguide_requests_total{endpoint="decide",status="422"} 1.0',
        "honeyguide_decisions_total 1.0",
        'honeyguide_events_total{kind="view"} 1.0',
        'honeyguide_rewards_total{kind="click"} 1.0',
        "honeyguide_exploration_level_count 1.0",
        "honeyguide_learner_lag 0.0",
    ):
        assert line in text.splitlines()
    assert it.client.get("/healthz").json() == {"status": "ok"}
    assert it.client.get("/readyz").json() == {"status": "ready"}
