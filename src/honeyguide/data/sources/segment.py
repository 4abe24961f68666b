"""Segment's e-commerce spec: as calls (Segment, RudderStack), as warehouse tables, and as PostHog exports it.

All of them have the same events with the same properties; a `_Shape` says where a kind of file keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from honeyguide.data.sources.layout import Layout

_SHOWN = ("product list viewed", "product list filtered")
_REFUNDED = ("order refunded", "order cancelled", "order canceled")
_ORDERS = ("order completed", *_REFUNDED)
_NAMES = {
    "view": ("product viewed",),
    "click": ("product clicked",),
    "cart": ("product added", "wishlist product added to cart", "product added to wishlist"),
    "search": ("products searched", "product searched"),
    "rating": ("product reviewed",),
    "impression": _SHOWN,
    "purchase": _ORDERS,
}
_FIRST_SPEC = {
    "viewed product": "product viewed",
    "clicked product": "product clicked",
    "added product": "product added",
    "viewed product category": "product list viewed",
    "completed order": "order completed",
    "reviewed product": "product reviewed",
}
"""What the first version of the spec called some of them."""
_FIELDS = (
    "product_id", "productId", "sku", "id", "name", "brand", "category", "variant", "price", "quantity", "currency",
    "position", "value", "revenue", "rating", "review_body", "url", "image_url", "query", "decision_id", "session_id",
    "sessionId", "$session_id",
)  # fmt: skip
"""The properties that are read, of events and of their products."""
_ID_FIELDS = ("product_id", "productId", "id", "sku")
_STRUCT = "{" + ", ".join(f'"{field}": "VARCHAR"' for field in _FIELDS) + "}"
_CONSENT_KEYS = ("analytics", "functional", "performance", "personalization", "preferences")
_SAYS_LEARNING = r"(?i)personali|analytic|perform|statist|measure|function|preference|^C0002$|^C0003$"
"""Consent categories that are about being learned from; C0002 and C0003 are OneTrust's for the same."""
_PERSONAL = (
    "email", "phone", "name", "firstname", "first_name", "lastname", "last_name", "username", "avatar", "website",
    "address", "id", "email_address", "emailaddress", "phone_number", "phonenumber",
)  # fmt: skip
"""Traits that say who somebody is: nothing is learned from them, so they are not stored."""
_NOTE = "places in a list count from 1 in it; what is put on a wish list is taken as put into the cart"


def _text(json: str, *keys: str) -> str:
    """SQL for the first of these keys of a JSON object that is not empty."""
    found = ", ".join(f"""nullif(json_extract_string({json}, '$."{key}"'), '')""" for key in keys)
    return f"coalesce({found})"


def _first(struct: str, *fields: str) -> str:
    """SQL for the first of these fields of a struct that is not empty."""
    found = ", ".join(f"""nullif({struct}."{field}", '')""" for field in fields)
    return f"coalesce({found})"


def _number(text: str) -> str:
    return f"TRY_CAST({text} AS DOUBLE)"


def _pointer(key: str) -> str:
    """SQL for the JSON pointer to a key."""
    return f"'/' || replace(replace({key}, '~', '~0'), '/', '~1')"


def _yes_or_no(column: str) -> str:
    """SQL for a flag as databases write it, as JSON does."""
    said = f"lower({column}::VARCHAR)"
    return (
        f"CASE WHEN list_contains(['true', 't', '1'], {said}) THEN 'true' WHEN {said} <> '' THEN 'false' END"
    )


