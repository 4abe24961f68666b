"""What the sequence model reads of an item but for what was done with it: its text, and its price."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.types import Floats, Rows, Vectors

BANDS = 8
"""Bands of price, overlapping, each with about as many items as another."""
_WEIGHT = 0.5  # beside a text's norm of about 1: a price tells less


def content_of(texts: Vectors, prices: Sequence[float | None], queries: Vectors) -> Vectors:
    """(n + q, d + BANDS): texts (n, d) without what all have in common, and their prices; queries (q, d) have none.

    The price is that among the shop's other prices: what is cheap of one is dear of another.
    """
    centre = texts.mean(axis=0)
    # a search whose text was not read says nothing, not the opposite of what all have in common
    asked = np.where(queries.any(axis=1, keepdims=True), queries - centre, 0)
    signs = np.concatenate([price_signs(prices), np.zeros((len(queries), BANDS), dtype=np.float32)])
    return np.concatenate([np.concatenate([texts - centre, asked]), signs], axis=1).astype(np.float32)


def prices_or_paid(prices: Sequence[float | None], items: Rows, paid: Floats) -> list[float | None]:
    """(n,): the catalogue's prices, or else the median of what was paid, (e,) with NaN for none, for `items` (e,).

    >>> prices_or_paid([2.0, None, None], np.array([0, 1, 1]), np.array([9.0, 3.0, 5.0]))
    [2.0, 4.0, None]
    """
    found = list(prices)
    told = np.flatnonzero((items >= 0) & (paid > 0))
    order = told[np.argsort(items[told], kind="stable")]
    rows, starts = np.unique(items[order], return_index=True)
    for row, start, end in zip(rows.tolist(), starts, np.append(starts, len(order))[1:], strict=True):
        if found[row] is None:
            found[row] = float(np.median(paid[order[start:end]]))
    return found


def price_signs(prices: Sequence[float | None]) -> Vectors:
    """(n, BANDS): how near each price is to the middle of each band; 0 where a price is not known, or all are one.

    >>> price_signs([1.0, 2.0, 3.0, 4.0, 50.0, 60.0, 70.0, 800.0]).argmax(axis=1).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    known = np.array([price if price is not None and price > 0 else np.nan for price in prices])
    place = np.full(len(known), np.nan)
    there = np.isfinite(known)
    found = np.zeros((len(known), BANDS), dtype=np.float32)
    distinct = np.unique(known[there])
    if len(distinct) < 2:
        return found
    ordered = np.sort(known[there])
    # of equal prices the middle one's place: bands then depend on no order
    below, upto = (np.searchsorted(ordered, known[there], side=side) for side in ("left", "right"))
    place[there] = (below + upto) / 2 / len(ordered) * BANDS - 0.5
    near = np.exp(-0.5 * (place[there, None] - np.arange(BANDS)) ** 2)
    found[there] = _WEIGHT * near / np.linalg.norm(near, axis=1, keepdims=True)
    return found
