"""Decision-service JSON: the log of a contextual bandit, as Azure Personalizer and Vowpal Wabbit write it.

A line is one decision: `c` holds the context and, in `_multi`, the actions; which of them was shown, how probable
that was and what it cost stand in the labels. With several slots on a page (`_outcomes`) each slot has labels of its
own, so a line without them is read as a page with one slot.
"""

from __future__ import annotations

from honeyguide.data.reading import ROW
from honeyguide.data.sources.layout import Layout

_TOLD_KINDS = ("view", "click", "cart", "purchase")
_MAX_ATTRIBUTES = 100_000  # bytes; an item must not be lost because so much is known about it
_MAX_TITLE = 300

_ITEM_PATHS = ("$._tag", "$.i.id", "$.item.id", "$.id", "$.item_id", "$.itemId", "$.j[0].id")
_TITLE_PATHS = tuple(
    f"${place}.{key}" for place in ("", ".item", ".j[0]", ".j[1]") for key in ("title", "_title", "name")
)
_USER_KEYS = ("user", "user_id", "userId", "_user_id", "_userId")
_OWN_KEYS = (*_USER_KEYS, "id", "_id")
_USER_PATHS = tuple(
    f"${place}.{key}"
    for place, keys in (
        ("", _USER_KEYS),
        (".User", _OWN_KEYS),
        (".user", _OWN_KEYS),
        *((f".FromUrl[{number}]", _USER_KEYS) for number in range(4)),
    )
    for key in keys
)
_TOLD_PATHS = ("$.slot", *_USER_PATHS)

_CONTEXT = 'TRY_CAST("c" AS JSON)'
_RANKED = 'TRY_CAST("a" AS JSON)'
_OUTCOMES = "json_extract(TRY_CAST(_outcomes AS JSON), '$[*]')"


def _first_told(found: str) -> str:
    """SQL for the first text or number in a list of what stands at some paths, NULL where there is none."""
    return f"list_filter({found}, lambda told: told <> '' AND left(told, 1) NOT IN ('{{', '['))[1]"


def _at(json: str, paths: tuple[str, ...]) -> str:
    return f"json_extract_string({json}, {list(paths)})"


def _item(action: str) -> str:
    """SQL for the item that an action is; one without a name is known by its features."""
    unnamed = (
        f"CASE WHEN json_type({action}) = 'OBJECT' AND {action}::VARCHAR <> '{{}}' "
        f"THEN 'action-' || md5({action}::VARCHAR) END"
    )
    return f"coalesce({_first_told(_at(action, _ITEM_PATHS))}, {unnamed})"


_ID = f"""coalesce(nullif(eventid::VARCHAR, ''), 'line-' || md5(concat_ws(chr(31),
    {ROW}, "timestamp", "c", "a", _label_action, _labelindex, _outcomes)))"""
_LABELLED = "coalesce(_labelindex, _label_action) IS NOT NULL"
# the first of the ranked actions was shown; whoever counts them from 0 has one with that number
_FIRST = f"""TRY_CAST(json_extract_string({_RANKED}, '$[0]') AS INTEGER)::BIGINT
    - CASE WHEN list_contains(json_extract_string({_RANKED}, '$[*]'), '0') THEN 0 ELSE 1 END"""
_SHOWN = f"""CASE WHEN {_LABELLED}
    THEN coalesce(TRY_CAST(_labelindex AS INTEGER)::BIGINT, TRY_CAST(_label_action AS INTEGER)::BIGINT - 1)
    ELSE {_FIRST} END"""
_PROBABILITY = f"""coalesce(_label_probability::VARCHAR,
    CASE WHEN NOT {_LABELLED} THEN json_extract_string(TRY_CAST("p" AS JSON), '$[0]') END)"""


def _action(place: str) -> str:
    return f"CASE WHEN {place} >= 0 THEN json_extract({_CONTEXT}, '$._multi[' || ({place}) || ']') END"


# a line may be long, so what is needed of it is taken out once: of each slot a short object
_SEVERAL = f"len({_OUTCOMES}) > 0"
_SLOT_PLACE = "TRY_CAST(json_extract_string(slot, '$._a[0]') AS INTEGER)"
_SLOTS = f"""CASE WHEN {_SEVERAL}
    THEN list_transform({_OUTCOMES}, lambda slot, nth: json_object(
        'action', {_action(_SLOT_PLACE)}, 'told', {_at(_CONTEXT, _TOLD_PATHS)}, 'place', nth - 1,
        'p', json_extract_string(slot, '$._p[0]'), 'cost', json_extract_string(slot, '$._label_cost'),
        'said', json_extract_string(slot, '$._o[*].v')))
    ELSE [json_object(
        'action', {_action(_SHOWN)}, 'told', {_at(_CONTEXT, _TOLD_PATHS)},
        'p', {_PROBABILITY}, 'cost', _label_cost::VARCHAR,
        'said', json_extract_string(TRY_CAST("o" AS JSON), '$[*].v'))] END"""

