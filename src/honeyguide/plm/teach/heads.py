"""Heads for the shop's tasks, and what is said of texts by who was taught nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from honeyguide.plm.backbone import Backbone
from honeyguide.plm.heads.head import Feeding, Head, Reader
from honeyguide.plm.heads.labels import Classification, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Ranking, Retrieval
from honeyguide.plm.heads.tags import TokenClassification
from honeyguide.plm.teach.examples import TaskExamples
from honeyguide.plm.teach.plan import TeachPlan
from honeyguide.plm.words import words_of
from honeyguide.types import Vectors

PAIRS = (Retrieval.kind, Ranking.kind)
CLASSES = (Classification.kind, TokenClassification.kind)

UNTAUGHT = {
    Classification.kind: "always the most frequent class",
    MultiLabel.kind: "every label as likely as it is frequent",
    Regression.kind: "always the mean",
    TokenClassification.kind: "always the most frequent tag",
    Retrieval.kind: "the language model untaught",
    Ranking.kind: "the language model untaught",
}
"""What a task is measured against."""


def head_for(examples: TaskExamples[Any], dim: int, plan: TeachPlan) -> Head[Any]:
    """A fresh head for vectors of `dim` numbers."""
    return _MADE[examples.kind](examples, dim, plan)


def untaught(
    examples: TaskExamples[Any], head: Head[Any], backbone: Backbone, feeding: Feeding, device: torch.device
) -> dict[str, dict[str, float]]:
    """The figures of who was taught nothing, by part; `head` is fresh and so is the backbone."""
    found = {}
    for name, part in (("validation", examples.validation), ("test", examples.test)):
        if examples.kind in PAIRS:
            reader = Reader(backbone.model.base_model, backbone.pooling).to(device).eval()
            said = head.to(device).eval().predict(reader, part.texts, feeding, device)
        else:
            said = _SAID[examples.kind](examples, part.texts)
        found[name] = head.score(said, part)
    return found


def _tags(examples: TaskExamples[Any], texts: Sequence[str]) -> list[Vectors]:
    every = np.array([tag for tags in examples.train.tags for tag in tags], dtype=np.int64)
    shares = np.bincount(every, minlength=len(examples.labels)).astype(np.float32) / max(1, len(every))
    return [np.tile(shares, (len(words_of(text)), 1)) for text in texts]


def _shares(examples: TaskExamples[Any]) -> Vectors:
    counts = np.bincount(examples.train.targets, minlength=len(examples.labels))
    return np.asarray(counts / counts.sum(), dtype=np.float32)


def _mean(examples: TaskExamples[Any]) -> Vectors:
    return np.asarray(examples.train.targets.mean(0), dtype=np.float32)


_SAID: Mapping[str, Callable[[TaskExamples[Any], Sequence[str]], list[Vectors]]] = {
    Classification.kind: lambda examples, texts: [_shares(examples)] * len(texts),
    MultiLabel.kind: lambda examples, texts: [_mean(examples)] * len(texts),
    Regression.kind: lambda examples, texts: [_mean(examples)] * len(texts),
    TokenClassification.kind: _tags,
}

_MADE: Mapping[str, Callable[[TaskExamples[Any], int, TeachPlan], Head[Any]]] = {
    Classification.kind: lambda examples, dim, plan: Classification(
        examples.labels, dim, dropout=plan.dropout, label_smoothing=plan.label_smoothing
    ),
    MultiLabel.kind: lambda examples, dim, plan: MultiLabel(
        examples.labels,
        dim,
        dropout=plan.dropout,
        positive_weights=MultiLabel.balancing(examples.train.targets),
    ),
    Regression.kind: lambda examples, dim, plan: Regression.of(
        examples.labels, dim, examples.train.targets, dropout=plan.dropout
    ),
    TokenClassification.kind: lambda examples, dim, plan: TokenClassification(
        examples.labels, dim, dropout=plan.dropout, label_smoothing=plan.label_smoothing
    ),
    Retrieval.kind: lambda examples, dim, plan: Retrieval(),
    Ranking.kind: lambda examples, dim, plan: Ranking(dim),
}
