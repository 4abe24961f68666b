"""RecBole's atomic files: NAME.inter, NAME.item and NAME.user, separated by tabs, with a type behind each name.

The types are `token`, `token_seq`, `float` and `float_seq`; a sequence stands in one field, separated by spaces.
"""

from __future__ import annotations

from honeyguide.data.sources.layout import Layout
from honeyguide.data.sources.spellings import first_of, is_worth, kind_of, tells


def _typed(names: str, *types: str) -> tuple[str, ...]:
    """The columns of these names with these types."""
    return tuple(f"{name}:{kind}" for name in names.split() for kind in types)


_KINDS = _typed("kind event event_type behavior behavior_type action action_type", "token")
_RATINGS, _LABELS = _typed("rating stars", "float", "token"), _typed("label", "float", "token")
_VALUES, _QUANTITIES = _typed("value", "float"), _typed("quantity", "float")
_REVIEWS, _SESSIONS = (
    _typed("review review_text text", "token_seq", "token"),
    _typed("session_id sess_id", "token"),
)
_SAID, _RATING = first_of(*_KINDS), first_of(*_RATINGS)
_LABEL = f"TRY_CAST({first_of(*_LABELS)} AS DOUBLE)"
# a label of 0 says that the item was shown and left alone
_KIND = f"""CASE WHEN {_SAID} IS NOT NULL THEN {kind_of(_SAID)}
                 WHEN {_RATING} IS NOT NULL THEN 'rating'
                 WHEN {_LABEL} = 0 THEN 'impression' WHEN {_LABEL} > 0 THEN 'click' ELSE 'view' END"""

_TITLES = _typed("title movie_title item_name product_name name app_name book_title", "token_seq", "token")
_PATHS = _typed("category", "token_seq")
_LISTS = _typed("categories genres genre class", "token_seq")
_CATEGORIES = _typed("category categories genre genres", "token")
_DESCRIPTIONS, _BRANDS = _typed("description", "token_seq", "token"), _typed("brand", "token", "token_seq")
_PRICES, _IMAGES, _LINKS = (
    _typed("price", "float"),
    _typed("image image_url", "token"),
    _typed("link url", "token"),
)


def _tokens(columns: tuple[str, ...]) -> str:
    """SQL for the tokens of a sequence."""
    return f"list_filter(string_split({first_of(*columns)}, ' '), lambda token: token <> '')"


# the names on a path are one token each, the several categories of an item likewise
_PATH = f"array_to_string(list_transform({_tokens(_PATHS)}, lambda token: replace(token, '_', ' ')), ' > ')"
_LIST = f"""CASE WHEN contains({first_of(*_LISTS)}, ',') THEN {first_of(*_LISTS)}
                 ELSE array_to_string({_tokens(_LISTS)}, ', ') END"""
_CATEGORY = f"coalesce({_PATH}, {_LIST}, {first_of(*_CATEGORIES)})"

_USER, _SESSION, _ITEMS = "user_id:token", "session_id:token", ("item_id:token", "product_id:token")


def _interactions(user: str, item: str) -> Layout:
    """What the user (or a session of which nobody knows the user) did with the item."""
    who = "user_id" if user == _USER else "anonymous_id"
    return Layout(
        table="events",
        required=(user, item, "timestamp:float"),
        optional=(*_KINDS, *_RATINGS, *_LABELS, *_VALUES, *_REVIEWS, *_QUANTITIES, *_SESSIONS),
        columns={
            "time": '"timestamp:float"',
            who: f'"{user}"',
            "kind": _KIND,
            "item_id": f'"{item}"',
            "value": f"""CASE WHEN {_SAID} IS NULL THEN {_RATING}
                              WHEN {is_worth(_SAID)} THEN {first_of(*_VALUES, *_RATINGS)} END""",
            "quantity": first_of(*_QUANTITIES),
            "session_id": first_of(*_SESSIONS),
            "text": first_of(*_REVIEWS),
        },
        where=tells(_SAID),
        quoted=False,
        note="where it does not say what happened, a row with a rating is taken as a rating, a label of 1 as a click "
        "and of 0 as an impression, and everything else as a view",
    )


def _catalogue(item: str) -> Layout:
    return Layout(
        table="items",
        required=(item,),
        optional=(
            *_TITLES, *_PATHS, *_LISTS, *_CATEGORIES, *_DESCRIPTIONS, *_BRANDS, *_PRICES, *_IMAGES, *_LINKS,
        ),
        absent=(_USER, _SESSION, "entity_id:token"),
        columns={
            "item_id": f'"{item}"',
            "title": first_of(*_TITLES),
            "description": first_of(*_DESCRIPTIONS),
            "category": _CATEGORY,
            "brand": first_of(*_BRANDS),
            "price": first_of(*_PRICES),
            "image": first_of(*_IMAGES),
            "link": first_of(*_LINKS),
        },
        rest=True,
        quoted=False,
        type_mark=":",
    )  # fmt: skip


class Recbole:
    """Interactions become events, items and users themselves; their features without a place become attributes."""

    name = "recbole"
    layouts: tuple[Layout, ...] = (
        *(_interactions(user, item) for user in (_USER, _SESSION) for item in _ITEMS),
        *(_catalogue(item) for item in _ITEMS),
        Layout(
            table="users",
            required=(_USER,),
            columns={"user_id": f'"{_USER}"'},
            absent=_ITEMS,
            rest=True,
            quoted=False,
            type_mark=":",
        ),
    )
