"""What the benchmark of new items and new users withholds, counts, and compares."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import FIRST, SOON, Sequences
from honeyguide.types import Rows

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))
try:
    import cold_items
    import cold_users
    from cold_items import ColdItems, ItemResult, had, without
    from cold_users import ColdUsers, UserResult
    from curves import draw
    from hits import Found, Standing, filled, found_by
    from rank import OURS
    from simple import ByDepartment, Cosine, Counted, Habit
finally:
    sys.path.remove(str(BENCHMARKS))

ITEMS = 30


def of(*histories: list[int]) -> Sequences:
    starts = np.cumsum([0, *(len(history) for history in histories)])
    return Sequences.of_items(
        np.array([item for history in histories for item in history], dtype=int), starts
    )


def lists(sequences: Sequences) -> list[list[int]]:
    return [part.tolist() for part in np.split(sequences.tokens, sequences.starts[1:-1])]


def some(users: int = 60, seed: int = 0) -> Sequences:
    """Users with three to nine of thirty items, none twice."""
    rng = np.random.default_rng(seed)
    return of(*(rng.permutation(ITEMS)[: rng.integers(3, 10)].tolist() for _ in range(users)))


def everything(items: int = 4) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(items, dtype=np.bool_)


def test_a_target_stands_among_what_the_user_never_had() -> None:
    scores = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 1.0, 0.0]], dtype=np.float32)
    standing = Standing.in_scores(scores, of([0], [3]), np.array([2, 1]), everything())
    assert standing.above.tolist() == [1, 0]
    assert standing.level.tolist() == [0, 2]


def test_only_items_that_are_asked_about_stand_above() -> None:
    scores = np.array([[4.0, 3.0, 2.0, 1.0]], dtype=np.float32)
    standing = Standing.in_scores(scores, of([]), np.array([2]), np.array([True, False, True, True]))
    assert (standing.above.tolist(), standing.level.tolist()) == ([1], [0])
    assert scores.tolist() == [[4.0, 3.0, 2.0, 1.0]]


def test_what_is_level_counts_what_is_to_be_expected() -> None:
    # at the ninth place or the tenth or behind it, each as likely
    standing = Standing(np.array([8]), np.array([2]))
    assert standing.recall().tolist() == pytest.approx([2 / 3])
    assert standing.ndcg().tolist() == pytest.approx([(1 / np.log2(10) + 1 / np.log2(11)) / 3])
    assert Standing(np.array([10]), np.array([0])).recall().tolist() == [0.0]


def test_equal_scores_for_all_are_chance() -> None:
    found = found_by(Counted(np.zeros(ITEMS)), of([0, 1], [2, 3]), np.array([5, 6]), (everything(ITEMS),))
    assert found[0].recall == pytest.approx(10 / (ITEMS - 2))


def test_lists_tell_the_same_as_the_scores_they_are_made_of() -> None:
    rng = np.random.default_rng(1)
    scores = rng.permuted(np.tile(np.arange(ITEMS, dtype=np.float32), (8, 1)), axis=1)
    targets, among = rng.integers(0, ITEMS, 8), rng.random(ITEMS) < 0.5
    among[targets] = True
    of_scores = Standing.in_scores(scores, of(*[[]] * 8), targets, among)
    of_lists = Standing.in_lists(np.argsort(-scores, axis=1), targets, among)
    assert of_lists.above.tolist() == of_scores.above.tolist()


def test_an_item_that_is_not_in_the_list_is_missed() -> None:
    standing = Standing.in_lists(np.array([[3, 1, -1], [2, -1, -1]]), np.array([1, 1]), everything())
    assert standing.recall().tolist() == [1.0, 0.0]


def test_empty_places_show_what_is_popular_and_new_to_the_user() -> None:
    counts = np.array([9, 8, 7, 6, 5, 5])
    ranked = np.array([[3, -1, -1], [1, 2, 3], [-1, -1, -1]])
    assert filled(ranked, counts, of([0], [0], [])).tolist() == [[3, 1, 2], [1, 2, 3], [0, 1, 2]]


def test_events_about_dropped_items_are_gone() -> None:
    dropped = np.array([False, True, False, True])
    sequences = of([0, 1, 2], [3], [2, 3, 0])
    left = without(sequences, dropped)
    assert lists(left) == [[0, 2], [], [2, 0]]
    assert left.ahead.tolist() == sequences.ahead.tolist()


def test_who_had_an_item_before() -> None:
    assert had(of([0, 1], [1], []), np.array([1, 0, -1])).tolist() == [True, False, False]


def test_a_cold_item_has_no_event_at_all() -> None:
    sequences = some()
    held = ColdItems.of(sequences, ITEMS, 0.2, seed=3, most=1000)
    split = held.split
    assert held.cold.sum() == 6
    for part in (split.train, split.valid.sequences, split.history):
        assert not held.cold[part.tokens].any()
    assert not held.cold[split.valid.targets].any()
    assert lists(split.valid.sequences) == lists(split.train.of_users(split.judged))


def test_everybody_left_with_a_history_is_asked_for_the_last_item() -> None:
    sequences = some()
    held = ColdItems.of(sequences, ITEMS, 0.2, seed=3, most=1000)
    split = held.split
    assert split.targets.tolist() == sequences.from_last(0)[split.users].tolist()
    kept = without(sequences.without_last(1), held.cold)
    assert split.users.tolist() == np.flatnonzero(kept.lengths > 0).tolist()
    few = ColdItems.of(sequences, ITEMS, 0.2, seed=3, most=5).split
    assert (~held.cold[few.targets]).sum() == 5
    assert held.cold[few.targets].sum() == held.cold[split.targets].sum()


def test_another_seed_withholds_other_items() -> None:
    sequences = some()
    first, again, other = (ColdItems.of(sequences, ITEMS, 0.2, seed=s, most=9).cold for s in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


def test_popularity_finds_no_cold_item_before_a_warm_one() -> None:
    held = ColdItems.of(some(), ITEMS, 0.2, seed=3, most=1000)
    counts = np.bincount(held.split.train.tokens, minlength=ITEMS)
    found = held.result("popularity", 3, Counted(counts), 0.0)
    assert found.cold.recall == 0.0
    assert found.cold_alone.recall == 1.0  # of six, all are among the first ten
    assert found.price == 0.0


def test_lists_are_counted_as_scores_are() -> None:
    held = ColdItems.of(some(), ITEMS, 0.2, seed=3, most=1000)
    scorer = Counted(np.random.default_rng(0).permutation(ITEMS))
    order = np.argsort(-scorer.counts)
    had_before = [set(history) for history in lists(held.split.history)]
    ranked = np.full((len(had_before), ITEMS), -1)
    for user, before in enumerate(had_before):
        new = [item for item in order.tolist() if item not in before]
        ranked[user, : len(new)] = new
    assert held.result_of_lists("a", 3, ranked, 0.0) == held.result("a", 3, scorer, 0.0)


def test_a_cosine_reads_the_mean_or_the_last() -> None:
    vectors = np.array([[2.0, 0.0], [0.0, 5.0], [0.6, 0.8]], dtype=np.float32)
    asked = of([0, 1, 1])
    assert Cosine(vectors).score(asked)[0] == pytest.approx([1, 2, 2.2])
    assert Cosine(vectors, last=True).score(asked)[0] == pytest.approx([0, 1, 0.8])


def test_a_habit_comes_before_what_is_popular() -> None:
    scores = Habit(np.array([9, 1, 5])).score(of([1, 1, 2], []))
    assert np.argsort(-scores, axis=1).tolist() == [[1, 2, 0], [0, 2, 1]]


def test_popularity_by_department_follows_the_share_of_each() -> None:
    scores = ByDepartment(np.array([6, 2, 3, 1]), np.array([0, 0, 1, 1])).score(of([0, 2, 3, 3], []))
    assert scores.tolist() == pytest.approx(np.array([[3 / 16, 1 / 16, 9 / 16, 3 / 16], [0, 0, 0, 0]]))


def test_ours_stands_beside_the_better_of_two_rivals() -> None:
    half, none = Found(0.5, 0.25, 4), Found(0.0, 0.0, 4)
    ours = ItemResult(OURS, 0, half, half, half, half, 1.0)
    models = (cold_items.CHANCE, cold_items.POPULAR, *cold_items.COSINES)
    cold = (0.1, 0.0, 0.25, 0.2)
    rivals = [
        replace(ours, model=model, cold=Found(recall, recall / 2, 4), warm=none)
        for model, recall in zip(models, cold, strict=True)
    ]
    rows = [row for row in cold_items.rows([*rivals, ours]) if row.metric == "recall@10"]
    assert [(row.rival_value, row.ratio, row.met) for row in rows] == [(0.1, 5.0, True), (0.25, 2.0, True)]
    assert cold_items.rows(rivals) == []


def test_a_cold_user_is_nowhere_in_what_is_learned_from() -> None:
    sequences = of(*([user, user + 1, user + 2, user + 3] for user in range(20)))
    held = ColdUsers.of(sequences, 0.25, seed=0, events=(0, 2))
    split = held.split
    assert len(split.train) == 15
    asked = lists(split.history)
    assert asked[:5] == [[]] * 5
    # asked as the model learned it: nothing came before the first item, and all others follow at once
    assert split.history.ahead.tolist() == [FIRST] * 5 + [SOON] * 5
    users = [history[0] for history in asked[5:]]
    assert asked[5:] == [[user, user + 1] for user in users]
    assert split.targets.tolist() == [*users, *(user + 2 for user in users)]
    assert split.users.tolist() == list(range(15, 25))
    learned = {history[0] for history in lists(split.train)}
    assert learned == set(range(20)) - set(users)
    assert split.valid.targets.tolist() == sorted(user + 3 for user in learned)


def test_nobody_is_asked_for_what_is_in_the_history() -> None:
    held = ColdUsers.of(of([1, 1, 2], [3, 3, 4], [5, 5, 6]), 0.34, seed=0, events=(0, 1, 2))
    assert held.given.tolist() == [0, 2]


def test_short_histories_are_refused_with_a_remedy() -> None:
    with pytest.raises(InvalidInput, match="larger log"):
        ColdUsers.of(of([1, 2, 3]), 0.5, seed=0, events=(0, 5))


def test_rivals_show_what_is_popular_to_those_they_do_not_know() -> None:
    held = ColdUsers.of(of([0, 1, 2], [0, 2, 1], [0, 1, 3]), 0.34, seed=0, events=(0, 1))
    counts = np.array([3, 2, 1, 1])
    nothing: Rows = np.full((2, 10), -1)
    first, second = held.results("als", 0, nothing[:, :2], counts, 1.0)
    assert (first.events, first.recall, first.ndcg) == (0, 1.0, 1.0)
    assert (second.events, second.users) == (1, 1)


def test_the_best_rival_at_each_number_of_events_is_the_rival() -> None:
    of_model = {OURS: (0.2, 0.4), "als": (0.1, 0.5), "ease": (0.05, 0.8)}
    results = [
        UserResult(model, 0, events, ndcg, ndcg, 9, 1.0)
        for model, found in of_model.items()
        for events, ndcg in zip((0, 5), found, strict=True)
    ]
    assert [(row.rival, row.ratio) for row in cold_users.rows(results)] == [("als", 2.0), ("ease", 0.5)]
    assert cold_users.rows([result for result in results if result.model != OURS]) == []
    assert cold_users.curves(results)["als"] == [(0.0, 0.1), (5.0, 0.5)]


def test_curves_become_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib, of the extra dev")
    draw({"a": [(0, 1), (1, 2)], "b": [(0, 2)]}, tmp_path / "made" / "a.png", title="t", x="x", y="y")
    assert (tmp_path / "made" / "a.png").read_bytes().startswith(b"\x89PNG")
