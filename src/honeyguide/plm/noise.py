"""What happens to texts on their way through people: slips on the keyboard, words lost, doubled and moved.

Everything between words stays as it is, so that a text to which nothing happened is the same to the bit. Han, kana
and hangul signs count as a word each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_ONE_SIGN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_SIGN = re.compile(f"[{_ONE_SIGN}]")
_WORD = re.compile(f"[{_ONE_SIGN}]|[^\\s{_ONE_SIGN}]+")
_SHORTEST = 3  # letters of a word that gets typos: what is left of a shorter one says nothing any more

_KEYS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """Per letter the keys that touch its own, each row of keys half a key to the right of the one above."""
    where = {
        key: (column + row / 2, row) for row, keys in enumerate(_KEYS) for column, key in enumerate(keys)
    }
    return {
        a: "".join(b for b, (u, v) in where.items() if a != b and abs(x - u) <= 1 and abs(y - v) <= 1)
        for a, (x, y) in where.items()
        if a.isalpha()
    }


NEIGHBOURS = _neighbours()


@dataclass(frozen=True, slots=True)
class Worded:
    """A text as n words and what stands before each and after the last: n + 1 gaps."""

    words: tuple[str, ...]
    gaps: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Worded:
        """The text taken apart.

        >>> Worded.of("red  wine 紅酒")
        Worded(words=('red', 'wine', '紅', '酒'), gaps=('', '  ', ' ', '', ''))
        """
        found = list(_WORD.finditer(text))
        begins = [*(match.start() for match in found), len(text)]
        ends = [0, *(match.end() for match in found)]
        gaps = tuple(text[end:begin] for end, begin in zip(ends, begins, strict=True))
        return cls(tuple(match.group() for match in found), gaps)

    def __str__(self) -> str:
        """The text put together again; what has come to stand side by side is kept apart where it must be."""
        parts: list[str] = []
        before = ""
        for gap, word in zip(self.gaps, self.words, strict=False):
            joined = not gap and before and not (_SIGN.fullmatch(before) or _SIGN.fullmatch(word))
            parts += [" " if joined else gap, word]
            before = word
        return "".join([*parts, self.gaps[-1]])

    def keep(self, places: list[int]) -> Worded:
        """The words at these ascending places, each with the gap before it; the first one begins the text."""
        gaps = [self.gaps[place] for place in places]
        return Worded(tuple(self.words[place] for place in places), (self.gaps[0], *gaps[1:], self.gaps[-1]))

    def put(self, place: int, word: str) -> Worded:
        """A word more, before the one at `place` or, at n, behind the last."""
        words = (*self.words[:place], word, *self.words[place:])
        first = place == 0
        gaps = (*self.gaps[: place + first], " ", *self.gaps[place + first :])
        return Worded(words, gaps)


def drop_words(text: Worded, share: float, rng: np.random.Generator) -> Worded:
    """Each word goes with the chance `share`; one is always left."""
    if not text.words:
        return text
    kept = np.flatnonzero(rng.random(len(text.words)) >= share)
    if not len(kept):
        kept = rng.integers(0, len(text.words), 1)
    return text if len(kept) == len(text.words) else text.keep(kept.tolist())


def swap_words(text: Worded, share: float, rng: np.random.Generator) -> Worded:
    """Each word changes places with another one with the chance `share`."""
    words, n = list(text.words), len(text.words)
    if n < 2:
        return text
    for place in np.flatnonzero(rng.random(n) < share).tolist():
        other = (place + int(rng.integers(1, n))) % n
        words[place], words[other] = words[other], words[place]
    return Worded(tuple(words), text.gaps)


def insert_words(
    text: Worded, share: float, rng: np.random.Generator, alike: Callable[[str], str | None]
) -> Worded:
    """Of each word, with the chance `share`, one that is `alike` comes in anywhere; where none is, itself again."""
    for place in np.flatnonzero(rng.random(len(text.words)) < share).tolist():
        word = text.words[place] if len(text.words) else ""
        text = text.put(int(rng.integers(0, len(text.words) + 1)), alike(word) or word)
    return text


def replace_words(
    text: Worded, share: float, rng: np.random.Generator, alike: Callable[[str], str | None]
) -> Worded:
    """Each word, with the chance `share`, gives way to one that is `alike`, where there is one."""
    chosen = rng.random(len(text.words)) < share
    words = [
        (alike(word) or word) if hit else word for word, hit in zip(text.words, chosen.tolist(), strict=True)
    ]
    return Worded(tuple(words), text.gaps)


def mistype_words(text: Worded, share: float, rng: np.random.Generator) -> Worded:
    """Each word of three letters and more, with the chance `share`, is mistyped once."""
    chosen = rng.random(len(text.words)) < share
    words = [
        mistype(word, rng) if hit else word for word, hit in zip(text.words, chosen.tolist(), strict=True)
    ]
    return Worded(tuple(words), text.gaps)


def shuffle_words(text: Worded, rng: np.random.Generator) -> Worded:
    """All words in another order, where they are not all the same."""
    n = len(text.words)
    if len(set(text.words)) < 2:
        return text
    while True:
        words = tuple(text.words[place] for place in rng.permutation(n).tolist())
        if words != text.words:
            return Worded(words, text.gaps)


def mistype(word: str, rng: np.random.Generator) -> str:
    """The word with one slip: a key beside the right one, a letter lost or doubled, two letters in the wrong order.

    Words without three letters of the Latin keyboard stay as they are.
    """
    places = [place for place, letter in enumerate(word) if letter.lower() in NEIGHBOURS]
    if len(places) < _SHORTEST:
        return word
    place = places[int(rng.integers(0, len(places)))]
    slip = int(rng.integers(0, 4))
    if slip == 0:
        return word[:place] + word[place + 1 :]
    if slip == 1:
        return word[:place] + word[place] + word[place:]
    turned = [p for p in places if p + 1 < len(word) and word[p + 1].isalpha() and word[p] != word[p + 1]]
    if slip == 2 and turned:
        place = turned[int(rng.integers(0, len(turned)))]
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    letter = word[place]
    beside = NEIGHBOURS[letter.lower()]
    wrong = beside[int(rng.integers(0, len(beside)))]
    return word[:place] + (wrong.upper() if letter.isupper() else wrong) + word[place + 1 :]
