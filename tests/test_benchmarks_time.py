"""What the benchmarks over time know before a moment, what they ask after it, and how sets of items are found."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from honeyguide.data.table import EventTable
from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.types import EVENT_KINDS

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    from hits import filled, found_of
    from over_time import Asked, TimedResult, best_window, held_back, rows
    from rank import OURS
    from simple import Counted
    from times import WEEK_US, Log, Question, moment, next_baskets, next_items, of_items, taken_before
finally:
    sys.path.remove(str(BENCHMARKS))


def of(*histories: list[int]) -> Sequences:
    starts = np.cumsum([0, *(len(history) for history in histories)])
    return Sequences.of_items(
        np.array([item for history in histories for item in history], dtype=int), starts
    )


def lists(sequences: Sequences) -> list[list[int]]:
    return [part.tolist() for part in np.split(sequences.tokens, sequences.starts[1:-1])]


def table(*events: tuple[int, int, int], kind: str = "purchase") -> EventTable:
    """Of (user, item, time)."""
    user, item, time = (np.array(column) for column in zip(*sorted(events, key=lambda e: e[2]), strict=True))
    n = len(user)
    return EventTable(
        tuple(str(row) for row in range(int(user.max()) + 1)),
        user.astype(np.int32),
        item.astype(np.int32),
        time.astype(np.int64),
        np.full(n, EVENT_KINDS.index("purchase"), dtype=np.int8),
        np.ones(n, dtype=np.float32),
    )


# user 0 buys 1 and 2, at 10 again 1 with 3 and 4, at 12 item 5; user 1 buys 1, at 11 the same again, at 12 item 2;
# user 2 comes at 11; user 3 is gone by then
LOG = Log.of(
    "a",
    table(
        (0, 1, 1), (0, 2, 2), (0, 1, 10), (0, 3, 10), (0, 4, 10), (0, 5, 12),
        (1, 1, 3), (1, 1, 11), (1, 2, 12),
        (2, 1, 11),
        (3, 5, 4),
    ),
    np.array([0, 0, 0, 1, 1, 1]),
)  # fmt: skip


def test_a_log_knows_what_was_new_to_whom() -> None:
    assert lists(LOG.sequences) == [[1, 2, 1, 3, 4, 5], [1, 1, 2], [1], [5]]
    assert LOG.first.tolist() == [True, True, False, True, True, True, True, False, True, True, True]
    assert lists(LOG.before(10)) == [[1, 2], [1], [], [5]]
    assert lists(LOG.firsts_before(12)) == [[1, 2, 3, 4], [1], [1], [5]]
    assert LOG.counts(0, 12, first=False).tolist() == [0, 5, 1, 1, 1, 1]
    assert LOG.counts(10, 13, first=True).tolist() == [0, 1, 1, 1, 1, 1]


def test_who_is_asked_is_asked_about_the_moment_of_taking() -> None:
    minute = 60_000_000
    log = Log.of("a", table((0, 1, 0), (0, 1, minute), (0, 2, 41 * minute)), np.zeros(3, dtype=np.int64))
    question = next_items(log, 2 * minute, 42 * minute, new=True)
    assert question.moments.tolist() == [41 * minute]
    everything = log.asked(question, first_only=False)
    assert lists(everything) == [[1, 1]]
    assert (everything.gaps.tolist(), everything.ahead.tolist()) == ([0, 3], [4])
    once = log.asked(question, first_only=True)
    assert (lists(once), once.gaps.tolist(), once.ahead.tolist()) == ([[1]], [0], [4])


def test_searches_and_what_was_only_shown_are_left_out() -> None:
    events = table((0, 1, 1), (0, -1, 2), (0, 2, 3))
    events.kind[2] = EVENT_KINDS.index("impression")
    assert lists(Log.of("a", events, np.zeros(3, dtype=np.int64)).sequences) == [[1]]


def test_who_has_a_history_is_asked_for_the_next_item() -> None:
    question = next_items(LOG, 10, 13, new=False)
    assert question.users.tolist() == [0, 1]
    first, second = lists(question.wanted)
    assert first[0] in {1, 3, 4}
    assert second == [1]
    drawn = {lists(next_items(LOG, 10, 13, new=False, seed=seed).wanted)[0][0] for seed in range(20)}
    assert drawn == {1, 3, 4}


def test_the_next_new_item_is_one_never_taken() -> None:
    question = next_items(LOG, 10, 13, new=True)
    assert question.users.tolist() == [0, 1]
    assert lists(question.wanted)[0][0] in {3, 4}
    assert lists(question.wanted)[1] == [2]
    assert next_items(LOG, 10, 12, new=True).users.tolist() == [0]


def test_a_next_basket_wants_all_that_is_new_in_it() -> None:
    question = next_baskets(LOG, 10, 13)
    assert question.users.tolist() == [0]  # the other's next basket holds nothing new
    assert lists(question.wanted) == [[3, 4]]
    assert next_baskets(LOG, 12, 13).users.tolist() == [0, 1]
    assert lists(next_baskets(LOG, 12, 13).wanted) == [[5], [2]]


def test_sets_are_found_by_their_share_and_place() -> None:
    ranked = np.array([[7, 3, 9, -1], [3, 1, 2, 0]])
    found = found_of(ranked, of([3, 9, 4], [3]), k=2)
    assert found.users == 2
    assert found.recall == pytest.approx((1 / 3 + 1) / 2)
    best = 1 + 1 / np.log2(3)
    assert found.ndcg == pytest.approx((1 / np.log2(3) / best + 1) / 2)


def test_gaps_show_what_a_user_had_where_that_is_wanted() -> None:
    ranked, counts = np.array([[2, -1]]), np.array([9, 5, 1])
    assert filled(ranked, counts, of([0])).tolist() == [[2, 1]]
    assert filled(ranked, counts, of([0]), keep_seen=True).tolist() == [[2, 0]]


def test_the_last_event_of_some_is_held_back() -> None:
    before = of(*([user, user + 1] for user in range(20)), [5])
    train, judged, valid, taken = held_back(before, seed=0)
    assert len(judged) == 7
    assert lists(valid.sequences) == [[user] for user in judged.tolist()]
    assert valid.targets.tolist() == taken.tokens.tolist() == (judged + 1).tolist()
    assert len(train.tokens) == len(before.tokens) - 7


def test_lists_show_what_was_had_only_where_that_may_be_wanted() -> None:
    log = Log.of(
        "a", table(*((0, i, i) for i in range(15)), (0, 14, 20), (0, 15, 21)), np.zeros(30, dtype=np.int64)
    )
    counts = Counted(np.arange(30)[::-1])
    train, judged, valid, _ = held_back(log.before(18), seed=0)
    for new, first in ((False, 0), (True, 15)):
        question = next_items(log, 18, 30, new=new)
        asked = Asked.of(log, question, train, judged, valid, first_only=False)
        ranked = asked.lists(counts)
        assert ranked[0].tolist() == list(range(first, first + 10))
        assert asked.result("a", 0, ranked, 0.0).recall == float(new)


def test_the_window_is_the_one_that_did_best_before_the_day() -> None:
    # what others took: ten items by four each in the first week, item 2 by three in the third, ten more in the fourth
    week = WEEK_US
    events = [(user, 10 + item, item) for user in range(4) for item in range(10)]
    events += [(user, 2, 2 * week + user) for user in range(3)]
    events += [(5, 20 + item, 3 * week + item) for item in range(10)]
    # who is asked has a history, and takes item 2 in the fifth
    events += [(user, 30 + user, user) for user in range(6, 9)]
    events += [(user, 2, 4 * week + user) for user in range(6, 9)]
    log = Log.of("a", table(*events), np.zeros(40, dtype=np.int64))

    def ask(log: Log, since: int, until: int) -> Question:
        return next_items(log, since, until, new=True)

    assert best_window(log, ask, 5 * week, week) == 2


def test_items_seldom_taken_go_from_the_log_as_well() -> None:
    events = table((0, 1, 1), (0, 3, 2), (1, 3, 3), (1, 1, 9), (1, -1, 9))
    kept = taken_before(events, 9, 5, 2)
    assert kept.tolist() == [3]
    assert of_items(events, kept, 5).item.tolist() == [0, 0]
    assert taken_before(events, 9, 5, 0).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(InvalidInput, match="fewer"):
        taken_before(events, 9, 5, 3)


def test_a_day_is_a_moment_in_utc() -> None:
    assert moment("1970-01-02") == 24 * 3600 * 1_000_000


def test_ours_stands_beside_each_rival_question_by_question() -> None:
    results = [
        TimedResult(question, model, 0, ndcg, ndcg, 5, 0.0)
        for question, model, ndcg in (
            ("a", "als", 0.1),
            ("a", OURS, 0.2),
            ("b", OURS, 0.3),
            ("b", "als", 0.6),
        )
    ]
    assert [(row.name, row.rival, row.ratio) for row in rows(results)] == [
        ("a", "als", 2.0),
        ("b", "als", 0.5),
    ]
    assert rows(results[:1]) == []
