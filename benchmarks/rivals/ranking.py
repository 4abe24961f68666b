"""Full-catalogue ranking by dot products, the same for every rival that has vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from rivals.exchange import NOTHING, Answer, Floats, Histories, Rows

AT_ONCE = 512


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Vectors of users (u, d) and items (n, d), what each user had already, and the items that have no vector.

    Scores are computed on `device`, in float32 everywhere.
    """

    users: Floats
    items: Floats
    histories: Histories
    unknown: Rows
    device: str = "cpu"

    @classmethod
    def of_known(
        cls,
        users: Floats,
        items: Floats,
        known: Rows,
        histories: Histories,
        n_items: int,
        device: str = "cpu",
    ) -> Ranking:
        """Where only the `known` items of a catalogue of `n_items` have vectors: items is (known, d)."""
        full = np.zeros((n_items, items.shape[1]), np.float32)
        full[known] = items
        return cls(users, full, histories, np.setdiff1d(np.arange(n_items), known), device)

    def best(self, k: int, *, keep_seen: bool = False) -> Answer:
        """The k items of the highest dot product for each user; what the history holds is left out unless kept."""
        k = min(k, len(self.items))
        found = np.full((len(self.users), k), NOTHING, np.int64)
        values = np.full((len(self.users), k), -np.inf, np.float32)
        for part, scores in self._scores(keep_seen):
            best, top = scores.topk(k, dim=1)
            values[part] = best.cpu().numpy()
            found[part] = np.where(np.isfinite(values[part]), top.cpu().numpy(), NOTHING)
        return Answer(self.histories.users, found, values)

    def ndcg(self, targets: Rows, at: int = 10) -> float:
        """The mean of 1 / log2(1 + rank) of each user's held-out item, 0 beyond `at`; targets (u,).

        Equal scores count against the target; one that the user had already, or that has no vector, is missed.
        """
        gains = 0.0
        for part, scores in self._scores(keep_seen=False):
            of_target = scores.gather(1, self._placed(targets[part])[:, None])
            rank = (scores >= of_target).sum(dim=1)
            hit = (rank <= at) & of_target[:, 0].isfinite()
            gains += float((hit / torch.log2(1.0 + rank)).sum())
        return gains / max(len(self.users), 1)

    def _scores(self, keep_seen: bool) -> Iterator[tuple[slice, torch.Tensor]]:
        users, items = self._placed(self.users), self._placed(self.items)
        unknown = self._placed(self.unknown)
        for start in range(0, len(self.users), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            scores = users[part] @ items.T
            scores[:, unknown] = -torch.inf
            if not keep_seen:
                bounds = self.histories.starts[start : start + len(scores) + 1]
                rows = np.repeat(np.arange(len(scores)), np.diff(bounds))
                seen = self.histories.items[bounds[0] : bounds[-1]]
                scores[self._placed(rows), self._placed(seen)] = -torch.inf
            yield part, scores

    def _placed(self, array: Floats | Rows) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)