def _utc(column: str) -> str:
    """SQL for a time out of a database that keeps UTC and does not always say so."""
    unsaid = r"^(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?)([+]00(:?00)?| UTC)?$"
    return rf"regexp_replace({column}::VARCHAR, '{unsaid}', '\1Z')"


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a kind of file keeps the pieces of an event: SQL over its columns."""

    columns: tuple[str, ...]
    track: str
    """True of what may be an event of the spec."""
    own: str
    """The properties of the event itself, as a struct of `_FIELDS`."""
    products: str
    """The list of products as JSON, or as text that is JSON; NULL where there is none."""
    context: str
    event_id: str
    time: str
    received_at: str
    user_id: str
    anonymous_id: str
    session_id: str

    @property
    def name(self) -> str:
        """What the second version of the spec calls the event, in lower case with blanks."""
        plain = r"trim(lower(regexp_replace(event, '[\s_]+', ' ', 'g')))"
        newer = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in _FIRST_SPEC.items())
        return f"CASE {plain} {newer} ELSE {plain} END"

    @property
    def kind(self) -> str:
        """The event's canonical kind; NULL where it has none."""
        cases = [f"WHEN '{name}' THEN '{kind}'" for kind, names in _NAMES.items() for name in names]
        return f"CASE {self.name} {' '.join(cases)} END"

    def is_one_of(self, *names: str) -> str:
        """True of an event with one of these names."""
        return f"list_contains({list(names)}, {self.name})"

    @property
    def several(self) -> str:
        """The products as structs; NULL where there are none."""
        listed = f"json_transform(TRY_CAST({self.products} AS JSON), '[{_STRUCT}]')"
        return f"CASE WHEN len({listed}) > 0 THEN {listed} END"


def _consent(context: str) -> str:
    """SQL for whether the user agreed to all that is about being learned from, or else to all that was asked."""
    told, managed = (f"json_extract({context}, '$.{key}')" for key in ("consent", "consentManagement"))
    chosen = f"json_extract({told}, '$.categoryPreferences')"
    answers = [
        f"""list_transform(json_keys({chosen}), lambda k: {{
            'about': k, 'yes': json_extract_string({chosen}, {_pointer("k")}) = 'true'}})"""
    ]
    for key, yes in (("allowedConsentIds", "true"), ("deniedConsentIds", "false")):
        ids = f"TRY_CAST(json_extract({managed}, '$.{key}') AS VARCHAR[])"
        answers.append(f"list_transform({ids}, lambda k: {{'about': k, 'yes': {yes}}})")
    every = f"list_filter(list_concat({', '.join(answers)}), lambda a: a.yes IS NOT NULL)"
    weighty = f"list_filter({every}, lambda a: regexp_matches(a.about, '{_SAYS_LEARNING}'))"
    given = f"list_transform(CASE WHEN len({weighty}) > 0 THEN {weighty} ELSE {every} END, lambda a: a.yes)"
    plain = f"CASE WHEN json_type({told}) = 'BOOLEAN' THEN json_extract_string({told}, '$') = 'true' END"
    answered = f"CASE WHEN len({every}) > 0 THEN NOT list_contains({given}, false) ELSE {plain} END"
    return f"CASE WHEN {told} IS NOT NULL OR {managed} IS NOT NULL THEN {answered} END"


def _query(own: str) -> str:
    """SQL for what was searched for, which may be an object with the words in it."""
    text = f'{own}."query"'
    words = _text(f"TRY_CAST({text} AS JSON)", "query", "text", "term", "q")
    return f"CASE WHEN starts_with({text}, '{{') THEN {words} ELSE nullif({text}, '') END"


def _value(shape: _Shape) -> str:
    """SQL for what a line of an order is worth in all, below 0 where it is taken back, or for a rating's stars."""
    price, pieces = _first("each[1]", "price"), _first("each[1]", "quantity")
    product = f"round({_number(price)} * coalesce({_number(pieces)}, 1), 6)::VARCHAR"
    line = f"coalesce({product}, {price}, {_first('each[1]', 'value', 'revenue')})"
    return f"""
        CASE WHEN {shape.is_one_of(*_REFUNDED)} THEN coalesce((-abs({_number(line)}))::VARCHAR, {line})
             WHEN {shape.kind} = 'purchase' THEN {line}
             WHEN {shape.kind} = 'rating' THEN {_first("each[1]", "rating")} END"""


def _quantity(shape: _Shape) -> str:
    pieces = _first("each[1]", "quantity")
    # a refund that says neither how many nor how much must not look like a purchase
    taken = _number(f"coalesce({pieces}, '1')")
    return f"""
        CASE WHEN {shape.is_one_of(*_REFUNDED)} THEN coalesce((-abs({taken}))::VARCHAR, {pieces})
             WHEN {shape.kind} = 'purchase' OR {shape.kind} = 'cart' THEN {pieces} END"""


