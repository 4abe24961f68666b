"""What a policy is told of a user and the items that a page may be made of."""

from __future__ import annotations

import numpy as np

from honeyguide.interests.transitions import Transitions
from honeyguide.interests.users import History, ShopperModel, sequence_of
from honeyguide.types import Candidates, Floats, Rows


def offer(
    model: ShopperModel,
    user_id: str,
    history: History,
    rows: Rows,
    now_us: int,
    *,
    horizon_days: float,
    transitions: Transitions | None = None,
) -> Candidates:
    """The items at `rows` (n,) as candidates for a user whose history this is.

    With `transitions` they say how likely the user goes on to their interests.
    """
    return Candidates(
        user_id=user_id,
        item_ids=tuple(map(model.catalog.ids.__getitem__, rows.tolist())),
        features=model.features(history, rows, now_us),
        remaining_visits=model.remaining_visits(history, now_us, horizon_days),
        groups=model.items.leaf[rows],
        fresh=model.items.taken[rows] == 0,
        leads=None if transitions is None else _leads(model, transitions, history, rows),
    )


def _leads(model: ShopperModel, transitions: Transitions, history: History, rows: Rows) -> Floats:
    """(n,): how many times likelier than in general somebody with this past goes on to each item's interest."""
    items = len(model.items) if model.sequence is None else model.sequence.items
    tokens = sequence_of(history, items).tokens
    past = model.items.leaf[tokens[tokens < items]]
    return np.asarray((transitions.after(past) / transitions.base)[model.items.leaf[rows]])
