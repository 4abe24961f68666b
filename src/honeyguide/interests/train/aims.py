"""What is wanted beside telling what followed: that all of a shop is somebody's, and each interest in proportion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from honeyguide.errors import InvalidInput
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.model import softmax
from honeyguide.types import Floats, Rows, Vectors

EXPLOITATION, COVERAGE, CALIBRATION = "exploitation", "coverage", "calibration"
HELD_OUT = "held_out "
"""Before the name of what is wanted: as it stands for users who are held out."""
STRANGER = 3.0
"""Events that what is usual in the shop counts for beside a user's own: one event is no proportion yet."""
_SURE = (
    0.01  # of a past that its forecast has by definition, so that no interest is infinitely far (Steck 2018)
)


def uncovered(chances: Tensor) -> Tensor:
    """How far from even the mean of users' chances (p, k) is, in nats: 0 where all items are taken alike.

    That is log k less the entropy of the mean, which keeps a classifier from leaving classes out in regularized
    information maximization (Krause, Perona & Gomes 2010): each user may be as sure as ever, of something else.
    """
    mean = chances.mean(0)
    return torch.xlogy(mean, mean).sum() + math.log(len(mean))


def disproportion(shares: Tensor, past: Tensor) -> Tensor:
    """How far the `shares` (p, g) of interests in what is foretold are from those of users' `past`, in nats.

    The mean divergence of Steck's calibrated recommendations (2018); the past has no share of 0.
    """
    told = (1 - _SURE) * shares + _SURE * past
    return (past * (past.log() - told.log())).sum(1).mean()


@dataclass(frozen=True, slots=True, eq=False)
class Interests:
    """The interest of each item, `of` (n,) from 0 on, and how `usual` each is, (g,): shares above 0 that sum to 1.

    `known` are the rows of items that somebody took: those that can be covered.
    """

    of: Rows
    usual: Floats
    known: Rows

    @classmethod
    def in_log(cls, of: Rows, sequences: Sequences) -> Self:
        """As usual as a log has them; InvalidInput where an item has none."""
        if len(of) == 0 or of.min() < 0:
            raise InvalidInput("every item needs an interest, from 0 on: give interests of all items")
        tokens = sequences.tokens[sequences.tokens < len(of)]
        counts = np.bincount(of[tokens], minlength=int(of.max()) + 1) + 1.0
        return cls(of, counts / counts.sum(), np.unique(tokens))

    def past(self, tokens: Tensor) -> Tensor:
        """(b, l + 1, g): shares of interests in users' past, before the first of their events (b, l) and after each.

        Tokens that are no item's have no interest.
        """
        of = torch.from_numpy(self.of).to(tokens.device)
        usual = torch.from_numpy(self.usual).to(tokens.device, torch.float32)
        item = tokens < len(of)
        one = functional.one_hot(of[torch.where(item, tokens, 0)], len(usual)) * item[..., None]
        counts = functional.pad(one.cumsum(1), (0, 0, 1, 0)) + STRANGER * usual
        return counts / counts.sum(-1, keepdim=True)

    def past_of(self, sequences: Sequences) -> Floats:
        """(u, g): the same of whole histories."""
        counts = self._counts(sequences) + STRANGER * self.usual
        return np.asarray(counts / counts.sum(axis=1, keepdims=True))

    def _counts(self, sequences: Sequences) -> Floats:
        user = np.repeat(np.arange(len(sequences)), sequences.lengths)
        item = sequences.tokens < len(self.of)
        width = len(self.usual)
        cells = user[item] * width + self.of[sequences.tokens[item]]
        return np.bincount(cells, minlength=len(sequences) * width).reshape(-1, width).astype(np.float64)


class Standing:
    """How a network stands to both aims on users who are held out, part by part, all items being asked."""

    def __init__(self, interests: Interests) -> None:
        self._interests = interests
        self._mean = np.zeros(len(interests.known))
        self._apart, self._users = 0.0, 0

    def see(self, scores: Vectors, sequences: Sequences) -> None:
        """Some users with the logits (u, n) of all items."""
        known = self._interests.known
        chances = softmax(scores[:, known]).astype(np.float64)
        groups = np.eye(len(self._interests.usual))[self._interests.of[known]]
        past, shares = self._interests.past_of(sequences), chances @ groups
        self._apart += len(past) * float(disproportion(torch.from_numpy(shares), torch.from_numpy(past)))
        self._mean += chances.sum(axis=0)
        self._users += len(past)

    def figures(self) -> Mapping[str, float]:
        """Both, in nats."""
        even = uncovered(torch.from_numpy(self._mean / self._users)[None])
        return {HELD_OUT + COVERAGE: float(even), HELD_OUT + CALIBRATION: self._apart / self._users}
