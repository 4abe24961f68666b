"""SQL for prices and availability as shops write them for search engines."""

from __future__ import annotations

_CURRENCY = r"(?:[A-Za-z]{3}|[€£$¥])?"
_AMOUNT = r"(-?[0-9](?:[0-9., '’\x{00a0}\x{202f}]*[0-9])?)"
_PRICE = rf"^\s*{_CURRENCY}\s*{_AMOUNT}\s*{_CURRENCY}\s*$"

_AVAILABLE = (
    "instock", "available", "limitedavailability", "onlineonly", "instoreonly", "preorder", "presale", "backorder",
    "madetoorder", "availablefororder",
)  # fmt: skip
_GONE = ("outofstock", "soldout", "discontinued", "reserved", "unavailable")


def amount(price: str) -> str:
    """SQL for the number in a price like "9.99 USD", "EUR 1.299,00" or "9,99"; whatever is no price stays as it is.

    A point or a comma with other than three digits behind it is the decimal one; so is a single point.
    """
    number = f"regexp_replace(regexp_extract({price}, '{_quoted(_PRICE)}', 1), '[^0-9.,-]', '', 'g')"
    return f"""
        CASE WHEN TRY_CAST({price} AS DOUBLE) IS NOT NULL OR NOT regexp_full_match({price}, '{_quoted(_PRICE)}')
             THEN {price}
             WHEN regexp_full_match({number}, '-?\\d{{1,3}}(,\\d{{3}})+(\\.\\d+)?') THEN replace({number}, ',', '')
             WHEN regexp_full_match({number}, '-?\\d{{1,3}}(\\.\\d{{3}})+(,\\d+|\\.\\d{{3}})')
             THEN replace(replace({number}, '.', ''), ',', '.')
             ELSE replace({number}, ',', '.') END"""


def currency(price: str) -> str:
    """SQL for the currency in a price; the signs that several currencies share tell none."""
    letters = f"upper(regexp_extract({price}, '[A-Za-z]{{3}}'))"
    return f"""
        CASE WHEN NOT regexp_full_match({price}, '{_quoted(_PRICE)}') THEN NULL
             WHEN {letters} <> '' THEN {letters}
             WHEN contains({price}, '€') THEN 'EUR' WHEN contains({price}, '£') THEN 'GBP' END"""


def available(text: str) -> str:
    """SQL for whether an item can be ordered, from words like in_stock or https://schema.org/InStock.

    What can only be ordered for later counts as available; an unknown word stays as it is.
    """
    word = f"regexp_replace(regexp_extract(lower({text}), '([a-z _-]+)/?\\s*$', 1), '[^a-z]', '', 'g')"
    return f"""
        CASE WHEN list_contains({list(_AVAILABLE)}, {word}) THEN 'true'
             WHEN list_contains({list(_GONE)}, {word}) THEN 'false' ELSE {text} END"""


def _quoted(pattern: str) -> str:
    return pattern.replace("'", "''")
