"""The laws of a retriever: run them over yours with `check_retriever(make)`.

`make(vectors)` builds a retriever over (n, d) float32 vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from honeyguide.checks.policy import require
from honeyguide.errors import InvalidInput
from honeyguide.types import Retriever, Rows, Vectors

MakeRetriever = Callable[[Vectors], Retriever]
RetrieverCheck = Callable[[MakeRetriever], None]

N = 200
DIM = 8
QUERIES = 20


def check_retriever(make: MakeRetriever, *, recall: float = 1.0) -> None:
    """Run every law; `recall` below 1 says how much of the exact answer an approximate index promises."""
    for check in CHECKS_RETRIEVER:
        check(make)
    if recall < 1.0:
        check_recall(make, recall)
        return
    for check in CHECKS_EXACT:
        check(make)


def items(seed: int = 0, n: int = N) -> Vectors:
    """(n, DIM) unit vectors, read-only."""
    vectors = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors.setflags(write=False)
    return vectors


def queries(seed: int = 1) -> Vectors:
    """(QUERIES, DIM) unit vectors, read-only."""
    return items(seed, QUERIES)


def exact(
    vectors: Vectors, query: Vectors, k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[Rows, Vectors]:
    """What a scan of everything finds, ties to the lower row."""
    scores = vectors @ query
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    best = rows[np.argsort(-scores[rows], kind="stable")[:k]]
    return best, scores[best]


def check_shapes(make: MakeRetriever) -> None:
    """Rows are int64, scores float32, and there are as many as were asked for."""
    for k in (1, 7, N):
        rows, scores = make(items()).search(queries()[0], k)
        require(
            rows.shape == scores.shape == (k,), f"asked for {k}, got {rows.shape} rows, {scores.shape} scores"
        )
        require(
            rows.dtype == np.int64 and scores.dtype == np.float32,
            f"rows must be int64 and scores float32, got {rows.dtype} and {scores.dtype}",
        )


def check_descending(make: MakeRetriever) -> None:
    """The best comes first."""
    retriever = make(items())
    for query in queries():
        scores = retriever.search(query, 15)[1]
        require((np.diff(scores) <= 0).all(), "scores must descend")


def check_distinct(make: MakeRetriever) -> None:
    """No row is found twice."""
    retriever = make(items())
    for query in queries():
        rows = retriever.search(query, 15)[0]
        require(len(set(rows.tolist())) == len(rows), "a row was found twice")


def check_scores_belong_to_rows(make: MakeRetriever) -> None:
    """A score is the inner product of its row with the query."""
    vectors = items()
    retriever = make(vectors)
    for query in queries():
        rows, scores = retriever.search(query, 15)
        require(np.allclose(vectors[rows] @ query, scores, atol=1e-5), "a score is not that of its row")


def check_filter(make: MakeRetriever) -> None:
    """Only allowed rows are found, and a narrow filter still fills the page."""
    retriever = make(items())
    for seed, query in enumerate(queries()):
        allowed = np.random.default_rng(seed).random(N) < 0.1
        rows, _ = retriever.search(query, 5, allowed=allowed)
        require(allowed[rows].all(), "a row was found that is not allowed")
        require(len(rows) == min(5, allowed.sum()), "allowed rows were left out of a page with room")


def check_nothing_allowed(make: MakeRetriever) -> None:
    """Where nothing is allowed nothing is found."""
    rows, scores = make(items()).search(queries()[0], 5, allowed=np.zeros(N, dtype=np.bool_))
    require(len(rows) == len(scores) == 0, f"nothing was allowed, got {len(rows)} rows")


def check_k_above_n(make: MakeRetriever) -> None:
    """Asking for more than there is gives everything."""
    retriever = make(items(n=10))
    rows, scores = retriever.search(queries()[0], 50)
    require(len(scores) == 10 and sorted(rows.tolist()) == list(range(10)), "k > n must give every row once")
    few = np.arange(10) < 4
    rows, _ = retriever.search(queries()[0], 8, allowed=few)
    require(sorted(rows.tolist()) == list(range(4)), "k > allowed must give every allowed row once")


def check_no_items(make: MakeRetriever) -> None:
    """An empty shop can be asked."""
    rows, _ = make(items(n=0)).search(queries()[0], 5)
    require(len(rows) == 0, "there are no items, but rows were found")


def check_inputs_unchanged(make: MakeRetriever) -> None:
    """Searching changes neither the query nor the filter, and the next answer is the same."""
    retriever = make(items())
    query, allowed = queries()[0].copy(), np.arange(N) % 2 == 0
    before = retriever.search(query, 9, allowed=allowed)
    require(np.array_equal(query, queries()[0]), "the query was changed")
    require(np.array_equal(allowed, np.arange(N) % 2 == 0), "the filter was changed")
    after = retriever.search(query, 9, allowed=allowed)
    require(np.array_equal(before[0], after[0]), "asking twice gave two answers")


def check_bad_input_refused(make: MakeRetriever) -> None:
    """A query of a wrong length or with NaN, a filter of a wrong length and k < 1 raise InvalidInput."""
    retriever = make(items())
    query = queries()[0]
    broken = query.copy()
    broken[0] = np.nan
    _refused(lambda: retriever.search(query[:-1], 3), "a query of the wrong length")
    _refused(lambda: retriever.search(broken, 3), "a query with NaN")
    _refused(lambda: retriever.search(query, 0), "k = 0")
    _refused(lambda: retriever.search(query, -2), "k = -2")
    _refused(lambda: retriever.search(query, 3, allowed=np.ones(N - 1, dtype=np.bool_)), "a filter too short")


def check_equals_brute_force(make: MakeRetriever) -> None:
    """Exact: what a scan of everything finds, filtered or not."""
    vectors = items()
    retriever = make(vectors)
    for seed, query in enumerate(queries()):
        allowed = np.random.default_rng(seed).random(N) < 0.5
        for mask in (None, allowed):
            rows, _ = retriever.search(query, 12, allowed=mask)
            wanted, _ = exact(vectors, query, 12, mask)
            require(np.array_equal(rows, wanted), f"found {rows.tolist()}, a scan finds {wanted.tolist()}")


def check_ties_go_to_the_lower_row(make: MakeRetriever) -> None:
    """Equal items come in row order, also where the page ends in the middle of them."""
    one = items(n=1)
    vectors = np.repeat(np.concatenate([one, -one]), 40, axis=0)
    for k in (1, 13, 40):
        rows, _ = make(vectors).search(one[0], k)
        require(rows.tolist() == list(range(k)), f"ties must go to the lower row, got {rows.tolist()}")
    odd = np.arange(80) % 2 == 1
    rows, _ = make(vectors).search(one[0], 5, allowed=odd)
    require(
        rows.tolist() == [1, 3, 5, 7, 9], f"ties among the allowed go to the lower row, got {rows.tolist()}"
    )


def check_recall(make: MakeRetriever, recall: float) -> None:
    """Approximate: at least the promised share of the exact answer, over all queries."""
    vectors = items(n=2_000)
    retriever = make(vectors)
    hits = [np.isin(retriever.search(q, 10)[0], exact(vectors, q, 10)[0]).mean() for q in queries()]
    require(np.mean(hits) >= recall, f"recall is {np.mean(hits):.3f}, promised is {recall}")


def _refused(ask: Callable[[], object], what: str) -> None:
    try:
        ask()
    except InvalidInput:
        return
    require(False, f"{what} must raise InvalidInput")


CHECKS_RETRIEVER: tuple[RetrieverCheck, ...] = (
    check_shapes,
    check_descending,
    check_distinct,
    check_scores_belong_to_rows,
    check_filter,
    check_nothing_allowed,
    check_k_above_n,
    check_no_items,
    check_inputs_unchanged,
    check_bad_input_refused,
)
CHECKS_EXACT: tuple[RetrieverCheck, ...] = (check_equals_brute_force, check_ties_go_to_the_lower_row)
