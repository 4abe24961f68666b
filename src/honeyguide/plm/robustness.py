"""What retrieval loses when queries are not written as they should be, or another catalogue is mixed in.

Each perturbation is applied to all queries of a task, in the manner of CheckList (Ribeiro et al. 2020), and quality
is compared with what the same queries reach unperturbed. Any encoder can be measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.noise import Worded, drop_words, mistype_words, shuffle_words
from honeyguide.types import Encoder, Floats, Progress, Rows, Vectors, silent

TEMPLATES = (
    "buy {} online",
    "cheap {}",
    "{} for sale",
    "best {}",
    "where can I find {}",
    "{} price",
    "looking for {}",
)
"""How shoppers wrap what they look for in other words; {} is the query."""

_BLOCK = 512
_TWO_SIDED_95 = 1.96


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """A task: to each of q `queries` find its relevant ones among n `items`, both texts.

    `relevant[i]` holds the rows of what is relevant to query i, at least one. `own` (q,) is the row of the item that
    the query itself is, which does not count as found, and -1 where it is none.
    """

    queries: tuple[str, ...]
    items: tuple[str, ...]
    relevant: tuple[Rows, ...]
    own: Rows | None = None

    def __post_init__(self) -> None:
        if not self.queries or len(self.queries) != len(self.relevant):
            raise InvalidInput(
                f"each query needs its relevant rows: got {len(self.queries)} queries and {len(self.relevant)}"
            )
        if self.own is not None and self.own.shape != (len(self.queries),):
            raise InvalidInput(f"own must be ({len(self.queries)},), got {self.own.shape}")
        for query, rows in enumerate(self.relevant):
            inside = len(rows) and 0 <= int(rows.min()) <= int(rows.max()) < len(self.items)
            if not inside or len(set(rows.tolist())) != len(rows):
                raise InvalidInput(
                    f"relevant[{query}] must hold distinct rows in 0..{len(self.items) - 1}, at least one: "
                    "leave out queries with nothing relevant"
                )
            if self.own is not None and int(self.own[query]) in rows:
                raise InvalidInput(f"relevant[{query}] holds the query's own item, which does not count")


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Something that happens to a query, or items of another shop that stand among the right ones."""

    name: str
    perturb: Callable[[str, np.random.Generator], str] | None = None
    distractors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """Quality under one perturbation: recall and nDCG at k, and how much of the clean recall is lost.

    `lost` is in absolute points, with its 95 % interval over the queries, each against itself; `changed` is the share
    of queries that the perturbation changed at all.
    """

    name: str
    recall: float
    ndcg: float
    lost: float
    low: float
    high: float
    changed: float

    def __str__(self) -> str:
        """One line of the report."""
        return (
            f"{self.name:<28}{self.recall:>8.3f}{self.ndcg:>8.3f}{self.lost:>9.3f}"
            f"  {self.low:+.3f}..{self.high:+.3f}{self.changed:>8.0%}"
        )


@dataclass(frozen=True, slots=True)
class Robustness:
    """What an encoder reaches on a task, and what each perturbation takes away."""

    encoder: str
    k: int
    queries: int
    items: int
    recall: float
    ndcg: float
    losses: tuple[Loss, ...]

    @property
    def mean_lost(self) -> float:
        """The recall lost, on average over the perturbations."""
        return float(np.mean([loss.lost for loss in self.losses])) if self.losses else 0.0

    def __str__(self) -> str:
        """The report as a table."""
        head = f"{'at ' + str(self.k):<28}{'recall':>8}{'nDCG':>8}{'lost':>9}  {'95 %':<14}{'changed':>8}"
        clean = f"{'clean':<28}{self.recall:>8.3f}{self.ndcg:>8.3f}"
        return "\n".join([head, clean, *map(str, self.losses)])


def standard_perturbations(
    *,
    typos: Sequence[float] = (0.2, 0.5, 1.0),
    templates: Sequence[str] = TEMPLATES,
    distractors: Sequence[str] = (),
) -> tuple[Perturbation, ...]:
    """The suite: typos in these shares of words, case, words lost, order, templates, and another shop's items."""
    for template in templates:
        if template.count("{}") != 1:
            raise InvalidInput(f"a template needs one {{}} where the query goes, got {template!r}")

    def in_template(text: str, rng: np.random.Generator) -> str:
        return templates[int(rng.integers(0, len(templates)))].replace("{}", text)

    found = [
        *(Perturbation(f"typos in {share:.0%} of words", _typos(share)) for share in typos),
        Perturbation("upper case", lambda text, _: text.upper()),
        Perturbation("lower case", lambda text, _: text.lower()),
        Perturbation("first half of the words", first_half),
        Perturbation("a quarter of the words lost", _quarter_lost),
        Perturbation("last letters not typed yet", unfinished),
        Perturbation("words in another order", _other_order),
    ]
    if templates:
        found.append(Perturbation("in other words", in_template))
    if distractors:
        found.append(Perturbation("another shop's items", distractors=tuple(distractors)))
    return tuple(found)


