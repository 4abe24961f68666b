"""Seasons played by policies: what the oracle, common random numbers and hidden truths promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from honeyguide.config import Explore
from honeyguide.errors import InvalidInput
from honeyguide.evaluate.simulate.planted import planted_shop
from honeyguide.evaluate.simulate.play import Answer, Play, Visit, examination
from honeyguide.evaluate.simulate.runs import Run, paired
from honeyguide.evaluate.simulate.simulate import MakePolicy, simulate
from honeyguide.evaluate.simulate.warm import warm_start
from honeyguide.evaluate.simulate.worlds import World
from honeyguide.explore.posterior import Prior, UserPosterior
from honeyguide.interests.users import BEHAVIOUR
from honeyguide.shop.policies import make_policy
from honeyguide.types import Rows

SHOP = planted_shop(seed=0)
WORLD = World("test", users=15, days=40.0, candidates=40, k=5, fresh=5)
STATE = UserPosterior(Prior.isotropic(len(BEHAVIOUR) + SHOP.facts.vectors.shape[1], variance=0.01)).state()
POLICIES = ("uniform", "popularity", "greedy", "thompson-0.5", "interest-first-0.5", "tradeoff")

Show = Callable[[Play, Visit], Rows]


def named(name: str) -> MakePolicy:
    """The shop's policy of that name."""
    return lambda state: make_policy(name, state, Explore(k=WORLD.k), seed=0)


def played(play: Play, show: Show) -> list[Answer]:
    """All answers of a season."""
    found = []
    while visit := play.next():
        found.append(play.show(visit, show(play, visit)))
    return found


def oracle(play: Play, visit: Visit) -> Rows:
    """The page that knows the truth."""
    return play.best(visit)


def ordered(play: Play, visit: Visit) -> Rows:
    """A page by the items' rows: the same whenever the same items are there."""
    return np.argsort(visit.rows)[: play.world.k]


def earned(answers: list[Answer]) -> float:
    """In expectation."""
    return float(sum(answer.expected.sum() for answer in answers))


@pytest.mark.parametrize("name", POLICIES)
def test_the_best_page_is_never_beaten_in_expectation(name: str) -> None:
    run = simulate(SHOP, WORLD, named(name), STATE, seed=3)
    assert len(run) > 60
    assert (run.regret >= -1e-12).all()
    assert (run.exploit <= run.best + 1e-12).all()


def test_a_policy_that_sees_the_truth_beats_uniform() -> None:
    answers = played(Play(SHOP, WORLD, seed=3), oracle)
    assert all(a.visit.chance[a.chosen].min() >= np.sort(a.visit.chance)[-WORLD.k] for a in answers)
    assert earned(answers) > 1.5 * simulate(SHOP, WORLD, named("uniform"), STATE, seed=3).earned()


@pytest.mark.parametrize("name", ["thompson-0.5", "tradeoff"])
def test_equal_seeds_give_equal_runs_to_the_bit(name: str) -> None:
    runs = [simulate(SHOP, WORLD, named(name), STATE, seed=7, keep=True) for _ in range(2)]
    for column in ("person", "nth", "day", "reward", "expected", "exploit", "best", "believed", "level"):
        np.testing.assert_array_equal(getattr(runs[0], column), getattr(runs[1], column))
    for one, two in zip(runs[0].decisions, runs[1].decisions, strict=True):
        np.testing.assert_array_equal(one.propensities, two.propensities)
    other = simulate(SHOP, WORLD, named(name), STATE, seed=8)
    assert not np.array_equal(runs[0].reward[:50], other.reward[:50])


def test_policies_meet_the_same_people_who_like_the_same_items() -> None:
    runs = [simulate(SHOP, WORLD, named(name), STATE, seed=7) for name in ("uniform", "greedy")]
    np.testing.assert_array_equal(runs[0].person, runs[1].person)
    np.testing.assert_array_equal(runs[0].day, runs[1].day)
    liked: dict[tuple[int, int, int], float] = {}
    for show in (oracle, ordered):
        for answer in played(Play(SHOP, WORLD, seed=7), show):
            who = answer.visit.coming
            rows = answer.visit.rows[answer.chosen].tolist()
            for row, reward in zip(rows, answer.rewards.tolist(), strict=True):
                assert liked.setdefault((who.person, who.nth, row), reward) == reward
    assert 0 < np.mean(list(liked.values())) < 1


