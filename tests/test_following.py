"""What a user may take next, by the sequence model: new to them, within the rules, and never without the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.config import FILE_NAME, Rules
from honeyguide.data.table import to_us
from honeyguide.errors import NotReady
from honeyguide.fit import fit
from honeyguide.shop.recommend import NextScorer
from honeyguide.shop.workspace import Workspace
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW, SPLIT


@pytest.fixture
def shop(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Honeyguide]:
    copied = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    with Honeyguide.open(copied, clock=lambda: NOW) as opened:
        yield opened


def test_it_lists_what_the_user_never_took_the_likeliest_first(shop: Honeyguide) -> None:
    found = shop.following("user-1", k=8)
    taken = {shop.fitted.catalog.ids[row] for row in shop.history("user-1").rows}
    assert len(found) == 8
    assert taken.isdisjoint(one.item_id for one in found)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert shop.following("user-1", k=8) == found
    assert shop.journal.end() == 0


def test_what_is_known_comes_where_it_is_asked_for(shop: Honeyguide) -> None:
    rows = np.arange(len(shop.fitted.catalog))
    likely = NextScorer(shop.model).scores(shop.history("user-1"), rows, to_us(NOW))
    best = shop.fitted.catalog.ids[int(likely.argmax())]
    assert shop.following("user-1", k=1, known=True)[0].item_id == best


def test_rules_hold_and_strangers_have_something_next(shop: Honeyguide) -> None:
    first = shop.following("nobody", k=3)
    rules = Rules(exclude_ids=(first[0].item_id,))
    assert [one.item_id for one in shop.following("nobody", k=2, rules=rules)] == [
        one.item_id for one in first[1:]
    ]


def test_policies_see_it_only_where_they_are_told_to(shop: Honeyguide) -> None:
    assert shop.model.sequence is not None
    assert not shop.model.sees_next
    assert len(shop.history("user-1").recent)


def test_a_setting_waits_for_the_next_fit(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    copied = copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path)
    path = copied / FILE_NAME
    text = path.read_text()
    assert "policies = false" in text
    path.write_text(text.replace("policies = false", "policies = true"))
    with Honeyguide.open(copied, clock=lambda: NOW) as opened:
        assert not opened.model.sees_next
        assert len(opened.decide("user-1", k=3).item_ids) == 3
    fit(Workspace.at(copied), now=NOW, until=SPLIT)
    with Honeyguide.open(copied, clock=lambda: NOW) as opened:
        assert opened.model.sees_next
        assert len(opened.decide("user-1", k=3).item_ids) == 3


def test_without_the_model_it_says_what_to_do(shop: Honeyguide) -> None:
    shop.model.sequence = None
    with pytest.raises(NotReady, match="honeyguide fit"):
        shop.following("user-1")
