"""Google Analytics 4: the tables events_YYYYMMDD of its export to BigQuery, as JSON Lines or Parquet.

An event is a row. What it is about stands in `items`, a list, and what else was said of it in `event_params`, a list
of keys with values of four types. What was not said is left out, null or the text "(not set)".
"""

from __future__ import annotations

from honeyguide.data.sources.layout import Layout

KINDS = {
    "view_item": "view",
    "view_item_list": "impression",
    "view_promotion": "impression",
    "select_item": "click",
    "select_promotion": "click",
    "add_to_cart": "cart",
    "add_to_wishlist": "cart",  # set aside for later: nearer to a cart than to a look
    "purchase": "purchase",
    "refund": "purchase",
}
"""What the events about items are; anything else, but for searches, is passed over."""

SEARCHES = ("search", "view_search_results")
_PROMOTIONS = ("view_promotion", "select_promotion")
_MAY_BE_EMPTY = ("view_item_list", "refund", *SEARCHES)
"""Events that are complete without items: an empty list, or the refund of a whole order."""

_ITEMS = "TRY_CAST(items::VARCHAR AS JSON[])"
_USER = "coalesce(nullif(user_id::VARCHAR, ''), user_pseudo_id::VARCHAR)"
_TYPES = [f"$.value.{kind}_value" for kind in ("string", "int", "double", "float")]


def _set(text: str) -> str:
    """SQL for a text, NULL where it is not set."""
    # not nullif: it is computed twice, and what is in it twice as often again
    return f"list_filter([trim({text})], lambda said: said NOT IN ('', '(not set)'))[1]"


def _said(value: str, path: str) -> str:
    """SQL for a text inside of a JSON value."""
    return _set(f"json_extract_string({value}, '{path}')")


def _inside(column: str, path: str) -> str:
    """SQL for a text inside of a column, whatever the column holds."""
    return _said(f"TRY_CAST({column}::VARCHAR AS JSON)", path)


def _value(parameter: str) -> str:
    """SQL for the value of a parameter, of whose four types one is set."""
    return _set(f"array_to_string(json_extract_string({parameter}, {_TYPES}), '')")


def _parameter(key: str) -> str:
    """SQL for the value of one of the event's parameters."""
    all_of_them = "TRY_CAST(event_params::VARCHAR AS JSON[])"
    return _value(f"list_filter({all_of_them}, lambda p: json_extract_string(p, '$.key') = '{key}')[1]")


def _as_object(parameters: str) -> str:
    """SQL for a list of keys and values as one JSON object."""
    key = f"coalesce({_said('p', '$.key')}, '')"
    objects = f"list_transform({parameters}, lambda p: json_object({key}, {_value('p')}))"
    named = f"list_filter({objects}, lambda o: NOT list_contains(json_keys(o), ''))"
    return f"list_reduce({named}, lambda a, b: json_merge_patch(a, b), '{{}}'::JSON)"


def _worth(price: str) -> str:
    """SQL for the pieces' price in all; a price that is no number stays as it is, so that it is found."""
    pieces = f"coalesce(TRY_CAST({_said('each', '$.quantity')} AS DOUBLE), 1)"
    amount = _said("each", price)
    return f"coalesce((TRY_CAST({amount} AS DOUBLE) * {pieces})::VARCHAR, {amount})"


def _negative(number: str) -> str:
    return f"coalesce((-abs(TRY_CAST({number} AS DOUBLE)))::VARCHAR, {number})"


_QUERY = _parameter("search_term")
_CURRENCY = _parameter("currency")
# only among those of one device is the number unique
_SESSION = f"coalesce(user_pseudo_id::VARCHAR, user_id::VARCHAR) || '.' || {_parameter('ga_session_id')}"
_CONSENT = f"nullif(lower({_inside('privacy_info', '$.analytics_storage')}), 'unset')"
_AGREED = f"coalesce({_CONSENT}, '') <> 'no'"
_SHOWS_SEARCH = f"event_name IN {SEARCHES} AND {_QUERY} IS NOT NULL"
_IN_KIND = " ".join(f"WHEN '{name}' THEN '{kind}'" for name, kind in KINDS.items())
_KIND = f"""
    CASE WHEN {_SHOWS_SEARCH} AND nth = 1 THEN 'search'
         ELSE CASE event_name {_IN_KIND} ELSE 'impression' END END"""
