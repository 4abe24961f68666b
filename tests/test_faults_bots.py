"""Bots that take nothing but one item push it hardly, however often they come, and cost honest people nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from honeyguide.checks.policy import equal_states
from honeyguide.explore.decide import Request, decide
from honeyguide.explore.shared import SharedPosterior
from honeyguide.explore.thompson import Thompson
from honeyguide.types import Candidates, Decision
from tests.soak import rounds
from tests.test_shared_posterior import offered, shared

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from bots import MOST_LIFT, Season, lift
finally:
    sys.path.remove(str(BENCHMARKS))

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.slow
def test_five_percent_of_bots_push_their_item_hardly(record_property: Callable[[str, object], None]) -> None:
    found = [
        one for seed in range(rounds(1, 4)) for one in Season.of(seed, rounds(60, 160), "greedy").pushed()
    ]
    earned = sum(one.left for one in found) / sum(one.earned for one in found)
    record_property("lift", f"{lift(found):.2f} over {len(found)} targets, honest people earn {earned:.3f}")
    assert lift(found) <= MOST_LIFT
    assert earned > 0.9


def _page(candidates: Candidates, number: int) -> Decision:
    policy = Thompson(shared(), level=1.0, floor=0.1, draws=8)
    request = Request(f"page-{number}", NOW)
    return decide(policy, candidates, k=3, request=request, rng=np.random.default_rng(number))


def _taught(pages: list[tuple[Decision, list[float]]]) -> SharedPosterior:
    posterior = shared()
    for page, rewards in pages:
        posterior.learn(page, np.array(rewards))
    return posterior


def test_who_takes_one_item_again_and_again_says_nothing_of_others() -> None:
    pages = [_page(offered("bot"), number) for number in range(30)]
    target = pages[0].item_ids[0]
    pages = [page for page in pages if target in page.item_ids]
    assert len(pages) > 4
    told = [(page, [float(item == target) for item in page.item_ids]) for page in pages]
    bot, nobody = _taught(told), shared()
    for user in ("somebody", "else"):
        seen = offered(user)
        assert np.array_equal(bot.about(seen).mean, nobody.about(seen).mean)
    assert not np.array_equal(bot.about(offered("bot")).mean, nobody.about(offered("bot")).mean)
    once = _taught(told[:1])
    assert not np.array_equal(once.about(offered("else")).mean, nobody.about(offered("else")).mean)


def test_who_takes_other_things_too_counts_again_and_in_any_order() -> None:
    pages = [_page(offered("ann"), number) for number in range(12)]
    one = [[float(item == pages[0].item_ids[0]) for item in page.item_ids] for page in pages[:6]]
    told = list(zip(pages, one + [[1.0, 1.0, 1.0]] * 6, strict=True))
    straight, back = _taught(told), _taught(told[::-1])
    assert equal_states(straight.state(), back.state())
    assert np.array_equal(straight.about(offered("bob")).mean, back.about(offered("bob")).mean)
    assert not np.array_equal(straight.about(offered("bob")).mean, shared().about(offered("bob")).mean)
    restored = SharedPosterior.from_state(straight.state())
    assert np.array_equal(restored.about(offered("bob")).mean, straight.about(offered("bob")).mean)


@pytest.mark.parametrize("pushed", [3, 12], ids=["set aside", "counted"])
def test_who_is_unlearned_leaves_no_trace_whether_they_counted_or_not(pushed: int) -> None:
    pages = [_page(offered("bot"), number) for number in range(12)]
    target = pages[0].item_ids[0]
    rewards = [
        [float(item == target or at >= pushed) for item in page.item_ids] for at, page in enumerate(pages)
    ]
    other = (_page(offered("cid"), 99), [1.0, 0.0, 0.0])
    alone, both = _taught([other]), _taught([other, *zip(pages, rewards, strict=True)])
    both.forget("bot")
    assert equal_states(both.state(), alone.state())
    assert np.array_equal(both.about(offered("bob")).mean, alone.about(offered("bob")).mean)
    taken_back = _taught([other, *zip(pages, rewards, strict=True)])
    for page, reward in zip(pages, rewards, strict=True):
        taken_back.unlearn(page, np.array(reward))
    assert np.array_equal(taken_back.about(offered("bob")).mean, alone.about(offered("bob")).mean)