def measure(
    encoder: Encoder,
    task: Retrieval,
    perturbations: Sequence[Perturbation],
    *,
    k: int = 10,
    seed: int = 0,
    progress: Progress = silent,
) -> Robustness:
    """Quality clean and under each perturbation; the same for the same seed, whichever else are measured."""
    if not 1 <= k <= len(task.items):
        raise InvalidInput(f"k must be in 1..{len(task.items)} (the items), got {k}")
    items, queries = encoder.encode(task.items), encoder.encode(task.queries)
    clean_recall, clean_ndcg = _quality(queries, items, task, k)
    losses = []
    for number, perturbation in enumerate(perturbations):
        progress(number, len(perturbations))
        texts = perturbed(task.queries, perturbation, seed)
        changed = np.array([old != new for old, new in zip(task.queries, texts, strict=True)])
        moved = queries.copy()
        moved[changed] = encoder.encode([texts[row] for row in np.flatnonzero(changed).tolist()])
        among = items
        if perturbation.distractors:
            among = np.concatenate([items, encoder.encode(perturbation.distractors)])
        recall, ndcg = _quality(moved, among, task, k)
        losses.append(_loss(perturbation.name, clean_recall, recall, ndcg, changed))
    progress(len(perturbations), len(perturbations))
    return Robustness(
        encoder.version,
        k,
        len(task.queries),
        len(task.items),
        float(clean_recall.mean()),
        float(clean_ndcg.mean()),
        tuple(losses),
    )


def perturbed(queries: Sequence[str], perturbation: Perturbation, seed: int) -> list[str]:
    """The queries after the perturbation; what happens to a text depends on the seed and on nothing but itself."""
    if perturbation.perturb is None:
        return list(queries)
    return [
        perturbation.perturb(text, np.random.default_rng([seed, _number(f"{perturbation.name}\0{text}")]))
        for text in queries
    ]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def first_half(text: str, rng: np.random.Generator) -> str:
    """The first half of the words, rounded up."""
    words = Worded.of(text)
    return str(words.keep(list(range((len(words.words) + 1) // 2)))) if words.words else text


def unfinished(text: str, rng: np.random.Generator) -> str:
    """The text as it stands while its last word is being typed: half of that word's letters, rounded up."""
    words = Worded.of(text)
    if not words.words:
        return text
    last = words.words[-1]
    return str(Worded((*words.words[:-1], last[: (len(last) + 1) // 2]), (*words.gaps[:-1], "")))


def _typos(share: float) -> Callable[[str, np.random.Generator], str]:
    return lambda text, rng: str(mistype_words(Worded.of(text), share, rng))


def _quarter_lost(text: str, rng: np.random.Generator) -> str:
    return str(drop_words(Worded.of(text), 0.25, rng))


def _other_order(text: str, rng: np.random.Generator) -> str:
    return str(shuffle_words(Worded.of(text), rng))


def _loss(name: str, clean: Floats, recall: Floats, ndcg: Floats, changed: NDArray[np.bool_]) -> Loss:
    lost = clean - recall
    mean, n = float(lost.mean()), len(lost)
    wide = _TWO_SIDED_95 * float(lost.std(ddof=1)) / n**0.5 if n > 1 else float("inf")
    return Loss(
        name, float(recall.mean()), float(ndcg.mean()), mean, mean - wide, mean + wide, float(changed.mean())
    )


def _quality(queries: Vectors, items: Vectors, task: Retrieval, k: int) -> tuple[Floats, Floats]:
    """(q,) recall and nDCG at k, of every query; relevance is yes or no."""
    recall, ndcg = np.zeros(len(queries)), np.zeros(len(queries))
    discounts = 1 / np.log2(np.arange(k) + 2)
    for query, ranking in enumerate(_rankings(queries, items, task, k)):
        hits = np.isin(ranking, task.relevant[query])
        wanted = len(task.relevant[query])
        recall[query] = hits.sum() / wanted
        ndcg[query] = discounts[: len(hits)][hits].sum() / discounts[:wanted].sum()
    return recall, ndcg


def _rankings(queries: Vectors, items: Vectors, task: Retrieval, k: int) -> Iterator[Rows]:
    """The rows of the k best items of each query; ties go to the lower row, and its own item is left out."""
    for first in range(0, len(queries), _BLOCK):
        scores = queries[first : first + _BLOCK] @ items.T
        if task.own is not None:
            own = task.own[first : first + _BLOCK]
            scores[np.flatnonzero(own >= 0), own[own >= 0]] = -np.inf
        for line in scores:
            kth = np.partition(line, len(line) - k)[len(line) - k]
            places = np.flatnonzero(line >= kth)
            yield places[np.argsort(-line[places], kind="stable")][:k]