_NAMED = (
    f"list_filter({_ITEMS}, lambda item: json_extract_string(item, '$.item_id') NOT IN ('', '(not set)'))"
)
_DESCRIBED = (
    f"list_filter({_NAMED}, lambda item: json_extract_string(item, '$.item_name') NOT IN ('', '(not set)'))"
)

# a search comes first, without an item, and after it the items that it found
_EACH = f"""
    CASE WHEN {_SHOWS_SEARCH} THEN list_concat(['{{}}'::JSON], {_ITEMS})
         WHEN event_name IN {_PROMOTIONS} THEN {_NAMED}
         WHEN coalesce(len({_ITEMS}), 0) > 0 THEN {_ITEMS}
         ELSE ['{{}}'::JSON] END"""

# an event of nobody is none to learn from: who does not agree is told without an id
_WHERE = f"""
    event_name IN {(*KINDS, *SEARCHES)}
    AND ({_AGREED} OR coalesce({_USER}, '') <> '')
    AND CASE WHEN {_SHOWS_SEARCH} THEN true
             WHEN event_name IN {_PROMOTIONS} THEN len({_NAMED}) > 0
             WHEN event_name IN {_MAY_BE_EMPTY} THEN len({_ITEMS}) > 0
             ELSE true END"""

_ROW = (
    "stream_id", "user_pseudo_id", "user_id", "event_timestamp", "event_name", "event_bundle_sequence_id",
    "batch_page_id", "batch_ordering_id", "batch_event_index",
)  # fmt: skip
_OF_ROW = ", ".join(f"coalesce({column}::VARCHAR, '')" for column in _ROW)

_REVENUE = f"coalesce({_said('each', '$.item_revenue')}, {_worth('$.price')})"
_REFUND = f"coalesce({_said('each', '$.item_refund')}, {_worth('$.price')})"
_REVENUE_USD = f"coalesce({_said('each', '$.item_revenue_in_usd')}, {_worth('$.price_in_usd')})"
_REFUND_USD = f"coalesce({_said('each', '$.item_refund_in_usd')}, {_worth('$.price_in_usd')})"
_PIECES = f"coalesce({_said('each', '$.quantity')}, '1')"

EVENTS = {
    "event_id": f"md5(concat_ws(chr(31), {_OF_ROW}, coalesce({_said('each', '$.item_id')}, ''), nth))",
    "time": "event_timestamp",
    "user_id": "user_id",
    "anonymous_id": "user_pseudo_id",
    "kind": _KIND,
    "item_id": _said("each", "$.item_id"),
    "query": _QUERY,
    "value": f"""
        CASE event_name WHEN 'purchase' THEN coalesce({_REVENUE}, {_REVENUE_USD})
                        WHEN 'refund' THEN {_negative(f"coalesce({_REFUND}, {_REFUND_USD})")} END""",
    "currency": f"""
        CASE WHEN event_name = 'purchase' AND {_REVENUE} IS NULL AND {_REVENUE_USD} IS NOT NULL THEN 'USD'
             WHEN event_name = 'refund' AND {_REFUND} IS NULL AND {_REFUND_USD} IS NOT NULL THEN 'USD'
             ELSE {_CURRENCY} END""",
    "quantity": f"""
        CASE WHEN event_name IN ('add_to_cart', 'purchase') THEN {_PIECES}
             WHEN event_name = 'refund' THEN {_negative(_PIECES)} END""",
    "session_id": _SESSION,
    "decision_id": _parameter("decision_id"),
    # some shops number the places, others describe them
    "position": f"""
        CASE WHEN {_KIND} IN ('impression', 'click')
             THEN regexp_extract({_said("each", "$.item_list_index")}, '^\\d{{1,9}}$') END""",
    "consent": _CONSENT,
}

