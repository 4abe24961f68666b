"""Recommendations by the chance of a purchase: in the small shop, and in shops that have no such head."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from honeyguide import Honeyguide, artifacts
from honeyguide.cli.app import app
from honeyguide.data.table import load_events, to_us
from honeyguide.errors import InvalidInput, NotReady
from honeyguide.fit.heads import heads_stage
from honeyguide.shop.recommend import BY, HeadScorer
from honeyguide.shop.releases import HEADS
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Event, Stage, quietly
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW, SPLIT


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)


@pytest.fixture
def shop(folder: Path) -> Iterator[Honeyguide]:
    with Honeyguide.open(folder, clock=lambda: SPLIT) as opened:
        yield opened


def test_the_likeliest_purchases_come_first_and_the_scores_are_chances(shop: Honeyguide) -> None:
    found = shop.recommend("user-1", k=8, by="purchase")
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    rows = shop.fitted.catalog.rows([one.item_id for one in found])
    scorer = HeadScorer(shop.fitted.heads, "purchase", shop.model)
    assert scorer.scores(shop.history("user-1"), rows, to_us(SPLIT)).tolist() == scores
    assert shop.journal.end() == 0


def test_its_chances_are_as_often_right_as_they_say(shop: Honeyguide, folder: Path) -> None:
    quality = artifacts.load(folder / "models", HEADS).meta["quality"]["purchase"]
    assert quality["auc"] > 0.8
    assert quality["log_loss"] < 0.8 * quality["base_log_loss"]
    assert quality["ece"] < 0.06
    # beyond the fit: users buy 2 of 48 items in each of the two weeks of the window
    rows = np.arange(len(shop.fitted.catalog))
    scorer = HeadScorer(shop.fitted.heads, "purchase", shop.model)
    expected = [scorer.scores(shop.history(f"user-{n}"), rows, to_us(SPLIT)).sum() for n in range(24)]
    assert 2 < np.mean(expected) < 5


def test_what_was_just_bought_changes_the_answer(shop: Honeyguide) -> None:
    scorer = HeadScorer(shop.fitted.heads, "purchase", shop.model)
    now = SPLIT + timedelta(days=8)
    before, rows = shop.history("user-1"), np.arange(len(shop.fitted.catalog))
    row = np.argsort(scorer.scores(before, rows, to_us(now)))[:1]
    item, state = shop.fitted.catalog.ids[row[0]], before
    for number in range(3):
        time = SPLIT + timedelta(days=number)
        state = shop.model.fold(state, Event(f"new-{number}", time, "user-1", "purchase", item))
    assert scorer.scores(state, row, to_us(now))[0] > 2 * scorer.scores(before, row, to_us(now))[0]


def test_strangers_have_chances(shop: Honeyguide) -> None:
    assert len(shop.recommend("nobody", k=5, by="purchase")) == 5


def test_every_way_of_ranking_is_told_and_another_refused(shop: Honeyguide) -> None:
    assert {by for by in BY if by not in ("click", "cart")} == {"reward", "next", "purchase"}
    for by in ("reward", "next", "purchase"):
        assert len(shop.recommend("user-1", k=3, by=by)) == 3
    with pytest.raises(InvalidInput, match="reward, next, click, cart, purchase"):
        shop.recommend("user-1", by="luck")


def test_without_such_a_head_it_says_what_to_do(shop: Honeyguide) -> None:
    with pytest.raises(NotReady, match=r"no head for 'click', its heads: purchase.*honeyguide fit"):
        shop.recommend("user-1", by="click")


def test_a_shop_of_before_there_were_heads_opens_and_serves(folder: Path) -> None:
    shutil.rmtree(folder / "models" / "release")
    shutil.rmtree(folder / "models" / HEADS)
    with Honeyguide.open(folder, clock=lambda: NOW) as opened:
        assert opened.fitted.heads is None
        assert len(opened.recommend("user-1", k=3)) == 3
        assert len(opened.decide("user-1", k=3).item_ids) == 3
        with pytest.raises(NotReady, match="before there were heads"):
            opened.recommend("user-1", by="purchase")


def test_heads_of_another_fit_or_of_other_signs_are_not_served(folder: Path) -> None:
    shutil.rmtree(folder / "models" / "release")
    stored = artifacts.load(folder / "models", HEADS)
    strange = {**stored.meta["heads"], "signs": ["luck"]}
    for meta in ({**stored.meta, "items": "another"}, {**stored.meta, "heads": strange}):
        artifacts.save(folder / "models", HEADS, stored.arrays, meta)
        with Honeyguide.open(folder, clock=lambda: NOW) as opened:
            assert opened.fitted.heads is None


def learn_again(shop: Honeyguide, folder: Path, stage: Stage, days: int) -> str:
    workspace, fitted = Workspace.at(folder), shop.fitted
    table = load_events(workspace.events, fitted.catalog, until=SPLIT - timedelta(days=days))
    heads_stage(workspace, shop.settings, fitted.catalog, fitted.items, fitted.sequence, table, stage)
    return artifacts.current(workspace.models, HEADS)


def test_heads_are_learned_once_and_without_enough_to_learn_from_there_are_none(
    shop: Honeyguide, folder: Path
) -> None:
    made = artifacts.current(folder / "models", HEADS)
    assert learn_again(shop, folder, quietly, days=0) == made
    assert learn_again(shop, folder, quietly, days=7 * 12) != made
    assert artifacts.load(folder / "models", HEADS).meta["heads"]["kinds"] == []


def test_the_sequence_model_is_weighed_on_baskets_that_were_held_out_whole(
    shop: Honeyguide, folder: Path
) -> None:
    workspace, fitted = Workspace.at(folder), shop.fitted
    # another seed than the shop was fitted with, or its heads would be taken as they are
    settings = replace(shop.settings, seed=1, sequence=replace(shop.settings.sequence, held_out=0.5))
    baskets = load_events(workspace.events, fitted.catalog, until=SPLIT)
    again = (np.diff(baskets.time_us, prepend=-1) == 0) & (np.diff(baskets.user, prepend=-1) == 0)
    for table, choices in (
        (baskets, 24),
        (baskets.take(~again), 12),
    ):  # half of the 24 users, two or one each
        heads_stage(workspace, settings, fitted.catalog, fitted.items, fitted.sequence, table, quietly)
        following = artifacts.load(folder / "models", HEADS).meta["following"]["purchase"]
        assert following["choices"] == choices


def test_the_command_shows_chances(folder: Path) -> None:
    run = CliRunner().invoke(app, ["recommend", str(folder), "user-1", "-k", "3", "--by", "purchase"])
    assert run.exit_code == 0
    assert "chance" in run.output
    assert "%" in run.output
    run = CliRunner().invoke(
        app, ["recommend", str(folder), "user-1", "-k", "2", "--by", "purchase", "--json"]
    )
    told = json.loads(run.output)
    assert (told["by"], len(told["items"])) == ("purchase", 2)
    assert 0 < told["items"][0]["score"] < 1
