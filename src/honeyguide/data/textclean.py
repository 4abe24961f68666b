"""Texts as a reader and a language model should see them: NFC, without control characters, HTML and boilerplate."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from html import unescape

# a tag begins with a letter, "/", "!" or "?" right after "<": "a < b", "<3" and "< 5 kg" are no tags
_DROPPED = re.compile(r"<(script|style)\b[^>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BREAK = re.compile(r"</?(?:br|p|li|ul|ol|div|tr|h[1-6]|table|section|article)\b[^<>]*>", re.IGNORECASE)
_CELL = re.compile(r"</?t[dh]\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9:-]*(?:\s[^<>]*|/)?>|<![A-Za-z][^<>]*>|<\?[^<>]*>")
_BLANKS = re.compile(r"[^\S\n]+")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f"  # controls
    "\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"  # soft hyphen, widths, bidi
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"  # halves of pairs and what is no character
)
_JOINERS = re.compile("[\u200c\u200d]")
_NEEDS_WORK = re.compile(r"[^\x20-\x7e\n]|[<&]|  |^ | $| \n|\n |\n\n|^\n|\n$")
_MOST_DECODINGS = 3  # "&amp;amp;lt;" is somebody's export of an export, more is somebody's joke


def normalise(text: str) -> str:
    """`text` in NFC, without HTML, control and invisible characters, white space collapsed and line breaks kept.

    Joiners stay where a script or an emoji needs them. Doing it twice changes nothing more.
    """
    if not _NEEDS_WORK.search(text):
        return text
    before = None
    while (
        text != before
    ):  # what one step uncovers (an entity of a tag, a joiner's neighbour) the next one sees
        before, text = text, _once(text)
    return text


def _once(text: str) -> str:
    text = _LINE_ENDS.sub("\n", text)
    if "<" in text or "&" in text:
        text = _without_html(text)
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text))
    text = _JOINERS.sub(_needed_joiner, text)
    lines = (_BLANKS.sub(" ", line).strip() for line in _LINE_ENDS.sub("\n", text).split("\n"))
    return "\n".join(line for line in lines if line)


def _without_html(text: str) -> str:
    for _ in range(_MOST_DECODINGS):
        text = _DROPPED.sub(" ", text)
        text = _COMMENT.sub(" ", text)
        text = _BREAK.sub("\n", text)
        text = _TAG.sub("", _CELL.sub(" ", text))
        decoded = unescape(text)
        if decoded == text:
            break
        text = decoded
    return text


def _needed_joiner(found: re.Match[str]) -> str:
    """A joiner between two letters of a script that shapes them, or (ZWJ) between two parts of an emoji."""
    text, at = found.string, found.start()
    left, right = text[at - 1 : at], text[at + 1 : at + 2]
    if not left or not right:
        return ""
    if _shapes(left) and _shapes(right):
        return found.group()
    return found.group() if found.group() == "\u200d" and _is_emoji(left) and _is_emoji(right) else ""


def _shapes(letter: str) -> bool:
    """Arabic, Syriac, N'Ko, the scripts of India and their neighbours, Mongolian."""
    return "\u0600" <= letter <= "\u0dff" or "\u0e00" <= letter <= "\u109f" or "\u1780" <= letter <= "\u18af"


def _is_emoji(letter: str) -> bool:
    return letter >= "\U0001f000" or "\u2190" <= letter <= "\u2bff" or letter == "\ufe0f"


def boilerplate_lines(texts: Iterable[str], *, share: float, least: int) -> frozenset[str]:
    """The lines that stand in at least `share` of the texts that are not empty, and in at least `least` of them.

    Texts are taken as `normalise` leaves them and may come as a stream: lines are counted by 8-byte hashes, and
    only those that may still become boilerplate are remembered as text.
    """
    counts: Counter[bytes] = Counter()
    lines: dict[bytes, str] = {}
    filled = 0
    for text in texts:
        if not text:
            continue
        filled += 1
        for line in set(text.split("\n")):
            key = hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            counts[key] += 1
            if counts[key] >= min(least, 2):  # a line that came once need not be kept in memory
                lines[key] = line
    needed = max(least, share * filled)
    return frozenset(line for key, line in lines.items() if counts[key] >= needed)


def without_lines(text: str, lines: frozenset[str]) -> str:
    """`text` without these lines."""
    return "\n".join(line for line in text.split("\n") if line not in lines) if lines else text


def normalise_query(text: str) -> str:
    """A search query as its other spellings: NFKC, case folded, one blank between words, no punctuation around."""
    before = None
    while text != before:  # folding may undo NFKC and the other way round
        before = text
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).casefold()
        text = " ".join(_JOINERS.sub(_needed_joiner, text).split())
        text = _trim(text)
    return text


def _trim(text: str) -> str:
    start, end = 0, len(text)
    while start < end and _is_edge(text[start]):
        start += 1
    while end > start and _is_edge(text[end - 1]):
        end -= 1
    return text[start:end] if start < end else ""


def _is_edge(letter: str) -> bool:
    """Punctuation but what may carry a sense at an end: "c#", "a+", "50%", "$5"."""
    return letter.isspace() or (unicodedata.category(letter)[0] == "P" and letter not in "#%&@*")
