"""Names are the shop's own words, told apart, with the stock system's noise left out."""

import numpy as np
import pytest

from honeyguide.interests.naming import Vocabulary, distinct_name, name_candidates
from honeyguide.interests.words import stem, terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cookie", "cookies"),
        ("dish", "dishes"),
        ("berry", "berries"),
        ("tomato", "tomatoes"),
        ("box", "boxes"),
        ("pie", "pies"),
        ("dog", "dogs"),
        ("watch", "watches"),
    ],
)
def test_singular_and_plural_are_one_word(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["glass", "bus", "tennis", "gas", "women's"])
def test_words_that_end_in_s_are_left_alone(word: str) -> None:
    assert stem(word) in {word, word[:-1]}
    assert stem(word) == stem(word)
    assert word == "gas" or stem(word) == word


def test_a_phrase_ends_at_a_stop_a_number_and_a_unit() -> None:
    assert terms("frozen pizza, 12 oz thin crust") == {
        ("pizza",),
        ("frozen", "pizza"),
        ("thin",),
        ("crust",),
        ("thin", "crust"),
    }
    assert ("soda", "water") not in terms("soda/water")
    assert ("candy", "packaged") not in terms("candy - packaged")
    assert ("anti", "acids") in terms("anti-acids")


def test_and_joins_what_belongs_together() -> None:
    assert ("shampoo", "&", "conditioner") in terms("Shampoo and conditioner")
    assert ("toys", "&", "games") in terms("TOYS & GAMES")
    assert terms("& and") == set()


def test_noise_is_no_term() -> None:
    assert terms("National Private misc other 2 ct frzn btl 750ml") == set()
    assert terms("frozen") == terms("food") == terms("fresh food") == set()
    assert ("dog", "food") in terms("dog food")


def test_words_of_other_scripts_are_terms() -> None:
    assert ("水饺",) in terms("水饺, 500克")
    assert ("молоко",) in terms("Молоко 1 л")


def names(
    texts: list[str], groups: list[int], *, longest: int = 2, weights: list[float] | None = None
) -> list[str]:
    weight = np.ones(len(texts)) if weights is None else np.array(weights)
    vocabulary = Vocabulary.of(texts, weight)
    in_group = vocabulary.weight_in(np.array(groups), max(groups) + 1)
    named: dict[int, str] = {}
    candidates = name_candidates(vocabulary, in_group, longest=longest)
    for group in np.argsort(-np.asarray(in_group.sum(axis=1)).ravel(), kind="stable").tolist():
        named[group] = distinct_name(candidates[group], set(named.values()))
    return [named[group] for group in range(len(candidates))]


def test_a_group_is_named_by_what_tells_it_from_the_others() -> None:
    texts = ["grocery, frozen pizza", "grocery, frozen pizzas", "grocery, dog food", "grocery, dog food dry"]
    assert names(texts, [0, 0, 1, 1]) == ["Frozen pizza", "Dog food"]


def test_the_form_most_used_is_shown() -> None:
    assert names(["cookies", "cookie", "cookies"], [0, 0, 0], weights=[1, 1, 1]) == ["Cookies"]
    assert names(["cookies", "cookie", "cookies"], [0, 0, 0], weights=[1, 9, 1]) == ["Cookie"]


def test_a_second_word_speaks_for_the_rest() -> None:
    assert names(["shampoo"] * 6 + ["toothpaste"] * 4, [0] * 10) == ["Shampoo & toothpaste"]
    assert names(["shampoo"] * 9 + ["toothpaste"], [0] * 10) == ["Shampoo"]


def test_names_are_distinct_even_where_the_words_are_not() -> None:
    found = names(["milk"] * 3 + ["whole milk"] * 2 + ["milk", "", ""], [0, 0, 0, 1, 1, 2, 3, 4])
    assert found[0] == "Milk"
    assert found[1] == "Whole milk"
    assert len(set(found)) == 5
    assert found[3] == "Mixed items"


def test_what_the_whole_shop_says_names_no_part_of_it() -> None:
    texts = [f"shoes, {kind}" for kind in ("boots", "sandals", "sneakers", "loafers", "clogs")] * 2
    assert names(texts, [0, 1, 2, 3, 4] * 2) == ["Boots", "Sandals", "Sneakers", "Loafers", "Clogs"]
    assert names(["shoes"] * 3, [0, 1, 2]) == ["Shoes", "Shoes 2", "Shoes 3"], "unless nothing else is said"


def test_names_of_too_many_terms_come_last() -> None:
    texts = ["shampoo", "soap", "candles", "towels"] * 3
    vocabulary = Vocabulary.of(texts, np.ones(len(texts)))
    (found,) = name_candidates(vocabulary, vocabulary.weight_in(np.zeros(12, dtype=np.int64), 1), longest=2)
    said = [len(one.said) for one in found]
    assert max(said) == 4
    assert sorted(said, key=lambda count: count > 2) == said, "they only help where all others are taken"
    assert found[0].score == 1
