"""What pages that the shop ranked say of the learned policy: agreement, the least it keeps, and the model's word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from honeyguide.checks.journal import sample_decision
from honeyguide.evaluate.apprentice import STAGES, ApprenticeReport, compare
from honeyguide.types import Candidates, Decision, Floats, Plan

SAMPLE = sample_decision(0)


def ranked(
    day: int, shown: tuple[int, ...], scores: tuple[float, ...], *rewards: float, user: str = "ann"
) -> tuple[Decision, Floats]:
    """A page of a shop that ranks its items as `shown`, whom the learned policy expects to earn `scores`."""
    n = len(scores)
    candidates = Candidates(user, SAMPLE.candidates.item_ids[:n], SAMPLE.candidates.features[:n])
    decision = replace(
        SAMPLE,
        time=SAMPLE.time + timedelta(days=day),
        user_id=user,
        candidates=candidates,
        plan=Plan(0.0, "", np.array(scores)),
        pmf=np.zeros(n),
        chosen=np.array(shown),
        propensities=np.ones(len(shown)),
        why=("",) * len(shown),
        page_size=len(shown),
        pins=tuple(enumerate(shown)),
    )
    return decision, np.array(rewards)


def test_one_page_is_compared_as_by_hand() -> None:
    """Learned: 3, 1, 0. Both show 1 and 3, promised .7 and earned 1; of the rest .2 is promised, and 1/.7 comes."""
    found = compare([ranked(0, (1, 3, 2), (0.2, 0.3, 0.1, 0.4), 1.0, 0.0, 0.5)])
    whole = found.whole
    assert whole is not None
    assert (whole.top, whole.overlap) == pytest.approx((0.0, 2 / 3))
    assert (whole.earned, whole.on_both) == (1.5, 1.0)
    assert (whole.promised, whole.promised_shop) == pytest.approx((0.9, 0.8))
    assert whole.expected == pytest.approx(1.0 + 1.0 / 0.7 * 0.2)
    assert (whole.pages, whole.users, whole.first_day, whole.last_day) == (1, 1, "2026-01-01", "2026-01-01")
    assert found.matched_since is None
    assert found.stretches == (whole,)


def test_where_both_pages_are_one_the_learned_one_earns_what_the_shops_did() -> None:
    found = compare(
        [ranked(0, (0, 1), (0.9, 0.5, 0.1), 0.2, 1.0), ranked(3, (0, 1), (0.9, 0.5, 0.1), 0.0, 0.2)]
    )
    whole = found.whole
    assert whole is not None
    assert (whole.top, whole.overlap) == (1.0, 1.0)
    assert whole.expected == pytest.approx(whole.earned)
    assert found.matched_since == "2026-01-01"


def test_where_the_pages_have_nothing_in_common_there_is_nothing_to_calibrate_by() -> None:
    found = compare([ranked(0, (0, 1), (0.1, 0.1, 0.9, 0.8), 1.0, 1.0)])
    assert found.whole is not None
    assert (found.whole.overlap, found.whole.on_both, found.whole.expected) == (0.0, 0.0, None)
    assert found.matched_since is None


def test_no_page_says_nothing() -> None:
    assert compare([]) == ApprenticeReport(None, (), None)


def _learns(pages: int) -> list[tuple[Decision, Floats]]:
    """What is learned comes to be the shop's page after half of the time; before, it has half of it right."""
    right, wrong = (0.5, 0.4, 0.1, 0.0), (0.5, 0.0, 0.1, 0.4)
    return [
        ranked(day, (0, 1), right if day >= pages // 2 else wrong, 0.4, 0.6, user=f"user-{day % 7}")
        for day in range(pages)
    ]


def test_since_when_the_learned_page_would_do_is_told_by_stretches() -> None:
    """Early, .4 is earned by what is on both and promised .5: the other half of the page is worth .4 / .5 of .4."""
    found = compare(_learns(400))
    assert [one.pages for one in found.stretches] == [50] * STAGES
    assert [one.overlap for one in found.stretches] == [0.5] * 4 + [1.0] * 4
    assert found.stretches[0].expected == pytest.approx(0.4 + 0.8 * 0.4)
    assert found.stretches[-1].expected == pytest.approx(1.0)
    assert found.matched_since == found.stretches[4].first_day == "2026-07-20"
    assert found.whole is not None
    assert (found.whole.pages, found.whole.users) == (400, 7)


def test_a_stretch_is_calibrated_by_what_came_before_it_and_never_after() -> None:
    pages = _learns(400)
    changed = [*pages[:200], *(replace_rewards(page) for page in pages[200:])]
    assert compare(pages).stretches[:4] == compare(changed).stretches[:4]
    assert compare(pages).stretches[4:] != compare(changed).stretches[4:]


def replace_rewards(page: tuple[Decision, Floats]) -> tuple[Decision, Floats]:
    return page[0], np.zeros(len(page[1]))


def test_the_order_of_the_journal_does_not_matter() -> None:
    pages = _learns(120)
    assert compare(pages[::-1]) == compare(pages)


def test_few_pages_are_not_cut_into_stretches_that_say_nothing() -> None:
    assert len(compare(_learns(99)).stretches) == 1
    assert [one.pages for one in compare(_learns(125)).stretches] == [62, 63]
