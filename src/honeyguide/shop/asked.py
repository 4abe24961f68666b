"""What can be asked of a shop, and what cannot: refused before anything is done."""

from __future__ import annotations

from honeyguide.config import Rules
from honeyguide.data.catalog import Catalog
from honeyguide.errors import InvalidInput
from honeyguide.types import Decision


def check_user(user_id: str) -> None:
    """InvalidInput where that is no user's id."""
    if not user_id:
        raise InvalidInput("user_id must not be empty: give a visitor without an id one of their own")
    if any("\ud800" <= character <= "\udfff" for character in user_id):
        raise InvalidInput(f"user_id {user_id!r} is no valid text: write it in UTF-8")


def check_drawn(rules: Rules | None) -> None:
    """InvalidInput where rules would change what a policy draws."""
    if rules is not None and (rules.boosts or rules.diversity):
        raise InvalidInput("boosts and diversity would change what is drawn: ask recommend for them")


def check_shown(catalog: Catalog, item_id: str, decision: Decision) -> None:
    """InvalidInput where a decision did not show an item, UnknownItem where there is none of that id."""
    if item_id in decision.item_ids:
        return
    catalog.row(item_id)  # UnknownItem says more where there is no such item at all
    shown = ", ".join(decision.item_ids)
    raise InvalidInput(
        f"decision {decision.decision_id!r} did not show item {item_id!r}: it showed {shown}. "
        "Give feedback on one of these; what was taken without being shown comes in with: honeyguide import"
    )
