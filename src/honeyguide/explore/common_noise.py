"""Standard normal numbers that are the same for everything that is compared."""

from __future__ import annotations

import numpy as np

from honeyguide.types import Floats


class CommonNoise:
    """As many columns of `draws` standard normal numbers as are asked for; each is the same whenever it is."""

    def __init__(self, draws: int, seed: int) -> None:
        self.draws = draws
        self.seed = seed
        self._columns = np.zeros((draws, 0))

    def columns(self, count: int) -> Floats:
        """(draws, count): not to be written to."""
        if count > self._columns.shape[1]:
            # column by column, so that more of them leave the first as they are
            drawn = np.random.default_rng(self.seed).standard_normal((2 * count, self.draws))
            self._columns = np.ascontiguousarray(drawn.T)
        return self._columns[:, :count]