_CATEGORIES = ", ".join(_said("each", f"$.item_category{level}") for level in ("", 2, 3, 4, 5))

ITEMS = {
    "item_id": _said("each", "$.item_id"),
    "title": _said("each", "$.item_name"),
    "category": f"nullif(concat_ws(' > ', {_CATEGORIES}), '')",
    "brand": _said("each", "$.item_brand"),
    "price": f"coalesce({_said('each', '$.price')}, {_said('each', '$.price_in_usd')})",
    "currency": f"""
        CASE WHEN {_said("each", "$.price")} IS NOT NULL THEN {_CURRENCY}
             WHEN {_said("each", "$.price_in_usd")} IS NOT NULL THEN 'USD' END""",
    "attributes": f"""
        nullif(json_merge_patch({_as_object("json_extract(each, '$.item_params[*]')")},
                                json_object('variant', {_said("each", "$.item_variant")}))::VARCHAR, '{{}}')""",
}

_PROPERTIES = _as_object("TRY_CAST(user_properties::VARCHAR AS JSON[])")

_CAMPAIGN = (
    f"""coalesce({_inside("collected_traffic_source", "$.manual_campaign_name")}, {_parameter("campaign")})"""
)
_COUPON = f"CASE WHEN event_name = 'purchase' THEN {_parameter('coupon')} END"
# what stands in brackets, as "(direct)", is no campaign
_TOUCHES = f"""
    list_filter([{{'kind': 'visit', 'campaign': {_CAMPAIGN}}}, {{'kind': 'redeemed', 'campaign': {_COUPON}}}],
                lambda touch: touch.campaign IS NOT NULL AND touch.campaign NOT LIKE '(%'
                              AND touch.campaign NOT LIKE '<%')"""

TOUCHES = {
    # a campaign is named with every page of the visit
    "touch_id": f"""md5(concat_ws(chr(31), coalesce(user_id, ''), coalesce({_SESSION}, event_timestamp::VARCHAR),
                                  each.kind, each.campaign))""",
    "time": "event_timestamp",
    "user_id": _USER,
    "campaign_id": "each.campaign",
    "kind": "each.kind",
    "value": f"CASE each.kind WHEN 'redeemed' THEN {_inside('ecommerce', '$.purchase_revenue')} END",
}


class GA4:
    """Events on items become events, searches searches; items, users, campaigns and who is who on the way."""

    name = "ga4"
    layouts = (
        Layout(
            table="events",
            required=("event_timestamp", "event_name", "event_params", "items"),
            optional=(
                *(column for column in _ROW if column not in ("event_timestamp", "event_name")),
                "privacy_info",
                "ecommerce",
                "user_properties",
                "collected_traffic_source",
            ),
            columns=EVENTS,
            each=_EACH,
            where=_WHERE,
            also=(
                Layout(
                    table="items",
                    required=(),
                    columns=ITEMS,
                    each=_DESCRIBED,
                    derived=True,
                ),
                Layout(
                    table="users",
                    required=(),
                    columns={
                        "user_id": _USER,
                        "attributes": f"nullif({_PROPERTIES}::VARCHAR, '{{}}')",
                    },
                    where=f"len(TRY_CAST(user_properties::VARCHAR AS JSON[])) > 0 AND {_AGREED}",
                    derived=True,
                ),
                Layout(
                    table="identities",
                    required=(),
                    columns={
                        "anonymous_id": "user_pseudo_id",
                        "user_id": "user_id",
                        "time": "event_timestamp",
                    },
                    where=f"user_id IS NOT NULL AND user_pseudo_id IS NOT NULL AND {_AGREED}",
                    derived=True,
                ),
                Layout(
                    table="touches",
                    required=(),
                    columns=TOUCHES,
                    each=_TOUCHES,
                    where=_AGREED,
                    derived=True,
                ),
            ),
        ),
    )
