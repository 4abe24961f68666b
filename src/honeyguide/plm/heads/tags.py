"""A head on every word: which of several tags it carries (brand, colour, size...)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.files import TAGS
from honeyguide.plm.heads.head import Feeding, Head, Reader, each_text
from honeyguide.plm.heads.scores import accuracy, macro_f1
from honeyguide.plm.readable import readable
from honeyguide.plm.tokens import tokens_of
from honeyguide.plm.train.feeds import Batch, cut_places
from honeyguide.plm.words import first_tokens, words_of
from honeyguide.types import Rows, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Tagged:
    """n texts, and for each the place of the tag of every word; words are what stands between white space."""

    texts: tuple[str, ...]
    tags: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.tags):
            raise InvalidInput(f"every text needs tags, got {len(self.texts)} and {len(self.tags)}")
        for text, tags in zip(self.texts, self.tags, strict=True):
            if len(words_of(text)) != len(tags):
                raise InvalidInput(f"{text[:40]!r} has {len(words_of(text))} words and {len(tags)} tags")


@dataclass(frozen=True, eq=False)
class TagFeed:
    """Batches of `ids`, `mask` (n, length), and of the first tokens of words: `places` and `targets` (m,).

    Places count through the flattened `ids`.
    """

    ids: tuple[NDArray[np.uint32], ...]
    places: tuple[Rows, ...]
    targets: tuple[Rows, ...]
    feeding: Feeding
    order: Shuffled

    least: ClassVar[int] = 1

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rows = [int(row) for row in self.order.batch(number)]
        ids, mask = self.feeding.padded([self.ids[row] for row in rows])
        places = [line * ids.shape[1] + 1 + self.places[row] for line, row in enumerate(rows)]
        targets = np.concatenate([self.targets[row] for row in rows])
        return {"ids": ids, "mask": mask, "places": np.concatenate(places), "targets": targets}

    def cut(self, batch: Batch, begin: int, end: int) -> Batch:
        """Some texts of a batch, and their words."""
        return cut_places(batch, begin, end)


class TokenClassification(Head[Tagged]):
    """One of several tags for each word, read off its first token; says the probability of each.

    A word that was cut off, or that the tokenizer leaves out, gets a row of zeros, whose best is the first tag.
    """

    kind = "tags"

    def __init__(
        self, tags: Sequence[str], dim: int, *, dropout: float = 0.1, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        if len(tags) < 2 or len(set(tags)) != len(tags):
            raise InvalidInput(f"there must be at least two tags, all distinct, got {', '.join(tags)}")
        if not (0 <= dropout < 1 and 0 <= label_smoothing < 1):
            raise InvalidInput("dropout and label_smoothing must be at least 0 and below 1")
        self.tags, self.label_smoothing = tuple(tags), label_smoothing
        self.drop = torch.nn.Dropout(dropout)
        self.out = torch.nn.Linear(dim, len(tags))
        torch.nn.init.zeros_(self.out.weight)
        torch.nn.init.zeros_(self.out.bias)

    def feed(self, examples: Tagged, feeding: Feeding) -> TagFeed:
        """Batches of texts of alike lengths."""
        known = range(len(self.tags))
        if any(tag not in known for tags in examples.tags for tag in tags):
            raise InvalidInput(f"tags must be places of tags, integers from 0 to {len(self.tags) - 1}")
        ids, places, targets = [], [], []
        for (text_ids, first), tags in zip(_read(examples.texts, feeding), examples.tags, strict=True):
            seen = (first >= 0) & (first < feeding.limit)
            ids.append(text_ids)
            places.append(first[seen])
            targets.append(np.array(tags, dtype=np.int64)[seen])
        if not any(len(row) for row in targets):
            raise InvalidInput("there is no word to learn from: all texts are empty")
        order = feeding.order(np.array([len(row) for row in ids], dtype=np.int64))
        return TagFeed(tuple(ids), tuple(places), tuple(targets), feeding, order)

    def logits(self, reader: Reader, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, length, tags) float32."""
        found: torch.Tensor = self.out(self.drop(reader.states(ids, mask)))
        return found.float()

    def loss(self, reader: Reader, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy, the mean over words."""
        logits = self.logits(reader, batch["ids"], batch["mask"]).flatten(0, 1)[batch["places"]]
        # the sum over no words is 0, where their mean would be no number
        total = torch.nn.functional.cross_entropy(
            logits, batch["targets"], label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / max(1, len(logits))

    def predict(
        self, reader: Reader, texts: Sequence[str], feeding: Feeding, device: torch.device
    ) -> list[Vectors]:
        """(words, tags) a text."""
        told = each_text(
            tokens_of(texts, feeding.tokenizer),
            feeding,
            lambda ids, mask: self.logits(reader, ids, mask).softmax(2),
            device,
        )
        found = []
        for values, (_, first) in zip(told, _read(texts, feeding), strict=True):
            rows = np.zeros((len(first), len(self.tags)), dtype=np.float32)
            seen = (first >= 0) & (first < feeding.limit)
            rows[seen] = values[1 + first[seen]]
            found.append(rows)
        return found

    def score(self, predictions: Sequence[Vectors], examples: Tagged) -> dict[str, float]:
        """Macro F1 and accuracy, over words."""
        none = np.zeros((0, len(self.tags)))
        guessed = np.concatenate([none, *predictions]).argmax(1)
        true = np.array([tag for tags in examples.tags for tag in tags], dtype=np.int64)
        every = np.arange(len(self.tags))
        return {
            "macro F1": macro_f1(guessed[:, None] == every, true[:, None] == every),
            "accuracy": accuracy(guessed, true),
        }

    def graph(self, reader: Reader) -> tuple[torch.nn.Module, str]:
        """Probabilities (texts, tokens, tags): vectors of texts do not tell them."""
        return _Tags(reader, self), TAGS

    def about(self) -> dict[str, Any]:
        """Its tags and settings."""
        return {
            "kind": self.kind, "labels": list(self.tags), "dropout": self.drop.p,
            "label_smoothing": self.label_smoothing,
        }  # fmt: skip


class _Tags(torch.nn.Module):
    def __init__(self, reader: Reader, head: TokenClassification) -> None:
        super().__init__()
        self.reader, self.head = reader, head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.head.logits(self.reader, input_ids, attention_mask).softmax(2)


def _read(texts: Sequence[str], feeding: Feeding) -> list[tuple[NDArray[np.uint32], Rows]]:
    """Each text's token ids, and the first token of each of its words."""
    feeding.tokenizer.no_padding()
    feeding.tokenizer.no_truncation()
    found = feeding.tokenizer.encode_batch(list(map(readable, texts)), add_special_tokens=False)
    return [
        (np.array(one.ids, dtype=np.uint32), first_tokens(text, one.offsets))
        for text, one in zip(texts, found, strict=True)
    ]
