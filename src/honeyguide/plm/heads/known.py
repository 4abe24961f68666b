"""All heads by their kind, to be made again from what was stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from honeyguide.errors import DamagedArtifact
from honeyguide.plm.heads.head import Head
from honeyguide.plm.heads.labels import Classification, MultiLabel, Regression
from honeyguide.plm.heads.pairs import Ranking, Retrieval
from honeyguide.plm.heads.tags import TokenClassification
from honeyguide.plm.train.checkpoint import put_tensors
from honeyguide.types import State


def head_from(about: Mapping[str, Any], arrays: State, dim: int) -> Head[Any]:
    """The head that said this `about` itself; DamagedArtifact where there is none such."""
    told = dict(about)
    try:
        kind, labels = told.pop("kind"), told.pop("labels")
        head = _MADE[kind](labels, dim, told)
    except (KeyError, TypeError) as error:
        raise DamagedArtifact(f"this names no head that is known here: {error}. Upgrade") from None
    put_tensors(dict(head.state_dict()), {name: torch.from_numpy(array) for name, array in arrays.items()})
    return head


_MADE: Mapping[str, Callable[[list[str], int, dict[str, Any]], Head[Any]]] = {
    Classification.kind: lambda labels, dim, told: Classification(labels, dim, **told),
    MultiLabel.kind: lambda labels, dim, told: MultiLabel(labels, dim, **told),
    Regression.kind: lambda labels, dim, told: Regression(labels, dim, **told),
    TokenClassification.kind: lambda labels, dim, told: TokenClassification(labels, dim, **told),
    Ranking.kind: lambda labels, dim, told: Ranking(dim, **told),
    Retrieval.kind: lambda labels, dim, told: Retrieval(**told),
}
