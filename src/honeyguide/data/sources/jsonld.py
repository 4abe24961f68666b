"""Product data for search engines: schema.org's Product in JSON-LD, as shops put it into their pages.

Every look into a node of JSON parses it anew, so that all that is needed of one is taken out of it at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from honeyguide.data.sources.layout import Layout
from honeyguide.data.sources.prices import amount, available, currency

_PRODUCTS = (
    "product", "productgroup", "productmodel", "individualproduct", "someproducts", "productcollection",
    "dietarysupplement", "drug", "vehicle", "car", "motorcycle", "motorizedbicycle", "busorcoach",
)  # fmt: skip
_GTINS = ("gtin", "gtin13", "gtin14", "gtin12", "gtin8")
_IDS = ("sku", "productID", *_GTINS, "mpn", "productGroupID", "@id")
"""What an item's id is taken from, the first that there is: the shop's own number before those of others."""
_TOLD = (
    "aggregateRating", "asin", "audience", "award", "color", "countryOfOrigin", "depth", "height",
    "inProductGroupWithID", "isFamilyFriendly", "isbn", "itemCondition", "keywords", "manufacturer", "material",
    "model", "pattern", "productionDate", "releaseDate", "size", "slogan", "weight", "width", *_IDS[:-1],
)  # fmt: skip
"""Properties that become attributes."""
_TEXTS = ("name", "description", "category", "brand", "url", *_IDS)
_READ = (
    "@type", "additionalProperty", "hasVariant", "image", "isVariantOf", "itemListElement", "mainEntity", "offers",
    *dict.fromkeys((*_TEXTS, *_TOLD)),
)  # fmt: skip
_NOT_SHARED = (
    "@id",
    "@type",
    "hasVariant",
    "isVariantOf",
    "offers",
    "url",
    "mpn",
    "productID",
    "sku",
    *_GTINS,
)
"""What a group of variants says of itself alone."""

_FORMS = ("[0]", '."@value"', ".name", '[0]."@value"', "[0].name", "")
"""Where the text of a property may stand: the first of a list, a text with its language, the name of a thing."""
_IMAGES = (
    "$.image[0].url",
    "$.image[0].contentUrl",
    "$.image.url",
    "$.image.contentUrl",
    "$.image[0]",
    "$.image",
)
_PRICE, _SECOND_PRICE, _KIND = (
    "$.priceSpecification[0].price", "$.priceSpecification[1].price", "$.priceSpecification[0].priceType",
)  # fmt: skip
_PRICES = ("$.price", "$.lowPrice", "$.priceSpecification.price", "$.offers[0].price", "$.offers.price")
_PLACES = (
    "$", "$.priceSpecification[0]", "$.priceSpecification[1]", "$.priceSpecification", "$.offers[0]", "$.offers",
)  # fmt: skip
_CURRENCIES = tuple(f"{place}.priceCurrency" for place in _PLACES)

_OFFER = "each['offer']"
_NODE_PATHS = (*(f'$."{name}"{form}' for name in _TEXTS for form in _FORMS), *_IMAGES)
_OFFER_PATHS = (*_PRICES, _PRICE, _SECOND_PRICE, _KIND, *_CURRENCIES, "$.url")
_TOLD_PATHS = tuple(f'$."{name}"' for name in (*_TOLD, "additionalProperty", "offers"))


def _json(column: str) -> str:
    text = f"{column}::VARCHAR"
    nested = f"left({text}, 1) IN ('{{', '[') AND json_valid({text})"
    return f"CASE WHEN {nested} THEN {text}::JSON ELSE to_json({text}) END"


def _many(value: str) -> str:
    """SQL for the elements of a value that is one or a list; there are none where it is NULL."""
    return f"""CASE WHEN json_type({value}) = 'ARRAY' THEN ({value})::JSON[]
                    WHEN json_type({value}) <> 'NULL' THEN [({value})] ELSE []::JSON[] END"""


def _get(node: str, name: str) -> str:
    return f"({node} -> '{name}')"


def _first(value: str) -> str:
    return f"(CASE WHEN json_type({value}) = 'ARRAY' THEN ({value}) -> 0 ELSE ({value}) END)"


def _nodes() -> str:
    """SQL for the nodes in a row, which is one itself or a document with a graph of them."""
    pairs = ", ".join(f"""'{name}', {_json(f'"{name.lower()}"')}""" for name in _READ)
    graph = _many(_json('"@graph"'))
    node = f"json_merge_patch('{{}}', json_object({pairs}))"
    return f"""CASE WHEN "@graph" IS NOT NULL THEN {graph} ELSE [{node}] END"""


def _products() -> str:
    """SQL for the products in a row: nodes themselves, what they list, or what they are about."""
    types = (
        f"list_transform({_many(_get('p', '@type'))}, lambda t: regexp_extract(lower(t ->> '$'), '[a-z]+$'))"
    )
    about = f"coalesce({_get('n', 'mainEntity')}, n)"
    things = f"flatten(list_transform({_nodes()}, lambda n: {_many(about)}))"
    listed = f"list_transform({_many(_get('m', 'itemListElement'))}, lambda e: coalesce(e -> 'item', e))"
    all_of_them = f"""flatten(list_transform({things},
        lambda m: CASE WHEN json_exists(m, '$.itemListElement') THEN {listed} ELSE [m] END))"""
    found = f"list_filter({all_of_them}, lambda p: list_has_any({types}, {list(_PRODUCTS)}))"
    return f"flatten(list_transform({found}, lambda p: {_variants()}))"


def _variants() -> str:
    """SQL for the variants of the product `p`, each with what their group says of all: `p` itself where it has none.

    A variant that is only referred to is a node of its own.
    """
    told = f"list_filter({_many(_get('p', 'hasVariant'))}, lambda v: len(json_keys(v)) > 1)"
    group = _first(_get("p", "isVariantOf"))
    return f"""CASE WHEN json_exists(p, '$.hasVariant')
        THEN list_transform({told}, lambda v: json_merge_patch({_shared("p")}, v))
        WHEN json_type({group}) = 'OBJECT' THEN [json_merge_patch({_shared(group)}, p)] ELSE [p] END"""


def _shared(group: str) -> str:
    return f"json_merge_patch({group}, '{json.dumps(dict.fromkeys(_NOT_SHARED))}'::JSON)"


def _read() -> str:
    """SQL for each product as a struct: its `texts` by _TEXTS, `images`, and as JSON what is `told` by _TOLD_PATHS;
    of its first `offer` the texts by _OFFER_PATHS, and what is `said` of the availability in all of them.
    """
    taken = f"""list_transform({_products()}, lambda p: struct_pack(
        found := {_texts("p", _NODE_PATHS)}, told := json_extract(p, {list(_TOLD_PATHS)})))"""
    forms = ", ".join(f"q['found'][{len(_FORMS)} * i + {place + 1}]" for place in range(len(_FORMS)))
    texts = f"list_transform(range({len(_TEXTS)}), lambda i: nullif(trim(coalesce({forms})), ''))"
    offers = _at("q['told']", '$."offers"', _TOLD_PATHS)
    places = ("$[*]", "$.offers[*]", "$[*].offers[*]")
    said = [f"json_extract_string({offers}, '{place}.availability')" for place in places]
    said += [f"[{offers} ->> '{path}']" for path in ("$.availability", "$.offers.availability")]
    said = [f"coalesce({words}, [])" for words in said]
    return f"""list_transform({taken}, lambda q: struct_pack(
        texts := {texts}, images := q['found'][{len(_FORMS) * len(_TEXTS) + 1}:], told := q['told'],
        offer := {_texts(_first(offers), _OFFER_PATHS)},
        said := list_filter(flatten([{", ".join(said)}]), lambda s: s IS NOT NULL)))"""


def _texts(node: str, paths: Sequence[str]) -> str:
    """SQL for the texts at some paths of a node, NULL where a list or an object stands there."""
    nested = "left(x, 1) IN ('[', '{') AND json_valid(x)"
    found = f"json_extract_string({node}, {list(paths)})"
    return f"list_transform({found}, lambda x: CASE WHEN {nested} THEN NULL ELSE x END)"


def _at(values: str, path: str, paths: Sequence[str]) -> str:
    return f"{values}[{paths.index(path) + 1}]"


def _text(name: str) -> str:
    """SQL for the text of a property."""
    return _at("each['texts']", name, _TEXTS)


def _offered(paths: Iterable[str]) -> str:
    """SQL for the first of these that is there in the first offer."""
    return f"coalesce({', '.join(_at(_OFFER, path, _OFFER_PATHS) for path in paths)})"


def _price() -> str:
    crossed_out = f"regexp_matches({_at(_OFFER, _KIND, _OFFER_PATHS)}, 'Strikethrough|ListPrice|SRP')"
    listed = f"CASE WHEN {crossed_out} THEN {_offered([_SECOND_PRICE])} ELSE {_offered([_PRICE])} END"
    return f"coalesce({_offered(_PRICES)}, {listed})"


def _item_id() -> str:
    texts = [_text(name) for name in _IDS]
    # an @id that is only meant within its page says nothing outside of it
    texts[-1] = f"CASE WHEN NOT regexp_matches({texts[-1]}, '^(#|_:)') THEN {texts[-1]} END"
    return f"coalesce({', '.join(texts)})"


def _category() -> str:
    """SQL for a category; schema.org allows slashes between its levels, and addresses of lists of categories."""
    text = f"replace({_text('category')}, '&gt;', '>')"
    return f"""CASE WHEN contains({text}, '://') THEN NULL WHEN contains({text}, '>') THEN {text}
                    ELSE regexp_replace({text}, '\\s*/\\s*', ' > ', 'g') END"""


def _is_available() -> str:
    """SQL that is true where any offer is to be had, false where none is; an unknown word stays as it is."""
    words = f"list_transform(each['said'], lambda s: {available('s')})"
    return f"CASE WHEN list_contains({words}, 'true') THEN 'true' ELSE {words}[1] END"


def _attributes() -> str:
    pairs = [(name, _at("each['told']", f'$."{name}"', _TOLD_PATHS)) for name in _TOLD]
    told = ", ".join(f"'{name}', {value}" for name, value in pairs)
    more = _many(_at("each['told']", '$."additionalProperty"', _TOLD_PATHS))
    named = f"list_filter({more}, lambda a: (a ->> 'name') IS NOT NULL)"
    own = f"list_transform({named}, lambda a: json_object(a ->> 'name', a -> 'value'))"
    return f"""nullif(json_merge_patch(list_reduce({own}, lambda a, b: json_merge_patch(a, b), '{{}}'::JSON),
                                       json_object({told}))::VARCHAR, '{{}}')"""


def _layout(required: str) -> Layout:
    return Layout(
        table="items",
        required=(required,),
        optional=tuple(name.lower() for name in ("@graph", *_READ) if name != required),
        columns={
            "item_id": _item_id(),
            "title": _text("name"),
            "description": _text("description"),
            "category": _category(),
            "brand": _text("brand"),
            "price": amount(_price()),
            "currency": f"coalesce({_offered(_CURRENCIES)}, {currency(_price())})",
            "image": "list_filter(each['images'], lambda x: x IS NOT NULL)[1]",
            "link": f"coalesce({_text('url')}, {_offered(['$.url'])})",
            "available": _is_available(),
            "attributes": _attributes(),
        },
        where=f"len({_products()}) > 0",
        each=_read(),
    )


class JsonLd:
    """Each product becomes an item, or each of its variants where it names them."""

    name = "jsonld"
    layouts = (_layout("@type"), _layout("@graph"))
