"""What a replay promises: hidden stays hidden, nothing comes from the future, the journal tells it all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from honeyguide.checks.policy import equal_states
from honeyguide.data.labels.visits import Outcomes
from honeyguide.data.table import EventTable, load_events, to_us
from honeyguide.evaluate.compare import _fresh_journal, load_traffic
from honeyguide.evaluate.replay import Replay, Traffic
from honeyguide.interests.users import DAY_US, MILLI
from honeyguide.journal.codec import encode
from honeyguide.journal.learner import Learner
from honeyguide.journal.sqlite import SqliteJournal
from honeyguide.shop.models import Fitted, load_fitted
from honeyguide.shop.policies import like, make_policy
from honeyguide.shop.workspace import Workspace
from honeyguide.types import Decision, Event
from tests.fitted import fitted_shop


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.at(fitted_shop(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def fitted(workspace: Workspace) -> Fitted:
    return load_fitted(workspace.models, workspace.items)


@pytest.fixture(scope="module")
def traffic(workspace: Workspace, fitted: Fitted) -> Traffic:
    return load_traffic(workspace, fitted)


@pytest.fixture(scope="module")
def log(workspace: Workspace, fitted: Fitted) -> EventTable:
    return load_events(workspace.events, fitted.catalog)


def replayed(workspace: Workspace, fitted: Fitted, traffic: Traffic, name: str = "tradeoff") -> Replay:
    replay = Replay(fitted, traffic, workspace.settings, name)
    replay.run()
    return replay


def decisions(replay: Replay) -> list[Decision]:
    return [record.entry for record in replay.journal.read() if isinstance(record.entry, Decision)]


def without(found: Outcomes, gone: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Outcomes:
    """The outcomes but for those that the mask names."""
    visit = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))[~gone]
    return Outcomes(
        starts=np.searchsorted(visit, np.arange(len(found.starts))).astype(np.int64),
        item=found.item[~gone],
        reward=found.reward[~gone],
        time_us=found.time_us[~gone],
        discovery=found.discovery[~gone],
    )


def test_what_was_not_shown_stays_hidden(workspace: Workspace, fitted: Fitted, traffic: Traffic) -> None:
    first = replayed(workspace, fitted, traffic)
    found = traffic.outcomes
    hidden = np.ones(len(found.item), dtype=np.bool_)
    for visit, decision in enumerate(decisions(first)):
        part = slice(*found.starts[visit : visit + 2])
        hidden[part] = ~np.isin(found.item[part], fitted.catalog.rows(decision.item_ids))
    assert hidden.any()
    assert not hidden.all()
    second = replayed(workspace, fitted, replace(traffic, outcomes=without(found, hidden)))
    assert [encode(d) for d in decisions(first)] == [encode(d) for d in decisions(second)]


def test_nothing_comes_from_the_future(workspace: Workspace, fitted: Fitted, traffic: Traffic) -> None:
    middle = len(traffic) // 2
    moment = int(traffic.visits.time_us[middle])
    known = decisions(replayed(workspace, fitted, traffic))
    altered = replace(traffic, outcomes=without(traffic.outcomes, traffic.outcomes.time_us > moment))
    seen = decisions(replayed(workspace, fitted, altered))
    assert [encode(d) for d in known[: middle + 1]] == [encode(d) for d in seen[: middle + 1]]
    assert [encode(d) for d in known[middle + 1 :]] != [encode(d) for d in seen[middle + 1 :]]


def test_a_page_earns_what_the_user_really_bought_in_time(
    workspace: Workspace, fitted: Fitted, traffic: Traffic, log: EventTable
) -> None:
    replay = Replay(fitted, traffic, workspace.settings, "greedy")
    run = replay.run()
    window_us = 14 * DAY_US
    for visit, decision in enumerate(decisions(replay)):
        start = to_us(decision.time)
        mine = log.events_of(log.users.index(decision.user_id))
        earned = discovered = 0
        for row in fitted.catalog.rows(decision.item_ids):
            bought = log.time_us[mine][log.item[mine] == row]
            within = bought[(bought > start) & (bought <= start + window_us)]
            earned += len(within) > 0
            discovered += len(within) > 0 and within[0] == bought[0]
        assert (run.reward[visit], run.discoveries[visit]) == (earned, discovered)
    assert run.reward.sum() > 0


def test_what_was_expected_stands_beside_what_all_candidates_would_have_earned(
    workspace: Workspace, fitted: Fitted, traffic: Traffic, log: EventTable
) -> None:
    replay = Replay(fitted, traffic, workspace.settings, "greedy")
    run = replay.run()
    for visit, decision in enumerate(decisions(replay)):
        start = to_us(decision.time)
        mine = log.events_of(log.users.index(decision.user_id))
        after = (log.time_us[mine] > start) & (log.time_us[mine] <= start + 14 * DAY_US)
        bought = set(log.item[mine][after].tolist())
        offered = fitted.catalog.rows(decision.candidates.item_ids).tolist()
        assert run.offered[visit] == len(bought & set(offered))
        assert run.expected_offered[visit] == pytest.approx(decision.plan.scores.sum())
        assert run.expected[visit] == pytest.approx(decision.plan.scores[decision.chosen].sum())


@pytest.mark.parametrize(
    "name",
    [
        "tradeoff",
        "epsilon-greedy-decaying-1",
        "squarecb-growing-10",
        "feel-good-1-at-0.3",
        "interest-first-0.3-within-0.5",
        "diverse-0.3-linucb-1",
    ],
)
def test_the_kept_journal_refolds_to_the_live_state(
    name: str, workspace: Workspace, fitted: Fitted, traffic: Traffic, tmp_path: Path
) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    settings = workspace.settings
    replay = Replay(fitted, traffic, settings, name, keep=journal)
    assert replay.run().policy == name
    assert journal.counts() == replay.journal.counts()
    assert journal.counts().decisions == len(traffic)
    policy = make_policy(
        name, fitted.policy_state, settings.explore, seed=settings.seed, like=like(fitted.items)
    )
    learner = Learner(policy, grade=settings.labels.grade, window=timedelta(days=settings.labels.window_days))
    learner.catch_up(journal)
    journal.close()
    assert equal_states(dict(learner.policy.state()), dict(replay.learner.policy.state()))


def test_one_purchase_pays_two_pages_and_enters_the_history_once(
    workspace: Workspace, fitted: Fitted, traffic: Traffic, log: EventTable
) -> None:
    replay = replayed(workspace, fitted, traffic, "greedy")
    feedback = [record.entry for record in replay.journal.read() if isinstance(record.entry, Event)]
    paid = [(event.user_id, event.item_id, event.time) for event in feedback]
    assert len(set(paid)) < len(paid)
    for user, history in replay.histories.items():
        revealed = {(item, time) for who, item, time in paid if who == user}
        before = fitted.histories.get(user, replay.model.start())
        assert history.weight.sum() - before.weight.sum() == MILLI * len(revealed)


def test_feedback_is_of_the_kind_that_earned_the_reward(
    workspace: Workspace, fitted: Fitted, traffic: Traffic
) -> None:
    clicked = replace(traffic.outcomes, reward=np.full(len(traffic.outcomes.reward), 0.2))
    replay = replayed(workspace, fitted, replace(traffic, outcomes=clicked), "greedy")
    kinds = {record.entry.kind for record in replay.journal.read() if isinstance(record.entry, Event)}
    assert kinds == {"click"}


def test_every_policy_meets_the_same_visits(workspace: Workspace, fitted: Fitted, traffic: Traffic) -> None:
    met = [
        [(d.user_id, d.time) for d in decisions(replayed(workspace, fitted, traffic, name))]
        for name in ("uniform", "habit", "thompson-1")
    ]
    assert met[0] == met[1] == met[2]
    assert len(met[0]) == len(traffic)


def test_a_shop_without_its_reports_folder_gets_one(tmp_path: Path) -> None:
    journal = _fresh_journal(Workspace(tmp_path / "shop"))
    assert (tmp_path / "shop" / "reports" / "replay-journal.db").is_file()
    journal.close()
