"""Full-catalogue ranking by dot products, the same for every rival that has vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rivals.exchange import NOTHING, Answer, Floats, Histories, Rows

AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Vectors of users (u, d) and items (n, d), what each user had already, and the items that have no vector."""

    users: Floats
    items: Floats
    histories: Histories
    unknown: Rows

    @classmethod
    def of_known(
        cls, users: Floats, items: Floats, known: Rows, histories: Histories, n_items: int
    ) -> Ranking:
        """Where only the `known` items of a catalogue of `n_items` have vectors: items is (known, d)."""
        full = np.zeros((n_items, items.shape[1]), np.float32)
        full[known] = items
        return cls(users, full, histories, np.setdiff1d(np.arange(n_items), known))

    def best(self, k: int, *, keep_seen: bool = False) -> Answer:
        """The k items of the highest dot product for each user; what the history holds is left out unless kept."""
        k = min(k, len(self.items))
        found = np.full((len(self.users), k), NOTHING, np.int64)
        values = np.full((len(self.users), k), -np.inf, np.float32)
        for part, scores in self._scores(keep_seen):
            top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
            top = np.take_along_axis(top, order, axis=1)
            values[part] = np.take_along_axis(scores, top, axis=1)
            found[part] = np.where(np.isfinite(values[part]), top, NOTHING)
        return Answer(self.histories.users, found, values)

    def ndcg(self, targets: Rows, at: int = 10) -> float:
        """The mean of 1 / log2(1 + rank) of each user's held-out item, 0 beyond `at`; targets (u,).

        Equal scores count against the target; one that the user had already, or that has no vector, is missed.
        """
        gains = 0.0
        for part, scores in self._scores(keep_seen=False):
            of_target = scores[np.arange(len(scores)), targets[part]]
            rank = (scores >= of_target[:, None]).sum(axis=1)
            hit = (rank <= at) & np.isfinite(of_target)
            gains += float((hit / np.log2(1 + rank)).sum())
        return gains / max(len(self.users), 1)

    def _scores(self, keep_seen: bool) -> Iterator[tuple[slice, Floats]]:
        for start in range(0, len(self.users), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            scores = self.users[part] @ self.items.T
            scores[:, self.unknown] = -np.inf
            if not keep_seen:
                bounds = self.histories.starts[start : start + len(scores) + 1]
                rows = np.repeat(np.arange(len(scores)), np.diff(bounds))
                scores[rows, self.histories.items[bounds[0] : bounds[-1]]] = -np.inf
            yield part, scores
