"""Research data without times: who acted on which item, in which order, with a text for each item."""

from __future__ import annotations

from honeyguide.data.sources.layout import Layout

_START_S, _DAY_S = 946_728_000, 86_400  # 2000-01-01T12:00:00Z: ten thousand positions end before 2028
_NUMBER = "TRY_CAST(position::VARCHAR AS DOUBLE)"
# beyond these bounds seconds would be taken for another unit
_IS_PLACE = f"{_NUMBER} BETWEEN 0 AND 100000 AND {_NUMBER} = floor({_NUMBER})"
_WITH_TIMES = ("time", "timestamp", "kind", "rating", "click", "query", "propensity")


def _described(column: str) -> Layout:
    """Items of which nothing is known but one text."""
    return Layout(
        table="items",
        required=("item_id", column),
        columns={"item_id": "item_id", "title": column},
        absent=("title", "user_id", "intent", "label", *_WITH_TIMES),
    )


class Sequences:
    """Each place in a user's sequence becomes a purchase, each text the title of its item."""

    name = "sequences"
    layouts = (
        Layout(
            table="events",
            required=("user_id", "position", "item_id"),
            columns={
                "event_id": f"user_id::VARCHAR || '-' || TRY_CAST({_NUMBER} AS BIGINT)",
                "time": f"""CASE WHEN {_IS_PLACE} THEN TRY_CAST({_START_S} + {_DAY_S} * {_NUMBER} AS BIGINT)::VARCHAR
                            ELSE 'position ' || position END""",
                "user_id": "user_id",
                "kind": "'purchase'",
                "item_id": "item_id",
            },
            absent=_WITH_TIMES,
            note="it has no times: position n is written as n days after noon of 2000-01-01 (UTC), which keeps each "
            "user's order and says nothing else; each row is taken as a purchase",
        ),
        _described("text"),
        _described("phrase"),
    )
