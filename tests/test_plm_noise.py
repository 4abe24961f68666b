"""Noise on texts, synonyms from co-clicks and views of histories: how much happens, and that nothing else does."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.errors import InvalidInput
from honeyguide.plm.augment import Noise
from honeyguide.plm.histories import Histories, Operations, ViewFeed, crop, mask, reorder
from honeyguide.plm.noise import (
    NEIGHBOURS,
    Worded,
    drop_words,
    insert_words,
    mistype,
    mistype_words,
    replace_words,
    shuffle_words,
    swap_words,
)
from honeyguide.plm.synonyms import Leads, Synonyms, learn_synonyms

TITLE = "Red wine from the south of France, dry and full 750 ml bottle"


def edits(one: str, other: str) -> int:
    """Damerau-Levenshtein distance (optimal string alignment), by the book."""
    far = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    far[:, 0], far[0, :] = range(len(one) + 1), range(len(other) + 1)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            far[i, j] = min(far[i - 1, j] + 1, far[i, j - 1] + 1, far[i - 1, j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                far[i, j] = min(far[i, j], far[i - 2, j - 2] + 1)
    return int(far[-1, -1])


@given(st.text(max_size=40))
def test_a_text_is_put_together_as_it_was(text: str) -> None:
    words = Worded.of(text)
    assert str(words) == text
    assert not any(part.isspace() or not part for part in words.words)
    rng = np.random.default_rng(0)
    for same in (drop_words(words, 0, rng), swap_words(words, 0, rng), mistype_words(words, 0, rng)):
        assert str(same) == text
    nothing = Noise(synonyms=0, insertion=0, swap=0, deletion=0, typos=0)
    assert nothing.apply(text, rng) == Noise(share=0).apply(text, rng) == text


@given(st.text(max_size=40), st.integers(0, 1000))
def test_noise_leaves_a_word_and_is_the_same_for_the_same_seed(text: str, seed: int) -> None:
    wild = Noise(1.0, 1.0, 1.0, 1.0, 1.0)
    noisy = wild.apply(text, np.random.default_rng(seed))
    assert noisy == wild.apply(text, np.random.default_rng(seed))
    assert bool(Worded.of(noisy).words) == bool(Worded.of(text).words)


@given(st.sampled_from(["shampoo", "Wine", "0.75l", "don't", "naïve", "ab", "紅酒"]), st.integers(0, 10_000))
def test_a_typo_is_one_slip_of_a_finger(word: str, seed: int) -> None:
    wrong = mistype(word, np.random.default_rng(seed))
    letters = sum(letter.lower() in NEIGHBOURS for letter in word)
    assert edits(word, wrong) == (1 if letters >= 3 else 0)
    assert {a in NEIGHBOURS[b] for a in NEIGHBOURS for b in NEIGHBOURS[a] if b in NEIGHBOURS} == {True}


def test_all_kinds_of_slips_are_about_as_frequent() -> None:
    rng = np.random.default_rng(0)
    kinds: Counter[str] = Counter()
    for _ in range(4000):
        wrong = mistype("maligned", rng)
        kinds[
            {-1: "lost", 1: "doubled"}.get(
                len(wrong) - 8, "turned" if Counter(wrong) == Counter("maligned") else "beside"
            )
        ] += 1
    assert all(count == pytest.approx(1000, abs=120) for count in kinds.values())
    assert len(kinds) == 4


def test_as_many_words_are_met_as_the_chance_says() -> None:
    rng, words = np.random.default_rng(0), Worded.of(TITLE)
    n, rounds, share = len(words.words), 3000, 0.2
    typed = sum(1 for word in words.words if sum(c.lower() in NEIGHBOURS for c in word) >= 3)
    met = np.zeros(4)
    for _ in range(rounds):
        met[0] += n - len(drop_words(words, share, rng).words)
        met[1] += len(insert_words(words, share, rng, lambda word: None).words) - n
        met[2] += sum(
            a != b for a, b in zip(mistype_words(words, share, rng).words, words.words, strict=True)
        )
        met[3] += replace_words(words, share, rng, lambda word: "X").words.count("X")
    np.testing.assert_allclose(met / rounds / share, [n, n, typed, n], rtol=0.05)


def test_words_that_move_are_the_same_words() -> None:
    rng, words = np.random.default_rng(0), Worded.of(TITLE)
    for _ in range(50):
        for moved in (swap_words(words, 0.3, rng), shuffle_words(words, rng)):
            assert Counter(moved.words) == Counter(words.words)
            assert moved.gaps == words.gaps
        kept = iter(words.words)
        assert all(word in kept for word in drop_words(words, 0.5, rng).words)  # in their order
        assert shuffle_words(words, rng).words != words.words
    assert str(shuffle_words(Worded.of("milk milk"), rng)) == "milk milk"


def test_words_of_other_scripts_do_not_grow_together() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        moved = str(swap_words(Worded.of("A紅B酒C"), 0.5, rng))
        assert not any(
            a.isascii() and b.isascii() and a.isalpha() and b.isalpha() for a, b in pairwise(moved)
        )


def test_chances_are_checked() -> None:
    with pytest.raises(InvalidInput, match=r"typos must lie in 0\.\.1, got 2"):
        Noise(typos=2)


# synonyms


NOUNS = (("sofa", "couch"), ("lamp", "light"), ("rug", "carpet"), ("tap", "faucet"))
ROOMS = ("kitchen", "hall", "office", "garden", "bedroom", "attic", "balcony", "garage")
COLOURS = ("red", "blue", "green", "white", "black")


def shop(seed: int, n: int = 1500) -> Leads:
    """Queries of a colour and one of two names of a thing; each leads to one of six items of them."""
    rng = np.random.default_rng(seed)
    texts, source, target = [], [], []
    for number in range(n):
        thing, colour, name = rng.integers(0, 4), rng.integers(0, 5), rng.integers(0, 2)
        end = rng.choice(["", f" {rng.integers(10, 99)}cm", *(f" for {room}" for room in ROOMS)])
        texts.append(f"{COLOURS[colour]} {NOUNS[thing][name]}{end}")
        source.append(number)
        target.append(int(thing * 30 + colour * 6 + rng.integers(0, 6)))
    texts.append("settee red")  # seen once: no ground to learn from
    items = [f"article {row}" for row in range(120)]
    return Leads(texts, items, np.array([*source, n]), np.array([*target, 0]))


@pytest.mark.parametrize("seed", range(3))
def test_two_names_of_one_thing_are_found_and_nothing_else(seed: int) -> None:
    found = learn_synonyms([shop(seed)], least=3).of
    for one, other in NOUNS:
        assert found[one] == ((other, 1.0),)
        assert found[other] == ((one, 1.0),)
    assert found.keys() == {word for pair in NOUNS for word in pair}


def test_neither_leading_alike_nor_standing_alike_is_enough() -> None:
    """Colours stand beside the same things: where clicks go anywhere, that says nothing."""
    leads, rng = shop(0), np.random.default_rng(0)
    scattered = Leads(leads.texts, leads.items, leads.source, rng.integers(0, 120, len(leads.target)))
    assert not learn_synonyms([scattered], least=3).of


def test_items_taken_together_teach_as_queries_do_and_counts_that_are_small_do_not() -> None:
    leads = shop(1)
    both = learn_synonyms([leads, leads], least=3)
    assert both == learn_synonyms([leads], least=3)
    assert not learn_synonyms([leads], least=10_000).of
    assert learn_synonyms([Leads([], [], np.zeros(0, int), np.zeros(0, int))]).of == {}


def test_a_synonym_comes_with_the_words_capitals_and_punctuation_as_often_as_its_share() -> None:
    known = Synonyms({"sofa": (("couch", 0.75), ("settee", 0.25))})
    rng = np.random.default_rng(0)
    drawn = Counter(known.draw("(Sofa),", rng) for _ in range(2000))
    assert drawn.keys() == {"(Couch),", "(Settee),"}
    assert drawn["(Couch),"] == pytest.approx(1500, abs=80)
    assert known.draw("SOFA", rng) in {"COUCH", "SETTEE"}
    assert known.draw("table", rng) is None
    assert known.draw("12", rng) is None


def test_leads_that_lead_nowhere_are_told() -> None:
    with pytest.raises(InvalidInput, match=r"target must hold rows in 0\.\.0"):
        Leads(["a"], ["b"], np.array([0]), np.array([1]))
    with pytest.raises(InvalidInput, match="needs two rows"):
        Leads(["a"], ["b"], np.array([0]), np.array([0, 0]))
    with pytest.raises(InvalidInput, match="alike"):
        learn_synonyms([], alike=0)


# histories


@given(st.integers(0, 30), st.floats(0, 1), st.integers(0, 1000))
def test_views_of_a_history_keep_what_they_must(n: int, share: float, seed: int) -> None:
    history = np.arange(100, 100 + n)
    rng = np.random.default_rng(seed)
    part = crop(history, share, rng)
    assert len(part) == (max(1, int(share * n)) if n else 0)
    assert not len(part) or (np.diff(part) == 1).all()
    masked = mask(history, share, 999, rng)
    assert (masked == 999).sum() == (int(share * n) if n > 1 else 0)
    assert (masked[masked != 999] == history[masked != 999]).all()
    shuffled = reorder(history, share, rng)
    assert sorted(shuffled) == history.tolist()
    moved = np.flatnonzero(shuffled != history)
    assert not len(moved) or moved[-1] - moved[0] < int(share * n)
    assert history.tolist() == list(range(100, 100 + n))


def test_a_batch_of_views_is_found_by_its_number_and_holds_the_last_items() -> None:
    rng = np.random.default_rng(0)
    starts = np.concatenate([[0], np.cumsum(rng.integers(0, 12, 40))])
    items = rng.integers(0, 50, int(starts[-1]))
    feed = ViewFeed.of(Histories(items, starts), limit=5, hidden=50, pad=51, rows=8, seed=3)
    again = ViewFeed.of(Histories(items, starts), limit=5, hidden=50, pad=51, rows=8, seed=3)
    assert (feed.histories.lengths >= 2).all()
    for number in (7, 0, 3):
        batch, rows = feed.batch(number), feed.order.batch(number)
        for name, column in again.batch(number).items():
            np.testing.assert_array_equal(column, batch[name])
        for view in ("first", "second"):
            lines, filled = batch[view], batch[f"{view}_mask"]
            assert ((lines == 51) == (filled == 0)).all()
            for row, line in zip(rows.tolist(), lines, strict=True):
                known = Counter(feed.histories.last(row, 5).tolist())
                shown = Counter(line[(line != 51) & (line != 50)].tolist())
                assert shown <= known
    assert any((feed.batch(0)["first"] != feed.batch(n)["first"][:, :1]).any() for n in (1, 2))


def test_only_the_operations_that_are_wanted_are_drawn() -> None:
    history, rng = np.arange(10), np.random.default_rng(0)
    for _ in range(20):
        one, other = Operations(crop=0.5, mask=0, reorder=0).views(history, 99, rng)
        assert len(one) == len(other) == 5
    with pytest.raises(InvalidInput, match="all 0"):
        Operations(0, 0, 0)
    with pytest.raises(InvalidInput, match="ascend"):
        Histories(history, np.array([0, 11]))
    with pytest.raises(InvalidInput, match="no item has"):
        ViewFeed.of(Histories(history, np.array([0, 10])), limit=5, hidden=3, pad=11)


def test_none_of_it_loads_torch() -> None:
    code = (
        "import sys, honeyguide.plm.augment, honeyguide.plm.histories, honeyguide.plm.robustness;"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