def _position(shape: _Shape) -> str:
    """SQL for the slot from 0; the spec counts from 1, and a list is in its order where it says no places."""
    place = _first("each[1]", "position")
    unsaid = f"CASE WHEN {shape.kind} = 'impression' THEN (nth - 1)::VARCHAR END"
    slot = f"CASE WHEN {_number(place)} >= 1 THEN ({_number(place)} - 1)::VARCHAR ELSE {place} END"
    return f"coalesce({slot}, {unsaid})"


def _events(shape: _Shape, *also: Layout) -> Layout:
    """The events of a kind of file, one for each product of a list or an order."""
    listing = shape.is_one_of(*_SHOWN, *_ORDERS)
    products = f"CASE WHEN {listing} THEN coalesce({shape.several}, [{shape.own}]) ELSE [{shape.own}] END"
    said = {
        "currency": f"{shape.own}.currency",
        "query": _query(shape.own),
        "decision": f"{shape.own}.decision_id",
        "session": shape.session_id,
        "consent": _consent(shape.context),
    }
    of_all = ", ".join(f"'{name}': {value}" for name, value in said.items())
    names_one = f"(len({shape.products}) > 2 OR {_first(shape.own, *_ID_FIELDS)} IS NOT NULL)"
    return Layout(
        table="events",
        required=(),
        optional=shape.columns,
        # what is said of all products is taken apart once, not once for each of them
        each=f"list_zip({products}, repeat([{{{of_all}}}], len({products})))",
        where=f"""{shape.track} AND {shape.kind} IS NOT NULL
            AND (NOT {shape.is_one_of(*_SHOWN, *_REFUNDED)} OR {names_one})""",
        columns={
            "event_id": f"nullif({shape.event_id}, '') || CASE WHEN {listing} THEN '-' || nth ELSE '' END",
            "time": shape.time,
            "user_id": shape.user_id,
            "anonymous_id": shape.anonymous_id,
            "kind": shape.kind,
            "item_id": _first("each[1]", *_ID_FIELDS),
            "query": "each[2].query",
            "value": _value(shape),
            "currency": f"coalesce({_first('each[1]', 'currency')}, each[2].currency)",
            "quantity": _quantity(shape),
            "session_id": "each[2].session",
            "decision_id": f"coalesce({_first('each[1]', 'decision_id')}, each[2].decision)",
            "position": _position(shape),
            "consent": "each[2].consent",
            "text": f"CASE WHEN {shape.kind} = 'rating' THEN each[1].review_body END",
            "received_at": shape.received_at,
        },
        also=also,
        note=_NOTE,
    )


def _items(shape: _Shape) -> Layout:
    """The items that events say more of than their id."""
    told = (
        f"{_first('p', *_ID_FIELDS)} IS NOT NULL AND {_first('p', 'name', 'category', 'brand')} IS NOT NULL"
    )
    products = f"list_filter(coalesce({shape.several}, [{shape.own}]), lambda p: {told})"
    path, price = _first("each[1]", "category"), _first("each[1]", "price")
    parts = f"array_to_string(TRY_CAST(TRY_CAST({path} AS JSON) AS VARCHAR[]), ' > ')"
    rest = "json_object('sku', nullif(each[1].sku, ''), 'variant', nullif(each[1].variant, ''))"
    return Layout(
        table="items",
        required=(),
        derived=True,
        each=f"list_zip({products}, repeat([{shape.own}.currency], len({products})))",
        where=f"{shape.track} AND regexp_matches({shape.name}, 'product|order|cart|checkout')",
        columns={
            "item_id": _first("each[1]", *_ID_FIELDS),
            "title": "each[1].name",
            "category": f"CASE WHEN starts_with({path}, '[') THEN coalesce({parts}, {path}) ELSE {path} END",
            "brand": "each[1].brand",
            # an item is worth knowing without a price that is none
            "price": f"CASE WHEN {_number(price)} BETWEEN 0 AND 3.4e38 THEN {price} END",
            "currency": f"coalesce({_first('each[1]', 'currency')}, each[2])",
            "image": "each[1].image_url",
            "link": "each[1].url",
            "attributes": f"nullif(json_merge_patch('{{}}', {rest})::VARCHAR, '{{}}')",
        },
    )


