"""Gorse: users, items and feedback as its dashboard exports them, its API gives them or its database keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from honeyguide.data.sources.layout import Layout
from honeyguide.types import EventKind

_TYPES: dict[EventKind, tuple[str, ...]] = {
    "view": ("read", "view", "visit", "open", "detail", "watch", "play", "listen", "dwell"),
    "click": ("click", "tap"),
    "cart": ("cart", "addtocart", "wishlist", "bookmark", "save", "collect"),
    "purchase": ("purchase", "buy", "order", "pay"),
    "rating": (
        "like", "star", "love", "favorite", "favourite", "upvote", "thumbsup", "rating", "rate", "stars", "score",
        "review",
    ),
    "dismiss": ("dislike", "notinterested", "dismiss", "hide", "downvote", "thumbsdown"),
    "impression": ("impression", "exposure", "expose", "exposed", "show", "shown"),
}  # fmt: skip
"""What people call their feedback types, without blanks and dashes; any other type is told as an unknown kind."""
_STARS = ("rating", "rate", "stars", "score", "review")
"""Types whose value says how good it was; that of others is how often or how long it was done."""
_EMBEDDING = 16
"""A list of at least so many numbers is an embedding of another model, and nothing to read."""
_NOTE = (
    "what its feedback types mean is free: read is taken as a view, like and star as a rating without stars, a wish "
    "list as a cart; the value of any but a rating is left out"
)


def plain(feedback_type: str) -> str:
    """A feedback type as the names above are written."""
    return re.sub(r"[\s_-]+", "", feedback_type).lower()


def kind_of(feedback_type: str) -> EventKind | None:
    """What an event of this feedback type is; None where that is not known."""
    return next((kind for kind, names in _TYPES.items() if plain(feedback_type) in names), None)


def has_stars(feedback_type: str) -> bool:
    """Whether the value of a feedback type says how good it was."""
    return plain(feedback_type) in _STARS


def _utc(column: str) -> str:
    """SQL for a time as Go or a database writes it; UTC where it says nothing of a zone."""
    text = f"{column}::VARCHAR"
    day = rf"regexp_replace({text}, '^(\d{{4}}-\d\d-\d\d)$', '\1 00:00:00Z')"
    unsaid = r"^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?)( ?[+]00(:?00)?)?( UTC)?$"
    zoned = rf"regexp_replace({day}, '{unsaid}', '\1Z')"
    return rf"regexp_replace({zoned}, '^(.*\d) ([+-]\d{{4}})( [A-Z0-9+-]+)?$', '\1\2')"


def _list(column: str) -> str:
    """SQL for a list of texts that is JSON, or has bars between its parts."""
    parts = f"TRY_CAST(TRY_CAST({column} AS JSON) AS VARCHAR[])"
    return f"coalesce({parts}, list_filter(string_split({column}, '|'), lambda part: part <> ''))"


def _text(json: str, *keys: str) -> str:
    """SQL for the first of these keys of a JSON object that is not empty."""
    found = ", ".join(f"""nullif(json_extract_string({json}, '$."{key}"'), '')""" for key in keys)
    return f"coalesce({found})"


_LABELS = "TRY_CAST(labels AS JSON)"
_TITLE, _DESCRIPTION = ("title", "name"), ("description",)
_PRICE, _BRAND, _CURRENCY = ("price",), ("brand",), ("currency",)
_IMAGE, _LINK = ("image", "image_url"), ("url", "link")
_PLACED = (*_TITLE, *_DESCRIPTION, *_PRICE, *_BRAND, *_CURRENCY, *_IMAGE, *_LINK)
"""Labels of items that have a column of their own."""


def _is_embedding(json: str) -> str:
    number = f"json_type({json}, '$[0]') IN ('DOUBLE', 'BIGINT', 'UBIGINT')"
    return f"coalesce(json_array_length({json}) >= {_EMBEDDING} AND {number}, false)"


def _attributes(placed: tuple[str, ...], *more: str) -> str:
    """SQL for labels, an object or a list, as one object, with `more` pairs of a key and its value as JSON text."""
    value = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
    keys = f"""list_filter(list_sort(list_distinct(json_keys({_LABELS}))), lambda k:
        NOT list_contains({list(placed)}::VARCHAR[], k) AND json_type({_LABELS}, {value}) <> 'NULL'
        AND NOT {_is_embedding(f"json_extract({_LABELS}, {value})")})"""
    pairs = (
        f"list_transform({keys}, lambda k: to_json(k)::VARCHAR || ':' || json_extract({_LABELS}, {value}))"
    )
    listed = f"""
        CASE WHEN json_type({_LABELS}) = 'ARRAY' AND NOT {_is_embedding(_LABELS)} THEN {_LABELS}::VARCHAR
             WHEN {_LABELS} IS NULL AND labels <> '' THEN to_json({_list("labels")})::VARCHAR END"""
    others = ", ".join([f"""'"labels":' || ({listed})""", *more])
    every = f"list_filter(list_concat({pairs}, [{others}]), lambda pair: pair IS NOT NULL)"
    return f"nullif('{{' || array_to_string({every}, ',') || '}}', '{{}}')"


@dataclass(frozen=True, slots=True)
class _Names:
    """How a kind of file spells the columns."""

    user: str
    item: str
    type: str
    hidden: str
    time: str
    comment: str

    def items(self, *required: str) -> Layout:
        """Items; the first of an item's categories is its category, all of them are attributes."""
        categories = _list("categories")
        several = (
            f"""CASE WHEN len({categories}) > 1 THEN '"categories":' || to_json({categories})::VARCHAR END"""
        )
        price, hidden = _text(_LABELS, *_PRICE), f"lower({self.hidden}::VARCHAR)"
        named = _text(_LABELS, *_TITLE)
        other = f"CASE WHEN {named} IS NOT NULL THEN {self.comment} END"
        return Layout(
            table="items",
            required=required,
            optional=(self.item, self.hidden, "categories", self.time, "labels", self.comment),
            absent=(self.type,),
            columns={
                "item_id": self.item,
                "title": f"coalesce({named}, {self.comment})",
                "description": f"coalesce({_text(_LABELS, *_DESCRIPTION)}, {other})",
                "category": f"{categories}[1]",
                "brand": _text(_LABELS, *_BRAND),
                # labels are free: a price that is none is no reason to do without the item
                "price": f"CASE WHEN TRY_CAST({price} AS DOUBLE) BETWEEN 0 AND 3.4e38 THEN {price} END",
                "currency": _text(_LABELS, *_CURRENCY),
                "image": _text(_LABELS, *_IMAGE),
                "link": _text(_LABELS, *_LINK),
                "available": f"CASE {hidden} WHEN 'true' THEN 'false' WHEN 'false' THEN 'true' WHEN '1' THEN 'false' "
                f"WHEN '0' THEN 'true' ELSE {hidden} END",
                # the year 1 is Go's way to say that there is no time
                "created_at": f"CASE WHEN NOT starts_with({self.time}::VARCHAR, '0001-') THEN {_utc(self.time)} END",
                "attributes": _attributes(_PLACED, several),
            },
        )

    def feedback(self) -> Layout:
        """Feedback; Gorse keeps one of a type for a user and an item, so an export has at most the last of them."""
        plain = rf"lower(regexp_replace({self.type}, '[\s_-]+', '', 'g'))"
        cases = [f"WHEN '{name}' THEN '{kind}'" for kind, names in _TYPES.items() for name in names]
        stars, rated = (f"list_contains({list(names)}, {plain})" for names in (_STARS, _TYPES["rating"]))
        time = _utc(self.time)
        said = f"{self.type}, {self.user}, {self.item}, replace({time}, 'T', ' ')"
        return Layout(
            table="events",
            required=(self.type, self.user, self.item),
            optional=(self.time, "value", self.comment),
            columns={
                "event_id": f"'g' || md5(concat_ws(chr(31), {said}))",
                "time": time,
                "user_id": self.user,
                "kind": f"CASE {plain} {' '.join(cases)} ELSE {self.type} END",
                "item_id": self.item,
                # Gorse writes 0 where there is no value
                "value": f"CASE WHEN {stars} AND TRY_CAST(value AS DOUBLE) IS DISTINCT FROM 0 THEN value END",
                "text": f"CASE WHEN {rated} THEN {self.comment} END",
            },
            note=_NOTE,
        )

    def users(self) -> Layout:
        """Users; a comment is for whoever reads the dashboard, and often a name."""
        return Layout(
            table="users",
            required=(self.user, "labels"),
            absent=(self.item, self.type),
            columns={"user_id": self.user, "attributes": _attributes(())},
        )


_JSON = _Names("userid", "itemid", "feedbacktype", "ishidden", "timestamp", "comment")
_STORED = _Names("user_id", "item_id", "feedback_type", "is_hidden", "time_stamp", "comment")
_CSV = replace(_STORED, comment="description")


class Gorse:
    """Feedback becomes events, items and users stay what they are."""

    name = "gorse"
    layouts = (
        _JSON.feedback(),
        _STORED.feedback(),
        *(_JSON.items("itemid", key) for key in ("ishidden", "labels", "categories")),
        _CSV.items("item_id", "time_stamp", "labels", "description"),
        _STORED.items("item_id", "time_stamp", "labels"),
        _JSON.users(),
        _STORED.users(),
    )
