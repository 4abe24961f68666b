"""Google's Retail API (Vertex AI Search for commerce): user events and products, an object per line.

The objects are those that the API takes and gives: what an event is about stands in `productDetails`, a list of
{product, quantity}, in which a product tells its id and, where the shop says so, its price at that time.
"""

from __future__ import annotations

from honeyguide.data.sources.layout import Layout
from honeyguide.data.validate import MAX_ID_CHARS

KINDS = {"detail-page-view": "view", "add-to-cart": "cart", "purchase-complete": "purchase"}
PASSED_OVER = (
    "home-page-view", "category-page-view", "shopping-cart-page-view", "remove-from-cart", "completion",
    "promotion-offered", "promotion-not-offered",
)  # fmt: skip
"""The other types of event that there are, which tell nothing of an item that was not told before."""


def _inside(column: str, path: str) -> str:
    """SQL for a text inside of a column, whatever the column holds."""
    return f"nullif(json_extract_string(TRY_CAST({column} AS JSON), '{path}'), '')"


def _last_part(name: str) -> str:
    """SQL for the id at the end of a resource name such as projects/1/.../products/id."""
    return f"nullif(regexp_extract({name}, '[^/]+$'), '')"


def _told(path: str) -> str:
    return f"nullif(json_extract_string(each, '{path}'), '')"


_QUERY = "nullif(trim(searchquery), '')"
_FOUND = f"eventtype = 'search' AND {_QUERY} IS NOT NULL"
_PRODUCTS = "TRY_CAST(productdetails AS JSON[])"
_IN_KIND = " ".join(f"WHEN '{name}' THEN '{kind}'" for name, kind in KINDS.items())
_ITEM = f"coalesce({_told('$.product.id')}, {_last_part(_told('$.product.name'))})"
_PRICE = _told("$.product.priceInfo.price")
_PIECES = f"coalesce(TRY_CAST({_told('$.quantity')} AS DOUBLE), 1)"
_REVENUE = _inside("purchasetransaction", "$.revenue")
_USER = _inside("userinfo", "$.userId")

_OF_ROW = ", ".join(
    f"coalesce({column}::VARCHAR, '')"
    for column in (
        "visitorid", "eventtype", "eventtime", "pageviewid", "cartid", "searchquery", '"offset"',
        _inside("purchasetransaction", "$.id"), _ITEM,
    )
)  # fmt: skip

EVENTS = {
    "event_id": f"md5(concat_ws(chr(31), {_OF_ROW}, nth))",
    "time": "eventtime",
    "user_id": _USER,
    "anonymous_id": "visitorid",
    "kind": f"""
        CASE eventtype {_IN_KIND}
             WHEN 'search' THEN CASE WHEN {_FOUND} AND nth = 1 THEN 'search' ELSE 'impression' END
             ELSE eventtype END""",
    "item_id": _ITEM,
    "query": _QUERY,
    # of a line that tells no price, the whole order's worth is only known where it is the only line
    "value": f"""
        CASE WHEN eventtype = 'purchase-complete'
             THEN coalesce((TRY_CAST({_PRICE} AS DOUBLE) * {_PIECES})::VARCHAR, {_PRICE},
                           CASE WHEN len({_PRODUCTS}) = 1 THEN {_REVENUE} END) END""",
    "currency": f"""
        coalesce({_told("$.product.priceInfo.currencyCode")}, {_inside("purchasetransaction", "$.currencyCode")})""",
    "quantity": f"""
        CASE WHEN eventtype IN ('add-to-cart', 'purchase-complete') THEN {_told("$.quantity")} END""",
    "session_id": "sessionid",
    # a token may be longer than an id can be
    "decision_id": f"""
        CASE WHEN length(attributiontoken) > {MAX_ID_CHARS} THEN md5(attributiontoken) ELSE attributiontoken END""",
    # the search itself comes first
    "position": f"""
        CASE WHEN eventtype = 'search' AND NOT ({_FOUND} AND nth = 1)
             THEN TRY_CAST(coalesce("offset"::VARCHAR, '0') AS INTEGER) + nth - CASE WHEN {_FOUND} THEN 2 ELSE 1 END
             END""",
}

_DESCRIBED = f"""
    list_filter({_PRODUCTS}, lambda product: json_extract_string(product, '$.product.title') <> '')"""


def _list(column: str) -> str:
    """SQL for a list of texts, whether the column holds a list or a single text."""
    listed = f"json_extract_string(TRY_CAST({column} AS JSON), '$[*]')"
    return f"CASE WHEN TRY_CAST({column} AS JSON[]) IS NULL THEN [nullif({column}, '')] ELSE {listed} END"


def _flat(value: str) -> str:
    """SQL for a JSON list as JSON: its element where it has only one, NULL where it has none."""
    length = f"json_array_length({value})"
    return f"""
        CASE WHEN json_type({value}) <> 'ARRAY' OR {length} > 1 THEN {value}
             WHEN {length} = 1 THEN json_extract({value}, '$[0]') END"""


