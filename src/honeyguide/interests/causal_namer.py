"""Names as a causal language model would go on: these products stand, in a shop, under this name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from honeyguide.artifacts import key_of
from honeyguide.interests.namers import Meaning
from honeyguide.plm.likelihood import Continuations
from honeyguide.types import Floats

_TITLE_CHARS = 60
_NAMES = 8  # of a node that are scored: reading one takes as long as the encoder takes for dozens
_ASKED = "In a shop they stand under:"


class CausalNamer:
    """Prefers names that the products make likelier: the gain in log-likelihood over not knowing the products.

    Likelihood alone would prefer what is often said of anything. The gain is divided by the root of the number of a
    name's tokens: the sum would prefer long names, the mean short ones.
    """

    weight = 0.1

    def __init__(self, model: Continuations, version: str) -> None:
        self.model = model
        self._version = version

    @classmethod
    def open(cls, checkpoint: str) -> Self:
        """From a checkpoint (a folder, a package that carries weights, or a hub name); InvalidInput, MissingExtra."""
        return cls(Continuations.open(checkpoint), f"causal {key_of(checkpoint)[:12]}")

    @property
    def version(self) -> str:
        """That of the checkpoint's name."""
        return self._version

    def prefer(self, meanings: Sequence[Meaning], names: Sequence[Sequence[str]]) -> list[Floats]:
        """What each node's products add to the log-likelihood of each of its names, over the root of its length.

        Names stand with the likeliest first: those after the first few are held to be liked as little as the least.
        """
        first = [some[:_NAMES] for some in names]
        distinct = list(dict.fromkeys(name for some in first for name in some))
        sums, _ = self.model.likelihoods(_ASKED, distinct)
        alone = dict(zip(distinct, sums.tolist(), strict=True))
        preferred = []
        for meaning, some, every in zip(meanings, first, names, strict=True):
            sums, lengths = self.model.likelihoods(f"{_told(meaning)} {_ASKED}", some)
            gained = (sums - np.array([alone[name] for name in some])) / np.sqrt(lengths)
            preferred.append(np.append(gained, np.full(len(every) - len(some), gained.min())))
        return preferred


def _told(meaning: Meaning) -> str:
    titles = "; ".join(" ".join(title.split())[:_TITLE_CHARS] for title in meaning.examples)
    return f"These products: {titles}."
