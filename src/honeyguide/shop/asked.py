"""What can be asked of a shop, and what cannot: refused before anything is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from honeyguide.config import Rules
from honeyguide.data.catalog import Catalog
from honeyguide.errors import InvalidInput
from honeyguide.types import Decision, Rows


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


def ranked_rows(
    catalog: Catalog,
    ranking: Sequence[str],
    *,
    k: int | None,
    exclude: Collection[str],
    rules: Rules | None,
) -> Rows:
    """The rows of the shop's own ranking; UnknownItem, InvalidInput where it cannot be served as it is."""
    if isinstance(ranking, str) or not len(ranking):
        raise InvalidInput(f"a ranking is a list of item ids, the first slot's first, got {ranking!r}")
    if twice := [item for item, times in Counter(ranking).items() if times > 1]:
        raise InvalidInput(f"a page shows an item once: the ranking names {twice[0]!r} twice")
    if ruled_out := sorted({*ranking} & {*exclude}):
        raise InvalidInput(f"item {ruled_out[0]!r} is ranked and excluded at once: drop one of the two")
    if rules is not None and rules.pins:
        raise InvalidInput("a ranking fixes every slot by itself: leave the pins out, or the ranking")
    if k is not None and k > len(ranking):
        raise InvalidInput(f"k is {k} and the ranking has {len(ranking)} items: lower k, or rank more items")
    return catalog.rows(list(ranking))


def candidate_rows(catalog: Catalog, candidates: Sequence[str], ranking: Sequence[str] | None) -> Rows:
    """The rows of the only items that a page may hold; UnknownItem, InvalidInput where that is none."""
    if isinstance(candidates, str) or not len(candidates):
        raise InvalidInput(
            f"candidates are a list of item ids, got {candidates!r}: leave them out for all items"
        )
    if ranking is not None:
        raise InvalidInput("a ranking says by itself what is shown: leave the candidates out, or the ranking")
    return catalog.rows(list(dict.fromkeys(candidates)))


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
