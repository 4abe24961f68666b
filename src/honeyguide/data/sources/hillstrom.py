"""Hillstrom's e-mail experiment (MineThatData, 2008): two campaigns and a control group, drawn by lot."""

from __future__ import annotations

from honeyguide.data.reading import ROW
from honeyguide.data.sources.layout import Layout

_ABOUT_THE_USER = ("recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel")
_USER = f"'hillstrom-' || {ROW}"
_ARM = "coalesce(trim(segment::VARCHAR), '')"


def _by_arm(mens: str, womens: str, control: str, other: str) -> str:
    """SQL for what follows from the arm that a user was drawn for."""
    return f"""CASE lower({_ARM}) WHEN 'mens e-mail' THEN {mens} WHEN 'womens e-mail' THEN {womens}
               WHEN 'no e-mail' THEN {control} ELSE {other} END"""


def _happened(column: str, kind: str) -> str:
    """SQL for the kind of a touch where a column says anything but 0."""
    said = f"coalesce(TRY_CAST({column}::VARCHAR AS DOUBLE) <> 0, {column}::VARCHAR <> '')"
    return f"CASE WHEN {said} AND {_by_arm('true', 'true', 'true', 'false')} THEN '{kind}' END"


def _checked(column: str, value: str) -> str:
    """SQL for a value where the column says 1; else for what no value can be."""
    text = f"{column}::VARCHAR"
    return f"CASE WHEN TRY_CAST({text} AS DOUBLE) = 1 THEN {value} ELSE '{column} ' || {text} END"


# a user of the control group is the control of both campaigns, each of which then stands for itself
_CAMPAIGNS = _by_arm("['Mens E-Mail']", "['Womens E-Mail']", "['Mens E-Mail', 'Womens E-Mail']", f"[{_ARM}]")
_KINDS = f"""list_filter([{_by_arm("'sent'", "'sent'", "'withheld'", _ARM)}, {_happened("visit", "visit")},
                          {_happened("conversion", "redeemed")}], lambda kind: kind IS NOT NULL)"""
_TOUCHES = f"""flatten(list_transform({_CAMPAIGNS}, lambda campaign:
                   list_transform({_KINDS}, lambda kind: {{'campaign': campaign, 'kind': kind}})))"""
_CAMPAIGN, _KIND = "\"each\"['campaign']", "\"each\"['kind']"


def _attributes() -> str:
    """SQL for what is known of a user as one JSON object, without what is empty."""
    parts = ", ".join(f"'{column}', nullif({column}::VARCHAR, '')" for column in _ABOUT_THE_USER)
    return f"nullif(json_merge_patch('{{}}', json_object({parts}))::VARCHAR, '{{}}')"


class Hillstrom:
    """Each row becomes a user and what both campaigns did to that user and the user to them.

    Within one campaign a user was written to or withheld with equal probability (each arm got a third of all), so
    the uplift of a campaign is the difference of its two groups' means.
    """

    name = "hillstrom"
    layouts = (
        Layout(
            table="touches",
            required=(*_ABOUT_THE_USER, "segment", "visit", "conversion", "spend"),
            each=_TOUCHES,
            columns={
                "touch_id": f"concat_ws('-', {_USER}, {_CAMPAIGN}, {_KIND})",
                "user_id": _USER,
                "campaign_id": _CAMPAIGN,
                "kind": _KIND,
                "value": f"""CASE {_KIND} WHEN 'visit' THEN {_checked("visit", "NULL")}
                                          WHEN 'redeemed' THEN {_checked("conversion", "spend::VARCHAR")} END""",
                "propensity": f"CASE WHEN {_KIND} IN ('sent', 'withheld') THEN '0.5' END",
            },
            also=(
                Layout(
                    table="users",
                    required=(),
                    columns={"user_id": _USER, "attributes": _attributes()},
                    where=f"{_ARM} <> ''",
                ),
            ),
            note="it has no user ids (the row number is taken) and no times; users without an e-mail are the control "
            "of both campaigns, so what they did stands under each; the propensity is that of the two groups of one "
            "campaign",
        ),
    )
