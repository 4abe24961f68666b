"""Clients of Azure Personalizer find what they ask for; what was never shown teaches nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from honeyguide.serve.personalizer import Personalizer as Endpoints
from honeyguide.serve.personalizer import RankAction, RankRequest, user_of
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import Served, served

ROOT = "/personalizer/v1.0"
ACTIONS = ["sku-1", "sku-9", "sku-17"]


@pytest.fixture
def it(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Served]:
    with served(copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)) as running:
        yield running


def _ranked(it: Served, **asked: Any) -> httpx.Response:
    body = {"actions": [{"id": one, "features": [{"price": 1}]} for one in ACTIONS], **asked}
    body.setdefault("contextFeatures", [{"device": "phone"}, {"user_id": "user-3"}])
    return it.client.post(f"{ROOT}/rank", json=body)


def test_one_action_is_shown_with_the_probability_it_was_drawn_with(it: Served) -> None:
    answer = _ranked(it, eventId="e", excludedActions=["sku-9"])
    assert answer.status_code == 201
    told, stored = answer.json(), it.shop.journal.decision("e")
    assert (told["eventId"], told["rewardActionId"]) == ("e", stored.item_ids[0])
    assert stored.user_id == "user-3"
    assert told["ranking"][0] == {"id": told["rewardActionId"], "probability": stored.propensities[0]}
    assert told["ranking"][-1] == {"id": "sku-9", "probability": 0.0}
    assert sum(one["probability"] for one in told["ranking"]) == pytest.approx(1)
    assert _ranked(it, eventId="e", excludedActions=["sku-9"]).json() == told
    assert it.shop.journal.counts().decisions == 1
    other = _ranked(it, eventId="e", contextFeatures=[{"user_id": "user-4"}])
    assert other.status_code == 409


@pytest.mark.parametrize(
    ("value", "kind"), [(1.0, "purchase"), (0.45, "cart"), (0.2, "click"), (0.01, "view")]
)
def test_a_reward_is_the_reaction_that_is_nearest_to_it(it: Served, value: float, kind: str) -> None:
    _ranked(it, eventId="e")
    before = it.shop.policy.state()
    for _ in range(2):
        assert it.client.post(f"{ROOT}/events/e/reward", json={"value": value}).status_code == 204
    (event,) = [record.entry for record in it.shop.journal.read(1)]
    assert getattr(event, "kind", None) == kind
    assert any(not np.array_equal(before[name], array) for name, array in it.shop.policy.state().items())


def test_no_reward_is_left_to_silence(it: Served) -> None:
    _ranked(it, eventId="e")
    assert it.client.post(f"{ROOT}/events/e/reward", json={"value": 0}).status_code == 204
    assert it.shop.journal.counts().events == 0
    for value in (-0.1, 1.1, "much", None):
        assert it.client.post(f"{ROOT}/events/e/reward", json={"value": value}).status_code == 422
    assert it.client.post(f"{ROOT}/events/other/reward", json={"value": 1}).status_code == 404


def test_what_is_deferred_counts_from_when_it_is_activated(it: Served) -> None:
    told = _ranked(it, eventId="e", deferActivation=True).json()
    assert it.shop.journal.counts().decisions == 0
    assert it.client.post(f"{ROOT}/events/e/reward", json={"value": 1}).status_code == 404
    assert _ranked(it, eventId="e", deferActivation=True).json() == told
    for _ in range(2):
        assert it.client.post(f"{ROOT}/events/e/activate").status_code == 204
    assert it.shop.journal.decision("e").item_ids == (told["rewardActionId"],)
    assert it.client.post(f"{ROOT}/events/e/reward", json={"value": 1}).status_code == 204
    assert it.client.post(f"{ROOT}/events/nothing/activate").status_code == 404


def test_what_is_deferred_of_who_was_erased_is_gone(it: Served) -> None:
    _ranked(it, eventId="e", deferActivation=True)
    it.client.delete("/v1/users/user-3")
    assert it.client.post(f"{ROOT}/events/e/activate").status_code == 404


def test_what_is_deferred_does_not_grow_without_end(it: Served) -> None:
    held = Endpoints(most_deferred=2)
    for name in ("a", "b", "c"):
        asked = RankRequest(actions=(RankAction("sku-1"),), event_id=name, defer_activation=True)
        assert held.rank(it.shop, asked).entries == ()
    assert list(held._deferred) == ["b", "c"]


@pytest.mark.parametrize(
    ("features", "user"),
    [
        ((), None),
        (({"device": "phone"},), None),
        (({"user": {"age": 3}}, {"userId": 17}), "17"),
        (({"user_id": ""}, {"id": "u"}), "u"),
    ],
)
def test_who_asks_is_told_by_the_context(features: tuple[dict[str, Any], ...], user: str | None) -> None:
    assert user_of(features) == user


def test_what_cannot_be_is_a_problem_of_the_caller(it: Served) -> None:
    assert _ranked(it, actions=[]).status_code == 422
    assert _ranked(it, actions=[{"id": "sku-999"}]).status_code == 404
    assert _ranked(it, excludedActions=ACTIONS).status_code == 422
    assert _ranked(it, contextFeatures=[{"user_id": "x" * 300}]).status_code == 422
    assert _ranked(it, contextFeatures=[{"user_id": "a\x00b"}]).status_code == 422
    deep = (
        b'{"actions": [{"id": "sku-1"}], "contextFeatures": [{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}"
    )
    answer = it.client.post(f"{ROOT}/rank", content=deep, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    anonymous = _ranked(it, contextFeatures=[], eventId="e").json()
    assert it.shop.journal.decision(anonymous["eventId"]).user_id == "visitor of e"
