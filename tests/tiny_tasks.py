"""Small tasks in which words decide, and a tiny BERT that is taught them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from honeyguide.plm.adapters.way import Way
from honeyguide.plm.backbone import Backbone, open_backbone
from honeyguide.plm.finetune import FineTuned, Split, finetune
from honeyguide.plm.heads.head import Feeding, Head
from honeyguide.plm.heads.labels import Classification, Labelled, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Judged, Pairs, Ranking, Retrieval
from honeyguide.plm.heads.tags import Tagged, TokenClassification
from honeyguide.plm.train.devices import Place
from honeyguide.plm.train.schedule import Schedule
from tests.tiny_bert import WORDS

HERE = Place(torch.device("cpu"), torch.float32)
DIM = 32
DRINKS = {"wine", "milk"}


def opened(checkpoint: Path) -> Backbone:
    return open_backbone(str(checkpoint), "encoder")


def texts(n: int, seed: int) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(n))


def task(kind: str, n: int, seed: int) -> Any:
    """Examples in which words decide, so that there is something to learn."""
    found = texts(n, seed)
    drinks = np.array([len(DRINKS & set(text.split())) for text in found])
    if kind == "classification":
        return Labelled(found, np.minimum(drinks, 1))
    if kind == "multi-label":
        dry = np.array(["dry" in text.split() for text in found])
        return Labelled(found, np.stack([drinks > 0, dry], 1).astype(np.int64))
    if kind == "regression":
        return Labelled(found, (10.0 + 5 * drinks)[:, None])
    if kind == "tags":
        return Tagged(found, tuple(tuple(int(word in DRINKS) for word in text.split()) for text in found))
    rng = np.random.default_rng(seed)
    distinct = tuple(dict.fromkeys([*WORDS, *found]))
    if kind == "retrieval":
        first = rng.integers(0, len(WORDS), n)
        return Pairs(distinct, first, (first + 1) % len(WORDS))
    row_of = {text: row for row, text in enumerate(distinct)}
    query, item = [], []
    for word in rng.choice(WORDS, n):
        held = [row_of[text] for text in found if word in text.split()]
        query += [row_of[str(word)]] * 4
        item += [*rng.choice(held, 2), *rng.choice([row_of[t] for t in found if word not in t.split()], 2)]
    relevance = [3.0 if word in distinct[row].split() else 1.0 for word, row in zip(
        (distinct[row] for row in query), item, strict=True)]  # fmt: skip
    return Judged(distinct, np.array(query), np.array(item), np.array(relevance))


def head(kind: str, examples: Any) -> Head[Any]:
    if kind == "classification":
        return Classification(["food", "drink"], DIM, dropout=0.1, label_smoothing=0.05)
    if kind == "multi-label":
        weights = MultiLabel.balancing(examples.targets)
        return MultiLabel(["drink", "dry"], DIM, positive_weights=weights)
    if kind == "regression":
        return Regression.of(["price"], DIM, examples.targets)
    if kind == "tags":
        return TokenClassification(["other", "drink"], DIM)
    return Ranking(DIM) if kind == "ranking" else Retrieval(temperature=0.1)


def teach(checkpoint: Path, folder: Path, kind: str, way: Way, **options: Any) -> FineTuned[Any]:
    told: dict[str, Any] = {"steps": 30, "learning_rate": 3e-3, "eval_every": 10, "seed": 2}
    told |= {name: options.pop(name) for name in list(options) if name in Schedule.__dataclass_fields__}
    backbone = options.pop("backbone", None) or opened(checkpoint)
    examples = Split(task(kind, 120, 0), task(kind, 60, 1))
    feeding = Feeding.of(backbone, max_tokens=12, batch_tokens=256, seed=2)
    return finetune(
        backbone, head(kind, examples.train), examples, way, Schedule(**told), place=HERE, folder=folder,
        feeding=feeding, **options,
    )  # fmt: skip
