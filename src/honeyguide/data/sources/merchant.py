"""The product feed of Google Merchant Center, which other shopping sites read too: TSV, CSV and (unpacked) XML."""

from __future__ import annotations

from honeyguide.data.sources.layout import Layout
from honeyguide.data.sources.prices import amount, available, currency

_KEPT = (
    "gtin", "mpn", "item_group_id", "condition", "sale_price", "google_product_category", "color", "size", "gender",
    "age_group", "material", "pattern",
)  # fmt: skip
"""Attributes that are called the same in `attributes`, however a feed spells them."""

_READ = (
    "id", "title", "description", "summary", "content", "link", "image_link", "availability", "price", "product_type",
    "brand", *_KEPT,
)  # fmt: skip


def _layout(prefix: str, *required: str) -> Layout:
    """The layout of feeds whose attribute names begin with a prefix; in words of several parts blanks are allowed."""
    spelled = {name: dict.fromkeys((prefix + name, prefix + name.replace("_", " "))) for name in _READ}
    names = [name for spellings in spelled.values() for name in spellings]
    needed = tuple(prefix + name for name in required)
    value = {name: _first(list(spellings)) for name, spellings in spelled.items()}
    pairs = ", ".join(f"'{name}', {value[name]}" for name in _KEPT)
    return Layout(
        table="items",
        required=needed,
        optional=tuple(name for name in names if name not in needed),
        columns={
            "item_id": value["id"],
            "title": value["title"],
            "description": f"coalesce({value['description']}, {value['content']}, {value['summary']})",
            "category": f"coalesce({_own_path(value['product_type'])}, {_path(value['google_product_category'])})",
            "brand": value["brand"],
            "price": amount(value["price"]),
            "currency": currency(value["price"]),
            "image": value["image_link"],
            "link": value["link"],
            "available": available(value["availability"]),
            "attributes": f"json_merge_patch('{{}}', json_object({pairs}))",
        },
        rest=True,
    )


def _first(spellings: list[str]) -> str:
    """SQL for a value that may stand under several names, and that XML may repeat."""
    texts = [
        f"""nullif(trim(CASE WHEN left({text}, 1) = '[' AND json_valid({text})
                             THEN json_extract_string({text}, '$[0]') ELSE {text} END), '')"""
        for text in (f'"{name}"::VARCHAR' for name in spellings)
    ]
    return f"coalesce({', '.join(texts)})"


def _own_path(text: str) -> str:
    """SQL for the first of the shop's own categories: commas part them, but for those between quotes."""
    plain = _plain(text)
    return f"""nullif(trim(coalesce(nullif(regexp_extract({plain}, '^"([^"]*)"', 1), ''),
                                    regexp_extract({plain}, '^[^,]*'))), '')"""


def _path(text: str) -> str:
    """SQL for the path of one of Google's categories, NULL where only its number is given."""
    return f"nullif(regexp_replace({_plain(text)}, '^\\s*\\d+\\s*(-\\s*|$)', ''), '')"


def _plain(text: str) -> str:
    return f"replace(replace({text}, '&gt;', '>'), '&amp;', '&')"


class Merchant:
    """Each product becomes an item."""

    name = "merchant"
    layouts = tuple(
        _layout(prefix, "id", "title", "link", told)
        for told in ("price", "availability")
        for prefix in ("", "g:")
    )
