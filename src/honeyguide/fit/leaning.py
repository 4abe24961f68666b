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


def reads_of(model: ShopperModel, histories: Sequence[History]) -> Reads:
    """What these histories say of their users: the sequence model's reading, their taste, and how much they took."""
    vectors = np.array([model.vector(history) for history in histories], dtype=np.float64)
    if model.sequence is not None:
        vectors = np.concatenate([_hidden(model.sequence.network, histories), vectors], axis=1)
    return Reads(
        vectors=vectors,
        counts=np.array([_counts(history) for history in histories]),
        known=np.array([len(history.rows) + len(history.recent) > 0 for history in histories]),
    )


def _hidden(network: SequenceNetwork, histories: Sequence[History]) -> Floats:
    """(u, width): what the network makes of each user's newest events."""
    parts = [histories[start : start + _BLOCK] for start in range(0, len(histories), _BLOCK)]
    return np.concatenate([network.read(_together(part)) for part in parts]).astype(np.float64)


def _together(histories: Sequence[History]) -> Sequences:
    """The newest events of all these users."""
    each = [history.recent.sequence() for history in histories]
    return Sequences(
        np.concatenate([one.tokens for one in each]),
        np.concatenate([one.kinds for one in each]),
        np.concatenate([one.gaps for one in each]),
        np.cumsum([0, *(len(one.tokens) for one in each)], dtype=np.int64),
    )


def _counts(history: History) -> list[float]:
    """How many items, how much of them, on how many days, and how much of each: logarithms."""
    items, weight = len(history.rows), float(history.weight.sum()) / MILLI
    return list(np.log1p([items, weight, len(history.days), weight / max(items, 1)]))
