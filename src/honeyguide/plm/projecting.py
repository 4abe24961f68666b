"""Projecting an encoder of a shop: its vectors of the catalogue, what users took together, and a part held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from honeyguide.errors import InvalidInput
from honeyguide.plm.corpus import ItemPairs, is_held_out
from honeyguide.plm.vectors import catalogue_vectors
from honeyguide.types import Encoder, Progress

if TYPE_CHECKING:
    from honeyguide.plm.export import EncoderFiles
    from honeyguide.plm.objectives.projection import ProjectionPlan


@dataclass(frozen=True, slots=True)
class Projecting:
    """That a projection is wanted: how, judged by which share of the items, on which device, and where it is kept."""

    plan: ProjectionPlan
    scratch: Path
    held_out: float = 0.1
    device: str = "auto"


@dataclass
class Projector:
    """Projects encoders of one shop; `told` says of the last one what it brought."""

    projecting: Projecting
    texts: Sequence[str]
    pairs: ItemPairs | None
    cache: Path | None
    progress: Progress
    told: str = field(default="", init=False)

    def of(self, files: EncoderFiles) -> EncoderFiles:
        """The encoder projected; as it is where that would find less of what held-out items were taken with."""
        import torch

        from honeyguide.plm.forms import encoder_of
        from honeyguide.plm.projection import learn_projection, projected
        from honeyguide.plm.train.devices import Place, device_named

        if self.cache is None or self.pairs is None or not len(self.pairs):
            raise InvalidInput(
                "a projection is learned from what users take together, and needs a cache of vectors: import users' "
                "events, or set [adapt] projection to 0"
            )
        distinct = list(dict.fromkeys(self.texts))
        row_of = {text: row for row, text in enumerate(distinct)}
        rows = np.array([row_of[text] for text in self.texts], dtype=np.int64)
        encoder: Encoder = encoder_of(files)
        found = learn_projection(
            catalogue_vectors(encoder, distinct, cache=self.cache),
            ItemPairs(rows[self.pairs.first], rows[self.pairs.second]),
            np.array([is_held_out(text, self.projecting.held_out) for text in distinct]),
            self.projecting.plan,
            place=Place(device_named(self.projecting.device), torch.float32),
            folder=self.projecting.scratch,
            progress=self.progress,
        )
        if found is None:
            self.told = "left out: on held-out items it found less of what they were taken with"
            return files
        self.told = (
            f"recall@10 of what held-out items were taken with {found.before:.4f} before, {found.after:.4f} after, "
            f"{found.steps} steps"
        )
        return projected(files, found.projection)
