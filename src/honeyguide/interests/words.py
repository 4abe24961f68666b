"""The words of a shop's texts: which may stand in a name, and which words are one word in two forms."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PHRASE = re.compile(r"[^\W\d_]+(?:['’.][^\W\d_]+)*|(?<=\s)-|[^\s-]")
_LATIN = re.compile(r"[a-z.&'-]+")
_VOWEL = re.compile(r"[aeiouy]")
_SHORTEST = 3  # letters of a Latin word; in other scripts one may be a word

AND = "&"
_AND = frozenset({"and", "&"})
_UNITS = frozenset(
    "oz fl floz lb lbs kg mg ml cl dl cm mm ft yd yds sq gal qt pt ltr liter liters litre litres pc pcs pk pks "
    "ct cts cnt ea dz dozen doz pack packs size sizes small medium large xl xxl mini count inch inches gram grams "
    "ounce ounces pound pounds piece pieces unit units each per pair set sets".split()
)
_FILLER = frozenset(
    "a an or the of for with in on to by at from as is are it its w wo non not no nan null none ex exc excl "
    "except excluding inc incl include includes including under over less more than up "
    "national private brand brands label misc miscellaneous other others otyher all any assorted variety various "
    "general regular reg standard mainstream traditional everyday new product products item items supply supplies "
    "sply type types kind category department dept gm only".split()
)
_MODIFIERS = frozenset(
    "fresh frozen canned can cans dry dried hot cold packaged bagged boxed baked bulk liquid seasonal "
    "premium natural mixed shelf stable super gourmet microwave authentic domestic imported bottled hand "
    "kids kid adult adults men women mens womens ladies girls boys convenient convenience instant "
    "refrigerated prepared specialty exact multi single serve value carbonated best family home household "
    "large light low high special quality basic classic original mini organic".split()
)
"""Words that say how a thing comes: they stand before the thing, never alone and never last."""
_HEADS = frozenset(
    "food foods goods care needs aid mix mixes bag bags bar bars box boxes bottle bottles pieces tools accessories "
    "novelties choice services".split()
)
"""Words for things of every kind: they stand after what kind it is, never alone."""


def tokens(text: str) -> Iterator[str]:
    """The words of a text in lower case, "&" for any "and", and "" at a stop, a number, a unit or a filler."""
    for match in _PHRASE.finditer(text.lower()):
        word = match.group().replace("’", "'")
        if word in _AND:
            yield AND
        else:
            yield word if _speaks(word) else ""


def _speaks(word: str) -> bool:
    if word in _UNITS or word in _FILLER or not word[0].isalpha():
        return False
    # no vowel: frzn, btl, pkg and their like are the stock system's words, not a shopper's
    return _LATIN.fullmatch(word) is None or (len(word) >= _SHORTEST and _VOWEL.search(word) is not None)


def terms(text: str) -> set[tuple[str, ...]]:
    """The words of a text and its pairs: (soap,), (liquid, soap) and (shampoo, &, conditioner).

    What says only how a thing comes, such as frozen, is no term without the thing.
    """
    found: set[tuple[str, ...]] = set()
    before: tuple[str, ...] = ()
    for word in tokens(text):
        if not word:
            before = ()
        elif word == AND:
            before = (*before, AND) if len(before) == 1 else ()
        else:
            found.add((word,))
            if before and stem(word) != stem(before[0]):
                found.add((*before, word))
            before = (word,)
    return {term for term in found if _names_a_thing(term)}


def _names_a_thing(term: tuple[str, ...]) -> bool:
    first, last = term[0], term[-1]
    if len(term) == 2:
        return (
            last not in _MODIFIERS and first not in _HEADS and (last not in _HEADS or first not in _MODIFIERS)
        )
    weak = _MODIFIERS | _HEADS
    return first not in weak or last not in weak


def stem(word: str) -> str:
    """One form for singular and plural: cookies and cookie, dishes and dish, berries and berry."""
    if word.endswith("ies"):
        return word[:-2]
    if word.endswith("ie"):
        return word[:-1]
    if len(word) > 3 and word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "i"
    if len(word) > 4 and word.endswith(("shes", "ches", "sses", "xes", "toes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")):
        return word[:-1]
    return word
