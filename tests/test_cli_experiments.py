"""`honeyguide experiment` and `honeyguide apprentice`, from the settings to the words of the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from honeyguide import Honeyguide
from honeyguide.artifacts import write_atomically
from honeyguide.cli.app import main
from honeyguide.config import FILE_NAME, Apprentice, Experiment
from honeyguide.shop.workspace import Workspace, settings_toml
from tests.fitted import copy_of, fitted_shop

START = datetime(2026, 6, 1, tzinfo=UTC)
LATER = ["--now", "2026-09-01"]
USERS = [f"user-{number}" for number in range(24)]
RANKING = [f"sku-{number}" for number in (0, 8, 16, 24)]


def settings(shop: Path, arms: tuple[str, ...], share: float = 0.0) -> None:
    changed = replace(
        Workspace.at(shop).settings,
        experiment=Experiment("exploring", arms) if arms else Experiment(),
        apprentice=Apprentice(share),
    )
    write_atomically(shop / FILE_NAME, settings_toml(changed).encode())


@pytest.fixture
def shop(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


def serve(shop: Path, ranking: list[str] | None, *, days: int = 2) -> None:
    """Every user has a page a day; those whom the controller serves buy its first item."""
    with Honeyguide.open(shop) as opened:
        for number in range(days * len(USERS)):
            now = START + timedelta(days=number // len(USERS), minutes=number)
            page = opened.decide(
                USERS[number % len(USERS)], k=4, now=now, ranking=ranking, decision_id=f"d{number}"
            )
            if page.policy == "tradeoff":
                opened.feedback(page.decision_id, page.item_ids[0], "purchase", now=now)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def test_an_experiment_is_told_in_words_and_as_json(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    settings(shop, ("uniform=0.5", "tradeoff=0.5"))
    serve(shop, None)
    code, out, _ = run(capsys, "experiment", shop, *LATER)
    said = " ".join(out.split())
    assert code == 0
    assert max(map(len, out.splitlines()[:6])) <= 100
    assert "Experiment exploring: uniform=0.5, tradeoff=0.5" in said
    for words in ("tradeoff is", "their first 14 days earned, up to 10 (0% of them", "as often as they are"):
        assert words in said
    code, out, err = run(capsys, "experiment", shop, *LATER, "--json")
    found = json.loads(out)
    first, second = found["arms"]
    assert (code, err, first["verdict"], first["difference"]) == (0, "", "first", None)
    assert first["users"] + second["users"] == len(USERS)
    assert first["judged"] + second["judged"] == len(USERS)
    assert (first["per_user"], second["per_user"]) == (0.0, 2.0)
    assert second["difference"]["low"] <= second["difference"]["mean"] <= second["difference"]["high"]


def test_only_what_was_served_under_these_arms_counts(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(shop, None, days=1)
    settings(shop, ("uniform=0.5", "tradeoff=0.5"))
    code, out, _ = run(capsys, "experiment", shop, *LATER, "--json")
    assert (code, [arm["users"] for arm in json.loads(out)["arms"]]) == (0, [0, 0])
    code, out, _ = run(capsys, "experiment", shop, *LATER)
    assert "tradeoff is not yet told from uniform: nobody is judged yet" in " ".join(out.split())


def test_pages_that_the_shop_ranked_are_no_part_of_an_experiment(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(shop, ("uniform=0.5", "tradeoff=0.5"))
    serve(shop, RANKING, days=1)
    _, out, _ = run(capsys, "experiment", shop, *LATER, "--json")
    assert [arm["users"] for arm in json.loads(out)["arms"]] == [0, 0]


def test_a_shop_without_an_experiment_is_told_how_to_set_one_up(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "experiment", shop)
    assert (code, out, "arms = [" in err, "[experiment]" in err) == (4, "", True, True)
    settings(shop, ("greedy=0.5", "tradeof=0.5"))
    code, _, err = run(capsys, "experiment", shop)
    assert (code, "there is no policy 'tradeof'" in " ".join(err.split())) == (3, True)


def test_a_shop_that_served_nothing_says_so(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in shop.glob("journal.db*"):  # who opened the shop that this is a copy of has left an empty one
        file.unlink()
    code, _, err = run(capsys, "apprentice", shop)
    assert (code, "nothing was served yet" in " ".join(err.split())) == (4, True)
    serve(shop, None, days=1)
    code, _, err = run(capsys, "apprentice", shop, *LATER)
    assert (code, "ranking=[...]" in " ".join(err.split())) == (4, True)


def test_the_learned_policy_is_compared_with_the_shops_ranking(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(shop, RANKING, days=3)
    code, out, _ = run(capsys, "apprentice", shop, *LATER)
    said = " ".join(out.split())
    assert code == 0
    assert "72 pages that the shop ranked for 24 users, 2026-06-01 to 2026-06-03" in said
    for words in ("The learned page has the shop's first item on", "expected to earn", "share = 0.05"):
        assert words in said
    code, out, _ = run(capsys, "apprentice", shop, *LATER, "--json")
    found = json.loads(out)
    assert found["whole"]["earned"] == 1.0
    assert 0 <= found["whole"]["overlap"] <= 1
    assert (code, found["served"]) == (0, None)


def test_users_who_have_the_learned_page_are_compared_as_in_an_experiment(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(shop, (), share=0.5)
    serve(shop, RANKING, days=1)
    code, out, _ = run(capsys, "apprentice", shop, *LATER)
    assert code == 0
    assert "Served to users by their share: apprentice: shop=0.5, learned=0.5" in " ".join(out.split())
    assert "learned is not yet told from shop" in " ".join(out.split())
    _, out, _ = run(capsys, "apprentice", shop, *LATER, "--json")
    served = json.loads(out)["served"]
    assert [arm["arm"] for arm in served["arms"]] == ["shop", "learned"]
    assert sum(arm["judged"] for arm in served["arms"]) == len(USERS)


def test_a_page_can_be_ranked_from_the_command_line_and_no_policy_is_asked_what_if(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for item in RANKING for word in ("--ranking", item)]
    code, out, _ = run(capsys, "decide", shop, "user-1", *words, "--now", "2026-06-01")
    assert (code, "For user-1, the shop's own ranking" in out) == (0, True)
    code, _, err = run(capsys, "evaluate", shop, "--what-if", "level=0", *LATER)
    assert (code, "what the shop ranked itself" in " ".join(err.split())) == (4, True)
