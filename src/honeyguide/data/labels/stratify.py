"""A random split that gives every class its shares and keeps what belongs together on one side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.errors import InvalidInput
from honeyguide.types import Floats, Rows

SHARES = (0.8, 0.1, 0.1)
"""Of training, validation and test."""


def stratified(
    label: NDArray[np.integer[Any]],
    group: NDArray[np.integer[Any]],
    *,
    shares: Sequence[float] = SHARES,
    rng: np.random.Generator,
) -> NDArray[np.int8]:
    """(n,) int8: the part that each row goes to; of every class, part i has about `shares[i]` of the rows.

    `label` and `group` are (n,). A group goes to one part as a whole, so a class may miss its shares by the size of
    its largest group, and the next class makes up for it where it can; the part with the largest share has something
    of every class. All rows of a group need one label. Rows with a label below 0 stay in part 0.
    """
    wanted = np.array(shares, dtype=np.float64)
    if not len(wanted) or not (wanted > 0).all() or abs(wanted.sum() - 1) > 1e-9:
        raise InvalidInput(f"shares must be above 0 and sum to 1, got {tuple(shares)}")
    if len(label) != len(group):
        raise InvalidInput(f"label and group need one entry per row, got {len(label)} and {len(group)}")
    _, first, code, size = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    label_of = label[first]
    if (label_of[code] != label).any():
        raise InvalidInput(
            f"all rows of a group need one label: {int((label_of[code] != label).sum())} differ"
        )
    part_of = np.zeros(len(first), dtype=np.int8)
    owed = np.zeros(len(wanted))
    for name in np.unique(label_of[label_of >= 0]):
        groups = rng.permutation(np.flatnonzero(label_of == name))
        part_of[groups], owed = _dealt(size[groups], wanted, owed)
    return part_of[code]


def _dealt(size: Rows, shares: Floats, owed: Floats) -> tuple[NDArray[np.int8], Floats]:
    """The part of each group in turn, and what is still owed to each part after this class.

    A group goes to the part that lacks most, of those that lack anything of this class; the first to the part with
    the largest share.
    """
    missing = shares * size.sum()
    parts = np.zeros(len(size), dtype=np.int8)
    for at, rows in enumerate(size.tolist()):
        lacking = np.where(missing > 0, missing + owed, -np.inf) if at else missing
        parts[at] = part = int(np.argmax(lacking))
        missing[part] -= rows
    return parts, owed + missing
