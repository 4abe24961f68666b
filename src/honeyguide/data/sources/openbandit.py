"""The Open Bandit Dataset of ZOZO: what two bandit policies showed in three campaigns of a fashion shop.

Every campaign counts its items from 0 in a catalogue of its own, so a shop can hold one campaign; the logs of both
policies (`random` and `bts`) in it may be imported together.
"""

from __future__ import annotations

from collections.abc import Mapping

from honeyguide.data.reading import ROW
from honeyguide.data.sources.layout import Layout

_FEATURES = tuple(f"user_feature_{number}" for number in range(4))
_ITEM_FEATURES = tuple(f"item_feature_{number}" for number in range(4))

_PERSON = ", ".join(f"coalesce({feature}::VARCHAR, '')" for feature in _FEATURES)
_USER = f"""CASE WHEN coalesce({", ".join(f"nullif({feature}::VARCHAR, '')" for feature in _FEATURES)}) IS NOT NULL
    THEN 'like-' || md5(concat_ws(chr(31), {_PERSON})) END"""
# equal rows are impressions of their own: only their number tells them apart, and the rest one file from another
_DECISION = f"""md5(concat_ws(chr(31),
    {ROW}, "timestamp", item_id, "position", click, propensity_score, {_PERSON}))"""
_IMPRESSION = {
    "time": '"timestamp"',
    "user_id": _USER,
    "item_id": "item_id",
    "decision_id": _DECISION,
    "position": """coalesce((TRY_CAST("position" AS DOUBLE) - 1)::VARCHAR, "position"::VARCHAR)""",
}


def _known(values: Mapping[str, str]) -> str:
    """SQL for one JSON object of columns with these values, without those that are empty."""
    members = (
        f"CASE WHEN {column}::VARCHAR <> '' THEN '\"{column}\":' || to_json({value})::VARCHAR END"
        for column, value in values.items()
    )
    return f"nullif('{{' || concat_ws(',', {', '.join(members)}) || '}}', '{{}}')"


_USER_KNOWN = _known({feature: f"{feature}::VARCHAR" for feature in _FEATURES})
_MEASURE, *_HASHES = _ITEM_FEATURES
_ITEM_KNOWN = _known(
    {
        _MEASURE: f"CASE WHEN isfinite(TRY_CAST({_MEASURE} AS DOUBLE)) THEN TRY_CAST({_MEASURE} AS DOUBLE) END",
        **{feature: f"{feature}::VARCHAR" for feature in _HASHES},
    }
)

_CLICKS = Layout(
    table="events",
    required=(),
    columns={
        **_IMPRESSION,
        "event_id": f"{_DECISION} || '-click'",
        "kind": "CASE WHEN TRY_CAST(click AS DOUBLE) = 1 THEN 'click' ELSE click::VARCHAR END",
    },
    # a click that is neither 1 nor 0 is kept here, so that it is put aside with its reason
    where="click::VARCHAR <> '' AND NOT coalesce(TRY_CAST(click AS DOUBLE) = 0, false)",
)
_USERS = Layout(
    table="users",
    required=(),
    columns={"user_id": _USER, "attributes": _USER_KNOWN},
    derived=True,
)


class OpenBandit:
    """Every row becomes an impression with its propensity, a clicked one a click as well."""

    name = "openbandit"
    layouts = (
        Layout(
            table="events",
            required=("timestamp", "item_id", "position", "click", "propensity_score", _FEATURES[0]),
            optional=_FEATURES[1:],
            columns={
                **_IMPRESSION,
                "event_id": _DECISION,
                "kind": "'impression'",
                "propensity": "propensity_score",
            },
            also=(_CLICKS, _USERS),
            note=(
                "there are no users in it: all who share the four hashed user features are taken for one; "
                "a campaign numbers its items from 0, so a shop can hold only one campaign"
            ),
        ),
        Layout(
            table="items",
            required=("item_id", _MEASURE),
            optional=tuple(_HASHES),
            columns={
                "item_id": "item_id",
                "title": "'Item ' || item_id::VARCHAR",
                "attributes": _ITEM_KNOWN,
            },
            absent=("timestamp", "click"),
            note="what the items are is hashed: their numbers stand for titles",
        ),
    )
