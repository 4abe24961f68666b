"""A query finds items by words and by meaning; what the user wants settles between alike ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from honeyguide import Honeyguide
from honeyguide.cli.app import main
from honeyguide.config import Rules
from honeyguide.errors import InvalidInput
from honeyguide.retrieve.words import WordIndex, words_of
from honeyguide.shop.search import Matches
from tests.fitted import copy_of, fitted_shop
from tests.shop_fixture import NOW

TEXTS = ["red running shoes", "blue running shoes", "red wine", "a red, red rose", ""]


def test_rare_words_weigh_more_and_a_word_that_is_missing_nothing() -> None:
    index = WordIndex(TEXTS)
    found = index.scores("red shoe")
    assert found.argmax() == 0  # both words
    assert found[1] > found[2] > 0  # shoes are rarer than red
    assert found[4] == 0
    assert not index.scores("unheard of").any()
    assert np.array_equal(index.scores("red red"), 2 * index.scores("red"))


def test_bm25_is_worked_out_by_hand() -> None:
    # two texts, mean length 2; "b" is in one of them: ln(1 + 1.5 / 1.5)
    found = WordIndex(["a", "a b c"]).scores("b")
    shrunk = 1.2 * (1 - 0.4 + 0.4 * 3 / 2)
    assert found == pytest.approx([0, np.log(2) * 2.2 / (1 + shrunk)])


def test_an_index_beside_another_weighs_words_as_that_one_does() -> None:
    index = WordIndex(TEXTS)
    again = WordIndex(TEXTS, beside=index)
    for query in ("red", "shoes", "coffee beans", TEXTS[0]):
        assert again.scores(query).tolist() == index.scores(query).tolist()
    few = WordIndex([*TEXTS[:2], "never heard of"], beside=index)
    assert few.scores(TEXTS[0])[:2].tolist() == index.scores(TEXTS[0])[:2].tolist()
    assert few.scores("heard")[2] > few.scores(TEXTS[0].split()[0])[0]


def test_words_are_read_in_any_case_and_script() -> None:
    assert words_of("Glasses, GLASS; кофе 3/4 in. bus") == ["glasse", "glass", "кофе", "3/4", "in", "bus"]
    assert words_of("cream/milk A4 16oz men's 2.5") == ["cream", "milk", "a4", "16", "oz", "men", "s", "2.5"]
    assert words_of(" -- ") == []


@pytest.mark.parametrize("texts", [[], [""], ["", " "]])
def test_a_shop_without_words_finds_nothing(texts: list[str]) -> None:
    assert WordIndex(texts).scores("red").tolist() == [0.0] * len(texts)


def test_a_bare_text_is_no_list_of_texts() -> None:
    with pytest.raises(InvalidInput, match="bare string"):
        WordIndex("red")


def test_wishes_settle_between_alike_matches_only() -> None:
    found = Matches(np.array([0, 1, 2]), np.array([1.0, 0.9, 0.1]), np.array([0.5, 0.5, 0.1]))
    scores = found.reranked(found.rows, np.array([0.0, 2.0, 4.0]))
    assert scores == pytest.approx([0.75, 0.7 + 0.1, 0.1 + 0.2])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of(fitted_shop(tmp_path_factory.getbasetemp()), tmp_path_factory.mktemp("searched"))


def kind(item_id: str) -> int:
    return int(item_id.removeprefix("sku-")) // 8


def test_a_shop_finds_what_has_the_words(shop: Path) -> None:
    with Honeyguide.open(shop, clock=lambda: NOW) as opened:
        before = opened.journal.end()
        found = opened.search("Dog Food", k=8)
        assert {kind(one.item_id) for one in found} == {1}
        assert "the query's words" in found[0].why
        mine = opened.search("dog food", user_id="user-1", k=8)
        assert {one.item_id for one in mine} == {one.item_id for one in found}
        scores = opened.recommend("user-1", k=48)
        wanted = [one.item_id for one in scores if kind(one.item_id) == 1]
        assert mine[0].item_id in wanted[:4]
        ruled = opened.search(
            "dog food", k=8, rules=Rules(exclude_ids=("sku-8",), exclude=("category=hair shampoo",))
        )
        assert "sku-8" not in {one.item_id for one in ruled}
        assert opened.journal.end() == before
        for query in ("", "  ", "?!"):
            with pytest.raises(InvalidInput, match="needs a word"):
                opened.search(query)


@pytest.mark.parametrize(
    "words", [("recommend", "user-1", "--diversity", "0.3"), ("search", "running shoes", "--user", "user-1")]
)
def test_the_commands_print_what_the_shop_says(
    shop: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    command, about, *rest = words
    more = [
        *rest,
        "-k",
        "3",
        "--category",
        "running shoes",
        "--brand",
        "acme",
        "--exclude",
        "sku-40",
        "--in-stock",
    ]
    with pytest.raises(SystemExit, match="0"):
        main([command, str(shop), about, *more, "--now", NOW.isoformat(), "--json"])
    said = json.loads(capsys.readouterr().out)
    assert [kind(one["item_id"]) for one in said["items"]] == [5, 5, 5]
    assert "sku-40" not in {one["item_id"] for one in said["items"]}
    with pytest.raises(SystemExit, match="0"):
        main([command, str(shop), about, *more, "--now", NOW.isoformat()])
    printed = capsys.readouterr().out
    assert all(one["item_id"] in printed for one in said["items"])
    with pytest.raises(SystemExit, match="3"):
        main([command, str(shop), about, "--category", "boats"])
    assert "no item has the category 'boats': the nearest is" in capsys.readouterr().err
