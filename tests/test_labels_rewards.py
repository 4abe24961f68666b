from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.data.labels.rewards import StarScale, graded, rewards
from honeyguide.data.labels.visits import outcomes, visits
from honeyguide.errors import InvalidInput
from honeyguide.types import EVENT_KINDS
from tests.label_tables import Entry, entries, grade, make_table

RATING = EVENT_KINDS.index("rating")


@pytest.mark.parametrize(
    ("given_stars", "low", "high"),
    [
        ([], 1, 5),
        ([np.nan], 1, 5),
        ([1, 3, 5], 1, 5),
        ([2, 4], 1, 5),
        ([0.5, 5], 0, 5),
        ([0, 5], 0, 5),
        ([1, 7], 1, 10),
        ([0, 9], 0, 10),
        ([0, 1], 0, 1),
        ([1, 1], 0, 1),
        ([20, 95], 0, 100),
        ([-1, 1], -1, 1),
        ([-1], -1, 1),
        ([0, 250], 0, 250),
    ],
)
def test_the_scale_is_the_usual_one_that_all_ratings_fit_on(
    given_stars: list[float], low: float, high: float
) -> None:
    assert StarScale.of(np.array(given_stars, dtype=np.float32)) == StarScale(low, high)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1))
def test_every_rating_lies_on_the_scale_told_from_it_and_more_stars_are_never_less(
    given_stars: list[float],
) -> None:
    stars = np.sort(np.array(given_stars, dtype=np.float64))
    scale = StarScale.of(stars)
    assert ((stars >= scale.low) & (stars <= scale.high)).all()
    share = scale.share(stars)
    assert ((share >= 0) & (share <= 1)).all()
    assert (np.diff(share) >= 0).all()
    assert scale.share(np.array([scale.low, scale.high])).tolist() == [0.0, 1.0]


def test_a_rating_earns_its_stars_share_of_the_grade_and_all_of_it_without_stars() -> None:
    kind = np.array([RATING] * 6, dtype=np.int8)
    stars = np.array([1, 2, 3, 5, np.nan, 9])  # nine of five is five
    earned = graded(kind, stars, grade=grade, scale=StarScale(1, 5))
    assert earned.tolist() == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.4, 0.4])
    assert graded(kind, stars, grade=grade).tolist() == [0.4] * 6


@given(entries)
def test_only_ratings_depend_on_their_value_and_only_items_earn(rows: list[Entry]) -> None:
    log = make_table(rows)
    flat, starred = rewards(log, grade=grade), rewards(log, grade=grade, scale=StarScale(1, 5))
    for at in range(len(log)):
        wanted = grade(EVENT_KINDS[log.kind[at]]) if log.item[at] >= 0 else 0.0
        assert flat[at] == wanted
        if log.kind[at] == RATING and not np.isnan(log.value[at]):
            wanted *= (float(log.value[at]) - 1) / 4
        assert starred[at] == pytest.approx(wanted)


@settings(deadline=None)
@given(entries)
def test_on_a_scale_outcomes_are_those_of_the_starred_rewards(rows: list[Entry]) -> None:
    log = make_table(rows)
    found = visits(log, origin_us=0)
    result = outcomes(log, found, grade=grade, window_days=7, scale=StarScale(1, 5))
    earned = rewards(log, grade=grade, scale=StarScale(1, 5))
    for visit in range(len(found)):
        part = slice(*result.starts[visit : visit + 2])
        start, end = found.time_us[visit], found.time_us[visit] + 7 * 86_400_000_000
        mine = (log.user == found.user[visit]) & (log.time_us > start) & (log.time_us <= end) & (earned > 0)
        best = {int(i): max(earned[mine & (log.item == i)]) for i in np.unique(log.item[mine])}
        assert dict(zip(result.item[part].tolist(), result.reward[part].tolist(), strict=True)) == best


@pytest.mark.parametrize(("low", "high"), [(5, 1), (1, 1), (0, np.inf), (np.nan, 1)])
def test_a_scale_without_room_is_refused(low: float, high: float) -> None:
    with pytest.raises(InvalidInput, match="below the highest"):
        StarScale(low, high)
