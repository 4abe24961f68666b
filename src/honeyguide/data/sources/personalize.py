"""The data sets of Amazon Personalize: interactions, items and users as CSV, each with a schema in Avro's JSON."""

from __future__ import annotations

from dataclasses import replace

from honeyguide.data.sources.layout import Layout
from honeyguide.data.sources.spellings import first_of, is_worth, kind_of, tells

_PAGE = """md5(concat_ws(chr(31), user_id, "timestamp", impression))"""
_DECISION = f"""
    coalesce(nullif(recommendation_id::VARCHAR, ''), CASE WHEN impression <> '' THEN 'page-' || {_PAGE} END)"""

# What was shown stands beside every reaction to it: told twice, it was still shown once.
_SHOWN = Layout(
    table="events",
    required=(),
    each="string_split(impression::VARCHAR, '|')",
    columns={
        "event_id": f"'shown-' || md5(concat_ws(chr(31), {_DECISION}, trim(each)))",
        "time": "timestamp",
        "user_id": "user_id",
        "kind": "'impression'",
        "item_id": "each",
        "session_id": "session_id",
        "decision_id": _DECISION,
        "position": "nth - 1",
    },
    optional=("recommendation_id", "session_id"),
    derived=True,
)
_TYPED = Layout(
    table="events",
    required=("user_id", "item_id", "timestamp", "event_type"),
    optional=("event_value", "recommendation_id", "session_id"),
    columns={
        "time": "timestamp",
        "user_id": "user_id",
        "kind": kind_of("event_type"),
        "item_id": "item_id",
        # of a video watched it is a share, and of other events whatever the shop wanted to say
        "value": f"CASE WHEN {is_worth('event_type')} THEN event_value END",
        "session_id": "session_id",
        "decision_id": "recommendation_id",
    },
    where=tells("event_type"),
)
_UNTYPED = replace(
    _TYPED,
    required=("user_id", "item_id", "timestamp"),
    optional=("rating", "recommendation_id", "session_id"),
    absent=("time", "kind", "event_type", "feedback_type"),
    columns={
        **_TYPED.columns,
        "kind": "CASE WHEN rating <> '' THEN 'rating' ELSE 'view' END",
        "value": "rating",
    },
    where=None,
    note="it has no EVENT_TYPE: an interaction is taken as a rating where it has a RATING, and as a view elsewhere",
)


def _with_impressions(layout: Layout) -> Layout:
    """The same where what was shown is beside what was done."""
    columns = {**layout.columns, "decision_id": _DECISION}
    return replace(layout, required=(*layout.required, "impression"), columns=columns, also=(_SHOWN,))


_LEVELS = [
    "coalesce(nullif(category_l1, ''), nullif(genres, ''), nullif(genre, ''), nullif(category, ''), categories)",
    "coalesce(nullif(category_l2, ''), genre_l2)",
    "coalesce(nullif(category_l3, ''), genre_l3)",
]
# an item may have several values at each level: they are named side by side
_PATH = ", ".join(f"""nullif(trim(replace({level}, '|', ', ')), '')""" for level in _LEVELS)
_TITLE = first_of("title", "product_name", "item_name", "name", "product_title")
_DESCRIPTION = first_of("product_description", "description")
_MARKS = (
    "category_l1", "genres", "product_description", "creation_timestamp", "category", "categories", "genre",
    "description", "price", "product_name", "item_name", "name", "brand", "title",
)  # fmt: skip
"""Columns of which a data set of items has at least one; the first four are the documented ones."""
_ITEMS = Layout(
    table="items",
    required=("item_id",),
    optional=(
        "category_l1", "category_l2", "category_l3", "genres", "genre", "genre_l2", "genre_l3", "category",
        "categories", "title", "product_name", "item_name", "name", "product_title", "product_description",
        "description", "brand", "price", "currency", "image", "image_url", "link", "url", "creation_timestamp",
    ),
    absent=("user_id", "timestamp", "time", "kind", "is_hidden", "labels"),
    columns={
        "item_id": "item_id",
        "title": _TITLE,
        "description": f"nullif({_DESCRIPTION}, {_TITLE})",
        "category": f"nullif(concat_ws(' > ', {_PATH}), '')",
        "brand": "brand",
        "price": "price",
        "currency": "currency",
        "image": first_of("image", "image_url"),
        "link": first_of("link", "url"),
        "created_at": "creation_timestamp",
    },
    rest=True,
)  # fmt: skip
_USERS = Layout(
    table="users",
    required=("user_id",),
    columns={"user_id": "user_id"},
    absent=(
        "item_id", "items", "item_ids", "product_id", "action_id", "household_id", "anonymous_id", "campaign_id",
        "attributes", "labels", "timestamp", "time", "kind", "event", "event_type", "event_name", "rating", "value",
        "query", "text", "intent", "history", "sequence",
    ),
    rest=True,
)  # fmt: skip
_SCHEMA = Layout(
    table="users",
    required=("type", "name", "namespace", "fields"),
    columns={"user_id": "NULL"},
    where="false",
    note="it is the schema of a data set; the header of the data set says all that is needed",
)


class Personalize:
    """Interactions become events, and impressions events of their own; what has no place becomes attributes."""

    name = "personalize"
    layouts: tuple[Layout, ...] = (
        _with_impressions(_TYPED),
        _TYPED,
        _with_impressions(_UNTYPED),
        _UNTYPED,
        *(replace(_ITEMS, required=("item_id", mark)) for mark in _MARKS),
        _USERS,
        _SCHEMA,
    )
