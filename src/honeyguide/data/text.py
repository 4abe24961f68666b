"""What the language model reads of an item: title, category, brand and description, each word said once."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:[.'&%][^\W_]+)*%?")
_MEASURE = re.compile(
    r"(?<![\w.])\d*\.?\d+\s?(?:fl\.? ?oz|oz|lbs?|ct|pk|gal|qt|kg|mg|ml|cl)\b\.?", re.IGNORECASE
)
_MAX_CHARS = 2000


def item_text(title: str, category: str, brand: str, description: str) -> str:
    """One readable line, empty where nothing is known; what shouts in capitals is put in lower case.

    Measures in the title ("13.1 oz", "12 ct") are left out: they say nothing about what a shopper is interested
    in, and without them all sizes of a product are read once and share one vector.
    """
    said: set[str] = set()
    parts = [_first_said(calm(_without_measures(title)), said)]
    for level in reversed(category.split(" > ")):
        parts.append(_only_new_words(calm(level), said))
    parts.append(_only_new_words(calm(brand), said))
    parts.append(_first_said(calm(description), said))
    return ", ".join(part for part in parts if part)[:_MAX_CHARS].rstrip()


def _without_measures(title: str) -> str:
    rest = re.sub(r"\s*,(?:\s*,)+", ",", _MEASURE.sub("", title)).strip(" ,")
    return rest or title


def calm(text: str) -> str:
    """`text` on one line, in lower case if it is all capitals."""
    line = " ".join(text.split())
    return line.lower() if line.isupper() else line


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _first_said(text: str, said: set[str]) -> str:
    """The whole text where it says anything new: a sentence must not lose words from its middle."""
    new = _words(text) - said
    said |= new
    return text if new else ""


def _only_new_words(text: str, said: set[str]) -> str:
    """The text itself where every word is new, otherwise only its new words."""
    words = _words(text)
    if not words & said:
        said |= words
        return text if words else ""
    new = [word for word in _WORD.findall(text) if word.lower() not in said]
    said |= words
    return " ".join(dict.fromkeys(new))