def _identities(user: str, time: str, *devices: str) -> Layout:
    """The user who stands behind these ids of devices."""
    known = f"list_filter([{', '.join(devices)}], lambda d: d <> '' AND d <> {user})"
    return Layout(
        table="identities",
        required=(),
        derived=True,
        each=f"list_distinct({known})",
        where=f"{user} <> ''",
        columns={"anonymous_id": "each", "user_id": user, "time": time},
    )


def _users(where: str, user: str, json: str) -> Layout:
    """What is known of users, without what is personal or what PostHog's own keys say of a browser."""
    personal = ", ".join(f"'{key}'" for key in _PERSONAL)
    keys = f"""list_filter(list_sort(list_distinct(json_keys({json}))), lambda k:
        NOT starts_with(k, '$') AND NOT list_contains([{personal}], lower(k))
        AND json_type({json}, {_pointer("k")}) <> 'NULL')"""
    pairs = f"list_transform({keys}, lambda k: to_json(k)::VARCHAR || ':' || json_extract({json}, {_pointer('k')}))"
    attributes = f"nullif('{{' || array_to_string({pairs}, ',') || '}}', '{{}}')"
    return Layout(
        table="users",
        required=(),
        derived=True,
        where=f"{where} AND {attributes} IS NOT NULL",
        columns={"user_id": user, "attributes": attributes},
    )


_CONTEXT = "TRY_CAST(context AS JSON)"
_RUDDER_SESSION = _text(_CONTEXT, "sessionId", "session_id")
_AMPLITUDE_SESSION = """nullif(json_extract_string(TRY_CAST(integrations AS JSON),
    '$."Actions Amplitude".session_id'), '-1')"""
_PROPERTIES = "TRY_CAST(properties AS JSON)"
_OWN = f"json_transform({_PROPERTIES}, '{_STRUCT}')"
_PRODUCTS = f"json_extract_string({_PROPERTIES}, '$.products')"
# these are the moment a session began, which two devices may share
_BY_DEVICE = f"""coalesce(anonymousid::VARCHAR, userid::VARCHAR) || '-' ||
    coalesce({_RUDDER_SESSION}, {_AMPLITUDE_SESSION})"""
_CALL = _Shape(
    columns=(
        "messageid", "type", "event", "userid", "anonymousid", "previousid", "timestamp", "originaltimestamp",
        "sentat", "receivedat", "properties", "traits", "context", "integrations",
    ),
    track="coalesce(lower(\"type\"), 'track') = 'track'",
    own=_OWN,
    products=_PRODUCTS,
    context=_CONTEXT,
    event_id="messageid::VARCHAR",
    time="""coalesce(nullif("timestamp"::VARCHAR, ''), nullif(originaltimestamp::VARCHAR, ''),
        nullif(sentat::VARCHAR, ''), receivedat::VARCHAR)""",
    received_at="receivedat",
    user_id="userid::VARCHAR",
    anonymous_id="anonymousid::VARCHAR",
    session_id=f"coalesce({_BY_DEVICE}, {_first(_OWN, 'session_id', 'sessionId')})",
)  # fmt: skip
_TRAITS = f"coalesce(nullif(TRY_CAST(traits AS JSON), '{{}}'), json_extract({_CONTEXT}, '$.traits'))"
_CALLS = _events(
    _CALL,
    _items(_CALL),
    _identities(
        _CALL.user_id,
        _CALL.time,
        _CALL.anonymous_id,
        "CASE WHEN lower(\"type\") = 'alias' THEN previousid::VARCHAR END",
    ),
    _users(
        "lower(\"type\") = 'identify'", "coalesce(nullif(userid::VARCHAR, ''), anonymousid::VARCHAR)", _TRAITS
    ),
)

