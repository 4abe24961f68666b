"""What cleaning does to the texts of items and to searches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.dirty_log import OFF, cleaned, event, item, kept, rows_of, rule, shop


def test_a_search_is_written_one_way_and_an_empty_one_not_at_all(tmp_path: Path) -> None:
    searches = ["Red  Shoes", "red shoes", "RED SHOES!", " ... "]
    events = [event(str(n), n, kind="search", item_id=None, query=query) for n, query in enumerate(searches)]
    report, left = cleaned(shop(tmp_path, events), replace(OFF, normalise_queries=True))
    assert [left[str(n)].get("query") for n in range(4)] == ["red shoes", "red shoes", "red shoes", None]
    assert rows_of(report) == {"query_spelling": 3}
    assert all(text.subject == "query" for text in rule(report, "query_spelling").evidence.texts)


def test_texts_are_written_plainly_and_shown_before_and_after(tmp_path: Path) -> None:
    items = [item("i1", title="Cafe\u0301  &amp; bar", description="<p>Very\tgood</p>"), item("i2")]
    data = shop(tmp_path, [event("a")], items)
    report, _ = cleaned(data, replace(OFF, clean_texts=True))
    assert kept(data, "items")["i1"]["title"] == "Café & bar"
    assert kept(data, "items")["i1"]["description"] == "Very good"
    assert kept(data, "items")["i2"]["title"] == "Thing i2"
    text = rule(report, "text").evidence.texts[0]
    assert (text.subject, text.before, text.after) == ("i1, title", "Cafe\u0301  &amp; bar", "Café & bar")


def test_a_line_that_stands_everywhere_is_taken_out_of_descriptions(tmp_path: Path) -> None:
    items = [item(f"i{n}", description=f"Number {n}\nFree returns") for n in range(25)]
    data = shop(tmp_path, [event("a")], items)
    report, _ = cleaned(data, replace(OFF, boilerplate_share=0.5))
    assert {row["description"] for row in kept(data, "items").values()} == {f"Number {n}" for n in range(25)}
    assert rows_of(report) == {"boilerplate": 25}
