"""Who is erased was never there: not in the journal, not in what was learned, not in what was fitted of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.errors import InvalidInput, UnknownDecision, UnknownItem
from honeyguide.journal.protocol import Erased, Erasure, subject_of
from honeyguide.types import Event, State
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

USERS = ("user-1", "passer-by", "user-2", "passer-by", "user-1")


@pytest.fixture
def shops(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of one fitted shop."""
    fitted = fitted_shop(tmp_path_factory.getbasetemp())
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    return copy_of(fitted, tmp_path / "one"), copy_of(fitted, tmp_path / "other")


def _open(shop: Path) -> Honeyguide:
    return Honeyguide.open(shop, clock=lambda: NOW)


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def _traffic(opened: Honeyguide) -> None:
    for turn, user in enumerate(USERS):
        now = NOW + timedelta(days=10 * turn)
        ids = [f"sku-{6 * turn + at}" for at in range(5)]
        page = opened.decide(user, k=3, decision_id=f"d-{turn}", now=now, candidates=ids)
        opened.feedback(page.decision_id, page.item_ids[turn % 3], "purchase", now=now + timedelta(hours=1))
        opened.record([Event(f"e-{turn}", now, user, "view", item_id="sku-3")])


def test_what_is_believed_is_what_would_be_had_they_never_come(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened, _open(shops[1]) as never:
        _traffic(opened)
        entries = [record.entry for record in opened.journal.read()]
        never.record(
            [one for one in entries if not isinstance(one, Erased) and subject_of(one) != "passer-by"]
        )
        assert opened.erase("passer-by") == Erasure(decisions=2, events=4)
        assert _same(opened.policy.state(), never.policy.state())
        assert opened.fitted.version == never.fitted.version
        assert len(opened.history("passer-by").rows) == 0
        page, other = (one.decide("user-1", k=5, decision_id="after") for one in (opened, never))
        assert page.item_ids == other.item_ids
        with pytest.raises(UnknownDecision):
            opened.journal.decision("d-1")


@pytest.mark.parametrize("user", ["passer-by", "user-1"])
def test_a_shop_opened_again_knows_as_little(shops: tuple[Path, Path], user: str) -> None:
    with _open(shops[0]) as opened:
        _traffic(opened)
        opened.erase(user)
        state, version = opened.policy.state(), opened.fitted.version
        assert [(one.name, one.mean) for one in opened.interests(user)] == [
            (one.name, one.mean) for one in opened.interests("somebody new")
        ]
    for _ in range(2):  # from the state that was stored, and from the journal's start
        with _open(shops[0]) as again:
            assert _same(again.policy.state(), state)
            assert again.fitted.version == version
            again.journal.save_state(0, {})


def test_no_byte_is_left_in_journal_and_models(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened:
        _traffic(opened)
        opened.erase("user-1")
    files = [path for path in shops[0].glob("journal.db*")] + [*(shops[0] / "models").rglob("*.safetensors")]
    assert len(files) > 5
    # user-1 is also how user-10 begins: look for it where no digit follows
    for path in files:
        for part in path.read_bytes().split(b"user-1")[1:]:
            assert part[:1].isdigit(), path


def test_who_was_never_there_costs_nobody_anything(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened:
        _traffic(opened)
        before = opened.policy.state()
        assert opened.erase("nobody at all") == Erasure(0, 0)
        assert _same(opened.policy.state(), before)
        with pytest.raises(InvalidInput, match="must not be empty"):
            opened.erase("")


def test_a_page_holds_only_what_were_its_candidates(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened:
        page = opened.decide(
            "user-1", k=2, candidates=["sku-1", "sku-9", "sku-9", "sku-17"], exclude=["sku-1"]
        )
        assert set(page.candidates.item_ids) == {"sku-9", "sku-17"}
        with pytest.raises(UnknownItem, match="sku-999"):
            opened.decide("user-1", candidates=["sku-999"])
        with pytest.raises(InvalidInput, match="leave them out"):
            opened.decide("user-1", candidates=[])
        with pytest.raises(InvalidInput, match="by itself"):
            opened.decide("user-1", candidates=["sku-1"], ranking=["sku-1"])


def test_what_others_wrote_down_is_learned_at_the_next_look(shops: tuple[Path, Path]) -> None:
    with _open(shops[0]) as opened, _open(shops[0]) as beside:
        page = beside.decide("user-1", k=2)
        beside.feedback(page.decision_id, page.item_ids[0], "purchase")
        before = opened.policy.state()
        assert opened.catch_up() == 0
        assert not _same(opened.policy.state(), before)
        assert _same(opened.policy.state(), beside.policy.state())
