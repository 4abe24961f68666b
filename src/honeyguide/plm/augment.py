"""Texts that read a little different every time: noise that is found by the number of a batch alone.

It is the easy data augmentation of Wei & Zou (2019), its synonyms learned from the shop's own co-clicks, and slips on
the keyboard. Wrapped around a feed, it leaves a killed and resumed job where an unbroken one ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from honeyguide.errors import InvalidInput
from honeyguide.plm.noise import (
    Worded,
    drop_words,
    insert_words,
    mistype_words,
    replace_words,
    swap_words,
)
from honeyguide.plm.synonyms import Synonyms
from honeyguide.plm.tokens import Tokens, tokens_of
from honeyguide.plm.train import feeds

_CHARS_PER_TOKEN = (
    32  # a text is cut here before anything happens to it: far behind what the token limit would keep
)


@dataclass(frozen=True, slots=True)
class Noise:
    """What happens to a word, each with its chance; and the share of texts that anything happens to."""

    synonyms: float = 0.1
    insertion: float = 0.05
    swap: float = 0.05
    deletion: float = 0.05
    typos: float = 0.1
    share: float = 1.0

    def __post_init__(self) -> None:
        for name, chance in asdict(self).items():
            if not 0 <= chance <= 1:
                raise InvalidInput(f"{name} must lie in 0..1, got {chance}")

    def apply(self, text: str, rng: np.random.Generator, synonyms: Synonyms | None = None) -> str:
        """The text with noise; one word at least is left of it, and a text without words stays as it is."""
        known = synonyms or Synonyms()
        if rng.random() >= self.share:
            return text

        def alike(word: str) -> str | None:
            return known.draw(word, rng)

        words = replace_words(Worded.of(text), self.synonyms, rng, alike)
        words = insert_words(words, self.insertion, rng, alike)
        words = swap_words(words, self.swap, rng)
        words = drop_words(words, self.deletion, rng)
        return str(mistype_words(words, self.typos, rng))


@dataclass(frozen=True, eq=False)
class NoisyTexts:
    """Texts with noise that is another one in every batch: `at` gives the token store of the batch of a number.

    `clean` are the tokens of `texts`. `allowed` (n,) bool says which texts noise may befall, all where it is None.
    """

    clean: Tokens
    texts: Sequence[str]
    tokenizer: Tokenizer
    noise: Noise = field(default_factory=Noise)
    synonyms: Synonyms = field(default_factory=Synonyms)
    seed: int = 0
    allowed: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.clean):
            raise InvalidInput(f"{len(self.texts)} texts cannot have {len(self.clean)} rows of tokens")
        if self.allowed is not None and self.allowed.shape != (len(self.texts),):
            raise InvalidInput(f"allowed must be ({len(self.texts)},), got {self.allowed.shape}")

    def at(self, number: int) -> NoisyTokens:
        """The texts as the batch of that number reads them: the same whenever it is asked for."""
        return NoisyTokens(self, number)


class NoisyTokens:
    """A token store in which a text is made noisy and tokenised when it is read; a text is the same however often."""

    def __init__(self, source: NoisyTexts, number: int) -> None:
        self._source, self._number = source, number
        self._read: dict[tuple[int, int], tuple[NDArray[np.uint32], NDArray[np.bool_]]] = {}

    def __len__(self) -> int:
        return len(self._source.clean)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,): how many tokens each text has before anything happens to it."""
        return self._source.clean.lengths

    def text(self, row: int, limit: int) -> NDArray[np.uint32]:
        """The first `limit` ids of a text."""
        return self._tokens(row, limit)[0]

    def word_starts(self, row: int, limit: int) -> NDArray[np.bool_]:
        """Which of the first `limit` tokens of a text begin a word."""
        return self._tokens(row, limit)[1]

    def _tokens(self, row: int, limit: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        if (row, limit) not in self._read:
            self._read[row, limit] = self._make(row, limit)
        return self._read[row, limit]

    def _make(self, row: int, limit: int) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        source = self._source
        text = source.texts[row][: limit * _CHARS_PER_TOKEN]
        if source.allowed is None or source.allowed[row]:
            rng = np.random.default_rng([source.seed, self._number, row, 7])
            noisy = source.noise.apply(text, rng, source.synonyms)
        else:
            noisy = text
        if noisy == text:
            return source.clean.text(row, limit), source.clean.word_starts(row, limit)
        found = tokens_of([noisy], source.tokenizer)
        return found.text(0, limit), found.word_starts(0, limit)


class TextFeed(Protocol):
    """A feed that is a dataclass and reads its texts out of its field `tokens`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def batch(self, number: int) -> dict[str, NDArray[np.generic]]:
        """The batch of that number."""
        ...


@dataclass(frozen=True, eq=False)
class NoisyFeed:
    """A feed whose texts are noisy, in every batch in another way; which rows share a batch stays as it is."""

    feed: TextFeed
    texts: NoisyTexts

    def __post_init__(self) -> None:
        told = getattr(self.feed, "tokens", None)
        if told is None or len(told) != len(self.texts.clean):
            raise InvalidInput("a feed needs a field `tokens` of as many texts as are to be made noisy")

    def batch(self, number: int) -> dict[str, NDArray[np.generic]]:
        """The batch of that number."""
        return replace(self.feed, tokens=self.texts.at(number)).batch(number)

    @property
    def least(self) -> int:
        """What the feed says."""
        return feeds.least_rows(self.feed)

    def cut(self, batch: feeds.Batch, begin: int, end: int) -> feeds.Batch:
        """As the feed cuts its batches."""
        return feeds.cut(self.feed, batch, begin, end)


def noisy_reading(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    noise: Noise | None = None,
    *,
    synonyms: Synonyms | None = None,
    seed: int = 0,
    allowed: NDArray[np.bool_] | None = None,
) -> Callable[[Any], NoisyFeed]:
    """What makes any feed noisy whose field `tokens` holds these texts: `Regime(noisy=noisy_reading(...))`."""

    def around(feed: Any) -> NoisyFeed:  # noqa: ANN401
        told = (noise or Noise(), synonyms or Synonyms(), seed, allowed)
        return NoisyFeed(feed, NoisyTexts(feed.tokens, texts, tokenizer, *told))

    return around