def test_the_greedy_page_is_the_best_page_where_popularity_is_all() -> None:
    world = replace(WORLD, only_popular=True)
    popular = BEHAVIOUR.index("popularity")

    def show(play: Play, visit: Visit) -> Rows:
        return np.argsort(-visit.candidates.features[:, popular], kind="stable")[: world.k]

    for answer in played(Play(SHOP, world, seed=0), show):
        assert answer.expected.sum() == pytest.approx(
            np.sort(answer.visit.chance)[::-1][: world.k].sum(), abs=1e-12
        )


def test_a_slot_earns_its_examination_times_the_attraction() -> None:
    world = replace(WORLD, position_bias=1.0, users=80, share=0.3)
    np.testing.assert_allclose(examination(world), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    answers = played(Play(SHOP, world, seed=0), ordered)
    attraction = np.array([answer.visit.chance[answer.chosen] for answer in answers])
    rewards = np.array([answer.rewards for answer in answers])
    expected = attraction * examination(world)
    np.testing.assert_allclose(expected, [answer.expected for answer in answers])
    deviation = np.sqrt((expected * (1 - expected)).sum(axis=0))
    assert (np.abs((rewards - expected).sum(axis=0)) < 4 * deviation).all()


def test_rewards_average_what_is_expected() -> None:
    run = simulate(SHOP, replace(WORLD, share=0.2), named("greedy"), STATE, seed=1)
    assert abs(run.reward.sum() - run.expected.sum()) < 4 * np.sqrt(run.expected.sum())


def test_new_items_are_unseen_before_their_time_and_known_by_text_alone() -> None:
    world = replace(WORLD, new_items=0.4, users=60)
    play = Play(SHOP, world, seed=2)
    since = play.seen._since
    new = since > -np.inf
    assert 0.3 < new.mean() < 0.5
    popular, offered = BEHAVIOUR.index("popularity"), set()
    for answer in played(play, ordered):
        visit = answer.visit
        assert (since[visit.rows] <= visit.coming.day).all()
        assert len(set(visit.rows.tolist())) == world.candidates
        fresh = new[visit.rows]
        assert (visit.candidates.features[fresh, popular] == 0).all()
        offered |= set(visit.rows[fresh].tolist())
        assert visit.candidates.groups is not None
        np.testing.assert_array_equal(visit.candidates.groups, SHOP.facts.leaf[visit.rows])
        np.testing.assert_array_equal(answer.fresh, new[visit.rows[answer.chosen]])
    assert len(offered) > 0.5 * new.sum()


def test_features_do_not_tell_the_truth() -> None:
    """Another truth with the same history gives the same candidates and features."""
    order = np.random.default_rng(0).permutation(SHOP.truth.users * 3)
    other = replace(SHOP, truth=replace(SHOP.truth, tastes=SHOP.truth.tastes[order], per_quality=-2.0))
    one, two = Play(SHOP, WORLD, seed=4), Play(other, WORLD, seed=4, truth_seed=99)
    differ = rewarded = 0.0
    while visit := one.next():
        coming = visit.coming
        rows, candidates = two.seen.candidates(coming.person, coming.nth, coming.day)
        np.testing.assert_array_equal(rows, visit.rows)
        np.testing.assert_array_equal(candidates.features, visit.candidates.features)
        assert candidates.remaining_visits == visit.candidates.remaining_visits
        differ += float(np.abs(two.chance(coming, rows) - visit.chance).sum())
        answer = one.show(visit, ordered(one, visit))
        shown = rows[answer.chosen]
        two.seen.came(coming.person, coming.nth, coming.day, shown)
        two.seen.learn(coming.person, coming.nth, coming.day, shown, answer.rewards)
        rewarded += float(answer.rewards.sum())
    assert differ > 1.0
    assert rewarded > 5


def test_feedback_is_known_when_it_is_due_and_not_before() -> None:
    world = replace(WORLD, delay_days=3.0)
    shown, told = dict[str, float](), set[str]()
    play = Play(SHOP, world, seed=0)
    while visit := play.next():
        for answer in play.told():
            told.add(answer.visit.decision_id)
            assert answer.visit.coming.day + 3.0 <= visit.coming.day
        late = {name for name, day in shown.items() if day + 3.0 <= visit.coming.day}
        assert late == told
        shown[visit.decision_id] = visit.coming.day
        play.show(visit, oracle(play, visit))
    assert {answer.visit.decision_id for answer in play.told()} | told == set(shown)


def test_what_is_not_taken_again_is_not_offered_again() -> None:
    play, taken = Play(replace(SHOP, again=False), replace(WORLD, share=0.3), seed=0), set[tuple[int, int]]()
    while visit := play.next():
        person = visit.coming.person
        assert not {(person, row) for row in visit.rows.tolist()} & taken
        answer = play.show(visit, oracle(play, visit))
        taken |= {(person, row) for row in visit.rows[answer.chosen][answer.rewards > 0].tolist()}
    assert len(taken) > 50


def test_discoveries_are_first_rewards_in_an_interest() -> None:
    run = simulate(SHOP, replace(WORLD, share=0.3), named("uniform"), STATE, seed=0, keep=True)
    leaf = dict(zip(SHOP.catalog.ids, SHOP.facts.leaf.tolist(), strict=True))
    found = {
        (decision.user_id, leaf[item])
        for decision, rewards in zip(run.decisions, run.rewards, strict=True)
        for item, reward in zip(decision.item_ids, rewards, strict=True)
        if reward
    }
    assert run.discoveries.sum() == len(found) > 20


def test_kept_decisions_hold_what_was_earned() -> None:
    run = simulate(SHOP, WORLD, named("thompson-0.5"), STATE, seed=0, keep=True)
    np.testing.assert_array_equal(run.reward, [rewards.sum() for rewards in run.rewards])
    assert [decision.plan.reason for decision in run.decisions] == list(run.reasons)
    assert simulate(SHOP, WORLD, named("uniform"), STATE, seed=0).decisions == ()


def test_a_season_of_single_visits_has_no_second_one() -> None:
    run = simulate(SHOP, replace(WORLD, visits=1.0), named("uniform"), STATE, seed=0)
    assert len(run) == WORLD.users
    assert run.of_new_users(1).all()


@pytest.mark.parametrize("page", [[], [0, 0], list(range(6))])
def test_a_page_that_cannot_be_is_refused(page: list[int]) -> None:
    play = Play(SHOP, WORLD, seed=0)
    visit = play.next()
    assert visit
    with pytest.raises(InvalidInput, match="distinct"):
        play.show(visit, np.array(page, dtype=np.int64))


def test_the_warm_start_is_learned_from_other_people_and_is_worth_something() -> None:
    world = replace(WORLD, users=36)  # with so few there is one kind of users
    state = warm_start(SHOP, world, seed=0)
    assert not len(state["users.stats"])
    names = ("greedy", "uniform")
    greedy, uniform = (simulate(SHOP, world, named(name), state, seed=1).earned() for name in names)
    assert greedy > 1.2 * uniform


def test_the_past_and_the_present_have_no_user_in_common() -> None:
    assert not set(SHOP.past.tolist()) & set(SHOP.present.tolist())
    past, present = Play(SHOP, WORLD, seed=0, past=True), Play(SHOP, WORLD, seed=0)
    assert set(past._truth_user.tolist()) <= set(SHOP.past.tolist())
    assert set(present._truth_user.tolist()) <= set(SHOP.present.tolist())


def test_a_paired_interval_is_students() -> None:
    ours, theirs = [3.0, 5.0, 9.0, 4.0], [2.0, 5.0, 6.0, 1.0]
    found = paired(ours, theirs)
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found.mean == pytest.approx(1.75)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    with pytest.raises(InvalidInput, match="2 seeds"):
        paired([1.0], [1.0])


def test_a_run_says_what_was_kept_of_the_promise() -> None:
    run = simulate(SHOP, WORLD, named("uniform"), STATE, seed=0)
    assert isinstance(run, Run)
    assert run.kept(0.05) == pytest.approx(run.expected.sum() - 0.95 * run.exploit.sum())
    assert run.earned(run.of_new_users()) + run.earned(~run.of_new_users()) == pytest.approx(run.earned())
