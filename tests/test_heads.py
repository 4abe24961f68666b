"""Chances of what visitors do: as often right as they say, in planted worlds whose chances are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import spearmanr

from honeyguide.interests.heads import Head, Heads
from honeyguide.interests.heads_fit import Choices, HeadExamples, calibrated, follow, learn_head
from honeyguide.interests.heads_quality import head_quality, reliability
from honeyguide.interests.heads_signs import Prices
from honeyguide.interests.users import History
from honeyguide.types import Floats

WEIGHTS = np.array([1.2, -0.8, 0.0, 0.5])
BIAS = -2.5


def world(users: int = 400, seed: int = 0) -> tuple[HeadExamples, Floats]:
    """Pages of 30 candidates whose chance is a logistic of four signs, and those chances."""
    rng = np.random.default_rng(seed)
    signs = rng.normal(size=(users * 30, 4)).astype(np.float32)
    chances = expit(BIAS + signs @ WEIGHTS)
    came = rng.random(len(chances)) < chances
    user = np.repeat(np.arange(users), 30)
    nothing = np.zeros((len(chances), 2), dtype=np.float32)
    return HeadExamples(signs, nothing, came, user, np.ones(len(chances))), chances


def fewer(examples: HeadExamples, keep: float, seed: int = 1) -> HeadExamples:
    """The same pages with only some of the candidates for which nothing came, each counting for those left out."""
    kept = examples.came | (np.random.default_rng(seed).random(len(examples)) < keep)
    weight = np.where(examples.came, 1.0, 1 / keep)[kept]
    return HeadExamples(
        examples.signs[kept], examples.follows[kept], examples.came[kept], examples.user[kept], weight
    )


def said(head: Head, examples: HeadExamples) -> Floats:
    return np.asarray(expit(head.log_odds(examples.signs, examples.follows)))


def test_chances_are_as_often_right_as_they_say_for_users_never_seen() -> None:
    head, quality, following = learn_head(world()[0], None)
    fresh, chances = world(seed=9)
    found = head_quality(said(head, fresh), fresh.came)
    assert found.ece < 0.01
    assert abs(said(head, fresh) - chances).max() < 0.06
    assert found.log_loss < 0.85 * found.base_log_loss
    assert quality.ece < 0.015
    assert quality.auc == pytest.approx(found.auc, abs=0.02)
    assert following is None


def test_the_order_is_that_of_the_planted_chances() -> None:
    head, _, _ = learn_head(world()[0], None)
    fresh, chances = world(seed=9)
    assert spearmanr(said(head, fresh), chances).statistic > 0.99


def test_leaving_out_candidates_for_which_nothing_came_does_not_raise_the_chances() -> None:
    examples, _ = world()
    some = fewer(examples, 0.1)
    fresh, chances = world(seed=9)
    assert len(some) < 0.4 * len(examples)
    head, quality, _ = learn_head(some, None)
    assert said(head, fresh).mean() == pytest.approx(chances.mean(), rel=0.05)
    assert quality.base == pytest.approx(chances.mean(), rel=0.05)
    raised, _, _ = learn_head(replace(some, weight=np.ones(len(some))), None)
    assert said(raised, fresh).mean() > 2 * chances.mean()


def test_what_is_the_same_for_all_changes_nothing() -> None:
    examples, _ = world(100)
    constant = np.full((len(examples), 1), 7.0, dtype=np.float32)
    more = replace(examples, signs=np.concatenate([examples.signs, constant], axis=1))
    head, _, _ = learn_head(more, None)
    assert head.weights[-1] == 0
    assert said(head, more) == pytest.approx(said(learn_head(examples, None)[0], examples), abs=1e-6)


def test_calibration_undoes_what_is_too_sure() -> None:
    examples, chances = world()
    slope, shift = calibrated(2 * logit(chances) + 1, examples.came, examples.weight)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert shift == pytest.approx(-0.5, abs=0.08)


def choices(n: int, weight: float, seed: int = 0) -> Choices:
    """Each of n choices among 20: by one sign at a weight of 1, and by how likely each is next, at `weight`."""
    rng = np.random.default_rng(seed)
    signs = rng.normal(size=(20 * n, 1)).astype(np.float32)
    likely = rng.random(20 * n)
    odds = (signs[:, 0] + weight * likely + rng.gumbel(size=20 * n)).reshape(n, 20)
    taken = odds.argmax(axis=1) + 20 * np.arange(n)
    follows = np.column_stack([likely, np.zeros(20 * n)]).astype(np.float32)
    return Choices(signs, follows, 20 * np.arange(n + 1), taken)


ALONE = Head(0.0, np.ones(1), np.zeros(2))


def test_what_comes_next_counts_as_much_as_it_says() -> None:
    weights, found = follow(choices(600, 4.0), ALONE)
    assert found.used
    assert found.gain > 2 * found.error > 0
    assert weights == pytest.approx([1.0, 4.0, 0.0], abs=0.5)


def test_what_says_nothing_of_what_comes_next_is_left_out() -> None:
    for world_ in (choices(600, 0.0), choices(20, 4.0)):  # noise; too few to tell
        weights, found = follow(world_, ALONE)
        assert not found.used
        assert weights.tolist() == [1.0, 0.0, 0.0]


def test_with_what_comes_next_the_pages_are_as_often_right_as_before() -> None:
    examples, _ = world()
    rng = np.random.default_rng(4)
    follows = np.column_stack([rng.random(len(examples)), np.zeros(len(examples))]).astype(np.float32)
    examples = replace(examples, follows=follows)
    wide = choices(600, 4.0)
    same = replace(wide, signs=np.concatenate([wide.signs, np.zeros((len(wide.signs), 3))], axis=1))
    head, _, following = learn_head(examples, same)
    assert following is not None
    assert following.used
    assert head.follow[0] > 2
    assert said(head, examples).mean() == pytest.approx(examples.came.mean(), rel=1e-3)


def test_quality_is_as_worked_out_by_hand() -> None:
    chances, came = np.array([0.2, 0.8, 0.4, 0.8]), np.array([False, True, True, False])
    found = head_quality(chances, came)
    assert found.base == 0.5
    # of four pairs 0.8 > 0.2, 0.4 > 0.2 and half of 0.8 = 0.8 are right
    assert found.auc == pytest.approx(2.5 / 4)
    assert found.log_loss == pytest.approx(-np.log([0.8, 0.8, 0.4, 0.2]).mean())
    assert found.base_log_loss == pytest.approx(np.log(2))
    assert head_quality(chances, np.zeros(4, dtype=np.bool_)).auc == 0.5


def test_a_row_that_stands_for_three_counts_three_times() -> None:
    chances, came = np.array([0.1, 0.4, 0.7]), np.array([False, False, True])
    thrice = np.array([0, 1, 1, 1, 2])
    weighted = head_quality(chances, came, np.array([1.0, 3.0, 1.0]))
    repeated = head_quality(chances[thrice], came[thrice])
    assert weighted.ece == pytest.approx(repeated.ece)
    assert (weighted.auc, weighted.base) == pytest.approx((repeated.auc, repeated.base))
    assert weighted.log_loss == pytest.approx(repeated.log_loss)


def test_bins_hold_everything_once_in_ascending_order() -> None:
    _, chances = world(20)
    bins = reliability(chances, chances > 0.5, np.ones(len(chances)))
    assert sum(one.share for one in bins) == pytest.approx(1)
    given = [one.given for one in bins]
    assert given == sorted(given)
    assert sum(one.share * one.given for one in bins) == pytest.approx(chances.mean())


def test_prices_are_seen_beside_their_interest_and_what_the_user_pays() -> None:
    prices = Prices.of([1.0, 4.0, 16.0, None], np.array([0, 0, 0, 1]))
    rows = np.array([0, 2, 3])
    none = np.empty(0, dtype=np.int64)
    stranger = History.of(none, none, none)
    log = np.log(4)
    assert prices.signs(stranger, rows) == pytest.approx(
        np.array([[-log, 0, 0, 0], [log, 0, 0, 0], [0, 0, 0, 0]])
    )
    knows = History.of(np.array([0, 1]), np.array([1000, 1000]), np.array([5, 6]))
    assert prices.signs(knows, rows) == pytest.approx(
        np.array([[-log, -log / 2, log / 2, 0], [log, 1.5 * log, 1.5 * log, 1], [0, 0, 0, 0]])
    )


def test_the_state_is_the_heads() -> None:
    prices = Prices.of([1.0, None], np.array([0, 1]))
    heads = Heads({"purchase": Head(-1.5, np.array([0.25, 2.0]), np.array([3.0, -1.0]))}, prices)
    again = Heads.from_state(*heads.state())
    assert again.of["purchase"].bias == -1.5
    assert again.of["purchase"].weights.tolist() == [0.25, 2.0]
    assert again.of["purchase"].follow.tolist() == [3.0, -1.0]
    assert np.array_equal(again.prices.log, prices.log, equal_nan=True)
