"""Which texts an encoder reads together: the cheapest way to cut them, sorted by length, into batches.

A transformer's cost goes with the tokens it reads, padding included, and every batch costs a little by itself: its
weights have to come from memory. So texts of one length go together, and neighbours in length where few of each are.
"""

from __future__ import annotations

import numpy as np

from honeyguide.types import Rows

_FULL = 1024  # tokens a batch: what flows between two layers then stays in a core's cache
_SPARE = 128  # the fewest tokens that batches are cut into so that every thread has one
_BY_ITSELF = (
    12  # what a batch costs beside its tokens, in tokens (MiniLM on a 2.6 GHz core: 2.9 ms and 0.22 ms)
)


def cut_by_length(lengths: Rows, *, rows: int, threads: int = 1) -> list[Rows]:
    """Batches of at most `rows` places of `lengths` (n,), the largest first; none holds what has no tokens."""
    counts = np.bincount(lengths) if len(lengths) else np.zeros(1, dtype=np.int64)
    counts[0] = 0
    full = int(np.clip((counts * np.arange(len(counts))).sum() // threads, _SPARE, _FULL))
    order = np.argsort(-lengths, kind="stable").astype(np.int64)
    found: list[Rows] = []
    start = 0
    for width, texts in _together(counts, rows, full):
        step = _texts_a_batch(width, rows, full)
        # evenly: a last batch of very few would cost as much as a larger one
        parts = -(-texts // step)
        found += [part for part in np.array_split(order[start : start + texts], parts) if len(part)]
        start += texts
    return sorted(found, key=lambda part: -len(part) * int(lengths[part[0]]))


def price(texts: int, width: int, rows: int, full: int) -> int:
    """What it costs, in tokens, to read so many texts as if all had `width` tokens."""
    return texts * width + _BY_ITSELF * -(-texts // _texts_a_batch(width, rows, full))


def _texts_a_batch(width: int, rows: int, full: int) -> int:
    return max(1, min(rows, full // width))


def _together(counts: Rows, rows: int, full: int) -> list[tuple[int, int]]:
    """Runs of lengths that share batches, longest first: (the longest length, how many texts), cheapest in sum."""
    widths: list[int] = np.flatnonzero(counts)[::-1].tolist()
    texts = [0, *np.cumsum(counts[widths]).tolist()]  # in the first i lengths
    tokens = [0, *np.cumsum(counts[widths] * widths).tolist()]
    best, begins = [0], [0]  # of the first i lengths: the least price, and where the last run of it begins
    for end in range(1, len(widths) + 1):
        least, chosen = 1 << 62, 0
        for begin in range(end - 1, -1, -1):
            width, n = widths[begin], texts[end] - texts[begin]
            if n * width - (tokens[end] - tokens[begin]) > _BY_ITSELF * (end - begin):
                break  # the padding alone is dearer than reading them apart, whatever else joins them
            paid = best[begin] + price(n, width, rows, full)
            if paid < least:
                least, chosen = paid, begin
        best.append(least)
        begins.append(chosen)
    runs: list[tuple[int, int]] = []
    end = len(widths)
    while end:
        begin = begins[end]
        runs.append((widths[begin], texts[end] - texts[begin]))
        end = begin
    return runs[::-1]
