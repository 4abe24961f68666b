"""Heads on pairs of texts, each read by itself: what goes with what, and how well an item answers a query.

Both texts become vectors, so items can be encoded beforehand and searched; no text is read together with another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from honeyguide.errors import InvalidInput
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.heads.head import Feeding, Head, Reader, each_text
from honeyguide.plm.heads.scores import ndcg, ordered
from honeyguide.plm.objectives.contrastive import PairFeed, in_batch_loss
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Floats, Rows, Vectors

K = 10
_PAIRS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Distinct texts, and p pairs of their rows that go together: `first` asks, `second` is found; both (p,)."""

    texts: tuple[str, ...]
    first: Rows
    second: Rows

    def __post_init__(self) -> None:
        _check_rows(self.texts, self.first, self.second)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Distinct texts, and m judgements: `query` and `item` are rows of them, `relevance` a number, all (m,)."""

    texts: tuple[str, ...]
    query: Rows
    item: Rows
    relevance: Floats

    def __post_init__(self) -> None:
        _check_rows(self.texts, self.query, self.item)
        if len(self.relevance) != len(self.query) or not np.isfinite(self.relevance).all():
            raise InvalidInput(f"every judgement needs a finite relevance, got {len(self.relevance)}")

    def by_query(self) -> list[Rows]:
        """The judgements of each query that has some to put into an order."""
        order = np.argsort(self.query, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.query[order])) + 1)
        return [group for group in groups if len(group) and np.ptp(self.relevance[group]) > 0]


class Retrieval(Head[Pairs]):
    """In-batch contrastive learning with its correction for popularity; the encoder itself is what is taught."""

    kind = "retrieval"

    def __init__(self, *, temperature: float = 0.05, correct: bool = True) -> None:
        super().__init__()
        if not temperature > 0:
            raise InvalidInput(f"temperature must be above 0, got {temperature}")
        self.temperature, self.correct = temperature, correct

    def feed(self, examples: Pairs, feeding: Feeding) -> PairFeed:
        """Batches of pairs, sixty-four or `feeding.rows`."""
        return PairFeed.of(
            tokens_of(examples.texts, feeding.tokenizer),
            examples.first,
            examples.second,
            feeding.special,
            max_tokens=feeding.max_tokens,
            rows=feeding.rows or _PAIRS,
            seed=feeding.seed,
        )

    def loss(self, reader: Reader, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy of each text's own among the batch's."""
        a = reader.vectors(batch["first"], batch["first_mask"])
        b = reader.vectors(batch["second"], batch["second_mask"])
        return in_batch_loss(
            a, b, batch["banned"], batch["log_q"] if self.correct else None, self.temperature
        )

    def predict(
        self, reader: Reader, texts: Sequence[str], feeding: Feeding, device: torch.device
    ) -> list[Vectors]:
        """(dim,) of unit norm a text."""
        return each_text(tokens_of(texts, feeding.tokenizer), feeding, reader.vectors, device)

    def score(self, predictions: Sequence[Vectors], examples: Pairs) -> dict[str, float]:
        """Recall@10 among all that can be found, the mean over those that ask."""
        offered = np.unique(examples.second)
        vectors = np.stack(predictions)
        recalls = []
        for row in np.unique(examples.first):
            wanted = np.unique(examples.second[examples.first == row])
            scores = vectors[offered] @ vectors[row]
            scores[offered == row] = -np.inf
            nearest = offered[np.argsort(-scores, kind="stable")[:K]]
            recalls.append(np.isin(nearest, wanted).sum() / min(K, len(wanted)))
        return {f"recall@{K}": float(np.mean(recalls))}

    def about(self) -> dict[str, Any]:
        """Its settings."""
        return {"kind": self.kind, "labels": [], "temperature": self.temperature, "correct": self.correct}


