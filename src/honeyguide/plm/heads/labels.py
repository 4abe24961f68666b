"""Heads on a text's vector: which class, which of many labels, which numbers.

A head is one linear map of the unit vector that the encoder gives, stretched to `sqrt(dim)` so that it learns as fast
as the layers below; so it can be served as a matrix product on vectors that are there anyway.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.plm.batches import Shuffled
from honeyguide.plm.heads.head import Feeding, Head, Reader, each_text
from honeyguide.plm.heads.scores import accuracy, average_precision, macro_f1, r_squared
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train.feeds import Batch
from honeyguide.types import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """n texts and what is to be said of each.

    `targets` is (n,) int64, a class's place, for `Classification`; (n, labels) of 0 and 1 for `MultiLabel`; (n, k) of
    numbers for `Regression`.
    """

    texts: tuple[str, ...]
    targets: NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.targets):
            raise InvalidInput(f"every text needs a target, got {len(self.texts)} and {len(self.targets)}")
        if not np.isfinite(self.targets).all():
            raise InvalidInput("targets must be finite: leave out what is not known")

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Labelled:
        """The examples at `rows`, in that order."""
        index = np.asarray(rows, dtype=np.int64)
        return Labelled(tuple(self.texts[row] for row in index), self.targets[index])


@dataclass(frozen=True, eq=False)
class LabelledFeed:
    """Batches of `ids`, `mask` (n, length) and `targets` (n, ...)."""

    tokens: Tokens
    targets: NDArray[Any]
    feeding: Feeding
    order: Shuffled

    def batch(self, number: int) -> Batch:
        """The batch of that number."""
        rows = self.order.batch(number)
        ids, mask = self.feeding.padded([self.tokens.text(int(row), self.feeding.limit) for row in rows])
        return {"ids": ids, "mask": mask, "targets": self.targets[rows]}


class OnVectors(Head[Labelled]):
    """A linear map of the text's vector; what its outputs mean is for those below to say."""

    def __init__(self, dim: int, outputs: int, *, dropout: float) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise InvalidInput(f"dropout must be at least 0 and below 1, got {dropout}")
        self.drop = torch.nn.Dropout(dropout)
        self.out = torch.nn.Linear(dim, outputs)
        # from 0 on the first steps teach the head, and do not bend the encoder towards a random one
        torch.nn.init.zeros_(self.out.weight)
        torch.nn.init.zeros_(self.out.bias)

    @abstractmethod
    def checked(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Targets as the loss takes them; InvalidInput where they are none."""

    @abstractmethod
    def said(self, outputs: torch.Tensor) -> torch.Tensor:
        """(n, outputs): what the outputs mean."""

    def outputs(self, reader: Reader, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, outputs) float32, before they mean anything."""
        vectors = reader.vectors(ids, mask)
        found: torch.Tensor = self.out(self.drop(vectors * math.sqrt(vectors.shape[1])))
        return found.float()

    def feed(self, examples: Labelled, feeding: Feeding) -> LabelledFeed:
        """Batches of texts of alike lengths."""
        tokens = tokens_of(examples.texts, feeding.tokenizer)
        return LabelledFeed(tokens, self.checked(examples.targets), feeding, feeding.order(tokens.lengths))

    def predict(
        self, reader: Reader, texts: Sequence[str], feeding: Feeding, device: torch.device
    ) -> list[Vectors]:
        """(outputs,) a text."""
        tokens = tokens_of(texts, feeding.tokenizer)
        return each_text(
            tokens, feeding, lambda ids, mask: self.said(self.outputs(reader, ids, mask)), device
        )


class Classification(OnVectors):
    """One of several classes; says the probability of each.

    `label_smoothing` is the share of certainty that is spread over all classes (Szegedy et al. 2016).
    """

    kind = "classification"

    def __init__(
        self, classes: Sequence[str], dim: int, *, dropout: float = 0.1, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(dim, len(classes), dropout=dropout)
        if len(classes) < 2 or len(set(classes)) != len(classes):
            raise InvalidInput(f"there must be at least two classes, all distinct, got {', '.join(classes)}")
        if not 0 <= label_smoothing < 1:
            raise InvalidInput(f"label_smoothing must be at least 0 and below 1, got {label_smoothing}")
        self.classes, self.label_smoothing = tuple(classes), label_smoothing

    def checked(self, targets: NDArray[Any]) -> NDArray[Any]:
        """(n,) int64."""
        known = targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer)
        if not known or (len(targets) and not 0 <= targets.min() <= targets.max() < len(self.classes)):
            raise InvalidInput(
                f"targets must be places of classes, integers from 0 to {len(self.classes) - 1}"
            )
        return targets.astype(np.int64)

    def loss(self, reader: Reader, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy."""
        outputs = self.outputs(reader, batch["ids"], batch["mask"])
        return torch.nn.functional.cross_entropy(
            outputs, batch["targets"], label_smoothing=self.label_smoothing
        )

    def said(self, outputs: torch.Tensor) -> torch.Tensor:
        """Probabilities that sum to 1."""
        return outputs.softmax(1)

    def score(self, predictions: Sequence[Vectors], examples: Labelled) -> dict[str, float]:
        """Accuracy and macro F1."""
        guessed = np.stack(predictions).argmax(1)
        every = np.arange(len(self.classes))
        return {
            "accuracy": accuracy(guessed, examples.targets),
            "macro F1": macro_f1(guessed[:, None] == every, examples.targets[:, None] == every),
        }

    def about(self) -> dict[str, Any]:
        """Its classes and settings."""
        return {
            "kind": self.kind, "labels": list(self.classes), "dropout": self.drop.p,
            "label_smoothing": self.label_smoothing,
        }  # fmt: skip


class MultiLabel(OnVectors):
    """Any number of labels at once; says the probability of each.

    `positive_weights` (labels,) is how many times a label counts where it is there: above 1 for rare ones.
    """

    kind = "multi-label"

    def __init__(
        self,
        labels: Sequence[str],
        dim: int,
        *,
        dropout: float = 0.1,
        positive_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(dim, len(labels), dropout=dropout)
        weights = [1.0] * len(labels) if positive_weights is None else [float(w) for w in positive_weights]
        if not labels or len(set(labels)) != len(labels):
            raise InvalidInput(f"there must be at least one label, all distinct, got {', '.join(labels)}")
        if len(weights) != len(labels) or not all(0 < weight < math.inf for weight in weights):
            raise InvalidInput(f"positive_weights must be {len(labels)} numbers above 0, got {weights}")
        self.labels, self.positive_weights = tuple(labels), tuple(weights)

    @staticmethod
    def balancing(targets: NDArray[Any], *, most: float = 20.0) -> list[float]:
        """Weights with which each label counts as much where it is there as where it is not, `most` at the most."""
        there = targets.sum(0)
        return [float(w) for w in np.clip((len(targets) - there) / np.maximum(there, 1), 1 / most, most)]

    def checked(self, targets: NDArray[Any]) -> NDArray[Any]:
        """(n, labels) float32."""
        if targets.shape[1:] != (len(self.labels),) or not np.isin(targets, (0, 1)).all():
            raise InvalidInput(
                f"targets must be (n, {len(self.labels)}) of 0 and 1, got shape {targets.shape}"
            )
        return targets.astype(np.float32)

    def loss(self, reader: Reader, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Binary cross-entropy, the mean over labels."""
        outputs = self.outputs(reader, batch["ids"], batch["mask"])
        weights = torch.tensor(self.positive_weights, device=outputs.device)
        return torch.nn.functional.binary_cross_entropy_with_logits(
            outputs, batch["targets"], pos_weight=weights
        )

    def said(self, outputs: torch.Tensor) -> torch.Tensor:
        """Probabilities, each of its own."""
        return outputs.sigmoid()

    def score(self, predictions: Sequence[Vectors], examples: Labelled) -> dict[str, float]:
        """Mean average precision, and macro F1 at one half."""
        told, true = np.stack(predictions), examples.targets.astype(np.bool_)
        return {
            "average precision": average_precision(told.astype(np.float64), true),
            "macro F1": macro_f1(told >= 0.5, true),
        }

    def about(self) -> dict[str, Any]:
        """Its labels and settings."""
        return {
            "kind": self.kind, "labels": list(self.labels), "dropout": self.drop.p,
            "positive_weights": list(self.positive_weights),
        }  # fmt: skip


class Regression(OnVectors):
    """Numbers; they are learned as distances from `mean` in units of `spread`, both (k,)."""

    kind = "regression"
    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(
        self,
        names: Sequence[str],
        dim: int,
        *,
        dropout: float = 0.1,
        mean: Sequence[float] | None = None,
        spread: Sequence[float] | None = None,
    ) -> None:
        super().__init__(dim, len(names), dropout=dropout)
        self.names = tuple(names)
        self.register_buffer("mean", torch.tensor([0.0] * len(names) if mean is None else [*mean]))
        self.register_buffer("spread", torch.tensor([1.0] * len(names) if spread is None else [*spread]))
        if not names or self.mean.shape != (len(names),) or self.spread.shape != (len(names),):
            raise InvalidInput(
                f"names, mean and spread must be of one length, at least 1, got {len(names)} names"
            )
        if not (torch.isfinite(self.mean).all() and (self.spread > 0).all()):
            raise InvalidInput(
                "mean must be finite and spread above 0: a target that never changes cannot be learned"
            )

    @classmethod
    def of(cls, names: Sequence[str], dim: int, targets: NDArray[Any], *, dropout: float = 0.1) -> Regression:
        """With the mean and spread that the targets (n, k) have."""
        mean, spread = targets.mean(0).tolist(), targets.std(0).tolist()
        return cls(names, dim, dropout=dropout, mean=mean, spread=spread)

    def checked(self, targets: NDArray[Any]) -> NDArray[Any]:
        """(n, k) float32."""
        if targets.shape[1:] != (len(self.names),):
            raise InvalidInput(f"targets must be (n, {len(self.names)}), got shape {targets.shape}")
        return targets.astype(np.float32)

    def loss(self, reader: Reader, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Mean squared error in units of the spread."""
        outputs = self.outputs(reader, batch["ids"], batch["mask"])
        return torch.nn.functional.mse_loss(outputs, (batch["targets"] - self.mean) / self.spread)

    def said(self, outputs: torch.Tensor) -> torch.Tensor:
        """The numbers themselves."""
        return outputs * self.spread + self.mean

    def score(self, predictions: Sequence[Vectors], examples: Labelled) -> dict[str, float]:
        """R squared."""
        return {
            "R squared": r_squared(
                np.stack(predictions).astype(np.float64), examples.targets.astype(np.float64)
            )
        }

    def about(self) -> dict[str, Any]:
        """Its names and settings; mean and spread are among its arrays."""
        return {"kind": self.kind, "labels": list(self.names), "dropout": self.drop.p}
