"""A shop's own tasks as examples: to learn from, to choose by, and to judge by once at the end.

The same text is never in two parts: the same but for case, punctuation and white space. Of tasks that compare texts
this holds for the queries; items are what is to be found, whoever asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, NoReturn

import numpy as np
from numpy.typing import NDArray

from honeyguide.data.database import database, parquet, write_parquet
from honeyguide.data.labels.stratify import stratified
from honeyguide.data.table import to_us
from honeyguide.errors import InvalidInput
from honeyguide.plm.heads.head import E
from honeyguide.types import Rows

FEWEST = 30
"""Examples of a task: with fewer the tenth of them that it is judged by says nothing."""
_MOST = (200_000, 1_000, 2_000)
"""Examples of each part: more than can be learned from, and as many as are read in a minute by one core."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskExamples(Generic[E]):
    """A task that the shop's tables can teach.

    `kind` is that of the head, `labels` what it tells apart: classes, tags, what numbers are called; none where texts
    are compared. `purpose` and `told` say in words what it is for and what the examples are.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    train: E
    validation: E
    test: E
    purpose: str
    told: tuple[str, ...]

    @property
    def parts(self) -> tuple[E, E, E]:
        """Training, validation and test."""
        return self.train, self.validation, self.test

    @property
    def version(self) -> str:
        """Equal examples have an equal version."""
        digest = hashlib.sha256(repr((self.name, self.kind, self.labels)).encode("utf-8", "surrogatepass"))
        for part in self.parts:
            for field in fields(part):  # type: ignore[arg-type]  # examples of every head are dataclasses
                digest.update(hashlib.sha256(_bytes(getattr(part, field.name))).digest())
        return digest.hexdigest()[:12]


def _bytes(value: Any) -> bytes:  # noqa: ANN401
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    return repr(value).encode("utf-8", "surrogatepass")


Source = Callable[["Tables"], TaskExamples[Any]]


@dataclass(frozen=True, slots=True)
class Tables:
    """Where examples come from: stored tables of which nothing came after `until`, and the seed of their split."""

    events: Path
    items: Path
    until: datetime | None
    seed: int

    def rng(self) -> np.random.Generator:
        """The same chance for every task, whichever others there are."""
        return np.random.default_rng([self.seed, 41])


def shop_examples(
    tasks: Sequence[str], *, events: Path, items: Path, until: datetime | None = None, seed: int = 0
) -> tuple[TaskExamples[Any], ...]:
    """The examples of these tasks out of stored tables, with nothing of what happened from `until` on.

    category    an item's class, the deepest that has enough items, from its text without the category
    categories  every step of that path at once
    brand       which words of a title are the brand
    sentiment   negative, neutral or positive, as a review's stars say it
    stars       how many stars a review gives
    search      the item that was clicked, put into the cart or bought after a search
    relevance   the order of a search's items: bought, in the cart, looked at, only shown

    InvalidInput names what the shop lacks for a task.
    """
    sources = _sources()
    for task in tasks:
        if task not in sources:
            raise InvalidInput(f"{task!r} is no task of a shop: choose from {', '.join(sources)}")
    with events_until(events, until) as log:
        return tuple(sources[task](Tables(log, items, until, seed)) for task in tasks)


def _sources() -> dict[str, Source]:
    from honeyguide.plm.teach import items, reviews, searches

    return {
        "category": items.category,
        "categories": items.categories,
        "brand": items.brand,
        "sentiment": reviews.sentiment,
        "stars": reviews.stars,
        "search": searches.search,
        "relevance": searches.relevance,
    }


@contextmanager
def events_until(events: Path, until: datetime | None) -> Iterator[Path]:
    """The events file, or one without what happened from `until` on, for as long as it is needed."""
    if until is None or not events.is_file():
        yield events
        return
    with TemporaryDirectory(prefix="honeyguide-") as name:
        copy = Path(name) / "events.parquet"
        with database(Path(name)) as db:
            write_parquet(
                db, f'SELECT * FROM {parquet(events)} WHERE "time" < make_timestamptz({to_us(until)})', copy
            )
        yield copy


def lacking(task: str, what: str) -> NoReturn:
    """Say that a shop cannot teach a task, and what is missing."""
    raise InvalidInput(
        f"the task {task!r} cannot be taught here: {what}. Import what is missing, or leave it out of the tasks"
    )


def enough(task: str, count: int, what: str, *, least: int = FEWEST) -> None:
    """InvalidInput where there are fewer than `least`."""
    if count < least:
        lacking(task, f"there are {count} {what}, and {least} are needed")


def in_three(
    task: str, label: NDArray[np.integer[Any]], group: NDArray[np.integer[Any]], rng: np.random.Generator
) -> tuple[Rows, Rows, Rows]:
    """Rows of training, validation and test, shuffled, of every class its share and groups as a whole."""
    part = stratified(label, group, rng=rng)
    order = rng.permutation(len(part)).astype(np.int64)
    train, validation, test = (order[part[order] == number][:most] for number, most in enumerate(_MOST))
    if not (len(train) and len(validation) and len(test)):
        lacking(task, f"{len(part)} examples are too few for three parts")
    return train, validation, test
