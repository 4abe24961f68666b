"""Laws of an open shop: what is decided is written down, what is learned is a fold, and nothing is counted twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.artifacts import write_atomically
from honeyguide.config import FILE_NAME
from honeyguide.errors import InvalidInput, NotReady, UnknownDecision, UnknownItem
from honeyguide.fit import fit
from honeyguide.shop.workspace import Workspace, settings_toml
from honeyguide.types import Decision, Event, EventKind, State
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW, SPLIT

LATER = NOW + timedelta(hours=1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted_shop(tmp_path_factory.getbasetemp())


@pytest.fixture
def shop(fitted: Path, tmp_path: Path) -> Path:
    return copy_of(fitted, tmp_path)


def _open(shop: Path) -> Honeyguide:
    return Honeyguide.open(shop, clock=lambda: NOW)


def _same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def _some_traffic(opened: Honeyguide) -> None:
    for turn, user in enumerate(("user-1", "user-2", "nobody", "user-1")):
        page = opened.decide(user, k=5, decision_id=f"d-{turn}", now=NOW + timedelta(days=20 * turn))
        opened.feedback(page.decision_id, page.item_ids[turn], "purchase", now=page.time + timedelta(hours=1))


def _arrays(decision: Decision) -> State:
    return {
        "chosen": decision.chosen,
        "propensities": decision.propensities,
        "pmf": decision.pmf,
        "features": decision.candidates.features,
    }


def _equal(one: Decision, other: Decision) -> bool:
    return (one.item_ids, one.why) == (other.item_ids, other.why) and _same(_arrays(one), _arrays(other))


def test_a_decision_is_in_the_journal_before_it_is_returned(shop: Path) -> None:
    with _open(shop) as opened:
        decision = opened.decide("user-3", k=4)
        with _open(shop) as beside:
            assert _equal(beside.journal.decision(decision.decision_id), decision)


@pytest.mark.parametrize("closed", [True, False])
def test_reopening_gives_the_same_posterior_to_the_bit(shop: Path, closed: bool) -> None:
    opened = _open(shop)
    _some_traffic(opened)
    before, history = opened.policy.state(), opened.history("user-1")
    if closed:
        opened.close()
    with _open(shop) as again:
        assert _same(again.policy.state(), before)
        assert np.array_equal(again.history("user-1").rows, history.rows)
        assert np.array_equal(again.history("user-1").weight, history.weight)
    if not closed:
        opened.journal.close()


def test_feedback_is_seen_by_the_next_decision_and_counts_once(shop: Path) -> None:
    with _open(shop) as opened:
        page = opened.decide("nobody", k=3)
        item = page.item_ids[0]
        first = opened.feedback(page.decision_id, item, "purchase", now=LATER)
        learned, known = opened.policy.state(), opened.history("nobody").weight.sum()
        assert known > 0
        assert opened.feedback(page.decision_id, item, "purchase", now=LATER + timedelta(days=1)) == first
        assert _same(opened.policy.state(), learned)
        assert opened.history("nobody").weight.sum() == known
        assert opened.journal.counts().events == 1
        following = opened.decide("nobody", k=len(page.candidates), now=LATER)
        why = dict(zip(following.item_ids, following.why, strict=True))
        assert why[item].startswith("taken once, last 0 days ago")


def test_two_purchases_count_twice_where_each_has_its_id(shop: Path) -> None:
    with _open(shop) as opened:
        page = opened.decide("nobody", k=1)
        for event_id in ("first", "second", "second"):
            opened.feedback(page.decision_id, page.item_ids[0], "purchase", event_id=event_id, now=LATER)
        assert opened.journal.counts().events == 2
        with pytest.raises(InvalidInput, match="another content"):
            opened.feedback(page.decision_id, page.item_ids[0], "cart", event_id="second", now=LATER)


@pytest.mark.parametrize(
    ("item", "kind", "wanted", "said"),
    [
        ("hidden", "purchase", InvalidInput, "did not show item"),
        ("sku-999", "purchase", UnknownItem, "sku-999"),
        ("shown", "buy", InvalidInput, "kind must be one of"),
    ],
)
def test_feedback_that_cannot_be_is_refused_and_changes_nothing(
    shop: Path, item: str, kind: Any, wanted: type[Exception], said: str
) -> None:
    with _open(shop) as opened:
        page = opened.decide("user-3", k=3)
        hidden = next(one for one in opened.fitted.catalog.ids if one not in page.item_ids)
        before, end = opened.policy.state(), opened.journal.end()
        named = {"hidden": hidden, "shown": page.item_ids[0]}.get(item, item)
        with pytest.raises(wanted, match=said):
            opened.feedback(page.decision_id, named, kind)
        assert _same(opened.policy.state(), before)
        assert opened.journal.end() == end


def test_feedback_on_no_decision_is_refused(shop: Path) -> None:
    with _open(shop) as opened, pytest.raises(UnknownDecision, match="'nothing'"):
        opened.feedback("nothing", "sku-1", "purchase")


def test_what_is_excluded_is_not_shown(shop: Path) -> None:
    with _open(shop) as opened:
        ids = opened.fitted.catalog.ids
        kept = set(ids[::12])
        page = opened.decide("user-3", k=len(kept), exclude=[item for item in ids if item not in kept])
        assert set(page.item_ids) == kept
        with pytest.raises(InvalidInput, match="every item is excluded"):
            opened.decide("user-3", exclude=ids)
        with pytest.raises(UnknownItem, match="sku-999"):
            opened.decide("user-3", exclude=["sku-999"])
        assert opened.journal.counts().decisions == 1


def test_a_page_is_never_longer_than_what_there_is(shop: Path) -> None:
    with _open(shop) as opened:
        for k in (0, -1, 31, 10_000):
            with pytest.raises(InvalidInput, match=rf"k must be in 1\.\.30.*got {k}"):
                opened.decide("user-3", k=k)
        kept = opened.fitted.catalog.ids[:4]
        few = opened.decide(
            "user-3", exclude=[item for item in opened.fitted.catalog.ids if item not in kept]
        )
        assert set(few.item_ids) == set(kept)  # the settings' 10, where only 4 may be shown
        assert len(set(opened.decide("user-3", k=30).item_ids)) == 30


def test_a_decision_can_be_computed_again(fitted: Path, tmp_path: Path) -> None:
    pages = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        with _open(copy_of(fitted, tmp_path / name)) as opened:
            _some_traffic(opened)
            pages.append([opened.journal.decision(f"d-{turn}") for turn in range(4)])
    assert all(_equal(one, other) for one, other in zip(*pages, strict=True))


def test_the_same_decision_id_with_another_page_is_refused(shop: Path) -> None:
    with _open(shop) as opened:
        opened.decide("user-3", k=3, decision_id="d")
        with pytest.raises(InvalidInput, match="another content"):
            opened.decide("user-4", k=3, decision_id="d")
        assert opened.journal.decision("d").user_id == "user-3"


@pytest.mark.parametrize("user", ["nobody", "用户", "a b;'--"])
def test_a_user_who_was_never_seen_gets_the_prior(shop: Path, user: str) -> None:
    with _open(shop) as opened:
        assert opened.decide(user, k=5).user_id == user
        expected = [(one.name, one.mean) for one in opened.interests("another nobody")]
        assert [(one.name, one.mean) for one in opened.interests(user)] == expected


def test_what_is_no_user_time_or_number_is_refused_and_not_written_down(shop: Path) -> None:
    with _open(shop) as opened:
        with pytest.raises(InvalidInput, match="user_id must not be empty"):
            opened.decide("")
        with pytest.raises(InvalidInput, match="user_id must not be empty"):
            opened.interests("")
        with pytest.raises(InvalidInput, match="top must be at least 1"):
            opened.interests("user-1", top=0)
        with pytest.raises(InvalidInput, match="aware and in UTC"):
            opened.decide("user-1", now=datetime(2026, 6, 1))
        with pytest.raises(InvalidInput, match="is no valid text"):
            opened.decide("\udcff")
        assert opened.journal.end() == 0


def test_interests_come_best_first_inside_their_intervals(shop: Path) -> None:
    with _open(shop) as opened:
        found = opened.interests("user-3")
        means = [one.mean for one in found]
        assert means == sorted(means, reverse=True)
        assert all(one.low < one.mean < one.high and one.name and one.within for one in found)
        assert sum(one.share for one in found) == pytest.approx(1)
        assert opened.interests("user-3", top=2) == found[:2]


def test_changed_explore_settings_take_effect_on_the_next_open(shop: Path) -> None:
    with _open(shop) as opened:
        _some_traffic(opened)
        learned = opened.policy.posterior.state()
    settings = Workspace.at(shop).settings
    changed = replace(settings, explore=replace(settings.explore, k=3, candidates=7, epsilon=0.0))
    write_atomically(shop / FILE_NAME, settings_toml(changed).encode())
    with _open(shop) as again:
        assert _same(again.policy.posterior.state(), learned)
        page = again.decide("user-1")
        assert (len(page.item_ids), len(page.candidates)) == (3, 7)
        assert page.plan.level == 0  # nothing may be given up: nothing is explored


@pytest.mark.slow
def test_a_shop_fitted_again_starts_from_what_was_fitted(shop: Path) -> None:
    with _open(shop) as opened:
        _some_traffic(opened)
        end = opened.journal.end()
    fit(Workspace.at(shop), now=NOW, until=SPLIT + timedelta(weeks=3), journal_offset=end)
    with _open(shop) as again:
        assert again.fitted.journal_offset == end
        assert _same(again.policy.posterior.state(), again.fitted.policy_state)
        page = again.decide("user-1", k=2, now=NOW + timedelta(days=90))
        again.feedback(page.decision_id, page.item_ids[0], "purchase", now=page.time)
        assert not _same(again.policy.posterior.state(), again.fitted.policy_state)


def test_an_item_that_left_the_catalogue_does_not_bar_the_shop(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _open(shop) as opened:
        page = opened.decide("nobody", k=2)
        for item in page.item_ids:
            opened.feedback(page.decision_id, item, "purchase", now=LATER)
        fitted, gone = opened.fitted, page.item_ids[0]
    real = type(fitted.catalog).row

    def row(catalog: object, item_id: str) -> int:
        if item_id == gone:
            raise UnknownItem(item_id)
        return real(fitted.catalog, item_id)

    monkeypatch.setattr(type(fitted.catalog), "row", row)
    monkeypatch.setattr(type(fitted.catalog), "__contains__", lambda catalog, item_id: item_id != gone)
    with _open(shop) as again:
        assert again.history("nobody").rows.tolist() == [real(fitted.catalog, page.item_ids[1])]


def test_a_catalogue_that_changed_since_a_fit_of_before_there_were_releases_is_refused(
    shop: Path, tmp_path: Path
) -> None:
    import duckdb

    shutil.rmtree(Workspace.at(shop).models / "release")

    items = Workspace.at(shop).items
    duckdb.sql(f"COPY (SELECT * FROM '{items}' WHERE item_id <> 'sku-1') TO '{tmp_path / 'fewer.parquet'}'")
    shutil.move(tmp_path / "fewer.parquet", items)
    with pytest.raises(NotReady, match="catalogue has changed"):
        _open(shop)


def test_the_default_clock_is_the_wall_clock_in_utc(shop: Path) -> None:
    with Honeyguide.open(shop) as opened:
        time = opened.decide("user-1", k=1).time
    assert time.tzinfo is UTC
    assert time > datetime(2026, 1, 1, tzinfo=UTC)


def test_events_that_wait_are_folded_as_they_came(shop: Path) -> None:
    kinds: tuple[EventKind, ...] = ("view", "cart", "purchase", "impression")
    events = [
        Event(f"e-{n}", NOW + timedelta(minutes=n), "busy", kinds[n % 4], item_id=f"sku-{n % 7}")
        for n in range(450)
    ]
    with _open(shop) as at_once, _open(shop) as one_by_one:
        at_once.record(events)
        state = one_by_one.model.start()
        for event in events:
            state = one_by_one.model.fold(state, event)
            one_by_one.catch_up()
            one_by_one.history("busy")
        for known in (at_once.history("busy"), one_by_one.history("busy")):
            for part in ("rows", "weight", "first_us", "last_us", "days", "seen"):
                assert np.array_equal(getattr(known, part), getattr(state, part))


def test_a_page_of_another_fit_is_kept_and_teaches_no_policy(shop: Path) -> None:
    with _open(shop) as opened:
        page = opened.draw("nobody", k=2, decision_id="older")
        wider = np.concatenate([page.candidates.features, page.candidates.features], axis=1)
        candidates = replace(page.candidates, features=wider)
        opened.record([replace(page, candidates=candidates, model_version="other.fit")])
        before = opened.policy.state()
        opened.feedback("older", page.item_ids[0], "purchase", now=LATER)
        assert _same(opened.policy.state(), before)
        assert len(opened.history("nobody").rows) == 1
        opened.decide("user-1", k=1, now=NOW + timedelta(days=90))  # the older page's window is over
        own = opened.decide("user-1", k=1, now=NOW + timedelta(days=91))
        opened.feedback(own.decision_id, own.item_ids[0], "purchase", now=own.time)
        assert not _same(opened.policy.state(), before)
