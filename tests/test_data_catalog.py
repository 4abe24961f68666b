from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.data.catalog import Catalog
from honeyguide.data.text import item_text
from honeyguide.errors import DamagedArtifact, InvalidInput, NotReady, UnknownItem

ids = st.lists(st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable()), unique=True, max_size=8)


def catalogue(names: list[str]) -> Catalog:
    return Catalog.of(
        names, titles=[name.upper() for name in names], prices=[float(len(name)) for name in names]
    )


@given(ids, st.randoms(use_true_random=False))
def test_equal_content_has_an_equal_version_in_whatever_order_it_came(
    names: list[str], rng: random.Random
) -> None:
    shuffled = names.copy()
    rng.shuffle(shuffled)
    a, b = catalogue(names), catalogue(shuffled)
    assert (a.version, a.ids, a.texts, a.prices) == (b.version, b.ids, b.texts, b.prices)
    assert list(a.ids) == sorted(names)


@pytest.mark.parametrize("column", ["titles", "categories", "brands", "descriptions"])
def test_any_other_content_has_another_version(column: str) -> None:
    columns: dict[str, list[str]] = {
        name: ["x"] for name in ("titles", "categories", "brands", "descriptions")
    }
    one = Catalog.of(["a"], **columns)  # type: ignore[arg-type]
    other = Catalog.of(["a"], **{**columns, column: ["y"]})  # type: ignore[arg-type]
    assert one.version != other.version
    assert one.version != Catalog.of(["b"], **columns).version  # type: ignore[arg-type]


@given(ids.filter(bool))
def test_a_row_leads_back_to_its_id(names: list[str]) -> None:
    made = catalogue(names)
    assert [made.ids[row] for row in made.rows(names)] == names
    assert len(made) == len(names)


def test_an_unknown_item_is_answered_with_the_nearest_known_one() -> None:
    made = catalogue(["sku-41", "sku-42", "tie"])
    with pytest.raises(UnknownItem, match=r"'sku-43'.*'sku-4[12]'"):
        made.row("sku-43")
    with pytest.raises(UnknownItem, match=r"x{64}'"):
        made.rows(["x" * 10_000_000])
    with pytest.raises(UnknownItem, match="empty"):
        catalogue([]).row("a")
    with pytest.raises(InvalidInput, match="bare string"):
        made.rows("tie")


def test_columns_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InvalidInput, match="one entry per item"):
        Catalog.of(["a", "b"], titles=["A"])
    with pytest.raises(InvalidInput, match="sorted and unique"):
        Catalog.of(["a", "a"], titles=["A", "A"])


@pytest.mark.parametrize(
    ("parts", "want"),
    [
        (("ICE - CRUSHED/CUBED, 22 LB", "GROCERY > FRZN ICE > ICE - CRUSHED/CUBED", "National", ""),
         "ice - crushed/cubed, frzn, grocery, National"),
        (("Nike Air Zoom", "Shoes > Running Shoes", "Nike", "A light shoe for running in the rain."),
         "Nike Air Zoom, Running Shoes, A light shoe for running in the rain."),
        (("Red  shoe", "", "", "red shoe"), "Red shoe"),
        (("", "A > A", "", ""), "a"),
        (("", "", "", " \n"), ""),
    ],
)  # fmt: skip
def test_a_text_says_everything_once(parts: tuple[str, str, str, str], want: str) -> None:
    assert item_text(*parts) == want


@given(st.text(), st.text(), st.text(), st.text())
def test_any_parts_make_one_line_of_bounded_length(
    title: str, category: str, brand: str, description: str
) -> None:
    text = item_text(title, category, brand, description)
    assert len(text) <= 2000
    assert "\n" not in text


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    with duckdb.connect() as db:
        db.execute(f"""COPY (SELECT 'b' AS item_id, 'Sock' AS title, NULL AS description, 'Wear' AS category,
            NULL AS brand, 2.5 AS price UNION ALL SELECT 'a', NULL, NULL, NULL, NULL, NULL)
            TO '{path}' (FORMAT parquet)""")
    made = Catalog.read(path)
    assert (made.ids, made.titles, made.categories, made.prices) == (
        ("a", "b"),
        ("", "Sock"),
        ("", "Wear"),
        (None, 2.5),
    )
    assert (
        made.version
        == Catalog.of(["a", "b"], titles=["", "Sock"], categories=["", "Wear"], prices=[None, 2.5]).version
    )
    path.write_bytes(b"PAR1")
    with pytest.raises(DamagedArtifact):
        Catalog.read(path)
    with pytest.raises(NotReady, match="honeyguide import"):
        Catalog.read(tmp_path / "none.parquet")