_IS_TAKEN = f"""("c" IS NOT NULL
    AND ({_LABELLED} OR "a"::VARCHAR NOT IN ('', '[]') OR {_SEVERAL})
    AND lower(coalesce(_skiplearn::VARCHAR, '')) <> 'true' AND lower(coalesce(_deferred::VARCHAR, '')) <> 'true'
    AND NOT contains("c"::VARCHAR, '"_slot_id"'))"""


def _of_slot(path: str, slot: str = '"each"') -> str:
    return f"json_extract_string({slot}, '$.{path}')"


# our own export has a line per slot of a page, and the page's id in front of "#" and the slot
_DECISION = f"""CASE WHEN suffix(eventid::VARCHAR, '#' || {_of_slot("told[0]")})
    THEN left(eventid::VARCHAR, -1 - length({_of_slot("told[0]")})) ELSE {_ID} END"""
_SLOT_ID = f"{_ID} || coalesce('#' || {_of_slot('place')}, '')"
_USER = _first_told(f"{_of_slot('told[*]')}[2:]")
_OF_A_SLOT = {
    # a time without a zone is in UTC, as the format has it
    "time": """CASE WHEN regexp_full_match("timestamp"::VARCHAR, '.*:[0-9.]+')
        THEN "timestamp"::VARCHAR || 'Z' ELSE "timestamp"::VARCHAR END""",
    "user_id": f"coalesce({_USER}, 'unknown-' || {_DECISION})",
    "item_id": _item("json_extract(\"each\", '$.action')"),
    "decision_id": _DECISION,
    "position": f"""coalesce({_of_slot("place")}, TRY_CAST({_of_slot("told[0]")} AS USMALLINT)::VARCHAR, '0')""",
}
_OPTIONAL = (
    "a", "p", "o", "_outcomes", "_label_cost", "_label_probability", "_label_action", "_labelindex", "_skiplearn",
    "_deferred", "eventid",
)  # fmt: skip

_REWARDS = Layout(
    table="events",
    required=(),
    columns={
        **_OF_A_SLOT,
        "event_id": f"{_SLOT_ID} || ':reward'",
        "kind": f"""coalesce(list_filter({_of_slot("said[*]")},
            lambda said: list_contains({list(_TOLD_KINDS)}, said))[1], 'click')""",
        "value": f"coalesce((0 - TRY_CAST({_of_slot('cost')} AS DOUBLE))::VARCHAR, {_of_slot('cost')})",
    },
    where=_IS_TAKEN,
    # a cost that is no number is kept here, so that it is put aside with its reason
    each=f"""list_filter({_SLOTS}, lambda slot: {_of_slot("cost", "slot")} IS NOT NULL
        AND NOT coalesce(TRY_CAST({_of_slot("cost", "slot")} AS DOUBLE) >= 0, false))""",
)

# several objects with features become one
_FEATURES = """CASE WHEN json_type("each", '$.j') = 'ARRAY' THEN '{' || array_to_string(list_transform(
    list_filter(json_extract("each", '$.j[*]'), lambda f: json_type(f) = 'OBJECT' AND f::VARCHAR <> '{}'),
    lambda f: (f::VARCHAR)[2:-2]), ',') || '}' ELSE "each"::VARCHAR END"""
_ACTIONS = Layout(
    table="items",
    required=(),
    columns={
        "item_id": _item('"each"'),
        "title": f"""left(coalesce({_first_told(_at('"each"', (*_TITLE_PATHS, *_ITEM_PATHS)))},
            {_item('"each"')}), {_MAX_TITLE})""",
        "attributes": f"CASE WHEN strlen({_FEATURES}) <= {_MAX_ATTRIBUTES} THEN nullif({_FEATURES}, '{{}}') END",
    },
    each=f"json_extract({_CONTEXT}, '$._multi[*]')",
    derived=True,
)

_NOTE = (
    "a positive reward becomes a click at the time of its decision with the reward as its value (or the view, cart "
    "or purchase that the outcome names); where the context names no user, every decision has one of its own"
)
_DROPPED = "; a share of the lines was dropped when it was written (pdrop), which the propensities do not say"


def _layout(required: tuple[str, ...], note: str = "") -> Layout:
    return Layout(
        table="events",
        required=("c", "timestamp", *required),
        optional=tuple(column for column in _OPTIONAL if column not in required),
        columns={
            **_OF_A_SLOT,
            "event_id": _SLOT_ID,
            "kind": "'impression'",
            "propensity": _of_slot("p"),
        },
        where=_IS_TAKEN,
        each=_SLOTS,
        also=(_REWARDS, _ACTIONS),
        note=_NOTE + note,
    )


class Dsjson:
    """Shown actions become impressions with their propensity, positive rewards events, actions items."""

    name = "dsjson"
    layouts = tuple(
        _layout((*told, *dropped), note)
        for dropped, note in ((("pdrop",), _DROPPED), ((), ""))
        for told in (("eventid",), ("_label_probability",), ("_outcomes",))
    )
