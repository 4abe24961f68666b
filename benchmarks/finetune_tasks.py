"""Real tasks to fine-tune on, each cut into what is learned from, what choices are made on, and what is for the end.

A text (or a query) falls into its part by its hash, so nothing that is tested on was read in training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from honeyguide.data.demo import demo_files
from honeyguide.errors import InvalidInput
from honeyguide.plm.corpus import is_held_out
from honeyguide.plm.heads.head import Head
from honeyguide.plm.heads.labels import Classification, Labelled
from honeyguide.plm.heads.pairs import Judged, Ranking

_TEST, _CHOOSE = 0.2, 0.35
_RAREST = 20
_MOST = 6000


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A head for vectors of `dim` numbers, and its examples; `max_tokens` is as long as texts need."""

    name: str
    head: Callable[[int], Head[Any]]
    learn: Any
    choose: Any
    test: Any
    max_tokens: int


def open_task(folder: Path | None) -> Task:
    """The task of a folder's data: departments of reviews, relevance of searches; else the Complete Journey's."""
    if folder is None:
        return departments_of_items()
    if (folder / "reviews.parquet").is_file():
        return departments_of_reviews(folder / "reviews.parquet")
    if (folder / "relevance.parquet").is_file():
        return relevance_of_items(folder / "relevance.parquet")
    raise InvalidInput(
        f"{folder} holds neither reviews.parquet nor relevance.parquet: there is no task to be had of it"
    )


def departments_of_items() -> Task:
    """Which department of the Complete Journey's supermarket a kind of item is sold in; 12 departments."""
    query = f"""SELECT lower(product_type), mode(department ORDER BY department) FROM '{demo_files()[0]}'
                WHERE product_type IS NOT NULL GROUP BY 1 ORDER BY 1"""
    return _classes("item -> department", _rows(query), max_tokens=24)


def departments_of_reviews(file: Path) -> Task:
    """Which department a review of clothes speaks of; 6 departments."""
    query = f"""SELECT DISTINCT ON ("Review Text") "Review Text", "Department Name" FROM '{file}'
                WHERE "Review Text" IS NOT NULL AND "Department Name" IS NOT NULL ORDER BY "Review Text" """
    return _classes("review -> department", _rows(query), max_tokens=96)


def relevance_of_items(file: Path) -> Task:
    """How relevant an item is to a search, judged from 1 to 3; items of one search are put into an order."""
    rows = _rows(
        f"SELECT search_term, product_title, avg(relevance) FROM '{file}' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    learn, choose, test = (_judged(part) for part in _parts(rows, most=5 * _MOST))
    return Task("search -> order of items", Ranking, learn, choose, test, max_tokens=40)


def _rows(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        return db.execute(query).fetchall()


def _classes(name: str, rows: Sequence[tuple[Any, ...]], *, max_tokens: int) -> Task:
    counts = Counter(label for _, label in rows)
    classes = sorted(label for label, count in counts.items() if count >= _RAREST)
    place = {label: number for number, label in enumerate(classes)}
    kept = [row for row in rows if row[1] in place]
    learn, choose, test = (
        Labelled(
            tuple(text for text, _ in part), np.array([place[label] for _, label in part], dtype=np.int64)
        )
        for part in _parts(kept, most=_MOST)
    )
    return Task(name, lambda dim: Classification(classes, dim), learn, choose, test, max_tokens)


def _parts(rows: Sequence[tuple[Any, ...]], *, most: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Learn from, choose on, test on, by the hash of a row's first column; `most` rows are learned from."""
    learn = [row for row in rows if not is_held_out(row[0], _CHOOSE)]
    choose = [row for row in rows if is_held_out(row[0], _CHOOSE) and not is_held_out(row[0], _TEST)]
    test = [row for row in rows if is_held_out(row[0], _TEST)]
    return learn[:: -(-len(learn) // most)] if _alone(rows) else learn[:most], choose, test


def _alone(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether each first column stands in one row only, so that any rows can be left out."""
    return len({row[0] for row in rows}) == len(rows)


def _judged(rows: Sequence[tuple[Any, ...]]) -> Judged:
    texts = dict.fromkeys(text for query, item, _ in rows for text in (query, item))
    row_of = {text: row for row, text in enumerate(texts)}
    return Judged(
        tuple(texts),
        np.array([row_of[query] for query, _, _ in rows], dtype=np.int64),
        np.array([row_of[item] for _, item, _ in rows], dtype=np.int64),
        np.array([relevance for _, _, relevance in rows], dtype=np.float64),
    )
