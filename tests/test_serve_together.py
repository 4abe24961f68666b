"""Several services over one journal are as one: one id one page, one reward, and what one learned all know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fitted import copy_of, fitted_shop
from tests.postgres_server import PostgresServer
from tests.serve_fixture import Served, served


@pytest.fixture(params=["sqlite", "postgres"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Iterator[tuple[Served, Served]]:
    folder = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    store = None
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        store = server.url()
    with served(folder, store=store) as one, served(folder, store=store) as other:
        yield one, other


def test_one_id_is_one_page_whichever_is_asked(pair: tuple[Served, Served]) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(pair[turn % 2].decide, "user-1", k=3, decision_id=f"d-{turn // 8}")
            for turn in range(32)
        ]
        pages = [one.result() for one in asked]
    assert all(page == pages[turn // 8 * 8] for turn, page in enumerate(pages))
    assert pair[0].shop.journal.counts().decisions == 4


def test_a_reward_counts_once_and_all_know_of_it(pair: tuple[Served, Served]) -> None:
    one, other = pair
    page = one.decide("nobody", k=2)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(pair[turn % 2].feedback, page) for turn in range(8)]
        answers = [sent.result() for sent in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    start = time.monotonic()
    for each in pair:
        while not each.knows("nobody"):
            assert time.monotonic() - start < 1.0
            time.sleep(0.02)
    assert one.shop.journal.counts().events == 1
    assert other.decide("nobody", k=1)
