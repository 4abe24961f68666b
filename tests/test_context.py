"""What a visitor is doing counts for the page they ask for, as if it had just been recorded, and is not recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from honeyguide import Honeyguide
from honeyguide.cli.app import main
from honeyguide.errors import InvalidInput, UnknownItem
from honeyguide.shop.context import Context
from honeyguide.types import Event
from tests.fitted import copy_of, fitted_shop
from tests.serve_fixture import served
from tests.shop_fixture import NOW, PER_KIND


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def shop(folder: Path) -> Iterator[Honeyguide]:
    with Honeyguide.open(folder, clock=lambda: NOW) as opened:
        yield opened


def test_a_page_is_the_one_that_would_be_drawn_had_it_been_recorded(shop: Honeyguide) -> None:
    plain = shop.draw("stranger", decision_id="page")
    doing = shop.draw("stranger", decision_id="page", context=Context(item_id="sku-9", query="dog food"))
    assert shop.journal.end() == 0
    shop.record(
        [
            Event("view", NOW, "stranger", "view", item_id="sku-9"),
            Event("search", NOW, "stranger", "search", query="dog food"),
        ]
    )
    among = doing.candidates.item_ids
    recorded = shop.draw("stranger", decision_id="page", candidates=among)
    assert recorded.candidates.features.tolist() == doing.candidates.features.tolist()
    assert recorded.item_ids == doing.item_ids
    assert plain.item_ids != doing.item_ids


def test_nothing_of_it_is_left_for_the_next_page(shop: Honeyguide) -> None:
    before = shop.draw("user-3", decision_id="page")
    shop.decide("user-3", context=Context(item_id="sku-9", query="dog food"))
    after = shop.draw("user-3", decision_id="page")
    assert (after.candidates.item_ids, after.item_ids) == (before.candidates.item_ids, before.item_ids)
    assert shop.journal.counts().events == 0


def test_the_page_of_an_item_does_not_show_it(shop: Honeyguide) -> None:
    liked = shop.draw("user-3", k=1).item_ids[0]
    assert liked not in shop.draw("user-3", context=Context(item_id=liked)).candidates.item_ids
    named = shop.draw("user-3", k=2, candidates=["sku-9", "sku-10"], context=Context(item_id="sku-9"))
    assert set(named.item_ids) == {"sku-9", "sku-10"}  # who names the candidates means them


def test_the_page_of_a_query_is_drawn_from_what_it_may_mean(shop: Honeyguide) -> None:
    found = {item.item_id for item in shop.search("dog food", k=100)}
    page = shop.draw("user-3", k=5, context=Context(query="dog food"))
    assert set(page.candidates.item_ids) <= found
    meant = {f"sku-{number}" for number in range(PER_KIND, 2 * PER_KIND)}
    assert meant <= set(page.candidates.item_ids)
    assert set(page.item_ids) - set(shop.draw("user-3", k=5).item_ids)


@pytest.mark.parametrize(
    ("context", "error"),
    [
        ({"item_id": "nowhere"}, UnknownItem),
        ({"item_id": ""}, InvalidInput),
        ({"query": "  -- "}, InvalidInput),
    ],
)
def test_a_context_that_is_none_is_refused(
    shop: Honeyguide, context: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        shop.decide("user-3", context=Context(**context))
    assert shop.journal.end() == 0


def test_a_context_is_asked_for_over_http_and_on_the_command_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(folder) as it:
        page = it.decide("user-3", k=4, context={"item_id": "sku-9", "query": "dog food"})
        stored = it.shop.journal.decision(page["decision_id"])
        assert "sku-9" not in stored.candidates.item_ids
        for wrong, status in (({"item_id": "nowhere"}, 404), ({"item": "sku-9"}, 422), ({"query": ""}, 422)):
            asked = {"user_id": "user-3", "context": wrong}
            assert it.client.post("/v1/decide", json=asked).status_code == status
    words = ["decide", str(folder), "user-3", "--looking-at", "sku-9", "--query", "dog food", "--json"]
    with pytest.raises(SystemExit) as done:
        main([*words, "--now", NOW.isoformat()])
    assert not done.value.code
    assert "sku-9" not in [item["item_id"] for item in json.loads(capsys.readouterr().out)["items"]]
