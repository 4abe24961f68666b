"""What a policy is told of a user and the items that a page may be made of."""

from __future__ import annotations

from honeyguide.interests.users import History, ShopperModel
from honeyguide.types import Candidates, Rows


def offer(
    model: ShopperModel, user_id: str, history: History, rows: Rows, now_us: int, *, horizon_days: float
) -> Candidates:
    """The items at `rows` (n,) as candidates for a user whose history this is."""
    return Candidates(
        user_id=user_id,
        item_ids=tuple(map(model.catalog.ids.__getitem__, rows.tolist())),
        features=model.features(history, rows, now_us),
        remaining_visits=model.remaining_visits(history, now_us, horizon_days),
        groups=model.items.leaf[rows],
        fresh=model.items.taken[rows] == 0,
    )
