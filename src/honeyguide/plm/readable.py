"""What a tokenizer can take of a text."""

from __future__ import annotations

import re

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: UTF-8 cannot say it


def readable(text: str, longest: int | None = None) -> str:
    """At most the `longest` first characters of the text, with a blank for each half of a character."""
    text = text[:longest]
    return text if text.isascii() else _LONE_SURROGATE.sub(" ", text)
