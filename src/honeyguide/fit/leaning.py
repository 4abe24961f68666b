"""What is read of users before their first page, so that their prior is their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from honeyguide.explore.kinds_leaning import Reads
from honeyguide.interests.sequence.histories import Sequences
from honeyguide.interests.sequence.network import SequenceNetwork
from honeyguide.interests.users import MILLI, History, ShopperModel
from honeyguide.types import Floats

_BLOCK = 256  # users that the network reads at once


def reads_of(model: ShopperModel, histories: Sequence[History], now_us: Sequence[int]) -> Reads:
    """What these histories say of their users: the sequence model's reading, their taste, and how much they took.

    `now_us` are the moments, one for each user, at which the sequence model is asked.
    """
    vectors = np.array([model.vector(history) for history in histories], dtype=np.float64)
    if model.sequence is not None:
        vectors = np.concatenate([_hidden(model.sequence.network, histories, now_us), vectors], axis=1)
    return Reads(
        vectors=vectors,
        counts=np.array([_counts(history) for history in histories]),
        known=np.array([len(history.rows) + len(history.recent) > 0 for history in histories]),
    )


def _hidden(network: SequenceNetwork, histories: Sequence[History], now_us: Sequence[int]) -> Floats:
    """(u, width): what the network makes of each user's newest events."""
    asked = [history.recent.sequence(now) for history, now in zip(histories, now_us, strict=True)]
    parts = [_together(asked[start : start + _BLOCK]) for start in range(0, len(asked), _BLOCK)]
    return np.concatenate([network.read(part) for part in parts]).astype(np.float64)


def _together(each: Sequence[Sequences]) -> Sequences:
    """The sequences of single users as one."""
    return Sequences(
        np.concatenate([one.tokens for one in each]),
        np.concatenate([one.kinds for one in each]),
        np.concatenate([one.gaps for one in each]),
        np.cumsum([0, *(len(one.tokens) for one in each)], dtype=np.int64),
        np.concatenate([one.ahead for one in each]),
    )


def _counts(history: History) -> list[float]:
    """How many items, how much of them, on how many days, and how much of each: logarithms."""
    items, weight = len(history.rows), float(history.weight.sum()) / MILLI
    return list(np.log1p([items, weight, len(history.days), weight / max(items, 1)]))
