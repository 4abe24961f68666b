"""What a task adds to a language model: a head, which knows its examples, its loss, and how good it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from honeyguide.plm.backbone import Backbone, Special, pooled
from honeyguide.plm.batches import Shuffled, padded
from honeyguide.plm.files import VECTORS
from honeyguide.plm.tokens import Tokens
from honeyguide.plm.train.feeds import Feed
from honeyguide.types import Rows, State, Vectors


class Reader(torch.nn.Module):
    """A transformer as heads see it: `ids` and `mask`, (n, length), to hidden states or to unit vectors."""

    def __init__(self, base: Any, pooling: str) -> None:  # noqa: ANN401
        super().__init__()
        self.base, self.pooling = base, pooling

    def states(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, length, dim)."""
        hidden: torch.Tensor = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        return hidden

    def vectors(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, dim) float32 of unit norm, as the encoder that serves gives them."""
        return pooled(self.states(ids, mask), mask, self.pooling)


@dataclass(frozen=True, slots=True, eq=False)
class Feeding:
    """How texts become batches: cut after `max_tokens`, about `batch_tokens` padded tokens at once."""

    tokenizer: Tokenizer
    special: Special
    max_tokens: int = 64
    batch_tokens: int = 2048
    rows: int | None = None
    """Texts (pairs, queries) in a batch at the most; None sets no limit."""
    seed: int = 0

    @classmethod
    def of(
        cls, backbone: Backbone, *, max_tokens: int = 64, batch_tokens: int = 2048, seed: int = 0
    ) -> Feeding:
        """With a backbone's tokenizer, cut no later than it can read."""
        limit = min(max_tokens, backbone.longest)
        return cls(backbone.fast_tokenizer, backbone.special, limit, max(batch_tokens, limit), seed=seed)

    @property
    def limit(self) -> int:
        """How many tokens of a text are read, special ones left out."""
        return self.max_tokens - 2

    def padded(self, texts: Iterable[NDArray[np.uint32]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(ids, mask), both (n, longest), special tokens and all."""
        return padded(
            [text[: self.limit] for text in texts],
            first=self.special.first,
            last=self.special.last,
            pad=self.special.pad,
        )

    def order(self, lengths: NDArray[np.int64]) -> Shuffled:
        """Which rows share a batch, for texts of these many tokens."""
        return Shuffled(np.minimum(lengths, self.limit) + 2, self.batch_tokens, self.seed, self.rows)


def each_text(
    tokens: Tokens,
    feeding: Feeding,
    compute: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    device: torch.device,
) -> list[Vectors]:
    """What `compute` says of each text, (n, ...) a batch of texts of alike lengths; nothing is learned."""
    found: dict[int, Vectors] = {}
    lengths = np.minimum(tokens.lengths, feeding.limit) + 2
    order = np.argsort(lengths, kind="stable")
    with torch.no_grad():
        for rows in _cut(order, lengths, feeding.batch_tokens):
            ids, mask = feeding.padded([tokens.text(int(row), feeding.limit) for row in rows])
            told = compute(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
            found |= zip(rows.tolist(), told.float().cpu().numpy(), strict=True)
    return [found[row] for row in range(len(tokens))]


def _cut(order: Rows, lengths: NDArray[np.int64], most: int) -> Iterator[Rows]:
    """Rows in their order, as many at once as `most` padded tokens hold; at least one."""
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * int(lengths[order[end]]) > most:
            yield order[start:end]
            start = end


class Examples(Protocol):
    """What a head learns from: texts, and what is to be said of them."""

    @property
    def texts(self) -> Sequence[str]:
        """The texts, by row."""
        ...


E = TypeVar("E", bound=Examples)


class Head(torch.nn.Module, ABC, Generic[E]):
    """A task on top of a `Reader`; a module that holds what is the task's own."""

    kind: ClassVar[str]
    """What it is called in files."""

    @abstractmethod
    def feed(self, examples: E, feeding: Feeding) -> Feed:
        """Batches as `loss` takes them."""

    @abstractmethod
    def loss(self, reader: Reader, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What is to be made small, a scalar."""

    @abstractmethod
    def predict(
        self, reader: Reader, texts: Sequence[str], feeding: Feeding, device: torch.device
    ) -> list[Vectors]:
        """What is said of each text, as the served head says it: an array a text."""

    @abstractmethod
    def score(self, predictions: Sequence[Vectors], examples: E) -> dict[str, float]:
        """How good predictions for the examples' texts are: figures up to 1, higher is better, the first decides."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """JSON with which, and with `arrays`, the head can be made again, here or where it serves."""

    def graph(self, reader: Reader) -> tuple[torch.nn.Module, str]:
        """What is exported to serve it, over (input_ids, attention_mask), and what its output is called.

        Vectors, on which the head goes on in numpy; a head that needs more than them brings its own module.
        """
        return _Vectors(reader), VECTORS

    def arrays(self) -> State:
        """Its own parameters and buffers."""
        return {name: tensor.detach().float().cpu().numpy() for name, tensor in self.state_dict().items()}


class _Vectors(torch.nn.Module):
    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.reader.vectors(input_ids, attention_mask)