_FLAT = tuple(field for field in _FIELDS if field == field.lower() and field not in ("id", "$session_id"))
_COLUMNS_AS_STRUCT = ", ".join(
    f"'{field}': {f'{field}::VARCHAR' if field in _FLAT else 'NULL::VARCHAR'}" for field in _FIELDS
)
_CHOSEN = ", ".join(
    f"'{key}', {_yes_or_no(f'context_consent_category_preferences_{key}')}" for key in _CONSENT_KEYS
)
_MANAGED = ", ".join(
    f"'{key}ConsentIds', TRY_CAST(context_consent_management_{key}_consent_ids AS JSON)"
    for key in ("allowed", "denied")
)
_TABLE = _Shape(
    columns=(
        "id", "event", "event_text", "user_id", "anonymous_id", "timestamp", "received_at", "context_session_id",
        "context_consent_management_allowed_consent_ids", "context_consent_management_denied_consent_ids",
        *(f"context_consent_category_preferences_{key}" for key in _CONSENT_KEYS), "products", *_FLAT,
    ),
    track="true",
    own=f"{{{_COLUMNS_AS_STRUCT}}}",
    products="products",
    context=f"""json_object('consent', json_object('categoryPreferences', json_object({_CHOSEN})),
        'consentManagement', json_object({_MANAGED}))""",
    event_id="id::VARCHAR",
    time=_utc('"timestamp"'),
    received_at=_utc("received_at"),
    user_id="user_id::VARCHAR",
    anonymous_id="anonymous_id::VARCHAR",
    session_id="""coalesce(coalesce(anonymous_id::VARCHAR, user_id::VARCHAR) || '-' ||
        nullif(context_session_id::VARCHAR, ''), session_id::VARCHAR)""",
)  # fmt: skip
_KNOWN = _identities(_TABLE.user_id, _TABLE.time, _TABLE.anonymous_id)
_TABLES = _events(_TABLE, _items(_TABLE), _KNOWN)
_IDENTIFIES = replace(
    _KNOWN,
    required=("anonymous_id", "user_id", "received_at"),
    optional=("timestamp",),
    absent=("event", "kind"),
)

_DEVICE = _text(_PROPERTIES, "$device_id")
_PERSON_ID = "distinct_id::VARCHAR"
_IS_ANONYMOUS = f"({_PERSON_ID} = {_DEVICE} OR {_text(_PROPERTIES, '$is_identified')} = 'false') IS true"
_POSTHOG = _Shape(
    columns=(
        "uuid", "id", "event", "distinct_id", "timestamp", "created_at", "properties", "person_properties",
    ),
    track="true",
    own=_OWN,
    products=_PRODUCTS,
    context="NULL::JSON",
    event_id="coalesce(nullif(uuid::VARCHAR, ''), id::VARCHAR)",
    time=_utc('"timestamp"'),
    received_at=_utc("created_at"),
    user_id=f"CASE WHEN NOT ({_IS_ANONYMOUS}) THEN {_PERSON_ID} END",
    anonymous_id=f"coalesce({_DEVICE}, CASE WHEN {_IS_ANONYMOUS} THEN {_PERSON_ID} END)",
    session_id=_first(_OWN, "$session_id", "session_id"),
)  # fmt: skip
_SET, _SET_ONCE = (f"json_extract({_PROPERTIES}, '$.\"{key}\"')" for key in ("$set", "$set_once"))
_PERSON = f"""json_merge_patch(json_merge_patch(coalesce(TRY_CAST(person_properties AS JSON), '{{}}'),
    coalesce({_SET_ONCE}, '{{}}')), coalesce({_SET}, '{{}}'))"""
_EXPORTS = _events(
    _POSTHOG,
    _items(_POSTHOG),
    _identities(
        f"CASE WHEN event = '$identify' THEN {_PERSON_ID} ELSE {_POSTHOG.user_id} END",
        _POSTHOG.time,
        _DEVICE,
        _text(_PROPERTIES, "$anon_distinct_id"),
    ),
    _users(f"coalesce({_SET}, {_SET_ONCE}) IS NOT NULL", _PERSON_ID, _PERSON),
)
_PERSONS = replace(
    _users("coalesce(lower(is_deleted::VARCHAR), '') <> 'true'", _PERSON_ID, _PROPERTIES),
    required=("distinct_id", "person_id", "properties"),
    optional=("is_deleted",),
    absent=("event",),
)


class Segment:
    """Tracked events become events, their products items, identified people users and identities."""

    name = "segment"
    layouts = (
        *(replace(_CALLS, required=("messageid", "type", key)) for key in ("event", "userid", "anonymousid")),
        replace(_EXPORTS, required=("event", "distinct_id", "properties", "timestamp")),
        *(
            replace(_TABLES, required=("event", "event_text", key))
            for key in ("product_id", "sku", "products", "query")
        ),
        _IDENTIFIES,
        _PERSONS,
    )
