"""Labels of texts: when two are the same, what reviews feel, what messages ask for, and how they are split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.data.labels.intents import Intents, intents
from honeyguide.data.labels.rewards import StarScale
from honeyguide.data.labels.sentiment import SENTIMENTS, Sentiments, sentiment_of, sentiments
from honeyguide.data.labels.stratify import stratified
from honeyguide.data.labels.texts import agreeing, same_text, text_groups
from honeyguide.errors import InvalidInput, NotReady
from tests.label_tables import store


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is my order?", "where is my  order"),
        ("don't like it", "Don’t like it!!"),
        ("don't like it", "dont like it"),
        ("STRASSE", "straße"),
        ("ﬁne", "fine"),
        ("cafe\u0301", "CAFÉ."),
        ("<b>fine</b> &amp; good", "fine & good"),
        ("well-made", "well made"),
        ("snake_case", "snake case"),
        ("质量很好。", "质量很好！"),
    ],
)
def test_case_punctuation_and_blanks_make_no_other_text(one: str, other: str) -> None:
    assert same_text(one) == same_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("good", "not good"),
        ("👍", "👎"),
        ("???", "!!!"),
        ("5% off", "5 off"),
        ("कि", "कु"),  # the vowel is a mark
        ("c++", "c"),
        ("order 12", "order 13"),
    ],
)
def test_what_says_something_else_is_another_text(one: str, other: str) -> None:
    assert same_text(one) != same_text(other)


@given(st.text(), st.sampled_from(["", " ", ".", " !", "\n"]))
def test_what_stands_around_a_text_changes_nothing(text: str, around: str) -> None:
    if any(letter.isalnum() for letter in same_text(text)) and "<" not in text and "&" not in text:
        assert same_text(around + text + around) == same_text(text)


@given(st.lists(st.tuples(st.sampled_from("aAbBcC"), st.integers(0, 2)), max_size=20))
def test_groups_agree_where_all_their_labels_are_one(rows: list[tuple[str, int]]) -> None:
    group = text_groups(text for text, _ in rows)
    label = np.array([label for _, label in rows], dtype=np.int64)
    assert list(dict.fromkeys(group.tolist())) == list(range(len({text.lower() for text, _ in rows})))
    wanted = [len({lab for other, lab in rows if other.lower() == text.lower()}) == 1 for text, _ in rows]
    assert agreeing(group, label).tolist() == wanted


@pytest.mark.parametrize(
    ("low", "high", "negative", "neutral", "positive"),
    [
        (1, 5, [1, 1.5, 2, 2.5], [3, 3.25], [3.5, 4, 4.5, 5]),
        (0, 5, [0, 1, 2], [2.5, 3], [3.5, 4, 5]),
        (1, 10, [1, 2, 3, 4], [5, 6], [7, 8, 9, 10]),
        (0, 10, [0, 1, 2, 3, 4], [5, 6], [7, 8, 9, 10]),
        (0, 100, [0, 40], [41, 60], [61, 100]),
        (0, 1, [0], [0.5], [1]),
        (-1, 1, [-1], [0], [1]),
    ],
)
def test_stars_become_sentiments_by_their_share_of_the_scale(
    low: float, high: float, negative: list[float], neutral: list[float], positive: list[float]
) -> None:
    for name, stars in zip(SENTIMENTS, (negative, neutral, positive), strict=True):
        found = sentiment_of(np.array(stars), StarScale(low, high))
        assert [SENTIMENTS[row] for row in found] == [name] * len(stars)


def reviews(folder: Path, rows: list[tuple[str | None, float | None]], **options: Any) -> Sentiments:
    who = {"user_id": "u", "item_id": "i", "kind": "rating"}
    events = [
        {**who, "event_id": f"e{n}", "time": n, "text": text, "value": stars}
        for n, (text, stars) in enumerate(rows)
    ]
    return sentiments(store(folder, "events", events), **options)


def test_a_review_counts_once_and_not_at_all_where_its_texts_contradict_each_other(tmp_path: Path) -> None:
    found = reviews(
        tmp_path,
        [
            ("Lovely!", 5),
            ("it broke", 1),
            ("lovely", 4),
            ("Fine", 3),
            ("OK", 5),
            ("ok.", 2),
            ("ok", 5),
            ("no stars", None),
            (None, 5),
            ("  ", 5),
        ],
    )
    assert found.texts == ("Lovely!", "it broke", "Fine")
    assert [SENTIMENTS[row] for row in found.label] == ["positive", "negative", "neutral"]
    assert (found.stars.tolist(), found.counts.tolist()) == ([5, 1, 3], [1, 1, 1])
    assert (np.diff(found.time_us) > 0).all()
    assert (found.repeated, found.contradictory, found.starless) == (1, 3, 1)


def test_the_scale_is_told_from_all_ratings_or_given(tmp_path: Path) -> None:
    rows: list[tuple[str | None, float | None]] = [("four", 4), (None, 8)]
    assert reviews(tmp_path, rows).counts.tolist() == [1, 0, 0]
    assert reviews(tmp_path, rows, scale=StarScale(1, 5)).counts.tolist() == [0, 0, 1]
    assert reviews(tmp_path, rows[:1]).counts.tolist() == [0, 0, 1]
    assert reviews(tmp_path, []).texts == ()
    with pytest.raises(NotReady, match="honeyguide import"):
        sentiments(tmp_path / "nowhere.parquet")


def test_words_that_come_with_something_else_than_a_rating_are_no_review(tmp_path: Path) -> None:
    event = {"event_id": "e", "user_id": "u", "item_id": "i", "time": 0, "text": "nice", "value": 5}
    assert sentiments(store(tmp_path, "events", [{**event, "kind": "purchase"}])).texts == ()


def messages(folder: Path, rows: list[tuple[str, str | None]], **options: Any) -> Intents:
    stored = [
        {"message_id": f"m{n:04}", "text": text, "intent": intent} for n, (text, intent) in enumerate(rows)
    ]
    return intents(store(folder, "messages", stored), **options)


def test_intents_need_enough_messages_that_nothing_contradicts(tmp_path: Path) -> None:
    rows: list[tuple[str, str | None]] = [
        ("Where is it?", "track"),
        ("where is it", "track"),
        ("still waiting", "track"),
        ("money back", "refund"),
        ("Money back!", "complain"),
        ("give it back", "refund"),
        ("my money please", "refund"),
        ("I am angry", "complain"),
        ("hello", None),
    ]
    found = messages(tmp_path, rows, least=2)
    assert found.names == ("refund", "track")
    assert found.texts == ("Where is it?", "where is it", "still waiting", "give it back", "my money please")
    assert found.label.tolist() == [1, 1, 1, 0, 0]
    assert len(set(found.ids)) == 5
    assert found.counts.tolist() == [2, 3]
    assert found.group[0] == found.group[1]
    assert len(set(found.group.tolist())) == 4
    assert (found.contradictory, found.rare, found.unlabelled) == (2, 1, 1)


def test_without_messages_there_are_no_intents(tmp_path: Path) -> None:
    assert messages(tmp_path, []).names == ()
    assert messages(tmp_path, [("hello", None)]).unlabelled == 1
    with pytest.raises(InvalidInput, match="least"):
        messages(tmp_path, [], least=0)
    with pytest.raises(NotReady, match="honeyguide import"):
        intents(tmp_path / "nowhere.parquet")


@given(
    st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 8)), max_size=60),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5), (1.0,)]),
    st.integers(0, 2**32 - 1),
)
def test_a_class_has_its_shares_but_for_the_size_of_a_group_and_no_group_is_torn(
    rows: list[tuple[int, int]], shares: tuple[float, ...], seed: int
) -> None:
    label = np.array([label for label, _ in rows], dtype=np.int64)
    group = label * 100 + np.array([group for _, group in rows], dtype=np.int64)
    part = stratified(label, group, shares=shares, rng=np.random.default_rng(seed))
    assert len(part) == len(rows)
    for name in np.unique(group):
        assert len(set(part[group == name].tolist())) == 1
    for name in np.unique(label):
        mine = label == name
        if name < 0:
            assert (part[mine] == 0).all()
            continue
        largest = max(Counter(group[mine].tolist()).values())
        for number, share in enumerate(shares):
            over = (part[mine] == number).sum() - share * mine.sum()
            assert over < largest + 1e-9
            assert over > -len(shares) * largest


def test_ten_of_a_class_are_eight_one_and_one_and_chance_alone_says_which() -> None:
    label, group = np.repeat([0, 1], 10), np.arange(20)
    parts = [stratified(label, group, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)]
    for part in parts:
        assert np.bincount(part[:10]).tolist() == np.bincount(part[10:]).tolist() == [8, 1, 1]
    assert np.array_equal(parts[0], parts[1])
    assert not np.array_equal(parts[0], parts[2])


def test_what_small_classes_miss_later_ones_make_up_for() -> None:
    """Of two texts a class can hold out one or none: over many classes the shares come out all the same."""
    label, group = np.repeat(np.arange(300), 4), np.repeat(np.arange(600), 2)
    part = stratified(label, group, rng=np.random.default_rng(0))
    assert np.abs(np.bincount(part) / len(part) - [0.8, 0.1, 0.1]).max() < 0.005
    assert set(label[part == 0].tolist()) == set(range(300))  # and no class is unknown in training


def test_a_split_that_makes_no_sense_is_refused() -> None:
    rng = np.random.default_rng(0)
    one, two = np.array([0]), np.array([0, 1])
    for shares in ((0.5, 0.6), (1.0, 0.0), ()):
        with pytest.raises(InvalidInput, match="sum to 1"):
            stratified(one, one, shares=shares, rng=rng)
    with pytest.raises(InvalidInput, match="one entry per row"):
        stratified(one, two, rng=rng)
    with pytest.raises(InvalidInput, match="one label"):
        stratified(two, np.array([5, 5]), rng=rng)
