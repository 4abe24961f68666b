"""What an open shop loads only when somebody looks for items: pairs, texts' vectors, the encoder of queries."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from honeyguide import artifacts
from honeyguide.artifacts import Artifact
from honeyguide.errors import NoArtifact, NotReady
from honeyguide.interests.related import Related
from honeyguide.shop.releases import RELATED, TEXTS
from honeyguide.types import Encoder, Rows, Vectors


class Finding:
    """The artefacts behind similar items and search, each loaded at its first use."""

    def __init__(self, models: Path, items: Path, catalog: str, parts: Mapping[str, str | None]) -> None:
        """`items` is the catalogue's file, and `catalog` the version of it that they have to be of.

        `parts` are their versions by name: the current ones where they name none.
        """
        self.items = items
        self.models = models
        self._catalog = catalog
        self._parts = parts

    @cached_property
    def related(self) -> Related:
        """What is taken together; NotReady where the shop was fitted before that was counted."""
        return Related.from_state(self._load(RELATED).arrays)

    @cached_property
    def _texts(self) -> tuple[Vectors, Rows, Vectors]:
        arrays = self._load(TEXTS).arrays
        vectors = arrays["vectors"].astype(np.float32)
        centre = vectors.mean(axis=0)
        return _from(centre, vectors), arrays["of"], centre

    def text_likeness(self, vector: Vectors) -> Vectors:
        """(n,): the cosine of a vector (d,) of `text_vectors` or `query_vector` with each item's text.

        It is taken from the mean of the catalogue: what all of its texts have in common tells none of them apart.
        """
        vectors, of, _ = self._texts
        return np.asarray((vectors @ vector)[of])

    def query_vector(self, query: str) -> Vectors:
        """(d,): what the encoder makes of a query."""
        return np.asarray(_from(self._texts[2], self.encoder.encode([query]))[0])

    def text_vectors(self, rows: Rows) -> Vectors:
        """(r, d): the vectors of some items' texts."""
        vectors, of, _ = self._texts
        return np.asarray(vectors[of[rows]])

    @cached_property
    def encoder(self) -> Encoder:
        """What reads queries, by the version that read the catalogue."""
        from honeyguide.plm.serving import open_encoder

        return open_encoder(artifacts.load(self.models, "encoder", self.read_by), prompt="query")

    @cached_property
    def read_by(self) -> str:
        """The version of the encoder that read the catalogue; NotReady where there is none."""
        return str(self._load(TEXTS).meta["encoder"])

    @cached_property
    def reader(self) -> Encoder:
        """What read the catalogue, and reads what is put into it; NotReady."""
        from honeyguide.plm.serving import open_encoder

        if self.encoder.version == self.read_by:  # it reads queries and items alike
            return self.encoder
        return open_encoder(artifacts.load(self.models, "encoder", self.read_by))

    def seen_from_centre(self, vectors: Vectors) -> Vectors:
        """(m, d): an encoder's vectors of items' texts as `text_vectors` has them."""
        return _from(self._texts[2], vectors)

    def _load(self, name: str) -> Artifact:
        try:
            found = artifacts.load(self.models, name, self._parts.get(name))
        except NoArtifact:
            raise NotReady("the shop was fitted before items were compared. Run: honeyguide fit") from None
        if found.meta["catalog"] != self._catalog:
            raise NotReady("the catalogue has changed since the shop was fitted. Run: honeyguide fit")
        return found


class StockedFinding(Finding):
    """The same of a shop whose items at `rows` (m,) were put after the fit, with (m, d) `vectors` of their texts.

    It has as many items as `first_us`, which says when each came that stands behind the fitted ones.
    """

    def __init__(self, base: Finding, rows: Rows, vectors: Vectors, first_us: Rows) -> None:
        super().__init__(base.models, base.items, base._catalog, base._parts)
        self._base = base
        self._rows, self._read, self._first_us = rows, vectors, first_us

    @cached_property
    def related(self) -> Related:
        """What is taken together; of what is new nothing is known yet."""
        return self._base.related.longer(self._first_us)

    def text_likeness(self, vector: Vectors) -> Vectors:
        """(n,): the cosine of a vector (d,) with each item's text."""
        found = np.concatenate([self._base.text_likeness(vector), np.zeros(len(self._first_us), np.float32)])
        found[self._rows] = self._given @ vector
        return found

    def text_vectors(self, rows: Rows) -> Vectors:
        """(r, d): the vectors of some items' texts."""
        at = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        put = self._rows[at] == rows
        found = np.empty((len(rows), self._read.shape[1]), dtype=np.float32)
        found[put], found[~put] = self._given[at[put]], self._base.text_vectors(rows[~put])
        return found

    def query_vector(self, query: str) -> Vectors:
        """(d,): what the encoder makes of a query."""
        return self._base.query_vector(query)

    @cached_property
    def _given(self) -> Vectors:
        return self._base.seen_from_centre(self._read)


def _from(centre: Vectors, vectors: Vectors) -> Vectors:
    """(n, d): unit vectors as seen from the centre; what has no text stays zero."""
    moved = np.where(vectors.any(axis=1, keepdims=True), vectors - centre, 0.0)
    norm = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(np.divide(moved, norm, out=np.zeros_like(moved), where=norm > 1e-6), dtype=np.float32)
