"""What an open shop loads only when somebody looks for items: pairs, texts' vectors, the encoder of queries."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import Artifact
from honeyguide.errors import NoArtifact, NotReady
from honeyguide.interests.related import Related
from honeyguide.types import Encoder, Rows, Vectors

RELATED, TEXTS = "related", "texts"


class Finding:
    """The artefacts behind similar items and search, each loaded at its first use."""

    def __init__(self, models: Path, catalog: str) -> None:
        """`catalog` is the version of the catalogue that they have to be of."""
        self._models = models
        self._catalog = catalog

    @cached_property
    def related(self) -> Related:
        """What is taken together; NotReady where the shop was fitted before that was counted."""
        return Related.from_state(self._load(RELATED).arrays)

    @cached_property
    def _texts(self) -> tuple[Vectors, Rows]:
        arrays = self._load(TEXTS).arrays
        return arrays["vectors"].astype(np.float32), arrays["of"]

    def text_likeness(self, vector: Vectors) -> Vectors:
        """(n,): the cosine of a unit vector (d,) with each item's text."""
        vectors, of = self._texts
        return np.asarray((vectors @ vector)[of])

    def text_vectors(self, rows: Rows) -> Vectors:
        """(r, d): the vectors of some items' texts."""
        vectors, of = self._texts
        return np.asarray(vectors[of[rows]])

    @cached_property
    def encoder(self) -> Encoder:
        """What reads queries, by the version that read the catalogue."""
        from honeyguide.plm.serving import open_encoder

        version = str(self._load(TEXTS).meta["encoder"])
        return open_encoder(artifacts.load(self._models, "encoder", version), prompt="query")

    def _load(self, name: str) -> Artifact:
        try:
            found = artifacts.load(self._models, name)
        except NoArtifact:
            raise NotReady("the shop was fitted before items were compared. Run: honeyguide fit") from None
        if found.meta["catalog"] != self._catalog:
            raise NotReady("the catalogue has changed since the shop was fitted. Run: honeyguide fit")
        return found