@dataclass(frozen=True, eq=False)
class JudgedFeed:
    """Batches of whole queries: `ids` and `mask`, the same of their m items, `owner` and `relevance` (m,).

    `owner` says which of the batch's queries an item was judged for.
    """

    tokens: Tokens
    groups: tuple[Rows, ...]
    judged: Judged
    feeding: Feeding
    order: Shuffled

    least: ClassVar[int] = 1

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        groups = [self.groups[int(place)] for place in self.order.batch(number)]
        rows = np.concatenate(groups)
        ids, mask = self._texts(np.array([self.judged.query[group[0]] for group in groups]))
        item_ids, item_mask = self._texts(self.judged.item[rows])
        owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        relevance = self.judged.relevance[rows].astype(np.float32)
        return {
            "ids": ids, "mask": mask, "item_ids": item_ids, "item_mask": item_mask, "owner": owner,
            "relevance": relevance,
        }  # fmt: skip

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some queries of a batch, and their items."""
        owner = np.asarray(batch["owner"], dtype=np.int64)
        theirs = (owner >= begin) & (owner < end)
        items = {name: batch[name][theirs] for name in ("item_ids", "item_mask", "relevance")}
        return {"ids": batch["ids"][begin:end], "mask": batch["mask"][begin:end], **items,
                "owner": owner[theirs] - begin}  # fmt: skip

    def _texts(self, rows: Rows) -> tuple[Any, Any]:
        return self.feeding.padded([self.tokens.text(int(row), self.feeding.limit) for row in rows])


class Ranking(Head[Judged]):
    """Puts a query's items into the order of their relevance.

    The score is the cosine of the two vectors, the query's one turned a little first; that turn is all that a frozen
    encoder can learn. `listwise` compares two distributions over a query's items (ListNet, Cao et al. 2007),
    `pairwise` asks of any two which is better (RankNet, Burges et al. 2005).
    """

    kind = "ranking"

    def __init__(
        self, dim: int, *, form: Literal["listwise", "pairwise"] = "listwise", scale: float = 10.0
    ) -> None:
        super().__init__()
        if form not in ("listwise", "pairwise"):
            raise InvalidInput(f"form must be listwise or pairwise, got {form!r}")
        if not scale > 0:
            raise InvalidInput(f"scale must be above 0, got {scale}")
        self.form, self.scale = form, scale
        self.turn = torch.nn.Linear(dim, dim, bias=False)
        torch.nn.init.zeros_(self.turn.weight)  # what is added to the vector: it begins as the cosine

    def feed(self, examples: Judged, feeding: Feeding) -> JudgedFeed:
        """Batches of whole queries; one whose items are all as good is left out."""
        groups = examples.by_query()
        if not groups:
            raise InvalidInput("there is nothing to rank: no query has items of different relevance")
        tokens = tokens_of(examples.texts, feeding.tokenizer)
        lengths = np.minimum(tokens.lengths, feeding.limit) + 2
        sizes = np.array([int(lengths[examples.item[group]].sum()) for group in groups], dtype=np.int64)
        most = max(feeding.batch_tokens, int(sizes.max()))
        order = Shuffled(sizes, most, feeding.seed, feeding.rows)
        return JudgedFeed(tokens, tuple(groups), examples, feeding, order)

    def scores(self, queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """(m,) of vectors (m, dim)."""
        turned: torch.Tensor = queries + self.turn(queries)
        return self.scale * (turned * items).sum(1)

    def loss(self, reader: Reader, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The mean over queries."""
        owner, relevance = batch["owner"], batch["relevance"]
        queries = reader.vectors(batch["ids"], batch["mask"])
        scores = self.scores(queries[owner], reader.vectors(batch["item_ids"], batch["item_mask"])).float()
        count = len(queries)
        if self.form == "pairwise":
            better = (owner[:, None] == owner[None, :]) & (relevance[:, None] > relevance[None, :])
            first, second = better.nonzero(as_tuple=True)
            losses = torch.nn.functional.softplus(scores[second] - scores[first])
            pairs = torch.bincount(owner[first], minlength=count)
            return (losses / pairs[owner[first]]).sum() / count
        wanted = _within(relevance, owner, count).exp()
        return -(wanted * _within(scores, owner, count)).sum() / count

    def predict(
        self, reader: Reader, texts: Sequence[str], feeding: Feeding, device: torch.device
    ) -> list[Vectors]:
        """(dim,) of unit norm a text, for items and, before the turn, for queries."""
        return each_text(tokens_of(texts, feeding.tokenizer), feeding, reader.vectors, device)

    def score(self, predictions: Sequence[Vectors], examples: Judged) -> dict[str, float]:
        """NDCG@10 and the share of pairs in the right order, the means over queries."""
        vectors = torch.from_numpy(np.stack(predictions))
        device = self.turn.weight.device
        queries, items = vectors[examples.query].to(device), vectors[examples.item].to(device)
        with torch.no_grad():
            scores = self.scores(queries, items).double().cpu().numpy()
        groups = examples.by_query()
        gains = 2.0**examples.relevance
        return {
            f"ndcg@{K}": float(np.mean([ndcg(scores[group], gains[group], K) for group in groups])),
            "pairs in order": float(np.mean([ordered(scores[group], gains[group]) for group in groups])),
        }

    def about(self) -> dict[str, Any]:
        """Its settings."""
        return {"kind": self.kind, "labels": [], "form": self.form, "scale": self.scale}


def _within(values: torch.Tensor, owner: torch.Tensor, count: int) -> torch.Tensor:
    """(m,): the log of softmax over those with the same owner."""
    top = torch.full((count,), -math.inf, device=values.device, dtype=values.dtype)
    top = top.scatter_reduce(0, owner, values, "amax").detach()
    shifted = values - top[owner]
    total = torch.zeros(count, device=values.device, dtype=values.dtype).scatter_add(0, owner, shifted.exp())
    return shifted - total.log()[owner]


def _check_rows(texts: Sequence[str], first: Rows, second: Rows) -> None:
    if len(first) != len(second) or not len(first):
        raise InvalidInput(f"there must be pairs of rows, at least one, got {len(first)} and {len(second)}")
    lowest, highest = min(first.min(), second.min()), max(first.max(), second.max())
    if lowest < 0 or highest >= len(texts):
        raise InvalidInput(f"rows must lie in 0..{len(texts) - 1}, got {lowest}..{highest}")
