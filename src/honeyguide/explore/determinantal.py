"""Pages that span much: a determinantal point process, drawn slot by slot."""

from __future__ import annotations

import numpy as np

from honeyguide.explore.diverse import Diverse, unit
from honeyguide.types import Floats, Vectors

_ALIKE = 0.99  # what is the same in all features is not quite the same: it may still be shown


class Determinantal(Diverse):
    """Another policy, for which an item is worth less the less it adds to the volume that the page spans.

    With likeness kernel S, 1 for an item and itself and half of one plus the cosine for two, an item adds the factor
    det S(page and item) / det S(page): 1 less what of it the page can tell. Its expected reward falls by
    diversity / (1 - diversity) · width times minus the factor's logarithm. So the exploit-only page is
    the greedy one of largest determinant of quality · S · quality (Chen et al. 2018, arXiv 1709.05135). With softmax
    inside and the two weights alike, a slot is drawn in proportion to the ratio of the determinants: that is a k-DPP
    (Kulesza & Taskar 2012, arXiv 1207.6083) drawn item by item. Other than the most alike item of the page, as in
    `Diverse`, all of them count together.
    """

    kind = "dpp"

    def sameness(self, vectors: Vectors, shown: Vectors) -> Floats:
        """(n,) 0 or more: minus the logarithm of the factor by which each item widens what the page spans."""
        page = unit(shown)
        among = _ALIKE * (1 + page @ page.T) / 2
        np.fill_diagonal(among, 1.0)
        to_page = _ALIKE * (1 + unit(vectors) @ page.T) / 2
        told = (np.linalg.solve(among, to_page.T).T * to_page).sum(axis=1)
        return np.asarray(-np.log(np.clip(1.0 - told, 1e-9, 1.0)))