def _custom() -> str:
    """SQL for the shop's own attributes as one JSON object: each is a text or a number, or a list of them."""
    given = "TRY_CAST(attributes AS JSON)"
    # of the two lists of an attribute one may be there and empty
    value = """
        CASE WHEN json_array_length(a.value, '$.text') > 0 THEN json_extract(a.value, '$.text')
             WHEN json_type(a.value) = 'OBJECT' THEN json_extract(a.value, '$.numbers') ELSE a.value END"""
    by_key = f"""
        list_transform(json_keys({given}), lambda k: {{
            'key': k, 'value': json_extract({given}, '/' || replace(replace(k, '~', '~0'), '/', '~1'))}})"""
    listed = """
        list_transform(TRY_CAST(attributes AS JSON[]), lambda p: {
            'key': coalesce(json_extract_string(p, '$.key'), ''), 'value': json_extract(p, '$.value')})"""
    pairs = f"coalesce({listed}, {by_key}, [])"
    objects = f"list_transform({pairs}, lambda a: json_object(a.key, {_flat(value)}))"
    return f"list_reduce({objects}, lambda a, b: json_merge_patch(a, b), '{{}}'::JSON)"


def _as_json(column: str, path: str = "$") -> str:
    return _flat(f"json_extract(TRY_CAST({column} AS JSON), '{path}')")


_ATTRIBUTES = {
    "type": "nullif(type, 'TYPE_UNSPECIFIED')",
    "primary_id": "nullif(primaryproductid::VARCHAR, id::VARCHAR)",
    "categories": f"CASE WHEN len({_list('categories')}) > 1 THEN {_as_json('categories')} END",
    "original_price": _as_json("priceinfo", "$.originalPrice"),
    "color": f"""
        coalesce({_as_json("colorinfo", "$.colors")}, {_as_json("colorinfo", "$.colorFamilies")})""",
    "gender": _as_json("audience", "$.genders"),
    "age_group": _as_json("audience", "$.ageGroups"),
    "rating": _as_json("rating", "$.averageRating"),
    "ratings": _as_json("rating", "$.ratingCount"),
    **{name: _as_json(f"{name}s") for name in ("size", "material", "pattern", "condition")},
    "tags": _as_json("tags"),
    "gtin": "gtin",
    "language": "languagecode",
}
_FIXED = ", ".join(f"'{name}', {value}" for name, value in _ATTRIBUTES.items())

ITEMS = {
    "item_id": f"coalesce(nullif(id::VARCHAR, ''), {_last_part('name')})",
    "title": "title",
    "description": "description",
    "category": f"({_list('categories')})[1]",
    "brand": f"nullif(array_to_string({_list('brands')}, ', '), '')",
    # of variants, the least that one of them costs
    "price": f"""
        coalesce({_inside("priceinfo", "$.price")}, {_inside("priceinfo", "$.priceRange.price.minimum")})""",
    "currency": _inside("priceinfo", "$.currencyCode"),
    "image": _inside("images", "$[0].uri"),
    "link": "uri",
    "available": """
        CASE availability WHEN 'OUT_OF_STOCK' THEN 'false' WHEN 'AVAILABILITY_UNSPECIFIED' THEN NULL
             ELSE CASE WHEN availability IN ('IN_STOCK', 'PREORDER', 'BACKORDER') THEN 'true' ELSE availability END
             END""",
    "created_at": "coalesce(publishtime, availabletime)",
    "attributes": f"nullif(json_merge_patch('{{}}'::JSON, json_object({_FIXED}), {_custom()})::VARCHAR, '{{}}')",
}
_OPTIONAL = (
    "name", "type", "primaryproductid", "categories", "brands", "description", "languagecode", "attributes", "tags",
    "priceinfo", "rating", "availabletime", "availability", "uri", "images", "audience", "colorinfo", "sizes",
    "materials", "patterns", "conditions", "gtin", "publishtime",
)  # fmt: skip


def _products(required: str, *absent: str) -> Layout:
    return Layout(
        table="items",
        required=("id", "title", required),
        optional=tuple(column for column in _OPTIONAL if column != required),
        columns=ITEMS,
        absent=("eventtype", "@type", *absent),
    )


class GoogleRetail:
    """User events become events, products items; who is who, and what events tell of products, on the way."""

    name = "googleretail"
    layouts = (
        Layout(
            table="events",
            required=("eventtype", "visitorid", "eventtime"),
            optional=(
                "productdetails",
                "searchquery",
                "purchasetransaction",
                "attributiontoken",
                "userinfo",
                "sessionid",
                "cartid",
                "pageviewid",
                "offset",
            ),
            columns=EVENTS,
            each=f"""
                CASE WHEN {_FOUND} THEN list_concat(['{{}}'::JSON], {_PRODUCTS})
                     WHEN eventtype = 'search' OR len({_PRODUCTS}) > 0 THEN {_PRODUCTS}
                     ELSE ['{{}}'::JSON] END""",
            where=f"""
                coalesce(eventtype, '') NOT IN {PASSED_OVER}
                AND CASE WHEN eventtype = 'search' THEN {_FOUND} OR coalesce(len({_PRODUCTS}), 0) > 0
                         ELSE true END""",
            also=(
                Layout(
                    table="items",
                    required=(),
                    columns={
                        "item_id": _ITEM,
                        "title": _told("$.product.title"),
                        "category": _told("$.product.categories[0]"),
                        "brand": _told("$.product.brands[0]"),
                        "price": _PRICE,
                        "currency": _told("$.product.priceInfo.currencyCode"),
                    },
                    each=_DESCRIBED,
                    derived=True,
                ),
                Layout(
                    table="identities",
                    required=(),
                    columns={"anonymous_id": "visitorid", "user_id": _USER, "time": "eventtime"},
                    where=f"{_USER} IS NOT NULL",
                    derived=True,
                ),
            ),
        ),
        _products("priceinfo"),
        _products("categories", "price", "link"),  # the least that the API takes, and so do others
    )
