"""A page discovers an interest where its user had never been, and where it was shown."""

from __future__ import annotations

import numpy as np
import pytest

from honeyguide.config import Labels
from honeyguide.data.table import EventTable, load_events, to_us
from honeyguide.evaluate.compare import load_traffic
from honeyguide.evaluate.new_interests import FirstTouches, discovered
from honeyguide.evaluate.replay import Replay
from honeyguide.interests.users import DAY_US
from honeyguide.shop.models import load_fitted
from honeyguide.shop.workspace import Workspace
from honeyguide.types import EVENT_KINDS, Decision, EventKind
from tests.fitted import fitted_shop

LEAF = np.array([0, 0, 1, 2])
_Entry = tuple[int, int, int, EventKind]


def log(*entries: _Entry) -> EventTable:
    """Events as (user, item, time, kind), of the users Ann, Bob and Cai."""
    user, item, time_us = (np.array([entry[at] for entry in entries], dtype=np.int64) for at in range(3))
    kind = np.array([EVENT_KINDS.index(entry[3]) for entry in entries], dtype=np.int8)
    value = np.full(len(entries), np.nan, dtype=np.float32)
    users = ("ann", "bob", "cai")
    return EventTable(users, user.astype(np.int32), item.astype(np.int32), time_us, kind, value)


def touches(*entries: _Entry, users: tuple[str, ...] = ("cai", "ann")) -> FirstTouches:
    return FirstTouches.of(log(*entries), users, LEAF, grade=Labels().grade)


def test_an_interest_is_new_until_the_first_reaction_to_any_of_its_items() -> None:
    found = touches((0, 1, 10, "purchase"), (0, 0, 20, "purchase"), (2, 2, 30, "click"))
    everything = np.arange(4)
    ann, cai = 1, 0
    assert found.new(ann, everything, 9).tolist() == [True] * 4
    assert found.new(ann, everything, 10).tolist() == [False, False, True, True]
    assert found.new(cai, everything, 29).tolist() == [True] * 4
    assert found.new(cai, everything, 30).tolist() == [True, True, False, True]
    assert found.new(ann, np.array([], dtype=np.int64), 10).tolist() == []


def test_what_is_no_reaction_or_somebody_elses_or_of_no_item_leaves_an_interest_new() -> None:
    found = touches((0, 0, 10, "impression"), (1, 1, 10, "purchase"), (0, -1, 11, "search"))
    assert found.new(1, np.arange(4), 50).all()
    assert touches().new(0, np.arange(4), 50).all()


@pytest.mark.parametrize(
    ("reactions", "wanted"),
    [
        ([], set()),
        ([(4, 0.3)], set()),
        ([(4, 1.0)], {4}),
        ([(4, 0.3), (5, 0.3)], set()),
        ([(4, 0.3), (5, 0.3), (4, 0.1)], {4}),
        ([(4, 1.0), (5, 1.0), (4, 1.0)], {4, 5}),
    ],
)
def test_a_purchase_or_two_reactions_discover(reactions: list[tuple[int, float]], wanted: set[int]) -> None:
    assert discovered(reactions, purchase=1.0) == wanted


@pytest.mark.slow
def test_replayed_pages_discover_what_the_log_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    """By counting again from the log, where every reaction is a purchase."""
    workspace = Workspace.at(fitted_shop(tmp_path_factory.getbasetemp()))
    fitted = load_fitted(workspace.models, workspace.items)
    replay = Replay(fitted, load_traffic(workspace, fitted), workspace.settings, "uniform")
    run = replay.run()
    whole = load_events(workspace.events, fitted.catalog)
    known: set[tuple[str, int]] = set()
    pages = [record.entry for record in replay.journal.read() if isinstance(record.entry, Decision)]
    for page, count in zip(pages, run.interests, strict=True):
        start = to_us(page.time)
        mine = whole.events_of(whole.users.index(page.user_id))
        item, time_us = whole.item[mine], whole.time_us[mine]
        before = set(fitted.items.leaf[item[time_us <= start]].tolist())
        within = item[(time_us > start) & (time_us <= start + 14 * DAY_US)]
        shown = np.intersect1d(fitted.catalog.rows(page.item_ids), within)
        new = {
            (page.user_id, leaf) for leaf in fitted.items.leaf[shown].tolist() if leaf not in before
        } - known
        assert count == len(new)
        known |= new
    assert run.interests.sum() > 0
