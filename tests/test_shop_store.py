"""A shop whose journal is in a database: everything is as with the file, and there is no file."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from honeyguide import Honeyguide
from honeyguide.artifacts import write_atomically
from honeyguide.checks.policy import equal_states
from honeyguide.cli.app import app, main
from honeyguide.config import FILE_NAME, Journal
from honeyguide.journal.open import open_journal
from honeyguide.journal.protocol import Counts
from honeyguide.shop.workspace import Workspace, settings_toml
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def serve_some(shop: Honeyguide) -> None:
    for turn, user in enumerate(("user-1", "user-2", "user-1")):
        page = shop.decide(user, k=5, decision_id=f"d-{turn}", now=NOW + timedelta(days=20 * turn))
        shop.feedback(page.decision_id, page.item_ids[turn], "purchase", now=page.time + timedelta(hours=1))


def test_two_servers_of_one_shop_learn_what_one_with_a_file_learns(
    shop: Path, postgres: PostgresServer
) -> None:
    url = postgres.url()
    with (
        Honeyguide.open(shop, store=url, clock=lambda: NOW) as one,
        Honeyguide.open(shop, store=url, clock=lambda: NOW) as other,
    ):
        serve_some(one)
        assert other.catch_up() == 0
        page = other.decide("user-2", k=5, decision_id="d-3", now=NOW + timedelta(days=61))
        learned = other.policy.state()
        assert not (shop / "journal.db").exists()
    with Honeyguide.open(shop, clock=lambda: NOW) as filed:
        serve_some(filed)
        assert filed.decide("user-2", k=5, decision_id="d-3", now=page.time).item_ids == page.item_ids
        assert equal_states(filed.policy.state(), learned)


def test_the_setting_chooses_the_database(shop: Path, postgres: PostgresServer) -> None:
    url, workspace = postgres.url(), Workspace.at(shop)
    changed = replace(workspace.settings, journal=Journal(url))
    write_atomically(shop / FILE_NAME, settings_toml(changed).encode())
    runner = CliRunner()
    answer = runner.invoke(app, ["decide", str(shop), "user-1"])
    assert answer.exit_code == 0, answer.output
    with closing(open_journal(url)) as journal:
        assert journal.counts() == Counts(1, 0, 0)
    out = shop.parent / "decisions.parquet"
    answer = runner.invoke(app, ["export", str(shop), str(out), "--format", "decisions"])
    assert answer.exit_code == 0, answer.output
    assert not (shop / "journal.db").exists()


def test_serve_takes_the_store_it_is_given(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = "postgresql://shop:sw0rdfish@127.0.0.1:1/shops"
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(shop), "--port", "0", "--store", nobody])
    assert ended.value.code == 5
    said = capsys.readouterr()
    assert "postgresql://127.0.0.1:1/shops" in said.err
    assert "sw0rdfish" not in said.err + said.out
